//! The reference experiment: equilibrium samples of particle systems, with the proof that they are.

mod config;
mod run;
mod sampling;

pub use config::{ReferenceConfig, TARGETS};
pub use run::{Outcome, Run};
pub use sampling::{Watch, sample};
