//! Sparse matrices on things (columns): Y = X (S - D)^T, y_i = sum_j S_ij x_j - D_i x_i, where the diagonal D
//! is nothing, the identity (the Laplacian of a walk) or the sums of the rows of S (differences:
//! y_i = sum_j S_ij (x_j - x_i)).
//!
//! X_bar += Y_bar (S - D);  w_bar_ij += <y_bar_i, x_j>, and - <y_bar_i, x_i> where D depends on w.

use std::sync::Arc;

use super::kernels::{dot, sampled_product};
use crate::ops::pattern::Pattern;
use crate::simd::axpy;
use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Op, Real, Shape};

/// The diagonal that is subtracted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Minus {
    Nothing,
    Identity,
    RowSums,
}

/// Y = X (S - D)^T.
pub(in crate::ops) struct Things {
    pub(super) pattern: Arc<Pattern>,
    pub(super) minus: Minus,
}

impl Things {
    /// D_i, unless there is none.
    fn own<T: Real>(&self, i: usize, w: &[T]) -> Option<T> {
        match self.minus {
            Minus::Nothing => None,
            Minus::Identity => Some(T::ONE),
            Minus::RowSums => Some(w[self.pattern.row(i)].iter().fold(T::ZERO, |sum, w| sum + *w)),
        }
    }
}

/// Weights have one column for each entry, and their heads divide the rows they weigh.
pub(in crate::ops) fn check_weights(pattern: &Pattern, w: Shape, rows: usize) -> Result<(), String> {
    if w.cols != pattern.len() {
        return Err(format!("S has {} entries, with a column of weights for each", pattern.len()));
    }
    if w.rows == 0 || !rows.is_multiple_of(w.rows) {
        return Err("the number of heads divides the rows of x".into());
    }
    Ok(())
}

impl<T: Real> Op<T> for Things {
    fn name(&self) -> &'static str {
        "sparse product over columns"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let (s, x) = (self.pattern.shape(), inputs[1]);
        check_weights(&self.pattern, inputs[0], x.rows)?;
        if x.cols != s.cols || (self.minus != Minus::Nothing && s.rows != s.cols) {
            return Err(format!("S is {s}, X has another number of columns"));
        }
        if self.minus == Minus::RowSums && inputs[0].rows != 1 {
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
            if self.minus == Minus::RowSums {
                self.pattern.for_rows(w_bar, 1, |i, w_bar| {
                    let own = dot(bar(i), x.col(i));
                    w_bar.iter_mut().for_each(|w| *w -= own);
                });
            }
        }
        if let Some(x_bar) = x_bar.first(1) {
            let order = &self.pattern.by_col;
            order.for_groups(x_bar.data, rows, |j, bar_j| {
                order.accumulate_one(j, w.data, heads, out_bar, x_bar.fresh, bar_j);
                if let Some(s) = self.own(j, w.data) {
                    axpy(-s, bar(j), bar_j);
                }
            });
        }
    }
}
