//! Resampling by importance weights.

use engine::rng::Stream;

/// Systematic resampling (Kitagawa 1996): calls `f` with `picks` indices, index i in expectation
/// `picks w_i / sum w` times. None if no weight is positive.
pub fn systematic(w: &[f64], picks: usize, stream: &mut Stream, mut f: impl FnMut(usize)) {
    let total: f64 = w.iter().sum();
    if total.is_nan() || total <= 0.0 {
        return;
    }
    let offset = stream.uniform();
    let (mut below, mut k) = (0.0, 0);
    for (i, w) in w.iter().enumerate() {
        below += w;
        while k < picks && (k as f64 + offset) / picks as f64 * total < below {
            f(i);
            k += 1;
        }
    }
}

/// [`systematic`] resampling of the columns of `x`, of `dim` numbers each, to as many columns; empty if no weight
/// is positive.
pub fn resampled<T: Copy>(x: &[T], dim: usize, w: &[f64], stream: &mut Stream) -> Vec<T> {
    let mut picked = Vec::with_capacity(x.len());
    systematic(w, w.len(), stream, |i| picked.extend_from_slice(&x[i * dim..(i + 1) * dim]));
    picked
}

/// [`systematic`] resampling to `picks` indices; none if no weight is positive.
pub fn resampled_to(w: &[f64], picks: usize, stream: &mut Stream) -> Vec<usize> {
    let mut picked = Vec::with_capacity(picks);
    systematic(w, picks, stream, |i| picked.push(i));
    // The last pick can be lost to rounding.
    if let Some(last) = picked.last().copied() {
        picked.resize(picks, last);
    }
    picked
}

/// Tempered weights w^beta, in units of the largest, with the [`exponent`] beta. Weights that are NaN or infinite
/// become 0.
pub fn tempered(log_w: &[f64], power: f64, share: f64) -> Vec<f64> {
    let (beta, most) = exponent(log_w.iter().copied(), power, share);
    log_w.iter().map(|l| raised(*l, most, beta)).collect()
}

/// The largest beta in \[0, `power`\] for which weights w^beta have the effective share
/// ([`effective_share`](super::effective_share)) `share` at least, 0 if there is none; and the logarithm of the largest
/// finite weight. Allocates nothing.
pub fn exponent(log_w: impl Iterator<Item = f64> + Clone, power: f64, share: f64) -> (f64, f64) {
    let most = log_w.clone().filter(|l| l.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    let enough = |beta: f64| {
        let zero = (0.0, 0.0, 0.0);
        let (n, sum, squares) = log_w.clone().fold(zero, |(n, sum, squares), l| {
            let w = raised(l, most, beta);
            (n + 1.0, sum + w, squares + w * w)
        });
        // No weight has a share of 0.
        let found = if squares > 0.0 { sum * sum / (n * squares) } else { 0.0 };
        found >= share
    };
    if enough(power) {
        return (power, most);
    }
    // The share decreases with beta: bisection, 40 halvings.
    let (mut low, mut high) = (0.0, power);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if enough(middle) { low = middle } else { high = middle }
    }
    (low, most)
}

/// w^beta in units of the largest weight; 0 for what is no weight. States of density 0 have the weight 0 also at
/// beta = 0.
pub fn raised(log_w: f64, most: f64, beta: f64) -> f64 {
    if log_w.is_finite() { (beta * (log_w - most)).exp() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importance::effective_share;

    #[test]
    fn two_of_four_weights_are_half_a_share() {
        assert_eq!(effective_share(&[1.0, 1.0, 0.0, 0.0]), 0.5);
        assert_eq!(effective_share(&[0.0, 0.0]), 0.0);
    }

    #[test]
    fn systematic_resampling_keeps_expectations() {
        let w = [1.0, 0.0, 2.0, 1.0];
        let mut count = [0.0; 4];
        for step in 0..1000 {
            systematic(&w, 8, &mut Stream::new(0, "test", step, 0), |i| count[i] += 1.0);
        }
        assert_eq!(count.iter().sum::<f64>(), 8000.0);
        assert_eq!(count, [2000.0, 0.0, 4000.0, 2000.0]);
    }

    #[test]
    fn weights_are_tempered_just_as_far_as_needed() {
        let even = [2.0, 2.0 + 1e-3, 2.0 - 1e-3];
        let w = tempered(&even, 1.0, 0.5);
        assert!(w.iter().zip(even).all(|(w, l)| (w - (l - 2.001).exp()).abs() < 1e-15), "{w:?}");
        // log w = 0, 10, ..., 90: of ten weights one counts, until they are tempered to a share of a half.
        let steep: Vec<f64> = (0..10).map(|k| 10.0 * f64::from(k)).collect();
        let w = tempered(&steep, 1.0, 0.5);
        assert!((effective_share(&w) - 0.5).abs() < 1e-9, "{w:?}");
        let beta = (w[8] / w[9]).ln() / -10.0;
        assert!(w.iter().enumerate().all(|(k, w)| (w.ln() - beta * 10.0 * (k as f64 - 9.0)).abs() < 1e-9));
    }

    #[test]
    fn what_is_no_weight_counts_as_none() {
        let log_w = [f64::NAN, 0.0, f64::NEG_INFINITY, f64::INFINITY, -1e300, 0.0];
        assert_eq!(tempered(&log_w, 1.0, 0.3), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(tempered(&log_w, 1.0, 0.9), [0.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(tempered(&[f64::NAN; 2], 1.0, 0.5), [0.0, 0.0]);
        assert!(tempered(&[], 1.0, 0.5).is_empty());
    }
}
