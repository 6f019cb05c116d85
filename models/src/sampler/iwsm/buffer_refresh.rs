//! Refresh of the replay buffer, moves of its states, and scores from stored states.
//!
//! - Trajectory weights: see [`reverse_paths`]; under moves that leave exp(-E) invariant a state keeps its weight. If
//!   fresh samples are resampled by them, moves separate the copies (resample-move: Gilks and Berzuini 2001).
//! - Stored identity: for x_t = x_0 + sigma eps the score of p_t at x_t is the posterior mean of both
//!   a = -grad E(x_0) (De Bortoli et al. 2024) and b = (x_0 - x_t) / sigma^2 (Vincent 2011), so of
//!   kappa a + (1 - kappa) b. All of these have the same posterior mean, so that the kappa of least variance is that
//!   of least mean square: kappa = E b . (b - a) / E|a - b|^2, tracked for each noise level. With a wall of infinite
//!   energy a has another mean (see [`noised_score`](super::noised_score)), and no draw tells where it is: that is an
//!   error.

use engine::Real;
use engine::rng::Stream;

use super::trainer::BEYOND;
use super::{Form, Trainer};
use crate::diffusion::reverse_paths;
use crate::importance::{resampled, tempered};
use crate::mcmc::{adapted, hmc};
use crate::target::{Target, TargetError, all_finite};

/// Rate of the adaptation of the moves' step size.
const ADAPTATION: f64 = 0.3;
/// Effective share of the tempered weights by which fresh samples are resampled.
const RESAMPLED: f64 = 0.5;

impl<T: Real> Trainer<'_, T> {
    /// `n` samples that end at sigma_min, with the logarithms of their trajectory weights towards `target`,
    /// log w = -E(x_0) + log(forward path density / backward path density), E w = Z; see [`reverse_paths`]. The
    /// target may differ from that of the training.
    ///
    /// # Errors
    /// If the target cannot be evaluated.
    pub fn sample_weighted(
        &self,
        target: &dyn Target<T>,
        n: usize,
        steps: usize,
        key: (u64, u64),
    ) -> Result<(Vec<T>, Vec<f64>), TargetError> {
        let d = target.dim();
        let (mut x, mut log_w) = (vec![T::ZERO; n * d], vec![0.0; n]);
        reverse_paths(self.model(), self.schedule(), self.prior_scale(), steps, key, &mut x, &mut log_w);
        let mut log_p = vec![T::ZERO; n];
        target.evaluate(&x, &mut log_p, &mut [])?;
        log_w.iter_mut().zip(&log_p).for_each(|(w, p)| *w += p.f64());
        Ok((x, log_w))
    }

    /// Before the first step: states of the wide Gaussian get the weights exp(-E) / N, and are moved.
    pub(super) fn prepare_buffer(&mut self) -> Result<(), TargetError> {
        let replay = &self.config.replay;
        if self.config.weights.form == Form::Trajectory {
            let states = self.state.proposal.states();
            let mut log_w = vec![T::ZERO; self.state.proposal.len()];
            self.target.evaluate(&states, &mut log_w, &mut [])?;
            self.state.energy_evaluations += log_w.len() as u64;
            let log_w: Vec<f64> = (states.chunks_exact(self.target.dim()).zip(&log_w))
                .map(|(x, log_p)| log_p.f64() - self.state.proposal.log_flat(x))
                .collect();
            self.state.proposal.push_weighted(&states, &log_w);
        }
        self.move_buffer(replay.first_moves)
    }

    /// Stores samples of the current model, with the weights of their paths or (`replay.resample`) resampled by them.
    /// For resampling the weights are tempered to an effective share of one half, so that each refresh goes a part of
    /// the way to the target.
    pub(super) fn refresh_buffer(&mut self) -> Result<(), TargetError> {
        let (replay, step) = (&self.config.replay, self.state.step);
        let (n, steps, key) = (replay.refresh_samples, replay.refresh_steps, (self.seed, step));
        let weighted = self.config.weights.form == Form::Trajectory;
        if !weighted && !replay.resample {
            let fresh = self.sample(n, steps, key);
            self.state.proposal.push(&fresh);
            return Ok(());
        }
        let (fresh, log_w) = self.sample_weighted(&*self.target, n, steps, key)?;
        self.state.energy_evaluations += n as u64;
        if weighted {
            self.state.proposal.push_weighted(&fresh, &log_w);
            return Ok(());
        }
        let mut stream = Stream::new(self.seed, "resampling", step, 0);
        let w = tempered(&log_w, RESAMPLED);
        self.state.proposal.push(&resampled(&fresh, self.target.dim(), &w, &mut stream));
        Ok(())
    }

    /// Moves every stored state by `trajectories` trajectories of HMC.
    pub(super) fn move_buffer(&mut self, trajectories: usize) -> Result<(), TargetError> {
        if trajectories == 0 {
            return Ok(());
        }
        let leapfrog = self.config.replay.leapfrog_steps;
        let mut states = self.state.proposal.states();
        for k in 0..trajectories {
            let key = (self.seed, (self.state.step << 20) + k as u64);
            let acceptance = hmc(&*self.target, (self.state.move_step, leapfrog), key, &mut states)?;
            self.state.acceptance = acceptance;
            self.state.move_step = adapted(self.state.move_step, acceptance, ADAPTATION);
        }
        let evaluations = trajectories * (leapfrog + 1) * self.state.proposal.len();
        self.state.energy_evaluations += evaluations as u64;
        self.state.proposal.replace(&states);
        Ok(())
    }

    /// Stores b in `stored.denoising`, a in `stored.target`.
    ///
    /// # Errors
    /// If the target cannot be evaluated, or a stored state of the batch lies outside its support.
    pub(super) fn stored_scores(&mut self) -> Result<(), TargetError> {
        let (d, n) = (self.target.dim(), self.batch.sigma.len());
        let s = &mut self.stored;
        for (l, x) in self.batch.from.iter().zip(s.denoising.chunks_exact_mut(d)) {
            self.state.proposal.state(*l, x);
        }
        self.target.evaluate(&s.denoising, &mut s.log_p, &mut s.target)?;
        self.state.energy_evaluations += n as u64;
        let step = self.state.step;
        let states = format_args!("stored states of step {step}");
        TargetError::unless_inside(s.log_p.iter().map(|l| l.f64()), states, BEYOND)?;
        if !all_finite(&s.log_p) {
            let outside = s.log_p.iter().filter(|l| !l.is_finite()).count();
            return Err(TargetError::Outside(format!(
                "{outside} of the {n} {states} have an infinite energy, and a score by stored states misses such a wall: set train.identity = denoising and weights.form = marginal"
            )));
        }
        let columns =
            s.denoising.chunks_exact_mut(d).zip(self.batch.x.chunks_exact(d)).zip(&self.batch.sigma);
        for ((b, x), sigma) in columns {
            b.iter_mut().zip(x).for_each(|(b, x)| *b = (*b - *x) / (*sigma * *sigma));
        }
        Ok(())
    }
}

/// Scores from the stored states of a batch.
pub(super) struct Stored<T> {
    pub log_p: Vec<T>,
    pub target: Vec<T>,
    pub denoising: Vec<T>,
}

impl<T: Real> Stored<T> {
    pub fn new(d: usize, n: usize) -> Self {
        Self { log_p: vec![T::ZERO; n], target: vec![T::ZERO; n * d], denoising: vec![T::ZERO; n * d] }
    }

    /// E|a|^2, E a . b, E|b|^2 of state i.
    pub fn moments(&self, d: usize, i: usize) -> [f64; 3] {
        let (a, b) = (&self.target[i * d..(i + 1) * d], &self.denoising[i * d..(i + 1) * d]);
        let dot = |u: &[T], v: &[T]| u.iter().zip(v).map(|(u, v)| u.f64() * v.f64()).sum::<f64>();
        [dot(a, a), dot(a, b), dot(b, b)]
    }
}
