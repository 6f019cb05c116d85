//! Differentiable ops: one file each, forward and vjp side by side under the equation; those on the edges of a
//! graph in [`edge`].
//!
//! To add an op: write the file, add its line here, and a case to `proptests/tests/properties/ops.rs` (ops on
//! graphs: `graph_ops.rs`).

pub mod activation;
mod arrange;
mod binary;
mod combine;
pub mod edge;
pub mod index;
pub mod linear;
mod matmul;
mod reduce;
mod scalar;
