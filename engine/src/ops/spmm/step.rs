//! One step of a linear equation on a graph.

use std::sync::Arc;

use super::kernels::sampled_product;
use crate::ops::pattern::Pattern;
use crate::simd::axpy;
use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Op, Real, Shape, par, simd_fn};

/// Y = X + c Z (S - I)^T, c the use's scalar; inputs w, z, x.
pub(in crate::ops) struct Step(pub(super) Arc<Pattern>);

impl<T: Real> Op<T> for Step {
    fn name(&self) -> &'static str {
        "sparse step"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let (s, x) = (self.0.shape(), inputs[1]);
        if inputs[0] != Shape::new(1, self.0.len()) || s != Shape::new(x.cols, x.cols) || x != inputs[2] {
            return Err(format!("S is {s} with one weight for each of its {} entries", self.0.len()));
        }
        Ok(x)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, z, x, c) = (x.get(0).data, x.get(1), x.get(2), T::of(x.attr[0]));
        self.0.by_row.for_groups(out, z.shape.rows, |i, y| {
            let order = &self.0.by_row;
            order.accumulate_one(i, w, 1, z.data, true, y);
            step(c, z.col(i), x.col(i), y);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, z, c) = (saved.x.get(0), saved.x.get(1), T::of(saved.x.attr[0]));
        let rows = z.shape.rows;
        if let Some(bar) = x_bar.get(2) {
            let out_bar = &*out_bar;
            par::for_chunks(bar, par::CHUNK, |k, x| {
                axpy(T::ONE, &out_bar[k * par::CHUNK..k * par::CHUNK + x.len()], x);
            });
        }
        par::for_chunks(out_bar, par::CHUNK, |_, g| g.iter_mut().for_each(|g| *g *= c));
        let out_bar = &*out_bar;
        if let Some(w_bar) = x_bar.get(0) {
            sampled_product(&self.0, 1, out_bar, z.data, rows, w_bar);
        }
        if let Some(z_bar) = x_bar.get(1) {
            self.0.by_col.for_groups(z_bar, rows, |j, bar| {
                axpy(-T::ONE, &out_bar[j * rows..(j + 1) * rows], bar);
                self.0.by_col.accumulate_one(j, w.data, 1, out_bar, false, bar);
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
