//! Node classification on graphs: configuration, runs over splits, search, pictures.

mod batch;
mod chosen;
mod config;
mod picture;
mod report;
mod run;
mod search;
pub mod task;

pub use batch::Batch;
pub use chosen::{defaults, preset};
pub use config::{DataChoice, Edges, GraphConfig, SplitKind, splits};
pub use report::{Summary, table};
pub use run::{Options, Run};
pub use search::Search;
