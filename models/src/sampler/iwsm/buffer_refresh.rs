//! How the replay buffer begins, is fed, and moves.
//!
//! Weighted states (`weights.form = trajectory`): each carries an absolute weight, E w = Z. Those of the initial wide
//! Gaussian have exp(-E) / N, samples of the model those of their paths
//! ([`ReverseProcess::paths`](crate::diffusion::ReverseProcess::paths)); the expectation is Z for any model, so that
//! states of different models, and of moves that leave exp(-E) invariant (Neal 2001), belong together.
//!
//! Where Markov chains have explored, their states have one weight for all. Half of them leave by jumps alone
//! ([`jumps`](super::jumps)), so that no mode is lost that they found; paths of a model take the places of the others,
//! and only from a refresh whose weights have the effective share `replay.share`. That choice looks at the weights, and
//! so the stored ones are a little low in the mean; weights of samples do not depend on it.
//!
//! With `replay.explore = annealed` the target of a training is exp(-b E) N^(1 - b), b from 0 to 1. A refresh moves b as
//! far as the weights of its fresh paths keep their effective share; energies are known already, so that neither this
//! nor the new weights of all stored states cost any.

use engine::Real;
use engine::rng::Stream;

use super::buffer::Fresh;
use super::{Explore, Trainer};
use crate::importance::{effective_share, normalised_ess, normalised_ess_of, resampled_to, tempered};
use crate::mcmc::{adapted, hmc_over};
use crate::target::{TargetError, evaluate_over};

/// Rate of the adaptation of the moves' step size.
const ADAPTATION: f64 = 0.3;

impl<T: Real> Trainer<'_, T> {
    /// Before the first step: energies and weights of the states of the wide Gaussian, and their moves.
    pub(super) fn prepare_buffer(&mut self) -> Result<(), TargetError> {
        self.evaluate_buffer()?;
        let weighted = self.config.weighs_states();
        if (weighted || self.config.of_reference()) && !self.config.replay.explore.by_chains() {
            let excess = self.state.proposal.excess();
            let b = self.next_exponent(&vec![0.0; excess.len()], &excess);
            self.state.exponent = b;
            if weighted {
                self.state.proposal.buffer.reweigh(|l| times(b, excess[l]));
            }
        }
        self.move_buffer(self.config.replay.first_moves)
    }

    /// Stores samples of the current model: with the weights of their paths, or (`replay.resample`) resampled by them,
    /// as many as their effective sample size, or as they are.
    pub(super) fn refresh_buffer(&mut self) -> Result<(), TargetError> {
        let (replay, step) = (&self.config.replay, self.state.step);
        let (n, steps, key) = (replay.refresh_samples, replay.refresh_steps, (self.seed, step));
        let (resample, d) = (replay.resample, self.target.dim());
        let (x, log_ratio) = self.walked(n, steps, key)?;
        let weighted = self.config.weighs_states();
        let (mut log_p, mut score) = (vec![T::ZERO; n], Vec::new());
        if weighted || resample || self.config.train.identity.stored() {
            score.resize(n * d, T::ZERO);
            evaluate_over(&*self.ranks, &*self.target, &x, &mut log_p, &mut score)?;
            self.state.energy_evaluations += n as u64;
        }
        if weighted {
            let proposal = &self.state.proposal;
            let flat: Vec<f64> = x.chunks_exact(d).map(|x| proposal.log_flat(x)).collect();
            let log_w: Vec<f64> = log_ratio.iter().zip(&flat).map(|(ratio, flat)| ratio + flat).collect();
            let excess: Vec<f64> = log_p.iter().zip(&flat).map(|(p, flat)| p.f64() - flat).collect();
            let before = self.state.exponent;
            let b = self.next_exponent(&log_w, &excess);
            let log_w: Vec<f64> =
                log_w.iter().zip(&excess).map(|(w, excess)| w + times(b, *excess)).collect();
            let fresh = Fresh { x: &x, log_w: &log_w, energies: (&log_p, &score) };
            if self.config.jumps() {
                self.jump_kept(fresh);
            }
            // Paths of a model that has yet to learn would drive better states out of the buffer.
            let share = normalised_ess(&log_w);
            if self.config.replay.explore.by_chains() && (share.is_nan() || share < self.config.replay.share)
            {
                return Ok(());
            }
            let proposal = &mut self.state.proposal;
            if b > before {
                let excess = proposal.excess();
                proposal.buffer.reweigh(|l| times(b - before, excess[l]));
            }
            self.state.exponent = b;
            proposal.buffer.push(fresh);
            return Ok(());
        }
        if self.config.of_reference() {
            let proposal = &self.state.proposal;
            let flat: Vec<f64> = x.chunks_exact(d).map(|x| proposal.log_flat(x)).collect();
            let log_w: Vec<f64> = log_ratio.iter().zip(&flat).map(|(ratio, flat)| ratio + flat).collect();
            let excess: Vec<f64> = log_p.iter().zip(&flat).map(|(p, flat)| p.f64() - flat).collect();
            self.state.exponent = self.next_exponent(&log_w, &excess);
        }
        let mut picked: Vec<usize> = (0..n).collect();
        if resample {
            let log_w: Vec<f64> = log_ratio.iter().zip(&log_p).map(|(ratio, p)| ratio + p.f64()).collect();
            let w = tempered(&log_w, 1.0, 0.0);
            // Copies of few states would drive others out of the buffer.
            let worth = (effective_share(&w) * n as f64).round() as usize;
            picked = resampled_to(&w, worth, &mut Stream::new(self.seed, "resampling", step, 0));
        }
        let buffer = &mut self.state.proposal.buffer;
        for i in picked {
            let column = i * d..(i + 1) * d;
            let score = score.get(column.clone()).unwrap_or_default();
            buffer.push(Fresh { x: &x[column], log_w: &[], energies: (&log_p[i..=i], score) });
        }
        Ok(())
    }

    /// The exponent b of the target from here on: the largest up to 1 at which weights w exp(b excess) have the
    /// effective share `replay.share`, but not less than before.
    fn next_exponent(&self, log_w: &[f64], excess: &[f64]) -> f64 {
        if self.config.replay.explore != Explore::Annealed {
            return 1.0;
        }
        next_exponent(self.state.exponent, self.config.replay.share, (log_w, excess))
    }

    /// Moves every stored state by `trajectories` trajectories of HMC.
    pub(super) fn move_buffer(&mut self, trajectories: usize) -> Result<(), TargetError> {
        if trajectories == 0 {
            return Ok(());
        }
        let leapfrog = self.config.replay.leapfrog_steps;
        let mut states = self.state.proposal.buffer.states();
        for k in 0..trajectories {
            let key = (self.seed, (self.state.step << 20) + k as u64);
            let moves = (self.state.move_step, leapfrog);
            let acceptance = hmc_over(&*self.ranks, &*self.target, moves, key, &mut states)?;
            self.state.acceptance = acceptance;
            self.state.move_step = adapted(self.state.move_step, acceptance, ADAPTATION);
        }
        let evaluations = trajectories * (leapfrog + 1) * self.state.proposal.buffer.len();
        self.state.energy_evaluations += evaluations as u64;
        self.state.proposal.buffer.replace(&states);
        self.evaluate_buffer()
    }

    /// Evaluates all stored states, if the buffer keeps their energies.
    fn evaluate_buffer(&mut self) -> Result<(), TargetError> {
        let buffer = &self.state.proposal.buffer;
        if !buffer.keeps_energies() {
            return Ok(());
        }
        let states = buffer.states();
        let (mut log_p, mut score) = (vec![T::ZERO; buffer.len()], vec![T::ZERO; states.len()]);
        evaluate_over(&*self.ranks, &*self.target, &states, &mut log_p, &mut score)?;
        self.state.energy_evaluations += log_p.len() as u64;
        self.state.proposal.buffer.replace_energies(&log_p, &score);
        Ok(())
    }

    /// Draws stored states by their weights from here on; returns the weights' effective share.
    ///
    /// # Errors
    /// If no state has a weight.
    pub(super) fn weigh_buffer(&mut self) -> Result<f64, TargetError> {
        let clip = self.config.weights.clip;
        let buffer = &mut self.state.proposal.buffer;
        let share = buffer.weigh(clip);
        self.state.wall |= buffer.meets_wall();
        let log_w = &buffer.log_weights()[..buffer.len()];
        let step = self.state.step;
        TargetError::unless_inside(
            log_w.iter().copied(),
            format_args!("stored states of step {step}"),
            super::trainer::BEYOND,
        )?;
        Ok(share)
    }
}

/// The largest exponent from `before` to 1 at which weights w exp(b excess) have the effective share `wanted`; `before`
/// if there is none.
pub(super) fn next_exponent(before: f64, wanted: f64, (log_w, excess): (&[f64], &[f64])) -> f64 {
    let share = |b: f64| {
        let share = normalised_ess_of(log_w.iter().zip(excess).map(|(w, e)| w + times(b, *e)));
        if share.is_nan() { 0.0 } else { share }
    };
    if share(1.0) >= wanted {
        return 1.0;
    }
    // Bisection in b, which may begin at 1e-12 where energies overflow.
    let (mut low, mut high) = (before, 1.0);
    if share(low.max(1e-12)) < wanted {
        return before;
    }
    for _ in 0..60 {
        let middle = if low < 1e-3 * high { (low.max(1e-12) * high).sqrt() } else { 0.5 * (low + high) };
        if share(middle) >= wanted { low = middle } else { high = middle }
    }
    low
}

/// b x, 0 for b = 0 also where x is infinite, outside the support.
fn times(b: f64, x: f64) -> f64 {
    if b == 0.0 && x > f64::NEG_INFINITY { 0.0 } else { b * x }
}
