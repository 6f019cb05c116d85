//! Sampling with a learned score: noise schedule, reverse SDE, probability-flow ODE, exact
//! correction.

mod correction;
mod flow;
mod hmc;
mod resampling;
mod reverse;
mod schedule;

pub use correction::Correction;
pub use flow::Flow;
pub(crate) use hmc::adapted;
pub use hmc::hmc;
pub use resampling::{effective_share, resampled, systematic, tempered};
pub use reverse::{ScoreModel, reverse_paths, reverse_sde};
pub use schedule::Schedule;
