//! The mixtures experiment: train a sampler on a Gaussian mixture and measure it.

mod config;
pub mod report;
mod run;
mod seeds;

pub use config::{Evaluation, GmmConfig, TARGETS, Target};
pub use run::{Options, Run, Start};
pub use seeds::summarise;
