//! A population of adaptive sequential Monte Carlo (Del Moral, Doucet and Jasra 2006, "Sequential Monte Carlo
//! samplers"; adaptive temperatures as in Zhou, Johansen and Aston 2016, "Toward automatic model comparison").
//!
//! Particles x_i with weights W_i of sum 1 go from a Gaussian to the target through
//!
//! log p_b(x) = b log p(x) + (1 - b) log N(x; 0, s^2 I),  b from 0 to 1, log p = -E.
//!
//! With u = log p - log N a step from b to b' is
//!
//! 1. weights w_i = exp((b' - b) u_i):  log Z += log sum_i W_i w_i,  W_i <- W_i w_i / sum_j W_j w_j. b' is chosen
//!    such that the conditional effective share (sum_i W_i w_i)^2 / sum_i W_i w_i^2 has a given value;
//! 2. where the effective share 1 / (n sum_i W_i^2) is small, systematic resampling;
//! 3. trajectories of [`hmc`](super::hmc()) that leave p_b' invariant. Their step size was learned at the temperatures
//!    before.
//!
//! Particles outside the support keep the weight 0, and take their share from Z. Random numbers are functions of
//! (seed, step, population, chunk of particles): results are the same for any number of threads.

use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use super::hmc::{Density, States, Tempering, adapted};
use crate::importance::{effective_share, log_sum_exp, resampled_to};
use crate::target::{BLOCK, Target, TargetError};

/// How fast step sizes adapt, once for each temperature.
const ADAPTATION: f64 = 1.0;
/// The first step size in units of the Gaussian's width.
const FIRST_STEP: f64 = 0.5;
/// Halvings of b' - b at most: down to the least number there is.
const HALVINGS: usize = 1074;
/// Bisections of b' - b within a factor of 2.
const BISECTIONS: usize = 30;

/// How a population moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Standard deviation s of the Gaussian.
    pub scale: f64,
    /// Conditional effective share from one temperature to the next.
    pub ess: f64,
    /// Resampling below this effective share.
    pub resample: f64,
    /// Trajectories at each temperature.
    pub moves: usize,
    /// Leapfrog steps of a trajectory at most; at least half as many.
    pub leapfrog_steps: usize,
    pub seed: u64,
}

/// Figures of a population.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// b, from 0 to 1.
    pub lambda: f64,
    /// The estimate of log Z so far.
    pub log_z: f64,
    /// Leapfrog step size.
    pub step_size: f64,
    /// Mean acceptance at the last temperature.
    pub acceptance: f64,
    /// The least effective share of the weights so far, before resampling.
    pub least_share: f64,
    /// Sum over temperatures of (b' - b) (mean u after the moves - mean u before): 0 but for noise if the weighted
    /// particles are distributed as p_b', which the moves leave as it is. Since d log Z / db is the mean of u, it is
    /// about the error in log Z of particles that lag behind.
    pub drift: f64,
    /// Temperatures so far.
    pub temperatures: u64,
    /// How many of them began with resampling.
    pub resamplings: u64,
    /// Whether the last temperature was reached by a larger step than the effective share allows.
    pub forced: bool,
    /// Energies evaluated.
    pub evaluations: u64,
}

/// A population, independent of others.
pub(crate) struct Population {
    index: usize,
    /// The particles.
    chunks: Vec<States<f64>>,
    /// log W.
    pub log_w: Vec<f64>,
    pub figures: Figures,
}

impl Population {
    /// `count` particles from the Gaussian; `index` tells populations apart.
    pub fn start(
        rules: &Rules,
        target: &dyn Target<f64>,
        index: usize,
        count: usize,
    ) -> Result<Self, TargetError> {
        let chunks: Vec<Result<States<f64>, TargetError>> =
            (0..count.div_ceil(BLOCK)).into_par_iter().tasks(|_, c| {
                let n = BLOCK.min(count - c * BLOCK);
                let mut states = States::zeros(n, target.dim());
                let mut stream = Stream::new(rules.seed, "smc starts", index as u64, c as u64);
                states.draw(target, &vec![rules.scale; n], &mut stream)?;
                Ok(states)
            });
        let figures = Figures {
            lambda: 0.0,
            log_z: 0.0,
            step_size: FIRST_STEP * rules.scale,
            acceptance: 1.0,
            least_share: 1.0,
            drift: 0.0,
            temperatures: 0,
            resamplings: 0,
            forced: false,
            evaluations: count as u64,
        };
        let log_w = vec![-(count as f64).ln(); count];
        Ok(Self { index, chunks: chunks.into_iter().collect::<Result<_, _>>()?, log_w, figures })
    }

    /// Whether the particles are at the target.
    pub fn arrived(&self) -> bool {
        self.figures.lambda == 1.0
    }

    /// -E of each particle.
    pub fn log_p(&self) -> impl Iterator<Item = f64> {
        self.chunks.iter().flat_map(|s| &s.log_p).copied()
    }

    /// The particles one by one.
    pub fn states(&self) -> impl Iterator<Item = Vec<f64>> {
        self.chunks.iter().flat_map(|s| (0..s.n).map(|l| s.state(l).collect()))
    }

    /// The particles and their scores, as they lie in memory.
    pub fn vectors(&self) -> [Vec<f64>; 2] {
        let of = |part: fn(&States<f64>) -> &[f64]| self.chunks.iter().flat_map(part).copied().collect();
        [of(|s| &s.x), of(|s| &s.score)]
    }

    /// Puts back what [`vectors`](Self::vectors) gave, and log p and log W, each of this population's length.
    pub fn restore(&mut self, x: &[f64], score: &[f64], log_p: &[f64], log_w: &[f64]) {
        let (dim, mut at) = (x.len() / log_p.len(), 0);
        self.log_w.copy_from_slice(log_w);
        for states in &mut self.chunks {
            let end = at + states.n;
            states.x.copy_from_slice(&x[at * dim..end * dim]);
            states.score.copy_from_slice(&score[at * dim..end * dim]);
            states.log_p.copy_from_slice(&log_p[at..end]);
            at = end;
        }
    }

    /// The next temperature, which is that of the target if this is the `last` step.
    pub fn advance(
        &mut self,
        rules: &Rules,
        target: &dyn Target<f64>,
        step: u64,
        last: bool,
    ) -> Result<(), TargetError> {
        let gains = self.gains(rules, target);
        let before = self.figures.lambda;
        let mut lambda = next_lambda(&self.log_w, &gains, before, rules.ess);
        if last && lambda < 1.0 {
            (lambda, self.figures.forced) = (1.0, true);
        }
        self.log_w.iter_mut().zip(&gains).filter(|(w, _)| w.is_finite()).for_each(|(w, u)| {
            // Also where b stays, no particle outside the support has a weight.
            *w = if u.is_finite() { *w + (lambda - before) * u } else { f64::NEG_INFINITY };
        });
        let change = log_sum_exp(&self.log_w);
        self.figures.log_z += change;
        self.figures.lambda = lambda;
        self.figures.temperatures += 1;
        if !self.figures.log_z.is_finite() {
            // No particle has a weight: the estimate of Z is 0.
            (self.figures.log_z, self.figures.lambda) = (f64::NEG_INFINITY, 1.0);
            self.figures.least_share = 0.0;
            return Ok(());
        }
        self.log_w.iter_mut().for_each(|w| *w -= change);
        let w: Vec<f64> = self.log_w.iter().map(|l| l.exp()).collect();
        let mean_before = weighted_mean(&self.log_w, &gains);
        let share = effective_share(&w);
        self.figures.least_share = self.figures.least_share.min(share);
        if share < rules.resample {
            let mut stream = Stream::new(rules.seed, "smc resampling", step, self.index as u64);
            self.resample(&w, &mut stream);
        }
        self.move_all(rules, target, step)?;
        let mean_after = weighted_mean(&self.log_w, &self.gains(rules, target));
        self.figures.drift += (lambda - before) * (mean_after - mean_before);
        Ok(())
    }

    /// log p - log N of each particle; -inf outside the support.
    fn gains(&self, rules: &Rules, target: &dyn Target<f64>) -> Vec<f64> {
        let variance = rules.scale * rules.scale;
        let log_norm = 0.5 * target.geometry().free_dim() as f64 * (std::f64::consts::TAU * variance).ln();
        let of = |s: &States<f64>| -> Vec<f64> {
            (0..s.n).map(|l| s.log_p[l] + 0.5 * s.square(l) / variance + log_norm).collect()
        };
        self.chunks.iter().flat_map(of).collect()
    }

    /// Replaces the particles by as many picked by their weights `w`.
    fn resample(&mut self, w: &[f64], stream: &mut Stream) {
        let picks = resampled_to(w, w.len(), stream);
        if picks.is_empty() {
            return;
        }
        let old: Vec<[Vec<f64>; 3]> =
            self.chunks.iter().map(|s| [s.x.clone(), s.score.clone(), s.log_p.clone()]).collect();
        for (l, pick) in picks.into_iter().enumerate() {
            let (to, at, [x, score, log_p], from) =
                (&mut self.chunks[l / BLOCK], l % BLOCK, &old[pick / BLOCK], pick % BLOCK);
            let (n, m) = (to.n, log_p.len());
            for a in 0..x.len() / m {
                (to.x[a * n + at], to.score[a * n + at]) = (x[a * m + from], score[a * m + from]);
            }
            to.log_p[at] = log_p[from];
        }
        self.log_w.fill(-(w.len() as f64).ln());
        self.figures.resamplings += 1;
    }

    fn move_all(&mut self, rules: &Rules, target: &dyn Target<f64>, step: u64) -> Result<(), TargetError> {
        let (figures, chunks, index) = (self.figures, self.chunks.len(), self.index);
        let tempering = Some(Tempering { lambda: figures.lambda, precision: rules.scale.powi(-2) });
        let moved: Vec<Result<(f64, usize), TargetError>> = self.chunks.par_iter_mut().tasks(|c, states| {
            let mut stream = Stream::new(rules.seed, "smc moves", step, (index * chunks + c) as u64);
            let (mut acceptance, mut evaluations) = (0.0, 0);
            for _ in 0..rules.moves {
                // Random step sizes and lengths, against periodic orbits.
                let size = figures.step_size * (0.8 + 0.4 * stream.uniform());
                let least = rules.leapfrog_steps.div_ceil(2);
                let count = least + stream.index(rules.leapfrog_steps - least + 1);
                states.trajectory(Density { target, tempering }, size, count, &mut stream)?;
                acceptance += states.acceptance.iter().sum::<f64>();
                evaluations += states.n * count;
            }
            Ok((acceptance, evaluations))
        });
        let mut total = 0.0;
        for part in moved {
            let (acceptance, evaluations) = part?;
            total += acceptance;
            self.figures.evaluations += evaluations as u64;
        }
        self.figures.acceptance = total / (rules.moves * self.log_w.len()) as f64;
        self.figures.step_size = adapted(figures.step_size, self.figures.acceptance, ADAPTATION);
        Ok(())
    }
}

/// sum_i W_i u_i of the particles with a weight.
fn weighted_mean(log_w: &[f64], u: &[f64]) -> f64 {
    log_w.iter().zip(u).filter(|(w, _)| w.is_finite()).map(|(w, u)| w.exp() * u).sum()
}

/// The largest b' up to 1 at which the conditional effective share of the particles inside the support is at least
/// `share`, to about nine digits of b' - b.
fn next_lambda(log_w: &[f64], gains: &[f64], lambda: f64, share: f64) -> f64 {
    let inside: Vec<(f64, f64)> = log_w
        .iter()
        .zip(gains)
        .filter(|(w, u)| w.is_finite() && u.is_finite())
        .map(|(w, u)| (w.exp(), *u))
        .collect();
    let most = inside.iter().map(|(_, u)| *u).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = inside.iter().map(|(w, _)| w).sum();
    let enough = |change: f64| {
        let (mut sum, mut squares) = (0.0, 0.0);
        for (weight, u) in &inside {
            let w = (change * (u - most)).exp();
            sum += weight * w;
            squares += weight * w * w;
        }
        // Also where nobody is inside: any step is as good.
        sum * sum >= share * squares * total
    };
    let mut low = 1.0 - lambda;
    if enough(low) {
        return 1.0;
    }
    for _ in 0..HALVINGS {
        low *= 0.5;
        if enough(low) {
            break;
        }
    }
    let mut high = 2.0 * low;
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if enough(middle) { low = middle } else { high = middle }
    }
    lambda + low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_has_the_conditional_share() {
        // Two particles of equal weight, u = 0 and -1, weights 1 and e^-t: (1 + e^-t)^2 / 2 (1 + e^-2t) = 0.9 where
        // e^-t solves 0.8 q^2 - 2 q + 0.8 = 0: q = 1/2.
        let log_w = [0.5f64.ln(); 2];
        let step = next_lambda(&log_w, &[3.0, 2.0], 0.1, 0.9);
        assert!((step - 0.1 - 2f64.ln()).abs() < 1e-8, "{step}");
        assert_eq!(next_lambda(&log_w, &[3.0, 2.0], 0.4, 0.9), 1.0);
        // Particles without weight or energy do not count, and energies may be of any size.
        let log_w = [0.25f64.ln(), 0.25f64.ln(), f64::NEG_INFINITY, 0.5f64.ln()];
        let step = next_lambda(&log_w, &[3e30, 2e30, 1e40, f64::NEG_INFINITY], 0.0, 0.9);
        assert!((step / (1e-30 * 2f64.ln()) - 1.0).abs() < 1e-8, "{step}");
    }
}
