//! How alike the states of nodes become with depth.

pub mod evolve;
pub mod project;
pub mod smoothing;
