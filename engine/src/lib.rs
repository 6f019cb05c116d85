//! Numbers: everything that a differential equation with a learned right-hand side needs.
//!
//! **A column is one thing** (a sample, a node, a particle, an edge). A batch of `n` feature vectors
//! of length `d` is a `d x n` column-major matrix, so that each thing's features lie together. A
//! linear layer is `W x + b`; gather and scatter move whole columns.

#![deny(unsafe_code)]

pub mod checkpoint;
pub mod gradcheck;
pub mod math;
pub mod matrix;
pub mod ode;
pub mod ops;
pub mod optim;
pub mod packed_gemm;
pub mod par;
pub mod params;
pub mod real;
pub mod rng;
pub mod shard;
pub mod simd;
pub mod slab;
pub mod spares;
pub mod sparse;
pub mod tape;

pub use matrix::{Matrix, Shape, View};
pub use params::{ParamId, Params};
pub use real::Real;
pub use tape::{Op, Recording, Tape, Var};
