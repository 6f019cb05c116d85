//! Node classification on graphs: configuration, runs over splits, search, pictures.

mod batch;
mod config;
mod context;
mod folders;
mod jobs;
mod picture;
mod presets;
mod report;
mod run;
mod search;
mod task;

pub use batch::Batch;
pub use config::{DataChoice, Edges, GraphConfig, MOST_INITIALISATIONS, SplitKind, splits};
pub use context::Context;
pub use presets::{defaults, preset};
pub use report::{Summary, table};
pub use run::Classification;
pub use search::{MOST_TRIALS, Search};
pub use task::Task;
