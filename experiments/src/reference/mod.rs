//! The reference experiment: equilibrium samples of particle systems, with the proof that they are.

mod config;
mod run;

pub use config::{ReferenceConfig, TARGETS};
pub use run::{Outcome, execute};
