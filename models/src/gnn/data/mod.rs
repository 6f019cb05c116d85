//! Graphs with features, labels and splits: checks, measures, and graphs that need no file.

pub mod adjacency;
pub mod check;
pub mod citations;
pub mod components;
pub mod dataset;
pub mod features;
pub mod homophily;
pub mod partition;
pub mod regular;
pub mod statistics;
pub mod synthetic;

pub use adjacency::{Adjacency, Normalisation};
pub use dataset::{Dataset, Split};
pub use features::FeatureMatrix;
