//! The reverse SDE and the weights of its paths. For particles all noise is mean-free, and densities are on that
//! subspace.

use engine::parallel::Tasks;
use engine::ranks::{Ranks, RanksError, Solo, for_parts};
use engine::rng::Stream;
use engine::{Real, Tape};
use rayon::prelude::*;

use super::denoising_error::per_kind;
use super::pair_covariance::Factor;
use super::{DenoisingError, Schedule};
use crate::score::ScoreNetwork;

/// A score network with its parameters.
#[derive(Clone, Copy)]
pub struct ScoreModel<'a, T> {
    /// The network.
    pub network: &'a dyn ScoreNetwork<T>,
    /// Its parameters.
    pub params: &'a [T],
}

impl<T: Real> ScoreModel<'_, T> {
    /// Writes score(x, sigma) for each column of `x`, all at one noise level.
    pub fn score(&self, tape: &mut Tape<T>, x: &[T], sigma: T, out: &mut [T]) {
        self.score_in(tape, &mut Vec::new(), x, sigma, out);
    }

    /// The same; `levels` is working memory.
    fn score_in(&self, tape: &mut Tape<T>, levels: &mut Vec<T>, x: &[T], sigma: T, out: &mut [T]) {
        let d = self.network.dim();
        let n = x.len() / d;
        levels.clear();
        levels.resize(n, sigma);
        let mut rec = tape.record(self.params);
        rec.freeze_params();
        let input = rec.constant(d, n, x);
        let f = self.network.record(&mut rec, input, levels);
        let (a, b) = self.network.scaling(sigma);
        for ((out, x), f) in out.iter_mut().zip(x).zip(rec.value(f).data) {
            *out = a * *x + b * *f;
        }
    }

    /// The columns of `states` with Gaussian noise of that level on them, denoised again: x + sigma^2 score(x, sigma).
    pub(super) fn noised_and_denoised(&self, states: &[T], sigma: f64, stream: &mut Stream) -> Vec<T> {
        let mut x = vec![T::ZERO; states.len()];
        self.network.geometry().fill_normal(stream, &mut x);
        x.iter_mut().zip(states).for_each(|(x, s)| *x = T::of(sigma).mul_add(*x, *s));
        let numbers = STATES * self.network.dim();
        let (mut tape, mut levels) = (Tape::new(), Vec::new());
        let mut score = vec![T::ZERO; numbers.min(x.len())];
        for x in x.chunks_mut(numbers) {
            let score = &mut score[..x.len()];
            self.score_in(&mut tape, &mut levels, x, T::of(sigma), score);
            x.iter_mut().zip(&*score).for_each(|(x, s)| *x += T::of(sigma * sigma) * *s);
        }
        x
    }
}

/// States per task.
pub(super) const STATES: usize = 128;

/// The reverse SDE of a score model, from N(0, prior_scale^2 I) at sigma_max in `steps` steps to sigma_min, and in one
/// more to data. A step from sigma to sigma' < sigma (0 in the last one) is
///
/// x' = x + (sigma^2 - sigma'^2) score(x, sigma) + sqrt(v) z,
///
/// with the variance v of [`DenoisingError`], and for particles with the covariance v C of
/// [`PairCovariance`](super::PairCovariance) once that was fitted.
#[derive(Clone, Copy)]
pub struct ReverseProcess<'a, T> {
    /// The score network and its parameters.
    pub model: ScoreModel<'a, T>,
    /// Noise levels.
    pub schedule: Schedule,
    /// Standard deviation of the Gaussian at sigma_max: hypot(sigma_max, sigma_data).
    pub prior_scale: f64,
    /// The denoiser's errors, for the variances and the levels.
    pub error: &'a DenoisingError,
}

impl<T: Real> ReverseProcess<'_, T> {
    /// Fills `out` (d x n) with samples.
    pub fn sample(&self, steps: usize, key: (u64, u64), out: &mut [T]) {
        let d = self.model.network.dim();
        let mut log_ratio = vec![0.0; out.len() / d.max(1)];
        self.paths(steps, key, out, &mut log_ratio);
    }

    /// The same samples, and in `log_ratio` log(forward / backward), the densities of each path under noising and
    /// under the reverse SDE:
    ///
    /// backward = prior(x_T) prod_k N(x_k; mean(x_k+1), v_k C(x_k+1)),
    ///
    /// forward = prod_k N(x_k+1; x_k, sigma_k+1^2 - sigma_k^2).
    ///
    /// For any score, and any v and functions C that were not chosen by these paths, exp(-E(x_0)) forward / backward has
    /// the expectation Z, and weights x_0 properly for exp(-E) (Neal 2001; Doucet et al. 2022).
    pub fn paths(&self, steps: usize, key: (u64, u64), out: &mut [T], log_ratio: &mut [f64]) {
        // One rank alone has nothing that fails.
        let _ = self.paths_over(&Solo, steps, key, out, log_ratio);
    }

    /// The same paths, shared out over ranks in blocks of 128; all ranks have all of them afterwards.
    ///
    /// # Errors
    /// Failures of ranks.
    pub fn paths_over(
        &self,
        ranks: &dyn Ranks,
        steps: usize,
        (seed, step): (u64, u64),
        out: &mut [T],
        log_ratio: &mut [f64],
    ) -> Result<(), RanksError> {
        let d = self.model.network.dim();
        for_parts(ranks, (out, STATES * d), (log_ratio, STATES), |first, out, log_ratio| {
            (out.par_chunks_mut(STATES * d), log_ratio.par_chunks_mut(STATES)).into_par_iter().each(
                |chunk, (x, log_ratio)| {
                    let mut stream = Stream::new(seed, "reverse", step, (first + chunk) as u64);
                    self.walk(steps, &mut stream, x, log_ratio);
                },
            );
            Ok(())
        })
    }

    /// Pairs (sigma, sigma') of the steps, from the prior to data.
    pub(super) fn pairs(&self, steps: usize) -> impl DoubleEndedIterator<Item = (f64, f64)> {
        let (schedule, spacing) = (self.schedule, self.error.spacing());
        let share = move |k: usize| 1.0 - k as f64 / steps.max(1) as f64;
        let level = move |k: usize| if k > steps { 0.0 } else { schedule.sigma(spacing.time(share(k))) };
        (0..=steps).map(move |k| (level(k), level(k + 1)))
    }

    /// log of the prior's density of a state with that square.
    pub(super) fn log_prior(&self, square: f64) -> f64 {
        let free = self.model.network.geometry().free_dim() as f64;
        let variance = self.prior_scale.powi(2);
        -0.5 * square / variance - 0.5 * free * (std::f64::consts::TAU * variance).ln()
    }

    fn walk(&self, steps: usize, stream: &mut Stream, x: &mut [T], log_ratio: &mut [f64]) {
        let mut walker = Walker::new(self, x.len());
        walker.start(stream, x, log_ratio);
        for (sigma, next) in self.pairs(steps) {
            walker.score(x, sigma);
            walker.step((sigma, next), stream, x, log_ratio);
        }
    }
}

/// The working memory of some paths, to be used again.
pub(super) struct Memory<T: Real> {
    tape: Tape<T>,
    levels: Vec<T>,
    /// score(x, sigma) of the states, once asked for.
    pub(super) scores: Vec<T>,
    /// The Gaussians of the last step.
    pub(super) noise: Vec<T>,
    pub(super) variances: Vec<f64>,
    deviations: Vec<T>,
    /// The covariance of one state's step, and Gaussians that have it.
    factor: Factor,
    spread: Vec<T>,
    /// Gaussians of the means of the states, one for each axis.
    means: Vec<f64>,
}

impl<T: Real> Default for Memory<T> {
    fn default() -> Self {
        Self {
            tape: Tape::new(),
            levels: Vec::new(),
            scores: Vec::new(),
            noise: Vec::new(),
            variances: Vec::new(),
            deviations: Vec::new(),
            factor: Factor::default(),
            spread: Vec::new(),
            means: Vec::new(),
        }
    }
}

/// Some states on their way back.
pub(super) struct Walker<'a, T: Real> {
    process: &'a ReverseProcess<'a, T>,
    pub(super) memory: Memory<T>,
}

/// |x|^2, summed in double precision.
pub(super) fn square<T: Real>(x: &[T]) -> f64 {
    x.iter().map(|x| x.f64().powi(2)).sum()
}

impl<'a, T: Real> Walker<'a, T> {
    pub(super) fn new(process: &'a ReverseProcess<'a, T>, numbers: usize) -> Self {
        Self::with(process, Memory::default(), numbers)
    }

    /// The same in memory that was used before.
    pub(super) fn with(process: &'a ReverseProcess<'a, T>, mut memory: Memory<T>, numbers: usize) -> Self {
        memory.scores.resize(numbers, T::ZERO);
        memory.noise.resize(numbers, T::ZERO);
        memory.variances.resize(process.error.kinds(), 0.0);
        Self { process, memory }
    }

    /// States of the prior, and -log of its density.
    pub(super) fn start(&mut self, stream: &mut Stream, x: &mut [T], log_ratio: &mut [f64]) {
        let geometry = self.process.model.network.geometry();
        geometry.fill_normal(stream, x);
        x.iter_mut().for_each(|x| *x *= T::of(self.process.prior_scale));
        for (ratio, x) in log_ratio.iter_mut().zip(x.chunks_exact(geometry.dim())) {
            *ratio = -self.process.log_prior(square(x));
        }
    }

    /// Computes the scores of the states, some at a time, whose activations are in memory together.
    pub(super) fn score(&mut self, x: &[T], sigma: f64) {
        let numbers = STATES * self.process.model.network.dim();
        let Memory { tape, levels, scores, .. } = &mut self.memory;
        for (x, scores) in x.chunks(numbers).zip(scores.chunks_mut(numbers)) {
            self.process.model.score_in(tape, levels, x, T::of(sigma), scores);
        }
    }

    /// A step from sigma to `next`, by the scores that were computed; adds the step's part of log(forward / backward).
    pub(super) fn step(
        &mut self,
        (sigma, next): (f64, f64),
        stream: &mut Stream,
        x: &mut [T],
        log_ratio: &mut [f64],
    ) {
        let process = self.process;
        let geometry = process.model.network.geometry();
        let (d, kinds) = (geometry.dim(), process.error.kinds());
        let drift = sigma * sigma - next * next;
        let Memory { scores, noise, variances, deviations, factor, spread, means, .. } = &mut self.memory;
        geometry.fill_normal(stream, noise);
        process.error.variances(process.schedule, sigma, next, variances);
        // One for each coordinate.
        deviations.clear();
        deviations.extend((0..d).map(|i| T::of(variances[i % kinds].sqrt())));
        let logs = variances.iter().map(|v| (v / drift).ln());
        let normalisers = 0.5 * per_kind(geometry) * logs.sum::<f64>();
        let columns = x.chunks_exact_mut(d).zip(scores.chunks_exact_mut(d));
        if let Some(step) = process.error.covariance(process.schedule, (sigma, next)) {
            let axes = step.system().space;
            means.resize(log_ratio.len() * axes, 0.0);
            stream.fill_normal(means);
            let deviation = deviations[0];
            let noise = noise.chunks_exact(d).zip(means.chunks_exact(axes));
            for (((x, s), (z, means)), ratio) in columns.zip(noise).zip(log_ratio.iter_mut()) {
                step.factor(x, s, factor);
                let noise_square = factor.spread(step.system(), means, z, spread);
                for ((x, s), spread) in x.iter_mut().zip(&mut *s).zip(&*spread) {
                    let change = T::of(drift) * *s + deviation * *spread;
                    *x += change;
                    *s = change;
                }
                *ratio += 0.5 * (noise_square - square(s) / drift) + normalisers + factor.log_det;
            }
            return;
        }
        for (((x, s), z), ratio) in columns.zip(noise.chunks_exact(d)).zip(log_ratio.iter_mut()) {
            for (((x, s), z), deviation) in x.iter_mut().zip(&mut *s).zip(z).zip(&*deviations) {
                let change = T::of(drift) * *s + *deviation * *z;
                *x += change;
                *s = change;
            }
            *ratio += 0.5 * (square(z) - square(s) / drift) + normalisers;
        }
    }
}
