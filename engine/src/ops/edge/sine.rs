//! The coupling of Kuramoto oscillators on a graph, composed of other ops.

use crate::sparse::Sparse;
use crate::{Real, Recording, Var};

impl<T: Real> Recording<'_, T> {
    /// The coupling of Kuramoto oscillators, y_i = sum_e w_e sin(x_j - x_i), entry by entry over the edges (i, j) of
    /// receiver i; by sin(a - b) = sin a cos b - cos a sin b, with one sine for each node in place of each edge.
    pub fn edge_sine(&mut self, graph: &Sparse, w: Var, x: Var) -> Var {
        let (sin, cos) = (self.sin(x), self.cos(x));
        let (from_sin, from_cos) = (self.sparse_columns(graph, w, sin), self.sparse_columns(graph, w, cos));
        let (a, b) = (self.mul(cos, from_sin), self.mul(sin, from_cos));
        self.sub(a, b)
    }
}
