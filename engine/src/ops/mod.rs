//! Differentiable ops: one file each, forward and vjp side by side under the equation; those on the edges of a
//! graph in [`edge`].
//!
//! To add one: write the file, add its line here, and its case to `proptests/tests/properties/ops.rs`
//! (on graphs: `graph_ops.rs`).

pub mod activation;
mod arrange;
mod binary;
mod combine;
pub mod edge;
pub mod index;
mod linear;
mod matmul;
mod reduce;
mod scalar;
