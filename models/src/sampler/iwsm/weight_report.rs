//! Diagnostics of the marginal weights, noise level by noise level.

use engine::Real;
use engine::ranks::Ranks;
use engine::rng::Stream;

use super::noised_score::Estimates;
use super::trainer::BEYOND;
use super::{Proposal, Trainer, Weights};
use crate::diffusion::Schedule;
use crate::importance::{log_mean_exp, normalised_ess, pareto_smooth};
use crate::target::{Target, TargetError};

/// Diagnostics of the weights p_t / proposal at one noise level.
#[derive(Clone, Copy, Debug)]
pub struct WeightLevel {
    /// The noise level.
    pub sigma: f64,
    /// Effective share of the plain weights.
    pub plain: f64,
    /// Effective share of their square roots.
    pub root: f64,
    /// Effective share of the Pareto-smoothed weights.
    pub smoothed: f64,
    /// Pareto k-hat: above 0.7, averages with plain weights are unreliable.
    pub k_hat: f64,
    /// Effective share that weights with the exact density p_t would have: what is lost by the mismatch of proposal and
    /// target alone, not by the noise of the K draws. `plain / mismatch` is what the draws lose. NaN where the draws
    /// are too noisy to tell.
    pub mismatch: f64,
    /// Energies that this level took.
    pub evaluations: u64,
}

impl WeightLevel {
    /// From two estimates of the logarithm of each weight, with draws of their own.
    fn new(sigma: f64, [log_w, again]: [&[f64]; 2]) -> Self {
        let (smoothed, k_hat) = pareto_smooth(log_w);
        let halves: Vec<f64> = log_w.iter().map(|l| 0.5 * l).collect();
        Self {
            sigma,
            plain: normalised_ess(log_w),
            root: normalised_ess(&halves),
            smoothed: normalised_ess(&smoothed),
            k_hat,
            mismatch: mismatch(log_w, again),
            evaluations: 0,
        }
    }
}

/// The effective share E(w)^2 / E(w^2) without the noise of two unbiased estimates a and b of each weight that are
/// independent given its state: E(a b) = E(w^2). NaN where few products make the mean, or the estimate is not a share.
fn mismatch(a: &[f64], b: &[f64]) -> f64 {
    let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| a + b).collect();
    let share = (log_mean_exp(a) + log_mean_exp(b) - log_mean_exp(&products)).exp();
    let terms = normalised_ess(&products) * products.len() as f64;
    if terms >= TERMS && share <= 1.0 + NOISE { share.min(1.0) } else { f64::NAN }
}

/// Effective number of products behind a mismatch, at least.
const TERMS: f64 = 10.0;
/// By how much an estimate of a share may exceed 1.
const NOISE: f64 = 0.25;

/// Sizes of a report.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Noise levels, uniform in t.
    pub levels: usize,
    /// States at each.
    pub states: usize,
    /// Draws behind the density at each state; as many again for a second estimate.
    pub draws: usize,
}

/// Diagnostics of the weights of states of the proposal at each noise level; random numbers are those of (`seed`, `step`).
///
/// # Errors
/// If the target cannot be evaluated, or has no state of finite energy at some level.
pub fn weight_levels<T: Real>(
    ranks: &dyn Ranks,
    target: &dyn Target<T>,
    (proposal, weights): (&Proposal<T>, &Weights),
    schedule: Schedule,
    sizes: Sizes,
    (seed, step): (u64, u64),
) -> Result<Vec<WeightLevel>, TargetError> {
    let (d, n) = (target.dim(), sizes.states);
    let (mut x, mut log_q) = (vec![T::ZERO; n * d], vec![T::ZERO; n]);
    let mut estimates = Estimates::new(target.geometry());
    let mut rows = Vec::with_capacity(sizes.levels);
    for level in 0..sizes.levels {
        let sigma = schedule.sigma((level as f64 + 0.5) / sizes.levels as f64);
        let mut stream = Stream::new(seed, "weight report", step, level as u64);
        let sigmas = vec![T::of(sigma); n];
        proposal.draw_evenly(&sigmas, &mut stream, &mut x);
        proposal.log_density(&x, &sigmas, weights, &mut stream, &mut log_q);
        let mut estimate = |bit: u64| -> Result<Vec<f64>, TargetError> {
            let key = step + ((level as u64 + 1) << 40) + (bit << 60);
            estimates.run_over(ranks, target, &x, &sigmas, sizes.draws, (seed, key))?;
            Ok((0..n).map(|i| estimates.get(i).log_density.f64() - log_q[i].f64()).collect())
        };
        let log_w = [estimate(0)?, estimate(1)?];
        for log_w in &log_w {
            TargetError::unless_inside(log_w.iter().copied(), "noised states of weights.csv", BEYOND)?;
        }
        let evaluations = 2 * (n * sizes.draws) as u64;
        rows.push(WeightLevel { evaluations, ..WeightLevel::new(sigma, [&log_w[0], &log_w[1]]) });
    }
    Ok(rows)
}

impl<T: Real> Trainer<'_, T> {
    /// Diagnostics of the marginal weights at each of `levels` noise levels, from `n` new states of the proposal
    /// each.
    ///
    /// # Errors
    /// If the target cannot be evaluated, or has no state of finite energy at some level.
    pub fn weight_report(&self, levels: usize, n: usize) -> Result<Vec<WeightLevel>, TargetError> {
        let sizes = Sizes { levels, states: n, draws: self.config.train.draws };
        let proposal = (&self.state.proposal, &self.config.weights);
        let key = (self.seed, self.state.step);
        weight_levels(&*self.ranks, &*self.target, proposal, self.schedule(), sizes, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(n: usize, seed: u64) -> Vec<f64> {
        let mut z = vec![0.0; n];
        Stream::new(seed, "log-normal", 0, 0).fill_normal(&mut z);
        z
    }

    #[test]
    fn a_level_reports_the_shares_of_log_normal_weights() {
        // w = exp(s z): the share is exp(-s^2), of the roots exp(-s^2 / 4); all moments exist.
        let s = 0.5;
        let log_w: Vec<f64> = normal(20_000, 1).iter().map(|z| s * z).collect();
        let level = WeightLevel::new(2.0, [&log_w, &log_w]);
        assert!((level.plain - (-s * s).exp()).abs() < 0.02, "{}", level.plain);
        assert!((level.root - (-0.25 * s * s).exp()).abs() < 0.01, "{}", level.root);
        assert!(level.smoothed >= level.plain - 0.01 && level.k_hat < 0.5, "{level:?}");
    }

    #[test]
    fn mismatch_is_told_apart_from_the_noise_of_draws() {
        // w = exp(s z), and each estimate is w exp(t u - t^2 / 2) with a u of its own, of mean w: shares exp(-s^2) for
        // exact weights and exp(-s^2 - t^2) for estimates.
        let (n, s, t) = (100_000, 0.5, 0.7);
        let z = normal(n, 1);
        let estimate = |seed| -> Vec<f64> {
            z.iter().zip(&normal(n, seed)).map(|(z, u)| s * z + t * u - 0.5 * t * t).collect()
        };
        let level = WeightLevel::new(2.0, [&estimate(2), &estimate(3)]);
        // Relative standard errors of second moments of such weights are below 0.01.
        assert!((level.mismatch / (-s * s).exp() - 1.0).abs() < 0.05, "{}", level.mismatch);
        assert!((level.plain / (-s * s - t * t).exp() - 1.0).abs() < 0.05, "{}", level.plain);
    }

    #[test]
    fn a_mismatch_that_cannot_be_known_is_no_number() {
        let none = f64::NEG_INFINITY;
        // No state has a weight in both estimates; one product alone; more than a share.
        let odd: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 0.0 } else { none }).collect();
        let even: Vec<f64> = (0..100).map(|i| if i % 2 == 1 { 0.0 } else { none }).collect();
        assert!(mismatch(&odd, &even).is_nan());
        let mut one = vec![-30.0; 100];
        one[3] = 0.0;
        assert!(mismatch(&one, &one).is_nan());
        let up: Vec<f64> = (0..100).map(|i| 0.1 * f64::from(i)).collect();
        let down: Vec<f64> = up.iter().rev().copied().collect();
        assert!(mismatch(&up, &down).is_nan());
        assert!((mismatch(&odd, &odd) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn an_exact_proposal_has_no_mismatch_whatever_the_draws() {
        // The buffer holds exact samples of N(0, I) in 3 dimensions; ten draws are few at large noise.
        use crate::sampler::iwsm::{Buffer, Config};
        use crate::target::{Geometry, Mixture};
        use engine::ranks::Solo;
        let target = Mixture::new(3, vec![0.0; 3], vec![1.0], vec![1.0]).unwrap();
        let proposal =
            Proposal::<f64>::new(Geometry::Euclidean(3), Buffer::new(3, 4000, false), (1.0, 0.0), 3);
        let weights = Config::default().weights;
        let schedule = Schedule { sigma_min: 0.5, sigma_max: 8.0 };
        let sizes = Sizes { levels: 2, states: 4000, draws: 10 };
        let levels = weight_levels(&Solo, &target, (&proposal, &weights), schedule, sizes, (1, 0)).unwrap();
        let large = levels[1];
        assert!(large.plain < 0.6 && large.mismatch > 0.85, "{levels:?}");
    }
}
