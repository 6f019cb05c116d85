//! Sparse times dense, with gradients to the sparse values and to the dense matrix.
//!
//! Columns are nodes, and S acts from the right: Y = X (S - D)^T, y_i = sum_j S_ij x_j - D_i x_i, where the
//! diagonal D is zero, the identity (the Laplacian of a random walk) or the row sums of S (differences:
//! y_i = sum_j S_ij (x_j - x_i)). With several heads w is h x nnz, and head a weighs the a-th of h equal blocks of
//! rows.
//!
//! X_bar += Y_bar (S - D);  w_bar_ij += <y_bar_i, x_j>, and - <y_bar_i, x_i> where D depends on w.

mod rk4;
mod row_tile;
mod step;

use std::sync::Arc;

use super::check_weights;
use crate::simd::axpy;
use crate::sparse::kernels::{dot, sampled_product};
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var};
use rk4::Rk4;
use row_tile::TILE_ROWS;
use step::Step;

/// Nodes beyond which a tile of rows no longer fits a core's cache.
const MOST_NODES: usize = 8192;

/// The diagonal that is subtracted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Diagonal {
    Zero,
    Identity,
    RowSums,
}

/// Y = X (S - D)^T.
struct SpmmNodes {
    pattern: Arc<Pattern>,
    diagonal: Diagonal,
}

impl SpmmNodes {
    fn new(sparse: &Sparse, diagonal: Diagonal) -> Self {
        Self { pattern: sparse.pattern.clone(), diagonal }
    }

    /// D_i, or None for D = 0.
    fn own<T: Real>(&self, i: usize, w: &[T]) -> Option<T> {
        match self.diagonal {
            Diagonal::Zero => None,
            Diagonal::Identity => Some(T::ONE),
            Diagonal::RowSums => Some(w[self.pattern.row(i)].iter().fold(T::ZERO, |sum, w| sum + *w)),
        }
    }
}

impl<T: Real> Op<T> for SpmmNodes {
    fn name(&self) -> &'static str {
        "sparse product over columns"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (s, x) = (self.pattern.shape(), inputs[1]);
        check_weights(&self.pattern, inputs[0], x.rows)?;
        if x.cols != s.cols || (self.diagonal != Diagonal::Zero && s.rows != s.cols) {
            return Err(format!("S is {s}, X has another number of columns"));
        }
        if self.diagonal == Diagonal::RowSums && inputs[0].rows != 1 {
            return Err("differences have one weight for each entry".into());
        }
        Ok(Shape::new(x.rows, s.rows))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x, order) = (x.get(0), x.get(1), &self.pattern.by_row);
        order.for_groups(out, x.shape.rows, |i, y| {
            order.accumulate_one(i, w.data, w.shape.rows, x.data, true, y);
            if let Some(s) = self.own(i, w.data) {
                axpy(-s, x.col(i), y);
            }
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let (heads, rows) = (w.shape.rows, x.shape.rows);
        let bar = |i: usize| &out_bar[i * rows..(i + 1) * rows];
        if let Some(w_bar) = x_bar.get(0) {
            sampled_product(&self.pattern, heads, out_bar, x.data, rows, w_bar);
            if self.diagonal == Diagonal::RowSums {
                self.pattern.for_rows(w_bar, 1, |i, w_bar| {
                    let own = dot(bar(i), x.col(i));
                    w_bar.iter_mut().for_each(|w| *w -= own);
                });
            }
        }
        if let Some(x_bar) = x_bar.get_uninit(1) {
            let order = &self.pattern.by_col;
            order.for_groups(x_bar.data, rows, |j, bar_j| {
                order.accumulate_one(j, w.data, heads, out_bar, x_bar.overwrite, bar_j);
                if let Some(s) = self.own(j, w.data) {
                    axpy(-s, bar(j), bar_j);
                }
            });
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// Y = X S^T, y_i = sum_j S_ij x_j; `values` w are those of S (heads x nnz), and head a applies to the a-th of
    /// equal blocks of rows. X_bar += Y_bar S,  w_bar_ij += y_bar_i . x_j.
    pub fn sparse_columns(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(SpmmNodes::new(sparse, Diagonal::Zero), &[values, x])
    }
    /// Y = X (S - I)^T, y_i = sum_j S_ij x_j - x_i, the random-walk Laplacian. S is square.
    pub fn sparse_laplacian(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(SpmmNodes::new(sparse, Diagonal::Identity), &[values, x])
    }
    /// y_i = sum_j S_ij (x_j - x_i). S is square, `values` 1 x nnz.
    pub fn sparse_differences(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(SpmmNodes::new(sparse, Diagonal::RowSums), &[values, x])
    }
    /// Y = X + c Z (S - I)^T, y_i = x_i + c (sum_j S_ij z_j - z_i). S is square, `values` 1 x nnz.
    pub fn sparse_step(&mut self, sparse: &Sparse, values: Var, z: Var, x: Var, c: f64) -> Var {
        self.apply(Step { pattern: sparse.pattern.clone(), c }, &[values, z, x])
    }
    /// One Runge-Kutta step of fourth order, of length h, of dx/dt = X (S - I)^T. S is square, `values` 1 x nnz.
    ///
    /// For a linear equation with L = S - I the step is the Taylor polynomial in Horner's form,
    /// x + h L (x + h/2 L (x + h/3 L (x + h/4 L x))): one op where tiles of rows fit a core's cache and
    /// there are several, else four products.
    pub fn diffusion_rk4_step(&mut self, sparse: &Sparse, values: Var, x: Var, h: f64) -> Var {
        let shape = self.shape(x);
        if shape.rows > TILE_ROWS && shape.cols <= MOST_NODES {
            return self.apply(Rk4 { pattern: sparse.pattern.clone(), h }, &[values, x]);
        }
        [4.0, 3.0, 2.0, 1.0].iter().fold(x, |z, k| self.sparse_step(sparse, values, z, x, h / k))
    }
}

#[cfg(test)]
mod tests {
    use sprs::CsMat;

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
    }
}
