//! Graph aggregation-diffusion networks (GRADE, arXiv 2403.20221) and their rivals: data, right-hand
//! sides, networks, training, and measures of over-smoothing.

pub mod dataset;

pub use dataset::{Dataset, Split};
