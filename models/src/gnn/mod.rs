//! Graph aggregation-diffusion networks (GRADE, arXiv 2403.20221) and their rivals: data, right-hand
//! sides, networks, training, and measures of over-smoothing.

pub mod data;
pub mod equations;
pub mod layers;
pub mod networks;
pub mod norm;
pub mod oversmoothing;
pub mod space;
pub mod training;

pub use data::{Adjacency, Dataset, FeatureMatrix, Normalisation, Split};
pub use networks::Network;
pub use training::Dropout;
