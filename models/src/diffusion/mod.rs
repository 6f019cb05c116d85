//! Diffusion with a learned score: the noise schedule, the reverse SDE with the weights of its paths, and the
//! probability-flow ODE with its density.

mod flow;
mod reverse;
mod schedule;

pub use flow::Flow;
pub use reverse::{ScoreModel, reverse_paths, reverse_sde};
pub use schedule::Schedule;
