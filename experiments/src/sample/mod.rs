//! Sampling a target: train or run a method, and measure what it gives.

mod agreement;
mod config;
mod drawn;
mod guide;
mod judge;
mod learned;
mod measure;
mod memory;
mod modes;
mod observe;
mod order;
mod pictures;
mod presets;
mod reference_cache;
mod reference_source;
mod report;
mod run;
mod trained;
mod verdict;

pub use config::{Evaluation, Request, SampleConfig, configure};
pub use observe::names_an_observable;
pub use run::{Extras, KIND, Run, came_to, over_seeds, reference_inputs};
pub use trained::Trained;
