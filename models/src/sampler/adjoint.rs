//! Adjoint sampling (Havens et al. 2025, "Adjoint sampling: highly scalable diffusion samplers via adjoint matching",
//! ICML, arXiv 2504.11713).
//!
//! Its base process is a Brownian motion from 0, dX = g(t) dW, with the variance nu(t) at t and nu(1) = S^2,
//! S = `network.sigma_data`; the control u adds g(t) u(X, t) dt. Samples X_1 of the present control are stored with
//! their gradients, and the control is fitted to
//!
//! u(X_t, t) = -g(t) grad h(X_1),  h = E + log N(0, S^2 I),
//!
//! at states X_t of the base process given that it ends at X_1: many steps of training for one energy.
//!
//! Given X_1, X_t is Gaussian with mean (nu / S^2) X_1 and variance nu (S^2 - nu) / S^2. So x = X_t S^2 / nu is X_1 with
//! noise, of level sigma^2 = S^2 (S^2 - nu) / nu, from infinity at t = 0 to 0 at t = 1: the coordinates of this program.
//! There the score of the base process is -x / (S^2 + sigma^2), u / g = grad log (p_t / base_t) in X_t is
//! (S^2 + sigma^2) / S^2 times that gradient in x, and the fit becomes
//!
//! score(x, sigma) = -x / (S^2 + sigma^2) - S^2 / (S^2 + sigma^2) grad h(X_1)
//! = kappa (-grad E(x_0)) + (1 - kappa) (x_0 - x) / sigma^2,  kappa = S^2 / (S^2 + sigma^2),  x_0 = X_1:
//!
//! the identity of stored states that iDEM has here, with the kappa of a Gaussian as wide as the target in place of the
//! one of least variance, weights of one, and samples of the model without any moves. It is one line of that trainer
//! ([`iwsm`](crate::sampler::iwsm)), and paths have the variances of the base process,
//! v = Delta (S^2 + sigma'^2) / (S^2 + sigma^2): see [`dds`](crate::sampler::dds), whose process is the same.
//!
//! Not as in the paper: by default the target is annealed from the Gaussian of the base process to exp(-E)
//! (`train.share`), as fast as the weights of the paths of a refresh allow; paths begin at a finite noise level,
//! `network.sigma_max`, in the base process's Gaussian there; levels are uniform in log sigma; errors are measured in units of the network's output; the network is one of this
//! program, with its preconditioning.
//!
//! Weights of modes between which no path leads are nearly neutral: samples of any mixture of the right modes teach the
//! model that mixture, and only states between the modes pull it back. Annealing is meant to bring modes apart with
//! their weights in place; weights of paths tell what is lost of the modes that there are, not a mode that has gone.
//!
//! The energy must be smooth: where it is infinite it has no gradient, and states that end there are left out of the
//! loss, so that nothing keeps the model away from such a wall but the weights of its samples.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::iwsm::{Config, Explore, Identity, Network, Objective, training};
use super::{MethodConfig, Sampler, SamplerError};
use crate::memory::Part;
use crate::range::{self, Range::Between};
use crate::target::AnyTarget;

/// The method's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The loop.
    pub train: Train,
    /// Samples of the model.
    pub replay: Replay,
    /// The network. With `sigma_data = 0` short chains find where the target in R^d lies, as for iwsm.
    pub network: Network,
}

/// The loop: batches, steps, optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Optimiser steps.
    pub steps: u64,
    /// Noised states in a step.
    pub batch: usize,
    /// Adam's largest learning rate.
    pub learning_rate: f64,
    /// Steps of its linear rise from zero; then cosine decay to a hundredth.
    pub warm_up: u64,
    /// Largest norm of a gradient of the loss.
    pub clip: f64,
    /// Decay of the moving average of the parameters, from which samples are drawn.
    pub ema: f64,
    /// Effective share that the weights of paths keep while the target goes from the Gaussian of the reference to
    /// exp(-E); 0 for the target itself from the first step on, as in the paper.
    pub share: f64,
    /// Largest norm of a gradient of the energy that the network is trained on; 0 for none. Biased where it acts.
    pub score_clip: f64,
}

/// The buffer of samples of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Number of samples; the first are those of the base process.
    pub capacity: usize,
    /// Steps between refreshes with samples of the current model.
    pub refresh_every: u64,
    /// Samples in a refresh, with one energy and its gradient each.
    pub refresh_samples: usize,
    /// Reverse steps for each.
    pub refresh_steps: usize,
}

impl Settings {
    /// The same as settings of the trainer.
    fn config(&self) -> Config {
        let (t, r) = (&self.train, &self.replay);
        let mut config = Config { objective: Objective::Idem, ..Config::default() };
        let train = &mut config.train;
        (train.steps, train.batch, train.learning_rate) = (t.steps, t.batch, t.learning_rate);
        (train.warm_up, train.clip, train.ema) = (t.warm_up, t.clip, t.ema);
        (train.score_clip, train.identity) = (t.score_clip, Identity::Adjoint);
        (config.replay.capacity, config.replay.refresh_every) = (r.capacity, r.refresh_every);
        (config.replay.refresh_samples, config.replay.refresh_steps) = (r.refresh_samples, r.refresh_steps);
        if t.share > 0.0 {
            (config.replay.explore, config.replay.share) = (Explore::Annealed, t.share);
        }
        config.network = self.network.clone();
        config
    }
}

impl MethodConfig for Settings {
    fn begin(scales: Option<[f64; 2]>) -> Self {
        let train = Train {
            steps: 10_000,
            batch: 512,
            learning_rate: 2e-3,
            warm_up: 100,
            clip: 1.0,
            ema: 0.99,
            share: 0.1,
            score_clip: 100.0,
        };
        let replay = Replay { capacity: 4096, refresh_every: 50, refresh_samples: 512, refresh_steps: 100 };
        Self { train, replay, network: Network::of_reference(scales) }
    }

    fn learns(&self) -> bool {
        true
    }

    fn problem(&self, target: &dyn AnyTarget) -> Option<String> {
        // Without fresh samples there is nothing to learn from.
        let fresh = ("replay.refresh_samples", self.replay.refresh_samples as f64, Between(1.0, 1e7));
        // Smaller shares are no shares of a batch.
        let least = if self.train.share == 0.0 { 0.0 } else { 1e-3 };
        let share = ("train.share", self.train.share, Between(least, 0.99));
        let own = || range::check(&[fresh, share]).err();
        target
            .single()
            .geometry()
            .problem()
            .or_else(own)
            .or_else(|| self.config().problem_on(target.single()))
    }

    fn memory(&self, target: &dyn AnyTarget, _: usize) -> Vec<Part> {
        self.config().memory(target.single())
    }

    fn steps(&self, _: usize) -> u64 {
        training::steps(&self.config())
    }

    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        _: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        match self.problem(target) {
            Some(problem) => Err(SamplerError::Settings(problem)),
            None => training::build(self.config(), target, seed),
        }
    }
}
