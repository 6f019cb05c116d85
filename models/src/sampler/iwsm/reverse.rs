//! Samples of the trained model, with the weights of their paths, and the variances of the steps behind them.

use engine::Real;
use engine::ranks::RanksError;
use engine::rng::Stream;

use super::Trainer;
use crate::diffusion::{DenoisingError, ReverseProcess};
use crate::importance::{resampled_to, tempered};
use crate::mcmc::{adapted, hmc_over};
use crate::target::{Target, TargetError, evaluate_over};

/// Stored states on which the denoising errors are measured at a refresh, and the share by which the table moves.
const FITTED: usize = 128;
const RATE: f64 = 0.2;
/// Trajectories that take stored states away from what the network has learned by heart.
const FRESHENED: u64 = 20;
/// Rounds of tuning.
const ROUNDS: u64 = 2;
/// Effective share of the weights by which they are resampled for it.
const RESAMPLED: f64 = 0.3;

/// Samples, their log densities, and log(forward / backward) of their paths.
type Paths<T> = (Vec<T>, [Vec<f64>; 2]);

impl<T: Real> Trainer<'_, T> {
    /// The reverse SDE of the trained model.
    pub fn reverse(&self) -> ReverseProcess<'_, T> {
        self.reverse_by(&self.state.error)
    }

    /// The same with variances and levels by other denoising errors.
    fn reverse_by<'a>(&'a self, error: &'a DenoisingError) -> ReverseProcess<'a, T> {
        let (schedule, prior_scale) = (self.schedule(), self.prior_scale());
        ReverseProcess { model: self.model(), schedule, prior_scale, error }
    }

    /// `n` samples of the current model by the reverse SDE with the random numbers of `key`, (seed, step).
    /// This rank alone draws all of them.
    pub fn sample(&self, n: usize, steps: usize, key: (u64, u64)) -> Vec<T> {
        let mut x = vec![T::ZERO; n * self.target.dim()];
        self.reverse().sample(steps, key, &mut x);
        x
    }

    /// `n` samples with log(forward / backward) of their paths, which the ranks share.
    pub(super) fn walked(
        &self,
        n: usize,
        steps: usize,
        key: (u64, u64),
    ) -> Result<(Vec<T>, Vec<f64>), RanksError> {
        self.walked_by(&self.state.error, n, steps, key)
    }

    /// The same with variances and levels by other denoising errors.
    pub(super) fn walked_by(
        &self,
        error: &DenoisingError,
        n: usize,
        steps: usize,
        key: (u64, u64),
    ) -> Result<(Vec<T>, Vec<f64>), RanksError> {
        let (mut x, mut log_ratio) = (vec![T::ZERO; n * self.target.dim()], vec![0.0; n]);
        self.reverse_by(error).paths_over(&*self.ranks, steps, key, &mut x, &mut log_ratio)?;
        Ok((x, log_ratio))
    }

    /// The same samples with the logarithms of the weights of their paths towards `target`,
    /// log w = -E(x_0) + log(forward path density / backward path density), E w = Z; see [`ReverseProcess::paths`].
    /// The target may differ from that of the training.
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
        let (x, [log_p, log_ratio]) = self.weighted_paths(target, n, steps, key)?;
        Ok((x, log_p.iter().zip(&log_ratio).map(|(p, ratio)| p + ratio).collect()))
    }

    fn weighted_paths(
        &self,
        target: &dyn Target<T>,
        n: usize,
        steps: usize,
        key: (u64, u64),
    ) -> Result<Paths<T>, TargetError> {
        let (x, log_ratio) = self.walked(n, steps, key)?;
        let mut log_p = vec![T::ZERO; n];
        evaluate_over(&*self.ranks, target, &x, &mut log_p, &mut [])?;
        Ok((x, [log_p.iter().map(|p| p.f64()).collect(), log_ratio]))
    }

    /// Measures the denoising errors of the current model on some of the stored states.
    pub(super) fn fit_error(&mut self) {
        let step = self.state.step;
        let mut stream = Stream::new(self.seed, "states to denoise", step, 0);
        let proposal = &self.state.proposal;
        let mut states = vec![T::ZERO; FITTED * self.target.dim()];
        for x in states.chunks_exact_mut(self.target.dim()) {
            proposal.buffer.state(proposal.buffer.pick(&mut stream), x);
        }
        let key = (self.seed, step);
        self.state.error = self.state.error.fitted(self.model(), self.schedule(), &states, RATE, key);
        // That of a network which has since moved.
        self.state.error.uncorrelate();
    }

    /// Chooses the variances of the reverse steps by the weights of paths of `steps` steps towards `target`
    /// ([`ReverseProcess::tuned`]), on `n` samples of the model itself, resampled by their weights. Returns the number of
    /// energies that it took. Paths drawn with another key are independent of the choice, so that their weights stay
    /// unbiased.
    ///
    /// # Errors
    /// If the target cannot be evaluated, or no sample has a finite energy.
    pub fn tune(
        &mut self,
        target: &dyn Target<T>,
        n: usize,
        steps: usize,
        seed: u64,
    ) -> Result<u64, TargetError> {
        self.tune_on(|this, key| this.weighted_paths(target, n, steps, key), (n, steps, seed))
    }

    /// The same towards the target of the training, not softened. Where Markov chains have filled the buffer, its states
    /// stand for the target, moved on by some trajectories. Variances of a reference process stay as they are.
    pub(super) fn tune_exactly(&mut self, n: usize, steps: usize, seed: u64) -> Result<u64, TargetError> {
        if self.config.of_reference() {
            return Ok(0);
        }
        if self.config.replay.explore.by_chains() && self.config.keeps_energies() {
            let mut stream = Stream::new(seed, "stored states to tune on", 0, 0);
            let (buffer, d) = (&self.state.proposal.buffer, self.target.dim());
            let (mut states, mut log_p) = (vec![T::ZERO; n * d], vec![T::ZERO; n]);
            for x in states.chunks_exact_mut(d) {
                buffer.state(buffer.pick(&mut stream), x);
            }
            // The network knows the stored states, and denoises them too well.
            let mut step = self.state.move_step;
            let leapfrog = self.config.replay.leapfrog_steps;
            for k in 0..FRESHENED {
                let moves = (step, leapfrog);
                let acceptance = hmc_over(&*self.ranks, self.exact(), moves, (seed, k), &mut states)?;
                step = adapted(step, acceptance, 0.5);
            }
            evaluate_over(&*self.ranks, self.exact(), &states, &mut log_p, &mut [])?;
            let log_p: Vec<f64> = log_p.iter().map(|p| p.f64()).collect();
            self.tune_to(&states, &log_p, steps, (seed, 0));
            return Ok((n * (FRESHENED as usize * (leapfrog + 1) + 1)) as u64);
        }
        self.tune_on(|this, key| this.weighted_paths(this.exact(), n, steps, key), (n, steps, seed))
    }

    fn tune_on(
        &mut self,
        paths: impl Fn(&Self, (u64, u64)) -> Result<Paths<T>, TargetError>,
        (n, steps, seed): (usize, usize, u64),
    ) -> Result<u64, TargetError> {
        let d = self.target.dim();
        for round in 0..ROUNDS {
            let (x, [log_p, log_ratio]) = paths(self, (seed, round))?;
            let log_w: Vec<f64> = log_p.iter().zip(&log_ratio).map(|(p, ratio)| p + ratio).collect();
            TargetError::unless_inside(
                log_w.iter().copied(),
                "samples of the model",
                super::method::UNTRAINED,
            )?;
            let w = tempered(&log_w, 1.0, RESAMPLED);
            let mut stream = Stream::new(seed, "tuning", round, 0);
            let picked = resampled_to(&w, n, &mut stream);
            let states: Vec<T> = picked.iter().flat_map(|i| &x[i * d..(i + 1) * d]).copied().collect();
            let log_p: Vec<f64> = picked.iter().map(|i| log_p[*i]).collect();
            self.tune_to(&states, &log_p, steps, (seed, round));
        }
        Ok(ROUNDS * n as u64)
    }

    /// The denoising errors on these states of the target, and the variances that make their paths' weights even.
    fn tune_to(&mut self, states: &[T], log_p: &[f64], steps: usize, key: (u64, u64)) {
        let (model, schedule) = (self.model(), self.schedule());
        let fitted = self.state.error.fitted(model, schedule, states, 1.0, key);
        // A loss over paths knows of no covariance that depends on the network.
        let independent = self.config.of_reference();
        self.state.error = if independent { fitted } else { fitted.correlated(model, schedule, states, key) };
        self.state.error = self.reverse().tuned(states, log_p, steps, key);
    }
}
