//! Sampling with a learned score: noise schedule, reverse SDE, probability-flow ODE.

mod reverse;
mod schedule;

pub use reverse::{ScoreModel, reverse_sde};
pub use schedule::Schedule;
