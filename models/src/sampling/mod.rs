//! Sampling with a learned score: noise schedule, reverse SDE, probability-flow ODE.

mod flow;
mod reverse;
mod schedule;

pub use flow::Flow;
pub use reverse::{ScoreModel, reverse_sde};
pub use schedule::Schedule;
