//! Weights of modes from weighted samples, with errors.
//!
//! With A_k = sum_(i in k) w_i over the samples of mode k and B = sum_i w_i, the share is w_k = A_k / B. Samples come in
//! groups c = 1..m that are independent of each other: whole Markov chains, or each sample for itself. With A_ck and
//! B_c the sums over the group c, to first order (Cochran, Sampling Techniques, 1977)
//!
//! se(w_k)^2 = m / (m - 1) sum_c (A_ck - w_k B_c)^2 / B^2,
//! se(log w_k / w_0)^2 = m / (m - 1) sum_c (A_ck / A_k - A_c0 / A_0)^2.
//!
//! Of independent samples of equal weight the first is w_k (1 - w_k) / (n - 1). As every error of importance sampling
//! these hold where the weights have a variance that the samples show.

use crate::importance::normalised_ess;
use crate::metrics::error_of_sum;

/// The weight of a mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// w_k, of all weights.
    pub weight: f64,
    /// Its standard error; NaN for less than two groups of samples.
    pub weight_error: f64,
    /// -log(w_k / w_0), w_0 the largest weight; +inf for a mode whose samples weigh nothing.
    pub free_energy: f64,
    /// Its standard error; 0 for the heaviest mode itself.
    pub free_energy_error: f64,
}

/// The weights of all modes.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// In the order of their labels.
    pub modes: Vec<Share>,
    /// The number of independent samples that the weights are worth.
    pub effective: f64,
}

/// Weights of `modes` modes; `labels` are those of the samples, `chains` their Markov chains.
///
/// # Panics
/// If the lengths differ, or a label is too large.
pub fn shares(labels: &[usize], modes: usize, log_w: &[f64], chains: Option<&[usize]>) -> Shares {
    assert_eq!(labels.len(), log_w.len(), "a weight for each sample");
    let top = log_w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weight = |i: usize| if top == f64::NEG_INFINITY { 1.0 } else { (log_w[i] - top).exp() };
    let w: Vec<f64> = (0..labels.len()).map(weight).collect();
    let mut of_mode = vec![0.0; modes];
    labels.iter().zip(&w).for_each(|(k, w)| of_mode[*k] += w);
    let total: f64 = of_mode.iter().sum();
    let heaviest = (0..modes).max_by(|a, b| of_mode[*a].total_cmp(&of_mode[*b]).then(b.cmp(a)));
    let Some(zero) = heaviest else { return Shares { modes: Vec::new(), effective: 0.0 } };
    // The error of a sum of weights times what a sample of a mode adds to a figure.
    let error = |adds: &dyn Fn(usize) -> f64| {
        let terms: Vec<f64> = labels.iter().zip(&w).map(|(k, w)| w * adds(*k)).collect();
        error_of_sum(&terms, |i| chains.map_or(i, |chains| chains[i]))
    };
    let of = |k: usize, label: usize| f64::from(u8::from(k == label));
    let one = |k: usize| {
        let share = of_mode[k] / total;
        let apart = |label| of(k, label) / of_mode[k] - of(zero, label) / of_mode[zero];
        Share {
            weight: share,
            weight_error: error(&|label| (of(k, label) - share) / total),
            free_energy: if k == zero { 0.0 } else { (of_mode[zero] / of_mode[k]).ln() },
            free_energy_error: if k == zero { 0.0 } else { error(&apart) },
        }
    };
    let effective = normalised_ess(log_w) * log_w.len() as f64;
    Shares {
        modes: (0..modes).map(one).collect(),
        effective: if effective.is_nan() { 0.0 } else { effective },
    }
}
