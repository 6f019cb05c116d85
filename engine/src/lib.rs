//! Reverse-mode automatic differentiation, SIMD kernels, sparse ops on graphs, ODE solvers and optimisers.
//!
//! **Columns are samples** (or nodes, particles, edges): a batch of `n` feature vectors of length `d` is a `d x n`
//! column-major matrix. A linear layer is `W x + b`; gather and scatter move whole columns.
//!
//! Results are the same to the last bit for any number of threads (see [`parallel`]) and at every SIMD level (see
//! [`simd`]).

#![deny(unsafe_code)]

pub mod aligned;
pub mod buffer_pool;
pub mod checkpoint;
pub mod data_parallel;
pub mod gradcheck;
mod math;
mod matrix;
pub mod ode;
pub mod ops;
pub mod optim;
pub mod packed_gemm;
pub mod parallel;
mod params;
pub mod ranks;
mod real;
pub mod rng;
pub mod simd;
pub mod sparse;
pub mod tape;

pub use matrix::{Matrix, Shape, View};
pub use params::{ParamId, Params};
pub use real::Real;
pub use tape::{Op, Recording, Tape, Var};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
