//! Diffusion with a learned score: the noise schedule, the reverse SDE with the weights of its paths, and the
//! probability-flow ODE with its density.

mod denoising_error;
mod flow;
mod jump;
mod lookahead;
mod pair_covariance;
mod pair_covariance_fit;
#[cfg(test)]
mod pair_tests;
mod recorded;
mod reverse;
mod schedule;
mod small_matrix;
mod spacing;
#[cfg(test)]
mod tests;
mod tuning;

pub use denoising_error::DenoisingError;
pub use flow::Flow;
pub(crate) use jump::accepted;
pub use lookahead::{Lookahead, Populations};
pub use pair_covariance::PairCovariance;
pub use recorded::RecordedPaths;
pub use reverse::{ReverseProcess, ScoreModel};
pub use schedule::Schedule;
pub use spacing::Spacing;
