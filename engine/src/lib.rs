//! Reverse-mode differentiation, ops, ODE solvers, optimisers and SIMD kernels for differential equations with
//! learned right-hand sides, on the CPU.
//!
//! **Columns are samples** (or nodes, particles, edges): a batch of `n` feature vectors of length `d` is a `d x n`
//! column-major matrix, with the features of a sample contiguous. A linear layer is `W x + b`; gather and scatter
//! move whole columns.

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
