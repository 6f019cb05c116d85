//! Differentiable ops: one file each, with forward and vjp. Their functions are methods of
//! [`Recording`](crate::Recording), which give the equations.
//!
//! To add an op: write the file, add its line here, and a case to `proptests/tests/properties/ops.rs` (ops on
//! graphs: `graph_ops.rs`).

pub mod activation;
mod arrange;
mod attention;
mod binary;
mod combine;
mod edges;
pub mod flux;
pub mod index;
pub mod linear;
mod matmul;
pub mod pattern;
mod reduce;
mod scalar;
mod softmax;
pub mod spmm;
