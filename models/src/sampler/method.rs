//! Methods by name.

use serde::{Deserialize, Serialize};

use super::{Sampler, SamplerError, adjoint, dds, hmc, iwsm, nuts, smc};
use crate::mcmc::parallel_tempering::{self, ModelMoves};
use crate::memory::Part;
use crate::target::AnyTarget;

/// The settings of a method.
pub trait MethodConfig {
    /// Settings to begin with; `scales` are the root mean square of a coordinate of the target and the width of one
    /// mode, where they are known.
    fn begin(scales: Option<[f64; 2]>) -> Self
    where
        Self: Sized;

    /// Whether the method learns a model.
    fn learns(&self) -> bool;

    /// Whether settings of score matching, which the presets of targets hold, are settings of this method.
    fn matches_scores(&self) -> bool {
        false
    }

    /// Whether the model is distilled from Markov chains: states that moves on the energy have brought to equilibrium.
    fn distils(&self) -> bool {
        false
    }

    /// The first setting that does not fit the target, if any: one line with its key and its range.
    fn problem(&self, target: &dyn AnyTarget) -> Option<String>;

    /// What grows with the settings where `samples` samples of the target are drawn.
    fn memory(&self, target: &dyn AnyTarget, samples: usize) -> Vec<Part>;

    /// Steps until `samples` samples can be drawn.
    fn steps(&self, samples: usize) -> u64;

    /// The sampler before its first step. `samples` is the number of samples that will be drawn.
    ///
    /// # Errors
    /// If settings do not fit, or the target cannot be evaluated.
    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError>;

    /// The folder of the trained model by which the method moves states, if one is asked for; the sampler is then built
    /// by [`build_with`](Self::build_with).
    fn model(&self) -> Option<&str> {
        None
    }

    /// The same as [`build`](Self::build), with moves by that model.
    ///
    /// # Errors
    /// Those of `build`; and where the method has no such moves.
    fn build_with<'t>(
        &self,
        _target: &'t dyn AnyTarget,
        _samples: usize,
        _seed: u64,
        _moves: ModelMoves<'t>,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        Err(SamplerError::Settings("this method has no moves by a model".into()))
    }
}

macro_rules! methods {
    ($($variant:ident($config:ty) = $name:literal, $about:literal;)+) => {
        /// A method with its settings; in a file the key `method` is its name.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method")]
        pub enum Method {
            $(#[doc = $about] #[serde(rename = $name)] $variant($config),)+
        }

        impl Method {
            /// Names, with descriptions.
            pub const NAMES: &[(&'static str, &'static str)] = &[$(($name, $about)),+];

            /// The method of that name with the settings to begin with.
            pub fn named(name: &str, scales: Option<[f64; 2]>) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant(MethodConfig::begin(scales))),)+
                    _ => None,
                }
            }

            /// The name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            /// The settings.
            pub fn config(&self) -> &dyn MethodConfig {
                match self {
                    $(Self::$variant(config) => config,)+
                }
            }
        }
    };
}

methods! {
    Iwsm(iwsm::Iwsm) = "iwsm", "importance weighted score matching";
    Idem(iwsm::Idem) = "idem", "iterated denoising energy matching: weights of one; on particles distilled from Markov chains";
    Dds(dds::Settings) = "dds", "denoising diffusion sampler: paths of the model, trained until their weights are even";
    Adjoint(adjoint::Settings) = "adjoint", "adjoint sampling: the model's own samples, each with its gradient, teach the drift";
    Hmc(hmc::Settings) = "hmc", "Hamiltonian Monte Carlo of many walkers, on the target itself";
    Nuts(nuts::Settings) = "nuts", "the No-U-Turn Sampler of many walkers, with step size and scales from its warm-up";
    Pt(parallel_tempering::Settings) = "pt", "parallel tempering of Hamiltonian Monte Carlo";
    Smc(smc::Settings) = "smc", "sequential Monte Carlo of populations, with log Z";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{TargetConfig, registry};

    #[test]
    fn every_method_begins_with_settings_that_fit_every_target() {
        for name in registry::names() {
            let config = TargetConfig::of(name).unwrap();
            let target = config.build().unwrap();
            for (method, _) in Method::NAMES {
                let settings = Method::named(method, config.scales().unwrap()).unwrap();
                assert_eq!(settings.config().problem(&*target), None, "{name} {method}");
                assert_eq!(settings.name(), *method);
            }
        }
    }
}
