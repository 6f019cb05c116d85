//! One driver for runs: new ones, resumed ones, ones that are only measured; over one seed or several; with
//! progress, learning curve, checkpoints and Ctrl-C.
//!
//! - [`Plan`]: what a binary was asked for, over one seed or several;
//! - [`Steps`]: the loop of a sampler, step by step, with checkpoints and a learning curve;
//! - [`jobs`]: the loop over independent trainings, several at a time, with their [`rows`] in a file;
//! - [`folder`], [`progress`], [`interrupt`], [`cli`], [`error`], [`cores`]: what both stand on.

pub mod cli;
pub mod cores;
pub mod error;
pub mod folder;
pub mod interrupt;
pub mod jobs;
pub mod progress;
pub mod rows;
mod seeds;
mod steps;

pub use error::CliError;
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
