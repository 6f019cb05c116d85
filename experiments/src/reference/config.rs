//! Settings of the reference experiment.

use models::mcmc::parallel_tempering::{self, Sampler};
use models::target::PairEnergy;
use models::target::{DoubleWell, Energy, LennardJones, ParticleSystem};
use serde::{Deserialize, Serialize};

use crate::config::nearest;
use crate::failure::Failure;

/// Names of the targets.
pub const TARGETS: [&str; 3] = ["dw4", "lj13", "lj55"];

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceConfig {
    /// Seed of every random number of the run.
    pub seed: u64,
    /// One of [`TARGETS`].
    pub target: String,
    /// States to record.
    pub samples: usize,
    /// The sampler.
    pub sampler: parallel_tempering::Config,
}

impl ReferenceConfig {
    /// The settings made for a target; an error that names the targets if there is none of that name.
    pub fn preset(name: &str) -> Result<Self, Failure> {
        let base = parallel_tempering::Config {
            walkers: 32,
            rungs: 8,
            least_lambda: 0.02,
            scale: 2.0,
            leapfrog_steps: 10,
            acceptance: 0.8,
            warm_up: 2000,
            thin: 10,
        };
        let sampler = match name {
            "dw4" => base,
            // Nearly all of the ladder lies where cores of Gaussian states begin to exclude each other.
            "lj13" => parallel_tempering::Config {
                rungs: 20,
                least_lambda: 1e-7,
                scale: 1.0,
                leapfrog_steps: 16,
                warm_up: 4000,
                thin: 20,
                ..base
            },
            "lj55" => parallel_tempering::Config {
                rungs: 64,
                least_lambda: 1e-8,
                scale: 1.0,
                leapfrog_steps: 24,
                warm_up: 8000,
                thin: 20,
                ..base
            },
            _ => {
                let hint = nearest(name, &TARGETS).map_or(String::new(), |n| format!(", did you mean {n}?"));
                return Err(Failure::usage(format!(
                    "unknown target `{name}`{hint} (targets: {})",
                    TARGETS.join(", ")
                )));
            }
        };
        Ok(Self { seed: 0, target: name.into(), samples: 10_000, sampler })
    }

    /// The energy and the shape of its states.
    pub fn energy(&self) -> (Box<dyn Energy<f64>>, ParticleSystem) {
        fn boxed<E: Energy<f64> + PairEnergy + 'static>(e: E) -> (Box<dyn Energy<f64>>, ParticleSystem) {
            let system = e.system();
            (Box::new(e), system)
        }
        match self.target.as_str() {
            "lj13" => boxed(LennardJones::new(13)),
            "lj55" => boxed(LennardJones::new(55)),
            _ => boxed(DoubleWell::dw4()),
        }
    }

    /// The sampler at its starts, over what [`ReferenceConfig::energy`] gives.
    pub fn sampler<'e>(
        &self,
        energy: &'e dyn Energy<f64>,
        system: ParticleSystem,
    ) -> Result<Sampler<'e>, Failure> {
        Sampler::new(self.sampler.clone(), energy, Some(system), self.seed)
            .map_err(|e| Failure::usage(format!("sampler.{e}")))
    }

    /// An error if some value is outside its range.
    pub fn check(&self) -> Result<(), Failure> {
        Self::preset(&self.target)?;
        if !(1..=10_000_000).contains(&self.samples) {
            return Err(Failure::usage(format!(
                "samples = {} must lie between 1 and 10000000",
                self.samples
            )));
        }
        self.sampler.check().map_err(|e| Failure::usage(format!("sampler.{e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_sound() {
        for (name, dim) in TARGETS.iter().zip([8, 39, 165]) {
            let c = ReferenceConfig::preset(name).unwrap();
            c.check().unwrap();
            let (energy, system) = c.energy();
            assert_eq!((energy.dim(), system.dim()), (dim, dim));
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(ReferenceConfig::preset("lj12").unwrap_err().to_string().contains("did you mean lj13"));
        let mut c = ReferenceConfig::preset("dw4").unwrap();
        c.sampler.rungs = 1;
        assert!(c.check().unwrap_err().to_string().contains("sampler.rungs = 1"));
        c.samples = 0;
        assert!(c.check().unwrap_err().to_string().contains("samples = 0"));
    }
}
