//! Sparse times dense, with gradients to the sparse values and to the dense matrix.
//!
//! S is an m x n sparse matrix with fixed structure; its values w are an input, one column for each
//! entry. In the convention that columns are things, S acts on things from the right:
//! Y = X S^T, y_i = sum_j S_ij x_j (each thing i gathers from things j), X of size d x n;
//! X_bar += Y_bar S,  w_bar_ij += <y_bar_i, x_j>. With several heads w is h x nnz, and head a weighs
//! the a-th of h equal blocks of rows.

mod features;
mod kernels;
mod rk4;
mod row_tile;
mod step;
mod things;

use std::sync::Arc;

use sprs::CsMat;

use super::attention::Attention;
use super::edges::{Attend, Distance, Dot, Softmax};
use super::flux::Flux;
use super::pattern::Pattern;
use crate::{Real, Recording, Var};
use features::Features;
use rk4::Rk4;
use row_tile::TILE_ROWS;
use step::Step;
use things::{Minus, Things};

pub(super) use kernels::{AHEAD, LANES, add_dots, dot, lane_dot, lane_sum, sampled_product};
pub(super) use things::check_weights;

/// Nodes beyond which a tile of rows no longer fits a core's cache.
const MOST_NODES: usize = 8192;

/// A sparse structure ready for every op on it; make it once, outside the training loop.
#[derive(Clone)]
pub struct Sparse {
    pattern: Arc<Pattern>,
    things: Arc<Things>,
    laplacian: Arc<Things>,
    differences: Arc<Things>,
    features: Arc<Features>,
    step: Arc<Step>,
    rk4: Arc<Rk4>,
    pub(super) dot: Arc<Dot>,
    pub(super) softmax: Arc<Softmax>,
    pub(super) distance: Arc<Distance>,
    pub(super) attend: Arc<Attend>,
    pub(super) attention: Arc<Attention>,
    pub(super) flux: Arc<Flux>,
}

impl Sparse {
    /// The structure of `matrix`, and its values as an op's input (1 x nnz).
    pub fn new<T: Real>(matrix: &CsMat<T>) -> (Self, Vec<T>) {
        let (pattern, values) = Pattern::new(matrix);
        let p = Arc::new(pattern);
        let sparse = Self {
            things: Arc::new(Things { pattern: p.clone(), minus: Minus::Nothing }),
            laplacian: Arc::new(Things { pattern: p.clone(), minus: Minus::Identity }),
            differences: Arc::new(Things { pattern: p.clone(), minus: Minus::RowSums }),
            features: Arc::new(Features(p.clone())),
            step: Arc::new(Step(p.clone())),
            rk4: Arc::new(Rk4::new(p.clone())),
            dot: Arc::new(Dot(p.clone())),
            softmax: Arc::new(Softmax(p.clone())),
            distance: Arc::new(Distance(p.clone())),
            attend: Arc::new(Attend(p.clone())),
            attention: Arc::new(Attention::new(p.clone())),
            flux: Arc::new(Flux(p.clone())),
            pattern: p,
        };
        (sparse, values)
    }

    /// X S^T outside a graph: `out` (rows x m) from `x` (rows x n) and the values of S.
    pub fn product<T: Real>(&self, values: &[T], x: &[T], rows: usize, out: &mut [T]) {
        let shape = self.pattern.shape();
        assert!(
            values.len() == self.pattern.len()
                && x.len() == rows * shape.cols
                && out.len() == rows * shape.rows
        );
        self.pattern.by_row.accumulate(values, 1, x, rows, true, out);
    }

    /// The structure.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl<T: Real> Recording<'_, T> {
    /// X S^T: column i of the result is sum_j S_ij x_j. `values` are those of S (heads x nnz).
    pub fn sparse_columns(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.things.clone(), &[values, x])
    }
    /// X (S - I)^T: column i of the result is sum_j S_ij x_j - x_i. S is square.
    pub fn sparse_laplacian(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.laplacian.clone(), &[values, x])
    }
    /// Column i of the result is sum_j S_ij (x_j - x_i). S is square, `values` 1 x nnz.
    pub fn sparse_differences(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.differences.clone(), &[values, x])
    }
    /// X + c Z (S - I)^T: column i of the result is x_i + c (sum_j S_ij z_j - z_i). S is square, `values`
    /// 1 x nnz.
    pub fn sparse_step(&mut self, sparse: &Sparse, values: Var, z: Var, x: Var, c: f64) -> Var {
        self.apply_with(sparse.step.clone(), &[values, z, x], [c, 0.0])
    }
    /// One Runge-Kutta step of fourth order, of length h, of dx/dt = X (S - I)^T. S is square, `values` 1 x nnz.
    ///
    /// On a linear equation that step is the Taylor polynomial in Horner's form,
    /// x + h L (x + h/2 L (x + h/3 L (x + h/4 L x))): one op where tiles of rows fit a core's cache and
    /// there are several, else four products.
    pub fn diffusion_rk4_step(&mut self, sparse: &Sparse, values: Var, x: Var, h: f64) -> Var {
        let shape = self.shape(x);
        if shape.rows > TILE_ROWS && shape.cols <= MOST_NODES {
            return self.apply_with(sparse.rk4.clone(), &[values, x], [h, 0.0]);
        }
        [4.0, 3.0, 2.0, 1.0].iter().fold(x, |z, k| self.sparse_step(sparse, values, z, x, h / k))
    }
    /// S X.
    pub fn sparse_rows(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.features.clone(), &[values, x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn products_and_gradients_worked_out_by_hand() {
        // S = [0 2; 3 0], stored by row: 2, 3.
        let s = CsMat::new((2, 2), vec![0, 1, 2], vec![1, 0], vec![2.0, 3.0]);
        let (sparse, values) = Sparse::new(&s);
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let w = g.variable(1, 2, &values);
        let x = g.variable(1, 2, &[10.0, 20.0]);
        let y = g.sparse_columns(&sparse, w, x);
        assert_eq!(g.value(y).data, [40.0, 30.0]);
        g.backward_from(y, &[1.0, 1.0], &mut []);
        assert_eq!(g.grad(w).data, [20.0, 10.0]);
        assert_eq!(g.grad(x).data, [3.0, 2.0]);
        let y = g.sparse_laplacian(&sparse, w, x);
        assert_eq!(g.value(y).data, [30.0, 10.0]);
        let x = g.variable(2, 1, &[10.0, 20.0]);
        let y = g.sparse_rows(&sparse, w, x);
        assert_eq!(g.value(y).data, [40.0, 30.0]);
        g.backward_from(y, &[1.0, 0.0], &mut []);
        assert_eq!(g.grad(w).data, [20.0, 0.0]);
        assert_eq!(g.grad(x).data, [0.0, 2.0]);
    }
}
