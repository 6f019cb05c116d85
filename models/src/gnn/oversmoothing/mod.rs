//! How alike the states of nodes become with depth.

pub mod clusters;
pub mod evolve;
pub mod flow;
pub mod project;
pub mod rank;
pub mod smoothing;
pub mod units;
