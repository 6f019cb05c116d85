//! Settings of the sampler, and their ranges.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::range::{self, Range::Between};
use crate::sampler::SamplerError;

/// Settings of the sampler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Independent walkers, an even number.
    pub walkers: usize,
    /// Rungs of the ladder, the target and the Gaussian included.
    pub rungs: usize,
    /// lambda at which the initial ladder changes from geometric to even spacing: about the least lambda > 0.
    pub least_lambda: f64,
    /// Standard deviation of the Gaussian at the ladder's end.
    pub scale: f64,
    /// Leapfrog steps of a trajectory.
    pub leapfrog_steps: usize,
    /// Target acceptance of the adaptation of step sizes.
    pub acceptance: f64,
    /// Sweeps before recording begins.
    pub warm_up: usize,
    /// Sweeps from one recorded state to the next.
    pub thin: usize,
    /// The folder of a finished training of the same target, whose model moves states of the first rung too; empty for
    /// none. Its paths have the `evaluation.reverse_steps` of that training.
    #[serde(default)]
    pub model: String,
    /// Sweeps from one such move to the next.
    #[serde(default = "jump_every")]
    pub jump_every: usize,
}

/// Files of settings of earlier versions lack this key.
fn jump_every() -> usize {
    10
}

impl Default for Config {
    /// Settings for a target of a few dimensions, about two wide.
    fn default() -> Self {
        Self {
            walkers: 32,
            rungs: 8,
            least_lambda: 0.02,
            scale: 2.0,
            leapfrog_steps: 10,
            acceptance: 0.8,
            warm_up: 2000,
            thin: 10,
            model: String::new(),
            jump_every: jump_every(),
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(String);

impl From<ConfigError> for SamplerError {
    fn from(e: ConfigError) -> Self {
        Self::Settings(format!("sampler.{e}"))
    }
}

impl Config {
    /// Sweeps until `states` of them are recorded after the warm-up, from the beginning.
    pub fn sweeps_for(&self, states: usize) -> usize {
        let rounds = states.div_ceil(self.walkers.max(1));
        self.warm_up.saturating_add(rounds.saturating_mul(self.thin))
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("walkers", self.walkers as f64, Between(2.0, 1e5)),
            ("rungs", self.rungs as f64, Between(2.0, 1e4)),
            ("leapfrog_steps", self.leapfrog_steps as f64, Between(1.0, 1e5)),
            ("warm_up", self.warm_up as f64, Between(1.0, 1e9)),
            ("thin", self.thin as f64, Between(1.0, 1e6)),
            ("jump_every", self.jump_every as f64, Between(1.0, 1e9)),
            ("least_lambda", self.least_lambda, Between(1e-12, 1.0)),
            ("scale", self.scale, Between(1e-6, 1e6)),
            ("acceptance", self.acceptance, Between(0.1, 0.99)),
        ];
        range::check(&ranges).map_err(ConfigError)?;
        match self.walkers.is_multiple_of(2) {
            true => Ok(()),
            false => Err(ConfigError(format!("walkers = {} must be even", self.walkers))),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mcmc::parallel_tempering::ParallelTempering;
    use crate::target::DoubleWell;

    /// A small ladder.
    pub(in crate::mcmc::parallel_tempering) fn config() -> Config {
        Config {
            walkers: 40,
            rungs: 5,
            least_lambda: 0.05,
            scale: 1.0,
            leapfrog_steps: 6,
            acceptance: 0.8,
            warm_up: 400,
            thin: 5,
            ..Config::default()
        }
    }

    #[test]
    fn settings_outside_their_range_are_errors() {
        let wrong = |c: Config, needle: &str| {
            let e = ParallelTempering::new(c, &DoubleWell::dw4(), 0).err().unwrap().to_string();
            assert!(e.contains(needle), "{e}");
        };
        assert_eq!(config().check(), Ok(()));
        wrong(Config { rungs: 1, ..config() }, "rungs = 1");
        wrong(Config { walkers: 3, ..config() }, "walkers = 3 must be even");
        wrong(Config { scale: f64::NAN, ..config() }, "scale = NaN");
        wrong(Config { acceptance: 1.0, ..config() }, "acceptance = 1");
    }
}
