//! Graph aggregation-diffusion networks (GRADE, arXiv 2403.20221) and their rivals: data, right-hand
//! sides, networks, training, and measures of over-smoothing.

pub mod adjacency;
pub mod attention;
pub mod check;
pub mod coefficient;
pub mod components;
pub mod dataset;
pub mod dropout;
pub mod dynamics;
pub mod evolve;
pub mod homophily;
pub mod layers;
pub mod networks;
pub mod project;
pub mod score;
pub mod settings;
pub mod smoothing;
pub mod synthetic;
pub mod train;

pub use adjacency::{Adjacency, Normalisation};
pub use dataset::{Dataset, Split};
pub use dropout::Dropout;
