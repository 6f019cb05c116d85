//! Node classification on graphs: configuration, runs over splits, search, pictures.

mod batch;
mod config;
mod context;
mod jobs;
mod outputs;
mod picture;
mod predict;
mod presets;
mod report;
mod run;
mod scale;
mod search;
mod significance;
pub(crate) mod sources;
mod task;

pub use batch::Batch;
pub use config::{DataChoice, Edges, GraphConfig, Keep, MOST_INITIALISATIONS, SplitKind, Weights, splits};
pub use context::Context;
use jobs::Job;
pub use predict::{Networks, predict};
pub use presets::{defaults, preset};
pub use report::{Summary, table};
pub use run::Classification;
pub use scale::Scale;
pub use search::{MOST_TRIALS, Search, SearchRequest};
pub use task::Task;

use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::rows::Row;

/// Files of rows, of which each task of a sweep has its own.
pub const TABLES: [&str; 1] = [Job::FILE];

/// What a folder holds of `graph`.
#[allow(clippy::large_enum_variant)] // One lives at a time, for the length of a run.
pub enum Held<'a> {
    /// A task on one data set.
    Task(Task<'a>),
    /// Tasks on several.
    Batch(Batch),
}

/// The task, or the tasks, that a folder holds, to be resumed.
pub fn resume<'a>(folder: RunFolder, with: &Context<'a>) -> Result<Held<'a>, CliError> {
    match folder.kind()? == batch::KIND {
        true => Batch::resume(folder).map(Held::Batch),
        false => Task::resume(folder, with).map(Held::Task),
    }
}
