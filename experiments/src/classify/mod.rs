//! Node classification on graphs: configuration, runs over splits, search, pictures.

mod batch;
mod chosen;
mod config;
mod jobs;
mod picture;
mod report;
mod rows;
mod run;
mod search;
pub mod task;

pub use batch::Batch;
pub use chosen::{defaults, preset};
pub use config::{DataChoice, Edges, GraphConfig, MOST_INITIALISATIONS, SplitKind, splits};
pub use report::{Summary, table};
pub use run::{Options, Run};
pub use search::{MOST_TRIALS, Search};
