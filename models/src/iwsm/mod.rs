//! Importance weighted score matching (Wang et al. 2025, arXiv 2505.19431).

mod buffer;
mod trainer;

pub use buffer::Buffer;
pub use trainer::{Config, StepReport, Trainer, Weights};
