//! How alike the states of nodes become with depth.

pub mod clusters;
pub mod evolve;
pub mod flow;
pub mod k_means;
pub mod project;
pub mod rank;
pub mod smoothing;
pub mod units;
