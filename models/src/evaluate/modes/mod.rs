//! Modes of a density that nobody knows: basins of the energy in which samples lie, and what they weigh.
//!
//! Some of the samples are moved down the energy to the minimum of their basin ([`descend`]), minima without a barrier
//! between them are one (`merge`), and each mode has the weight of the samples that came to it ([`shares`]):
//!
//! w_k = sum_(i in k) w_i / sum_i w_i,  F_k - F_0 = -log(w_k / w_0),
//!
//! free energies in units of k_B T, against the heaviest mode 0. Which mode a sample belongs to is no guess of
//! distances, as it is where samples are assigned to the nearest centre: a narrow mode beside a wide one gets its own.
//!
//! The modes are those of the samples. One that a sampler has never been in is not found: of n independent samples none
//! lies in a mode of probability p in (1 - p)^n of all cases, 5 % for p = 3 / n.

mod descend;
mod merge;
mod shares;
#[cfg(test)]
mod tests;

pub use descend::{Ends, descend};
pub use shares::{Share, shares};

use engine::rng::Stream;

use crate::metrics;
use crate::target::{Affine, Target, TargetError, Whitened};

/// The largest dimension in which coordinates are whitened: it costs d^2 operations for each evaluation.
const WHITENED: usize = 256;

/// Where modes are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Samples, columns.
    pub samples: &'a [f64],
    /// Logarithms of their weights; none for equal ones.
    pub log_w: &'a [f64],
    /// Of samples that are states of so many Markov chains in turn: states of one chain depend on each other, and
    /// errors are taken from the scatter of whole chains.
    pub chains: Option<usize>,
    /// Samples to move to their minima, at most.
    pub descents: usize,
    /// Seed of their choice.
    pub seed: u64,
}

/// A mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    /// Its weight and free energy.
    pub share: Share,
    /// Its share of the samples, whatever their weights.
    pub raw: f64,
    /// Samples that came to it.
    pub samples: usize,
    /// The lowest energy that they came to, a minimum where [`ModesFound::unfinished`] is 0.
    pub energy: f64,
    /// Where that is.
    pub centre: Vec<f64>,
    /// The weighted standard deviation of the samples in each coordinate; NaN for a single one. None for particles,
    /// whose coordinates mean nothing: states that differ by a rotation or a permutation are in one mode.
    pub widths: Vec<f64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct ModesFound {
    /// The modes, the heaviest first.
    pub modes: Vec<Mode>,
    /// Samples that were moved to their minima.
    pub descents: usize,
    /// Those that came to no minimum in the steps that they had.
    pub unfinished: usize,
    /// The number of independent samples that the weights of these are worth (Kish).
    pub effective: f64,
    /// An estimate of the probability that one more sample lies in a mode that has not been found: the share of samples
    /// that are alone in theirs (Good, Biometrika 40, 1953).
    pub unseen: f64,
    /// Evaluations of the energy, most with its gradient.
    pub evaluations: u64,
}

/// The modes of samples of `target`. At most 360 evaluations of the energy for each descent, mostly 20 to 60.
///
/// # Errors
/// Where the target cannot be evaluated.
pub fn find(target: &dyn Target<f64>, search: &Search<'_>) -> Result<ModesFound, TargetError> {
    let d = target.dim();
    let n = search.samples.len() / d.max(1);
    let mut stream = Stream::new(search.seed, "modes", 0, 0);
    let chosen = metrics::disjoint_sets(n, 1, search.descents.min(n), &mut stream)
        .map_or_else(|_| Vec::new(), |sets| sets.concat());
    let starts = metrics::select(search.samples, d, &chosen);
    let mut ends = descend_whitened(target, search.samples, &starts)?;
    // What lies outside the support is in no mode.
    let inside: Vec<usize> = (0..chosen.len()).filter(|i| ends.energies[*i].is_finite()).collect();
    ends = ends.select(d, &inside);
    let starts = metrics::select(&starts, d, &inside);
    let chosen: Vec<usize> = inside.iter().map(|i| chosen[*i]).collect();
    let merged = merge::merge(target, &starts, &ends)?;
    let log_w: Vec<f64> = chosen.iter().map(|i| search.log_w.get(*i).copied().unwrap_or(0.0)).collect();
    let chains: Option<Vec<usize>> = search.chains.map(|m| chosen.iter().map(|i| i % m.max(1)).collect());
    let shares = shares(&merged.labels, merged.lowest.len(), &log_w, chains.as_deref());
    let of_particles = target.geometry().particles().is_some();
    let mut modes: Vec<Mode> = (0..merged.lowest.len())
        .map(|k| {
            let own: Vec<usize> = (0..chosen.len()).filter(|i| merged.labels[*i] == k).collect();
            let lowest = merged.lowest[k];
            Mode {
                share: shares.modes[k],
                raw: own.len() as f64 / chosen.len() as f64,
                samples: own.len(),
                energy: ends.energies[lowest],
                centre: ends.states[lowest * d..(lowest + 1) * d].to_vec(),
                widths: if of_particles { Vec::new() } else { widths(&starts, d, &own, &log_w) },
            }
        })
        .collect();
    modes.sort_by(|a, b| {
        b.share
            .weight
            .total_cmp(&a.share.weight)
            .then(b.samples.cmp(&a.samples))
            .then(a.energy.total_cmp(&b.energy))
    });
    let alone = modes.iter().filter(|m| m.samples == 1).count();
    Ok(ModesFound {
        modes,
        descents: chosen.len(),
        unfinished: ends.finished.iter().filter(|f| !**f).count(),
        effective: shares.effective,
        unseen: alone as f64 / chosen.len() as f64,
        evaluations: ends.evaluations + merged.evaluations,
    })
}

/// Moves `starts` to their minima, in coordinates in which all samples have covariance I: a posterior of parameters in
/// different units takes a few steps, and hundreds in its own.
fn descend_whitened(target: &dyn Target<f64>, samples: &[f64], starts: &[f64]) -> Result<Ends, TargetError> {
    let d = target.dim();
    let own =
        (target.geometry().particles().is_none() && d <= WHITENED).then(|| Affine::whitening(samples, d));
    let Some(affine) = own.flatten() else { return descend(target, starts) };
    // Energies stay those of the target.
    let whitened = Whitened::new(target, affine.clone(), affine.log_volume());
    let mut ends = descend(&whitened, &affine.inverse(starts))?;
    ends.states = affine.forward(&ends.states);
    Ok(ends)
}

/// Weighted standard deviations of the samples `own` in each coordinate, about their mean.
fn widths(x: &[f64], d: usize, own: &[usize], log_w: &[f64]) -> Vec<f64> {
    let top = own.iter().map(|i| log_w[*i]).fold(f64::NEG_INFINITY, f64::max);
    // Of a mode whose samples all weigh nothing they count alike.
    let weight = |i: &usize| if top == f64::NEG_INFINITY { 1.0 } else { (log_w[*i] - top).exp() };
    let (sum, squares) = own.iter().map(weight).fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    // The share of the variance that the mean takes away.
    let left = 1.0 - squares / (sum * sum);
    let one = |a: usize| {
        let mean = own.iter().map(|i| weight(i) * x[i * d + a]).sum::<f64>() / sum;
        let variance = own.iter().map(|i| weight(i) * (x[i * d + a] - mean).powi(2)).sum::<f64>() / sum;
        if own.len() < 2 { f64::NAN } else { (variance / left).sqrt() }
    };
    (0..d).map(one).collect()
}
