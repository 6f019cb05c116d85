//! Node classification on graphs: configuration, runs over splits, search, pictures.

mod batch;
mod config;
mod jobs;
mod picture;
mod presets;
mod report;
mod run;
mod search;
pub mod task;

pub use batch::Batch;
pub use config::{DataChoice, Edges, GraphConfig, MOST_INITIALISATIONS, SplitKind, splits};
pub use presets::{defaults, preset};
pub use report::{Summary, table};
pub use run::{Options, Run};
pub use search::{MOST_TRIALS, Search};
