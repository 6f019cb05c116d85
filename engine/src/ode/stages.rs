//! The stages of one Runge-Kutta step, and the fused loops over them.
//!
//! y + h sum_i w_i k_i is computed in one of two ways: on the tape and in its adjoint term by term
//! ([`add_terms`]), each a fused multiply-add with the weight h w_i; where the error is controlled, the sum first
//! (`combine`), so that a small increment keeps its digits and the error estimate is not lost in rounding.

use rayon::prelude::*;

use super::Tableau;
use crate::parallel::CHUNK;
use crate::parallel::Tasks;
use crate::simd::axpy;
use crate::{Real, parallel, simd_fn};

/// Numbers that stay in the first cache while all stages are added up.
const BLOCK: usize = 1024;

/// Derivatives k_1, k_2, ... one after the other, and the point at which the next one is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Stages<T> {
    pub k: Vec<T>,
    point: Vec<T>,
    partials: Vec<f64>,
}

impl<T: Real> Stages<T> {
    /// Makes room for `stages` derivatives of `len` numbers.
    pub fn resize(&mut self, stages: usize, len: usize) {
        self.k.resize(stages * len, T::ZERO);
        self.point.resize(len, T::ZERO);
    }

    /// Fills the stages from `first` on.
    pub fn evaluate(
        &mut self,
        tableau: &Tableau,
        first: usize,
        f: &mut impl FnMut(f64, &[T], &mut [T]),
        t: f64,
        h: f64,
        y: &[T],
    ) {
        let n = y.len();
        for i in first..tableau.stages() {
            let (known, rest) = self.k.split_at_mut(i * n);
            if i == 0 {
                f(t, y, &mut rest[..n]);
            } else {
                combine(y, T::of(h), tableau.a[i], known, &mut self.point);
                f(t + tableau.c[i] * h, &self.point, &mut rest[..n]);
            }
        }
    }

    /// out = y + h sum_i w_i k_i.
    pub fn combine(&self, y: &[T], h: f64, w: &[f64], out: &mut [T]) {
        combine(y, T::of(h), w, &self.k, out);
    }

    /// The last stage becomes the first one.
    pub fn last_to_first(&mut self) {
        let n = self.point.len();
        let last = self.k.len() - n;
        self.k.copy_within(last.., 0);
    }

    /// sqrt(mean_i (h sum_j e_j k_ij / (atol + rtol max(|y_i|, |z_i|)))^2); 0 for an empty state.
    pub fn error_norm(&mut self, h: f64, e: &[f64], y: &[T], z: &[T], tolerance: [f64; 2]) -> f64 {
        let point = &mut self.point;
        combine(&[], T::of(h), e, &self.k, point);
        scaled_norm(point, y, z, tolerance, &mut self.partials)
    }

    /// The same norm of any `x`.
    pub fn scaled_norm(&mut self, x: &[T], y: &[T], tolerance: [f64; 2]) -> f64 {
        scaled_norm(x, y, y, tolerance, &mut self.partials)
    }
}

/// out = y + h sum_i w_i k_i, term by term; `k(i)` is k_i.
pub(super) fn add_terms<'a, T: Real>(
    y: &[T],
    h: f64,
    w: &[f64],
    k: impl Fn(usize) -> &'a [T] + Sync,
    out: &mut [T],
) {
    parallel::for_chunks(out, CHUNK, |c, out| {
        let at = c * CHUNK..c * CHUNK + out.len();
        out.copy_from_slice(&y[at.clone()]);
        for (i, w) in w.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            axpy(T::of(h * w), &k(i)[at.clone()], out);
        }
    });
}

/// Whether no number is infinite or NaN.
pub(super) fn all_finite<T: Real>(x: &[T]) -> bool {
    x.chunks(BLOCK).all(|x| x.iter().fold(true, |all, x| all & x.is_finite()))
}

/// out = y + h sum_i w_i k_i, the sum first, so that small increments keep their digits; an empty
/// `y` is 0.
fn combine<T: Real>(y: &[T], h: T, w: &[f64], k: &[T], out: &mut [T]) {
    let n = out.len();
    parallel::for_chunks(out, CHUNK, |at, out| {
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let from = at * CHUNK + block * BLOCK;
            out.fill(T::ZERO);
            for (i, w) in w.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                axpy(T::of(*w), &k[i * n + from..][..out.len()], out);
            }
            if y.is_empty() {
                scale(h, out);
            } else {
                step_from(&y[from..][..out.len()], h, out);
            }
        }
    });
}

fn scaled_norm<T: Real>(x: &[T], y: &[T], z: &[T], tolerance: [f64; 2], partials: &mut Vec<f64>) -> f64 {
    let n = x.len();
    let sum = if n <= CHUNK {
        sum_of_scaled_squares(x, y, z, tolerance)
    } else {
        partials.resize(n.div_ceil(CHUNK), 0.0);
        partials
            .par_iter_mut()
            .zip(x.par_chunks(CHUNK))
            .zip(y.par_chunks(CHUNK).zip(z.par_chunks(CHUNK)))
            .each(|_, ((partial, x), (y, z))| *partial = sum_of_scaled_squares(x, y, z, tolerance));
        partials.iter().fold(0.0, |sum, partial| sum + partial)
    };
    (sum / n.max(1) as f64).sqrt()
}

simd_fn! {
    fn scale<T: Real>(a: T, x: &mut [T]) {
        for x in x {
            *x *= a;
        }
    }

    /// x = y + h x.
    fn step_from<T: Real>(y: &[T], h: T, x: &mut [T]) {
        for (y, x) in y.iter().zip(x) {
            *x = h.mul_add(*x, *y);
        }
    }

    /// Eight running sums in f64, folded in order.
    fn sum_of_scaled_squares<T: Real>(x: &[T], y: &[T], z: &[T], tolerance: [f64; 2]) -> f64 {
        let [rtol, atol] = tolerance;
        let square = |x: T, y: T, z: T| {
            let size = y.f64().abs().max(z.f64().abs());
            let ratio = x.f64() / rtol.mul_add(size, atol);
            ratio * ratio
        };
        let mut sums = [0.0f64; 8];
        let ((x8, x), (y8, y), (z8, z)) = (x.as_chunks::<8>(), y.as_chunks::<8>(), z.as_chunks::<8>());
        for ((x, y), z) in x8.iter().zip(y8).zip(z8) {
            for i in 0..8 {
                sums[i] += square(x[i], y[i], z[i]);
            }
        }
        for i in 0..x.len() {
            sums[i] += square(x[i], y[i], z[i]);
        }
        sums.iter().fold(0.0, |total, sum| total + sum)
    }
}
