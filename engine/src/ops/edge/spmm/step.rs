//! One step of a linear equation on a graph.

use std::sync::Arc;

use crate::simd::axpy;
use crate::sparse::Pattern;
use crate::sparse::kernels::sampled_product;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Shape, parallel, simd_fn};

/// Y = X + c Z (S - I)^T; inputs w, z, x.
pub(super) struct Step {
    pub(super) pattern: Arc<Pattern>,
    pub(super) c: f64,
}

impl<T: Real> Op<T> for Step {
    fn name(&self) -> &'static str {
        "sparse step"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (s, x) = (self.pattern.shape(), inputs[1]);
        if inputs[0] != Shape::new(1, self.pattern.len()) || s != Shape::new(x.cols, x.cols) || x != inputs[2]
        {
            return Err(format!("S is {s} with one weight for each of its {} entries", self.pattern.len()));
        }
        Ok(x)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, z, x, c) = (x.get(0).data, x.get(1), x.get(2), T::of(self.c));
        self.pattern.by_row.for_groups(out, z.shape.rows, |i, y| {
            let order = &self.pattern.by_row;
            order.accumulate_one(i, w, 1, z.data, true, y);
            step(c, z.col(i), x.col(i), y);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, z, c) = (saved.x.get(0), saved.x.get(1), T::of(self.c));
        let rows = z.shape.rows;
        if let Some(bar) = x_bar.get(2) {
            let out_bar = &*out_bar;
            parallel::for_chunks(bar, parallel::CHUNK, |k, x| {
                axpy(T::ONE, &out_bar[k * parallel::CHUNK..k * parallel::CHUNK + x.len()], x);
            });
        }
        parallel::for_chunks(out_bar, parallel::CHUNK, |_, g| g.iter_mut().for_each(|g| *g *= c));
        let out_bar = &*out_bar;
        if let Some(w_bar) = x_bar.get(0) {
            sampled_product(&self.pattern, 1, out_bar, z.data, rows, w_bar);
        }
        if let Some(z_bar) = x_bar.get(1) {
            self.pattern.by_col.for_groups(z_bar, rows, |j, bar| {
                axpy(-T::ONE, &out_bar[j * rows..(j + 1) * rows], bar);
                self.pattern.by_col.accumulate_one(j, w.data, 1, out_bar, false, bar);
            });
        }
    }
}

simd_fn! {
    /// y = x + c (y - z).
    fn step<T: Real>(c: T, z: &[T], x: &[T], y: &mut [T]) {
        for ((z, x), y) in z.iter().zip(x).zip(y) {
            *y = c.mul_add(*y - *z, *x);
        }
    }
}
