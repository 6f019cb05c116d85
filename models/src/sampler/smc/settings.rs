//! Settings of sequential Monte Carlo, and their ranges.

use serde::{Deserialize, Serialize};

use super::Smc;
use crate::memory::{self, Part};
use crate::range::{self, Range::Between};
use crate::sampler::{MethodConfig, Sampler, SamplerError};
use crate::target::{AnyTarget, Held};

/// The method's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Particles and moves.
    pub sampler: Config,
}

/// Particles and moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Independent populations.
    pub blocks: usize,
    /// Particles of each; more where more samples are drawn than there are particles.
    pub particles: usize,
    /// Standard deviation of the Gaussian that particles start in: as wide as the target, or wider.
    pub initial_scale: f64,
    /// Conditional effective share of the weights from one temperature to the next.
    pub ess: f64,
    /// Particles are resampled where their effective share falls below this.
    pub resample: f64,
    /// Trajectories at each temperature.
    pub moves: usize,
    /// Leapfrog steps of a trajectory.
    pub leapfrog_steps: usize,
    /// Temperatures at most: the last step goes to the target from wherever the particles are. What is left when all
    /// have arrived takes no time.
    pub temperatures: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            blocks: 8,
            particles: 256,
            initial_scale: 2.0,
            ess: 0.9,
            resample: 0.5,
            moves: 4,
            leapfrog_steps: 10,
            temperatures: 1000,
        }
    }
}

impl Config {
    fn problem(&self) -> Option<String> {
        let ranges = [
            ("sampler.blocks", self.blocks as f64, Between(2.0, 1e4)),
            ("sampler.particles", self.particles as f64, Between(2.0, 1e7)),
            ("sampler.initial_scale", self.initial_scale, Between(1e-6, 1e6)),
            ("sampler.ess", self.ess, Between(0.01, 0.9999)),
            ("sampler.resample", self.resample, Between(0.0, 1.0)),
            ("sampler.moves", self.moves as f64, Between(1.0, 1e5)),
            ("sampler.leapfrog_steps", self.leapfrog_steps as f64, Between(1.0, 1e5)),
            ("sampler.temperatures", self.temperatures as f64, Between(1.0, 1e6)),
        ];
        range::check(&ranges).err()
    }

    /// Particles of a population where `samples` are drawn.
    fn each(&self, samples: usize) -> usize {
        self.particles.max(samples.div_ceil(self.blocks.max(1)))
    }
}

impl Settings {
    /// The sampler on a target that may be its own.
    pub(crate) fn on<'t>(
        &self,
        target: Held<'t, f64>,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        let each = self.sampler.each(samples);
        Ok(Box::new(Smc::new(self.sampler.clone(), target, each, seed)?))
    }
}

impl MethodConfig for Settings {
    fn begin(scales: Option<[f64; 2]>) -> Self {
        let mut sampler = Config::default();
        if let Some([data, _]) = scales {
            sampler.initial_scale = data;
        }
        Self { sampler }
    }

    fn learns(&self) -> bool {
        false
    }

    fn problem(&self, target: &dyn AnyTarget) -> Option<String> {
        self.sampler.problem().or_else(|| target.double().geometry().problem())
    }

    fn memory(&self, target: &dyn AnyTarget, samples: usize) -> Vec<Part> {
        let (blocks, each, d) = (self.sampler.blocks, self.sampler.each(samples), target.double().dim());
        let numbers = blocks as f64 * each as f64 * d as f64;
        let what = match each == self.sampler.particles {
            true => format!("sampler.blocks = {blocks}, sampler.particles = {each} in {d} dimensions"),
            false => format!("{samples} samples, each a particle in {d} dimensions"),
        };
        // Particles and their scores, copies of both in resampling, and the ends of trajectories.
        vec![(what, 7.0 * size_of::<f64>() as f64 * numbers)]
    }

    /// Temperatures at most.
    fn steps(&self, _: usize) -> u64 {
        self.sampler.temperatures as u64
    }

    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        match self.problem(target).or_else(|| memory::check(&self.memory(target, samples)).err()) {
            Some(problem) => Err(SamplerError::Settings(problem)),
            None => self.on(target.double().into(), samples, seed),
        }
    }
}
