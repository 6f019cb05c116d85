//! Differentiable ops: one file each, with forward and vjp; those on the edges of a graph in [`edge`]. Their
//! functions are methods of [`Recording`](crate::Recording), which give the equations.
//!
//! To add an op: write the file, add its line here, and a case to `proptests/tests/properties/ops.rs` (ops on
//! graphs: `graph_ops.rs`).

pub mod activation;
mod arrange;
mod binary;
mod combine;
mod dropout;
pub mod edge;
pub mod index;
mod linear;
mod matmul;
mod normalise;
mod reduce;
mod scalar;
mod scale_shift;
