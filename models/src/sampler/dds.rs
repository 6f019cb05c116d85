//! The denoising diffusion sampler (DDS; Vargas, Grathwohl and Doucet 2023, "Denoising diffusion samplers", ICLR,
//! arXiv 2302.13834), trained with the log-variance loss (Richter and Berner 2024, "Improved sampling via learned
//! diffusions", ICLR).
//!
//! DDS controls the time reversal of a reference: N(0, S^2 I) noised, S = `network.sigma_data`. In the coordinates of
//! this program noise is added, x_sigma = x_0 + sigma eps, where DDS shrinks states towards 0 at the same time. Its
//! state is x_sigma S / sqrt(S^2 + sigma^2): the noising of one is that of the other, step by step and exactly. A
//! reverse step of the reference from sigma to sigma' is, with Delta = sigma^2 - sigma'^2,
//!
//! x' = x - Delta x / (S^2 + sigma^2) + sqrt(v) z,  v = Delta (S^2 + sigma'^2) / (S^2 + sigma^2),
//!
//! the exponential integrator of DDS, and the control adds Delta b F(x, sigma) to x', F the network of
//! [`score`](crate::score), whose score is -x / (S^2 + sigma^2) + b F. So DDS is
//! [`ReverseProcess`](crate::diffusion::ReverseProcess) with the variances of the reference, and what is true of a
//! learned score here (weights of paths, populations, the probability flow) is true of it. PIS (Zhang and Chen 2022,
//! "Path integral sampler", ICLR, arXiv 2111.15141) is the same with the reference's noise at its end infinite, the
//! Brownian motion from 0 in other coordinates.
//!
//! A network that begins at F = 0 gives log w = -E(x_0) - log N(x_0; 0, S^2 I) at the first step. The loss and its
//! gradient are in the trainer ([`iwsm`](crate::sampler::iwsm)): one energy for each path, and no gradient of it.
//!
//! Not as in the papers: by default the target is annealed (`train.share`), because trainings of `mw` without it ended
//! in one of 32 modes; levels are geometric in sigma, not by a cosine; the prior is the reference at
//! `network.sigma_max`; the network has the preconditioning and the Fourier features of this program, and no term
//! c(sigma) grad log p(x), so that a step needs no gradients and the flow has a density.

#[cfg(test)]
pub(in crate::sampler) mod tests;

use serde::{Deserialize, Serialize};

use super::iwsm::{Config, Explore, Network, Objective, training};
use super::{MethodConfig, Sampler, SamplerError};
use crate::memory::{self, Part};
use crate::range::{self, Range::Between};
use crate::target::AnyTarget;

/// The method's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The loop.
    pub train: Train,
    /// The network. With `sigma_data = 0` short chains find where the target in R^d lies, as for iwsm.
    pub network: Network,
}

/// The loop: paths, steps, optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Optimiser steps.
    pub steps: u64,
    /// Paths in a step, with one energy each.
    pub batch: usize,
    /// Reverse steps of a path; with as many in `evaluation.reverse_steps` samples are those that were trained.
    pub path_steps: usize,
    /// Adam's largest learning rate.
    pub learning_rate: f64,
    /// Steps of its linear rise from zero; then cosine decay to a hundredth.
    pub warm_up: u64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Decay of the moving average of the parameters, from which samples are drawn.
    pub ema: f64,
    /// Effective share that the weights of paths keep while the target goes from the Gaussian of the reference to
    /// exp(-E); 0 for the target itself from the first step on, as in the paper.
    pub share: f64,
}

impl Settings {
    /// The same as settings of the trainer.
    fn config(&self) -> Config {
        let (t, mut config) =
            (&self.train, Config { objective: Objective::LogVariance, ..Config::default() });
        let train = &mut config.train;
        (train.steps, train.batch, train.learning_rate) = (t.steps, t.batch, t.learning_rate);
        (train.warm_up, train.clip, train.ema) = (t.warm_up, t.clip, t.ema);
        // There is no buffer of states.
        (config.replay.capacity, config.replay.refresh_samples) = (1, 0);
        config.replay.refresh_steps = t.path_steps;
        if t.share > 0.0 {
            (config.replay.explore, config.replay.share) = (Explore::Annealed, t.share);
        }
        config.network = self.network.clone();
        config
    }

    /// States and Gaussians of paths, with the noise level of each; and gradients of the parts of them.
    fn paths(&self, target: &dyn AnyTarget) -> [Part; 2] {
        let (t, geometry, number) = (&self.train, target.single().geometry(), size_of::<f32>() as f64);
        let (d, columns) = (geometry.dim(), t.batch as f64 * (t.path_steps + 1) as f64);
        let sizes = format!("train.batch = {}, train.path_steps = {}", t.batch, t.path_steps);
        let gradients = number * self.config().gradients::<f32>(geometry, columns);
        [
            (format!("{sizes} in {d} dimensions"), number * (2 * d + 1) as f64 * columns),
            (format!("{sizes}, network.hidden = {}", self.network.hidden), gradients),
        ]
    }
}

impl MethodConfig for Settings {
    fn begin(scales: Option<[f64; 2]>) -> Self {
        let train = Train {
            steps: 2000,
            batch: 256,
            path_steps: 64,
            learning_rate: 5e-3,
            warm_up: 100,
            clip: 1.0,
            ema: 0.99,
            share: 0.3,
        };
        Self { train, network: Network::of_reference(scales) }
    }

    fn learns(&self) -> bool {
        true
    }

    fn problem(&self, target: &dyn AnyTarget) -> Option<String> {
        let t = &self.train;
        let ranges = [
            ("train.batch", t.batch as f64, Between(2.0, 1e6)),
            ("train.path_steps", t.path_steps as f64, Between(1.0, 1e5)),
        ];
        // Smaller shares are no shares of a batch.
        let least = if self.train.share == 0.0 { 0.0 } else { 1e-3 };
        let share = ("train.share", self.train.share, Between(least, 0.99));
        let own = || range::check(&ranges).and_then(|()| range::check(&[share])).err();
        target
            .single()
            .geometry()
            .problem()
            .or_else(own)
            .or_else(|| self.config().problem_on(target.single()))
    }

    fn memory(&self, target: &dyn AnyTarget, _: usize) -> Vec<Part> {
        let mut parts = self.config().memory(target.single());
        parts.extend(self.paths(target));
        parts
    }

    fn steps(&self, _: usize) -> u64 {
        training::steps(&self.config())
    }

    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        match self.problem(target).or_else(|| memory::check(&self.memory(target, samples)).err()) {
            Some(problem) => Err(SamplerError::Settings(problem)),
            None => training::build(self.config(), target, seed),
        }
    }
}
