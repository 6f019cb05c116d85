//! Differentiable ops: one file each, forward and vjp side by side under the equation.
//!
//! To add one: write the file, add its line here, and its case to `proptests/tests/properties/ops.rs`
//! (on graphs: `graph_ops.rs`).

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
