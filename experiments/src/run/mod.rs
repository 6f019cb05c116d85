//! One driver for runs: new ones, ones that go on, ones that are only measured; over one seed or several; with
//! progress, learning curve, checkpoints and Ctrl-C.

mod seeds;
mod steps;

pub use seeds::{Plan, Several};
pub use steps::{Curve, Options, Past, Steps};

use std::path::PathBuf;

/// Keeps the random numbers of measurements apart from those of training.
pub const MEASURE: u64 = 0x6d65_6173_7572_6521;

/// The state of a run.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// How a run begins.
pub enum Start {
    /// In a new folder.
    New {
        /// The folder.
        out: PathBuf,
        /// Replace an earlier run in it.
        force: bool,
    },
    /// From the checkpoint in a folder.
    Resume(PathBuf),
    /// Only measure the checkpoint in a folder.
    Evaluate(PathBuf),
}
