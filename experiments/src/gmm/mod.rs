//! The mixtures experiment: train a sampler on a Gaussian mixture and measure it.

mod config;
pub mod report;
mod run;

pub use config::{Evaluation, GmmConfig, TARGETS, Target};
pub use run::Run;
