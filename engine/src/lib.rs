//! Numbers: everything that a differential equation with a learned right-hand side needs.
//!
//! **A column is one thing** (a sample, a node, a particle, an edge). A batch of `n` feature vectors
//! of length `d` is a `d x n` column-major matrix, so that each thing's features lie together. A
//! linear layer is `W x + b`; gather and scatter move whole columns.

pub mod math;
pub mod real;
pub mod simd;

pub use real::Real;
