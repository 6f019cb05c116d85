//! One driver for runs: new ones, resumed ones, ones that are only measured; over one seed or several; with
//! progress, learning curve, checkpoints and Ctrl-C.
//!
//! - [`Plan`]: what a binary was asked for, over one seed or several;
//! - [`Steps`]: the loop of a sampler, step by step, with checkpoints and a learning curve;
//! - [`jobs`]: the loop over independent trainings, several at a time, with their [`rows`] in a file;
//! - [`Share`]: which of the jobs of a sweep are those of one task; [`folder`] puts the tasks together;
//! - [`folder`]: where a run writes: one process at a time, its own files only, and how it began;
//! - [`ranks`]: several processes that are one run;
//! - [`progress`], [`interrupt`], [`console`], [`cli`], [`program`], [`error`], [`cores`]: what both stand on.

mod begun;
pub mod cli;
pub mod console;
pub mod cores;
pub mod environment;
pub mod error;
pub mod folder;
pub mod history;
pub mod interrupt;
pub mod jobs;
mod lock;
mod manifest;
mod place;
pub mod program;
pub mod progress;
pub mod ranks;
pub mod rows;
mod seeds;
mod share;
mod steps;
#[cfg(test)]
mod steps_over_ranks;

pub use begun::{Input, Inputs, sha256};
pub use error::CliError;
pub use folder::RunFolder;
pub use place::Place;
pub use seeds::{Given, Outcome, Plan};
pub use share::Share;
pub use steps::{Curve, Options, Past, Steps};

/// Keeps the random numbers of measurements apart from those of training.
pub const MEASURE: u64 = 0x6d65_6173_7572_6521;

/// The state of a run.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// How a run starts.
pub enum Start {
    /// In a new folder.
    New {
        /// The folder.
        place: Place,
        /// Replace an earlier run in it.
        force: bool,
    },
    /// From the checkpoint in a folder, or from the beginning if it has none yet.
    Resume(RunFolder),
    /// Only measure the checkpoint in a folder.
    Evaluate(RunFolder),
    /// Only read what the finished run in a folder came to.
    Read(RunFolder),
}
