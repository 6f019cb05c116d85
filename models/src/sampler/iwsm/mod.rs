//! Importance weighted score matching (Wang et al. 2025, arXiv 2505.19431), and iDEM (Akhound-Sadegh et al. 2024,
//! arXiv 2402.06121), the same training without weights.
//!
//! [`Trainer`] has the loss, [`noised_score`] the estimates of p_t and its score, [`Proposal`] the density of the
//! noised replay buffer, [`weighting`] the weights, [`symmetric`] their average over symmetries.

mod buffer;
mod buffer_refresh;
mod checks;
mod config;
mod explored;
mod explored_sampler;
#[cfg(test)]
mod explored_tests;
mod explorers;
mod jumps;
mod levels;
mod loss;
mod memory;
mod method;
mod network;
pub mod noised_score;
mod path_loss;
mod proposal;
mod resume;
mod reverse;
mod scales;
mod stored_score;
pub mod symmetric;
#[cfg(test)]
mod tests;
mod trainer;
pub(crate) mod training;
pub mod weight_report;
pub mod weighting;

pub use buffer::{Buffer, Fresh};
pub use config::{Config, Explore, Form, Identity, Kind, Network, Objective, Replay, Train, Weights};
pub use method::{Idem, Iwsm, ScoreMatching};
pub use proposal::Proposal;
pub use trainer::{State, StepReport, TrainError, Trainer};
