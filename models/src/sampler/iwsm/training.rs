//! A training as a sampler, whatever its loss.

use super::explored::{self, Explored};
use super::{Config, Kind, Network, Trainer};
use crate::sampler::{Sampler, SamplerError};
use crate::target::AnyTarget;

/// Steps until samples can be drawn, those of the stages before the training included.
pub(crate) fn steps(config: &Config) -> u64 {
    explored::stages(config).iter().sum()
}

/// The training before its first step, with the stages before it that these settings ask for.
pub(crate) fn build<'t>(
    config: Config,
    target: &'t dyn AnyTarget,
    seed: u64,
) -> Result<Box<dyn Sampler + 't>, SamplerError> {
    if config.network.measured() || config.replay.explore.by_chains() {
        return Ok(Box::new(Explored::new(config, target, seed)?));
    }
    Ok(Box::new(Trainer::<f32>::new(config, target.single(), seed)?))
}

/// Largest noise level in units of the target's width: the noised target is then hardly told from a Gaussian of that
/// width noised, where paths begin.
const LARGEST: f64 = 10.0;
/// Least noise level in units of a mode's width.
const LEAST: f64 = 0.25;

impl Network {
    /// The network of a sampler whose paths begin as those of a Gaussian as wide as the target; `scales` as for
    /// [`MethodConfig::begin`](crate::sampler::MethodConfig::begin), measured where they are not known.
    pub(crate) fn of_reference(scales: Option<[f64; 2]>) -> Self {
        let [data, mode] = scales.unwrap_or([0.0; 2]);
        Self {
            kind: Kind::Mlp,
            hidden: 64,
            layers: 3,
            sigma_data: data,
            mode_scale: mode,
            sigma_min: LEAST * mode,
            sigma_max: LARGEST * data,
            ..Config::default().network
        }
    }
}
