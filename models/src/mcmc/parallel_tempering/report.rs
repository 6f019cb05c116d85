//! Figures of a run and its convergence checks.

use super::free_energy::{Edge, LogZ, log_z};
use super::sampler::ParallelTempering;
use crate::mcmc::convergence::{Convergence, convergence};
use crate::mcmc::recorded::r_hat_failure;
use crate::metrics::{mean, sd};

/// Effective samples required for each split chain, bulk and tails: Vehtari et al. (2021), section 4, ask for 400 from
/// four chains, each split in two. Below, R-hat and the effective sample size itself are too noisy to be trusted.
const ESS_PER_SPLIT_CHAIN: f64 = 50.0;
/// Halves of a chain.
const SPLIT: f64 = 2.0;
/// Largest difference between walkers from the two starts, in standard errors.
const AGREEMENT: f64 = 4.0;
/// Least acceptance of swaps; below, the ladder is disconnected.
const SWAP: f64 = 0.05;

/// Figures of a finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Independent walkers.
    pub walkers: usize,
    /// Sweeps recorded.
    pub sweeps: usize,
    /// Mean of E, and its standard error from the independent walkers.
    pub energy_mean: f64,
    /// See `energy_mean`.
    pub energy_error: f64,
    /// Standard deviation of E.
    pub energy_sd: f64,
    /// Mean of the spread: the mean distance of two particles, or the root mean square coordinate.
    pub spread_mean: f64,
    /// Its standard error from the independent walkers.
    pub spread_error: f64,
    /// Convergence of E.
    pub energy: Convergence,
    /// Convergence of the spread.
    pub spread: Convergence,
    /// Difference of the mean energies of walkers from narrow and from wide starts, in standard errors.
    pub start_energy_z: f64,
    /// The same for the spread.
    pub start_spread_z: f64,
    /// Mean acceptance of swaps between rungs k and k + 1.
    pub swap_rates: Vec<f64>,
    /// Mean acceptance of trajectories on each rung.
    pub acceptances: Vec<f64>,
    /// Step size on each rung.
    pub steps: Vec<f64>,
    /// lambda of each rung.
    pub rungs: Vec<f64>,
    /// Number of states from the Gaussian end that arrived at the target.
    pub round_trips: usize,
    /// log Z of the target, in the mean-free space for particles.
    pub log_z: LogZ,
}

impl Report {
    /// One line for each check that failed.
    pub fn failures(&self) -> Vec<String> {
        let mut out = Vec::new();
        // NaN fails.
        let demand = |holds: bool, text: String| (!holds).then_some(text);
        for (name, c) in [("energy", self.energy), ("spread", self.spread)] {
            out.extend(r_hat_failure(name, c.r_hat));
            let ess = c.bulk_ess.min(c.tail_ess);
            let least = ESS_PER_SPLIT_CHAIN * SPLIT * self.walkers as f64;
            out.extend(demand(ess >= least, format!("ESS of the {name} is {ess:.0}, below {least:.0}")));
        }
        for (name, z) in [("energy", self.start_energy_z), ("spread", self.start_spread_z)] {
            let text =
                format!("walkers from narrow and wide starts differ in {name} by {z:.1} standard errors");
            out.extend(demand(z.abs() < AGREEMENT, text));
        }
        let rarest = self.swap_rates.iter().copied().fold(f64::INFINITY, f64::min);
        let text = format!("swaps of some neighbouring rungs succeed in {rarest:.3} of cases only");
        out.extend(demand(rarest >= SWAP, text));
        let text = format!("only {} round trips", self.round_trips);
        out.extend(demand(self.round_trips >= self.walkers, text));
        out
    }
}

impl ParallelTempering<'_> {
    /// The figures of the states recorded so far.
    pub fn report(&self) -> Report {
        let r = &self.record;
        let all = |chains: &[Vec<f64>]| chains.concat();
        let walker_means = |chains: &[Vec<f64>]| chains.iter().map(|c| mean(c)).collect::<Vec<_>>();
        let error = |means: &[f64]| sd(means) / (means.len() as f64).sqrt();
        let (energies, spreads) = (walker_means(&r.energy), walker_means(&r.spread));
        let start_z = |means: &[f64]| {
            let side = |s: usize| means.iter().skip(s).step_by(2).copied().collect::<Vec<_>>();
            let (narrow, wide) = (side(0), side(1));
            (mean(&narrow) - mean(&wide)) / error(&narrow).hypot(error(&wide))
        };
        let rate = |(sum, offers): (&f64, &f64)| sum / offers;
        Report {
            walkers: self.config.walkers,
            sweeps: r.sweeps,
            energy_mean: mean(&energies),
            energy_error: error(&energies),
            energy_sd: sd(&all(&r.energy)),
            spread_mean: mean(&spreads),
            spread_error: error(&spreads),
            energy: convergence(&r.energy),
            spread: convergence(&r.spread),
            start_energy_z: start_z(&energies),
            start_spread_z: start_z(&spreads),
            swap_rates: r.swaps.iter().zip(&r.offers).map(rate).collect(),
            acceptances: r.moves.iter().map(|a| a / r.sweeps as f64).collect(),
            steps: self.steps.clone(),
            rungs: self.rungs().to_vec(),
            round_trips: r.round_trips,
            log_z: self.log_z(),
        }
    }

    /// From the Gaussian, whose log Z is (d / 2) log(2 pi s^2), up the ladder.
    fn log_z(&self) -> LogZ {
        let (rungs, excess) = (self.rungs(), &self.record.excess);
        let edges = (0..rungs.len() - 1).rev().map(|k| (rungs[k] - rungs[k + 1], &excess[k + 1], &excess[k]));
        let ratio = log_z(edges.map(|(gap, a, b)| Edge { gap, a, b }), self.config.walkers);
        let gaussian =
            0.5 * self.mean_free_dim() as f64 * (std::f64::consts::TAU * self.config.scale.powi(2)).ln();
        LogZ { value: gaussian + ratio.value, error: ratio.error }
    }
}
