//! Right-hand sides dx/dt = f(x, t) on a graph, one file each. x is channels x nodes.
//!
//! To add one: write the file, and its line in `networks::build`.

mod acmp;
mod grade;
mod grand;
mod gread;
mod kuramoto;

pub use acmp::Acmp;
pub use grade::{Form, Grade, GradeSettings, Kernel, Mobility, Sigma};
pub use grand::Grand;
pub use gread::{Gread, Reaction};
pub use kuramoto::Kuramoto;

use std::sync::Arc;

use engine::{Params, Real, Recording, Var};

use super::Adjacency;
use super::attention::DotAttention;

/// A right-hand side.
pub trait Dynamics<T: Real>: Send + Sync {
    /// The edge weights A, made once where integration begins.
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var;

    /// f(x, t), with the weights and the initial state.
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var;
}

/// What is made once where integration begins.
#[derive(Clone, Copy)]
pub struct Start {
    /// Edge weights (1 x nnz).
    pub weights: Var,
    /// The initial state.
    pub x0: Var,
}

/// The matrix A of a block: fixed, or attention at the initial state.
pub struct Mixing<T> {
    /// The graph, and the weights if they are fixed.
    pub adjacency: Arc<Adjacency<T>>,
    attention: Option<DotAttention<T>>,
}

impl<T: Real> Mixing<T> {
    /// Fixed weights, or `heads` heads of attention with 64 numbers if not 0.
    pub fn new(
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        channels: usize,
        heads: usize,
        seed: u64,
    ) -> Self {
        let attention =
            (heads > 0).then(|| DotAttention::new(params, adjacency.clone(), channels, (64, heads), seed));
        Self { adjacency, attention }
    }

    /// The weights of A (1 x nnz) at the state x.
    pub fn weights(&self, g: &mut Recording<T>, x: Var) -> Var {
        match &self.attention {
            Some(attention) => attention.weights(g, x),
            None => g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights),
        }
    }

    /// A x - x.
    pub fn diffuse(&self, g: &mut Recording<T>, weights: Var, x: Var) -> Var {
        g.sparse_laplacian(&self.adjacency.sparse, weights, x)
    }

    /// A x.
    pub fn mix(&self, g: &mut Recording<T>, weights: Var, x: Var) -> Var {
        g.sparse_columns(&self.adjacency.sparse, weights, x)
    }
}
