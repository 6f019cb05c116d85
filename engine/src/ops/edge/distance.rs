//! s_e = |a_i - b_j| for every edge e = (i, j), or its square: a_bar_i += sum_e s_bar_e (a_i - b_j) / s_e, or
//! 2 s_bar_e (a_i - b_j), and b_bar_j the opposite. The gradient of |.| at 0 is taken as 0.

use std::sync::Arc;

use super::check_ends;
use crate::simd::prefetch;
use crate::sparse::kernels::{AHEAD, LANES, lane_sum};
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, simd_fn};

/// Inputs a, b.
struct Distance {
    pattern: Arc<Pattern>,
    squared: bool,
}

simd_fn! {
    fn squared_distance<T: Real>(x: &[T], y: &[T]) -> T {
        let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        let mut sum = [T::ZERO; LANES];
        for (x, y) in xs.iter().zip(ys) {
            for l in 0..LANES {
                let d = x[l] - y[l];
                sum[l] = d.mul_add(d, sum[l]);
            }
        }
        let mut rest = T::ZERO;
        for (x, y) in x_rest.iter().zip(y_rest) {
            rest = (*x - *y).mul_add(*x - *y, rest);
        }
        lane_sum(sum) + rest
    }
}

impl<T: Real> Op<T> for Distance {
    fn name(&self) -> &'static str {
        "distance on edges"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        check_ends(&self.pattern, inputs[0], inputs[1])?;
        Ok(Shape::new(1, self.pattern.len()))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (a, b) = (x.get(0), x.get(1));
        self.pattern.for_rows(out, 1, |i, out| {
            let (others, ahead) = (self.pattern.by_row.group(i).0, self.pattern.by_row.from(i));
            for (k, (other, s)) in others.iter().zip(out).enumerate() {
                if let Some(next) = ahead.get(k + AHEAD) {
                    prefetch(b.data, *next as usize * b.shape.rows, b.shape.rows);
                }
                let r2 = squared_distance(a.col(i), b.col(*other as usize));
                *s = if self.squared { r2 } else { r2.sqrt() };
            }
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (a, b, rows) = (saved.x.get(0), saved.x.get(1), saved.x.get(0).shape.rows);
        // ds/da = (a - b) times 2, or times 1 / s.
        for (bar, s) in out_bar.iter_mut().zip(saved.out.data) {
            *bar = if self.squared {
                T::of(2.0) * *bar
            } else if *s > T::ZERO {
                *bar / *s
            } else {
                T::ZERO
            };
        }
        let factors = &*out_bar;
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(0) {
            self.pattern.by_row.for_groups(data, rows, |i, a_bar| {
                self.pattern.by_row.accumulate_differences(i, factors, a.col(i), b.data, overwrite, a_bar);
            });
        }
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(1) {
            self.pattern.by_col.for_groups(data, rows, |j, b_bar| {
                self.pattern.by_col.accumulate_differences(j, factors, b.col(j), a.data, overwrite, b_bar);
            });
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// s_e = |a_i - b_j| for every edge e = (i, j) (1 x nnz); a_bar_i += sum_e s_bar_e (a_i - b_j) / s_e, and b_bar_j
    /// the opposite. The gradient at 0 is taken as 0.
    pub fn edge_distance(&mut self, graph: &Sparse, a: Var, b: Var) -> Var {
        self.apply(Distance { pattern: graph.pattern.clone(), squared: false }, &[a, b])
    }
    /// s_e = |a_i - b_j|^2 for every edge e = (i, j) (1 x nnz); a_bar_i += sum_e 2 s_bar_e (a_i - b_j), and b_bar_j
    /// the opposite.
    pub fn edge_squared_distance(&mut self, graph: &Sparse, a: Var, b: Var) -> Var {
        self.apply(Distance { pattern: graph.pattern.clone(), squared: true }, &[a, b])
    }
}
