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

use std::collections::HashMap;

use crate::importance::normalised_ess;

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
    // A_k, and A_ck by (c, k) with B_c.
    let mut of_mode = vec![0.0; modes];
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut groups: Vec<(f64, HashMap<usize, f64>)> = Vec::new();
    for (i, k) in labels.iter().enumerate() {
        let w = weight(i);
        of_mode[*k] += w;
        let next = groups.len();
        let c = chains.map_or(next, |chains| *numbers.entry(chains[i]).or_insert(next));
        if c == next {
            groups.push(Default::default());
        }
        groups[c].0 += w;
        *groups[c].1.entry(*k).or_default() += w;
    }
    let total: f64 = of_mode.iter().sum();
    let m = groups.len() as f64;
    let small = if m > 1.0 { m / (m - 1.0) } else { f64::NAN };
    let heaviest = (0..modes).max_by(|a, b| of_mode[*a].total_cmp(&of_mode[*b]).then(b.cmp(a)));
    let Some(zero) = heaviest else { return Shares { modes: Vec::new(), effective: 0.0 } };
    let one = |k: usize| {
        let of_group = |c: &(f64, HashMap<usize, f64>), k: usize| c.1.get(&k).copied().unwrap_or(0.0);
        let share = of_mode[k] / total;
        let spread: f64 = groups.iter().map(|c| (of_group(c, k) - share * c.0).powi(2)).sum();
        let apart = |c| of_group(c, k) / of_mode[k] - of_group(c, zero) / of_mode[zero];
        let ratio: f64 = groups.iter().map(|c| apart(c).powi(2)).sum();
        Share {
            weight: share,
            weight_error: (small * spread).sqrt() / total,
            free_energy: if k == zero { 0.0 } else { (of_mode[zero] / of_mode[k]).ln() },
            free_energy_error: if k == zero { 0.0 } else { (small * ratio).sqrt() },
        }
    };
    let effective = normalised_ess(log_w) * log_w.len() as f64;
    Shares {
        modes: (0..modes).map(one).collect(),
        effective: if effective.is_nan() { 0.0 } else { effective },
    }
}
