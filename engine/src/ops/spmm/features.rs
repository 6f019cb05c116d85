//! Sparse matrices on features (rows), from the left: Y = S X, with X_bar += S^T Y_bar,
//! w_bar_ij += <row i of Y_bar, row j of X>.

use std::sync::Arc;

use super::things::check_weights;
use crate::ops::pattern::Pattern;
use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Op, Real, Shape, par};

/// Y = S X.
pub(in crate::ops) struct Features(pub(super) Arc<Pattern>);

impl<T: Real> Op<T> for Features {
    fn name(&self) -> &'static str {
        "sparse product over rows"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let s = self.0.shape();
        check_weights(&self.0, inputs[0], 1)?;
        if inputs[1].rows != s.cols {
            return Err(format!("S is {s}, X has another number of rows"));
        }
        Ok(Shape::new(s.rows, inputs[1].cols))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x, m) = (x.get(0).data, x.get(1), self.0.shape().rows);
        out.fill(T::ZERO);
        par::for_chunks(out, m.max(1), |j, out| self.0.by_row.accumulate_within(w, x.col(j), out));
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let (m, n) = (self.0.shape().rows, x.shape.rows);
        let out_bar = &*out_bar;
        if let Some(w_bar) = x_bar.get(0) {
            self.0.for_rows(w_bar, 1, |i, w_bar| {
                let (others, _) = self.0.by_row.group(i);
                for (other, w) in others.iter().zip(w_bar) {
                    for j in 0..x.shape.cols {
                        *w = out_bar[j * m + i].mul_add(x.data[j * n + *other as usize], *w);
                    }
                }
            });
        }
        if let Some(x_bar) = x_bar.get(1) {
            let by_col = &self.0.by_col;
            par::for_chunks(x_bar, n.max(1), |j, x| {
                by_col.accumulate_within(w.data, &out_bar[j * m..(j + 1) * m], x)
            });
        }
    }
}
