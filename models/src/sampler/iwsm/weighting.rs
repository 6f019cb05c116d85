//! Importance weights of a batch.
//!
//! At every noise level the mean of Z p_t(x) / proposal(x) under the proposal is Z, so that one normaliser serves
//! the batch: w_i = exp(power (log Z p_t(x_i) - log proposal(x_i))), divided by their mean, clipped. With power 1/2
//! the loss is over sqrt(p_t proposal), the geometric mean of both densities, which has more mass at the target's
//! modes than the proposal and still covers the space between them, which reverse paths cross. With `smooth` the
//! largest weights are first replaced by quantiles of a fitted Pareto distribution (Vehtari et al. 2024).

use std::ops::Range;

use engine::{Real, parallel};

use super::Weights;
use crate::importance::{effective_share, exponent, pareto_smooth, raised};

/// States that are normalised together: neighbours in a batch, whose noise levels are sorted.
const GROUP: usize = 64;

/// Writes weights from log(Z p_t / proposal) of a batch whose noise levels are sorted; returns their effective share
/// (sum w)^2 / (n sum w^2).
///
/// Weights have the mean one (before clipping) within each group of neighbouring noise levels. Plain weights have the
/// mean Z at every level, but their typical size is far less at large ones in many dimensions, and their powers have
/// not even the same mean: with one mean for all, few levels would take all of the weight. Each group takes the largest
/// power up to `power` with the effective share `share`, so that the power is 1, which alone is consistent for a finite
/// number of draws, wherever the proposal is good enough for it.
pub fn normalise<T: Real>(log_w: &[T], config: &Weights, w: &mut [f64]) -> f64 {
    let groups = (w.len() / GROUP).max(1);
    normalise_groups(log_w, 0..groups, (w.len(), groups), config, w);
    effective_share(w)
}

/// Weights of some groups of `total` = (states, groups), in parallel: the search for a power takes more exponentials than
/// all else.
fn normalise_groups<T: Real>(
    log_w: &[T],
    range: Range<usize>,
    total: (usize, usize),
    config: &Weights,
    w: &mut [f64],
) {
    if range.len() > 1 {
        let middle = range.start + range.len() / 2;
        let begin = |group: usize| group * total.0 / total.1;
        let at = begin(middle) - begin(range.start);
        let ((left, right), (w_left, w_right)) = (log_w.split_at(at), w.split_at_mut(at));
        parallel::join(
            || normalise_groups(left, range.start..middle, total, config, w_left),
            || normalise_groups(right, middle..range.end, total, config, w_right),
        );
        return;
    }
    let logs = log_w.iter().map(|l| l.f64());
    if config.smooth {
        // All draws of a state have density 0: no estimate there.
        let known = logs.map(|l| if l.is_finite() { l } else { f64::NEG_INFINITY });
        let smooth = pareto_smooth(&known.collect::<Vec<f64>>()).0;
        normalise_group(smooth.iter().copied(), config, w);
    } else {
        normalise_group(logs, config, w);
    }
}

fn normalise_group(log_w: impl Iterator<Item = f64> + Clone, config: &Weights, w: &mut [f64]) {
    let (beta, most) = exponent(log_w.clone(), config.power, config.share);
    w.iter_mut().zip(log_w).for_each(|(w, l)| *w = raised(l, most, beta));
    let mean = w.iter().sum::<f64>() / w.len() as f64;
    if mean > 0.0 {
        w.iter_mut().for_each(|w| *w = (*w / mean).min(config.clip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(power: f64) -> Weights {
        Weights { power, share: 0.0, clip: 1e9, ..crate::sampler::iwsm::Config::default().weights }
    }

    #[test]
    fn weights_have_mean_one_and_the_stated_power() {
        let log_w = [0.0, 2.0_f64.ln(), 4.0_f64.ln(), f64::NEG_INFINITY];
        let mut w = [0.0; 4];
        normalise(&log_w, &weights(1.0), &mut w);
        let close = |w: [f64; 4], want: [f64; 4]| w.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(w, [4.0 / 7.0, 8.0 / 7.0, 16.0 / 7.0, 0.0]), "{w:?}");
        normalise(&log_w, &weights(0.5), &mut w);
        let unit = 4.0 / (1.0 + 2f64.sqrt() + 2.0);
        assert!(close(w, [unit, 2f64.sqrt() * unit, 2.0 * unit, 0.0]), "{w:?}");
        let ess = normalise(&log_w, &Weights { clip: 1.2, ..weights(1.0) }, &mut w);
        let clipped: [f64; 4] = [4.0 / 7.0, 8.0 / 7.0, 1.2, 0.0];
        assert!(close(w, clipped), "{w:?}");
        let share = clipped.iter().sum::<f64>().powi(2) / (4.0 * clipped.iter().map(|v| v * v).sum::<f64>());
        assert!((ess - share).abs() < 1e-12);
    }

    #[test]
    fn smoothing_tames_the_largest_weight_and_leaves_missing_ones_out() {
        let mut log_w: Vec<f64> = (0..400).map(|i| (i as f64 * 0.37).sin()).collect();
        log_w[7] = 12.0;
        log_w[8] = f64::NEG_INFINITY;
        let (mut plain, mut smooth) = (vec![0.0; 400], vec![0.0; 400]);
        let before = normalise(&log_w, &weights(1.0), &mut plain);
        let after = normalise(&log_w, &Weights { smooth: true, ..weights(1.0) }, &mut smooth);
        assert!(after > 2.0 * before, "{before} {after}");
        assert_eq!(smooth[8], 0.0);
        assert!(smooth.iter().all(|w| w.is_finite()) && smooth[7] > smooth[9]);
    }

    #[test]
    fn each_group_of_noise_levels_has_its_own_mean_and_power() {
        // Two groups with weights that differ by e^20 in size, the second ones too uneven for their power 1.
        let mut log_w: Vec<f64> = (0..128).map(|i| (i as f64 * 0.37).sin()).collect();
        log_w[64..].iter_mut().for_each(|l| *l = 9.0 * *l - 20.0);
        let mut w = vec![0.0; 128];
        normalise(&log_w, &Weights { share: 0.5, ..weights(1.0) }, &mut w);
        let mean = |w: &[f64]| w.iter().sum::<f64>() / 64.0;
        assert!((mean(&w[..64]) - 1.0).abs() < 1e-12 && (mean(&w[64..]) - 1.0).abs() < 1e-12);
        let power = |i: usize, j: usize| (w[i] / w[j]).ln() / (log_w[i] - log_w[j]);
        assert!((power(3, 11) - 1.0).abs() < 1e-9, "{}", power(3, 11));
        assert!(power(70, 81) < 0.5 && (effective_share(&w[64..]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_batch_without_any_density_gets_no_weight() {
        let mut w = [1.0; 2];
        assert_eq!(normalise(&[f64::NEG_INFINITY; 2], &weights(1.0), &mut w), 0.0);
        assert_eq!(w, [0.0, 0.0]);
    }
}
