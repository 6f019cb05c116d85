//! The particles experiment: train a sampler of particles that attract and repel, and measure it.

mod cached;
mod config;
mod places;
pub mod report;
mod run;

pub use cached::{Reference, reference};
pub use config::{Evaluation, ParticlesConfig, TARGETS};
pub use run::{Extras, Run, model_config};
