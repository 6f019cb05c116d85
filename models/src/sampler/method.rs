//! Methods by name.

use serde::{Deserialize, Serialize};

use super::{Sampler, SamplerError, iwsm};
use crate::mcmc::parallel_tempering;
use crate::target::AnyTarget;

/// The settings of a method.
pub trait MethodConfig {
    /// The first setting that does not fit the target, if any: one line with its key and its range.
    fn problem(&self, target: &dyn AnyTarget) -> Option<String>;

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
    Idem(iwsm::Idem) = "idem", "iterated denoising energy matching: weights of one";
    Pt(parallel_tempering::Settings) = "pt", "parallel tempering of Hamiltonian Monte Carlo";
}
