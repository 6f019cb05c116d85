//! Starts of Markov chains, and the states and energies that they have recorded, for samplers whose samples are their
//! states.
//!
//! A chain begins at a state of finite energy: a start outside the support is drawn again. Moves into a state of
//! infinite energy are rejected, so that every recorded state lies in the support.

use crate::sampler::{Named, SamplerError};
use crate::target::TargetError;

/// Chains begin in Gaussians of these multiples of the scale, in turn over the walkers: narrow and wide starts must
/// come to agree.
pub const STARTS: [f64; 2] = [0.5, 1.5];

/// Draws of a start, at most.
pub const DRAWS: u64 = 100;

/// What to do where starts lie outside the support.
const ELSEWHERE: &str =
    "set sampler.scale so that starts, which are drawn about the origin, meet the support";

/// An error if no start has a finite energy; `log_p` is -E of each.
pub fn some_inside<'a>(log_p: impl ExactSizeIterator<Item = &'a f64>) -> Result<(), TargetError> {
    TargetError::unless_inside(log_p.copied(), "starts of chains", ELSEWHERE)
}

/// An error if one of the starts has no finite energy after all draws.
pub fn all_inside<'a>(log_p: impl ExactSizeIterator<Item = &'a f64>) -> Result<(), TargetError> {
    let count = log_p.len();
    match log_p.filter(|l| !l.is_finite()).count() {
        0 => Ok(()),
        outside => Err(TargetError::Outside(format!(
            "{outside} of {count} chains have no start of finite energy in {DRAWS} draws: {ELSEWHERE}"
        ))),
    }
}

/// R-hat must be below this (Vehtari et al. 2021).
pub const R_HAT: f64 = 1.01;

/// What failed if R-hat of a figure is not below [`R_HAT`]; a NaN fails.
pub fn r_hat_failure(figure: &str, r_hat: f64) -> Option<String> {
    let converged = r_hat < R_HAT;
    (!converged).then(|| format!("R-hat of the {figure} is {r_hat:.4}, not below {R_HAT}"))
}

/// The text of a progress line.
pub fn note(recorded: usize) -> String {
    if recorded == 0 { "warm-up".into() } else { format!("{recorded} recorded") }
}

/// The first `n` of the recorded states, columns of `dim` numbers.
///
/// # Errors
/// If fewer are recorded.
pub fn first(states: &[f64], dim: usize, n: usize) -> Result<Vec<f64>, SamplerError> {
    let few = || SamplerError::Settings(format!("{} states are recorded, {n} wanted", states.len() / dim));
    states.get(..n * dim).map(<[f64]>::to_vec).ok_or_else(few)
}

/// Energies of the chains with narrow and with wide starts, from one chain for each walker.
pub fn by_starts(energies: &[Vec<f64>]) -> Vec<Named<Vec<f64>>> {
    let side = |s: usize| energies.iter().skip(s).step_by(2).flatten().copied().collect();
    vec![("narrow starts", side(0)), ("wide starts", side(1))]
}

/// What to do where a check failed.
pub fn remedy(thin: usize) -> String {
    format!("run longer: --set sampler.thin={}", 4 * thin)
}
