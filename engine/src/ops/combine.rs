//! y = alpha o a + beta o c o d as one op, which keeps products and partial sums in registers and needs no
//! cotangents for them; and a step along it.

use crate::simd::axpy;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel, simd_fn};

impl<T: Real> Recording<'_, T> {
    /// y = alpha o a + beta o c o d, entry by entry: a, c, d rows x cols; alpha, beta one column (rows x 1) or one
    /// number, broadcast. With S the sum over the columns,
    ///
    /// a_bar += alpha o y_bar,  c_bar += beta o d o y_bar,  d_bar += beta o c o y_bar,
    /// alpha_bar += S(a o y_bar),  beta_bar += S(c o d o y_bar).
    pub fn combine(&mut self, (alpha, a): (Var, Var), (beta, c, d): (Var, Var, Var)) -> Var {
        self.apply(Combine { step: None }, &[alpha, a, beta, c, d])
    }

    /// y = x + h (alpha o a + beta o c o d): a step of Euler's method, without a place for the velocity. The numbers
    /// are those of [`combine`](Self::combine) and a step along it.
    pub fn combine_step(
        &mut self,
        (x, h): (Var, f64),
        (alpha, a): (Var, Var),
        (beta, c, d): (Var, Var, Var),
    ) -> Var {
        self.apply(Combine { step: Some(h) }, &[alpha, a, beta, c, d, x])
    }
}

struct Combine {
    /// h of a step from a sixth input.
    step: Option<f64>,
}

impl<T: Real> Op<T> for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [alpha, a, beta, c, d, from @ ..] = inputs else { return Err("wants five inputs".into()) };
        if from.len() != usize::from(self.step.is_some()) {
            return Err("wants a sixth input for a step, and for nothing else".into());
        }
        let factor = |s: &Shape| s.cols == 1 && (s.rows == 1 || s.rows == a.rows);
        if a == c && a == d && from.iter().all(|x| x == a) && factor(alpha) && factor(beta) {
            Ok(*a)
        } else {
            Err("states have one shape; alpha and beta are one column or one number".into())
        }
    }

    /// alpha and beta as columns.
    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        2 * out.rows
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let [alpha, a, beta, c, d] = [0, 1, 2, 3, 4].map(|k| x.get(k));
        let rows = a.shape.rows;
        if a.shape.is_empty() {
            return;
        }
        for (column, factor) in aux.chunks_exact_mut(rows).zip([alpha, beta]) {
            match factor.data {
                [number] => column.fill(*number),
                all => column.copy_from_slice(all),
            }
        }
        let (alpha, beta) = aux.split_at(rows);
        let per_task = per_task(rows);
        parallel::for_chunks(out, per_task, |k, out| {
            let at = k * per_task..k * per_task + out.len();
            let first = (alpha, &a.data[at.clone()]);
            let second = (beta, &c.data[at.clone()], &d.data[at.clone()]);
            match self.step {
                Some(h) => steps(out, (T::of(h), &x.get(5).data[at]), first, second),
                None => values(out, first, second),
            }
        });
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let [a, c, d] = [1, 3, 4].map(|k| saved.x.get(k));
        let rows = a.shape.rows;
        if a.shape.is_empty() {
            return;
        }
        let (alpha, beta) = saved.aux.split_at(rows);
        let per_task = per_task(rows);
        if let Some(h) = self.step {
            if let Some(bar) = x_bar.get_uninit(5) {
                let y_bar = &*out_bar;
                bar.for_chunks(per_task, |k, bar| {
                    axpy(T::ONE, &y_bar[k * per_task..k * per_task + bar.len()], bar);
                });
            }
            // The cotangent of the velocity, in the place of the step's.
            parallel::for_chunks(out_bar, per_task, |_, y_bar| multiply(y_bar, T::of(h)));
        }
        let y_bar = &*out_bar;
        if let Some(a_bar) = x_bar.get_uninit(1) {
            a_bar.for_chunks(per_task, |k, a_bar| {
                scaled(a_bar, alpha, &y_bar[k * per_task..]);
            });
        }
        for (input, other) in [(3, d), (4, c)] {
            let Some(bar) = x_bar.get_uninit(input) else { continue };
            bar.for_chunks(per_task, |k, bar| {
                let at = k * per_task;
                scaled_product(bar, beta, &other.data[at..], &y_bar[at..]);
            });
        }
        if !(x_bar.wants(0) || x_bar.wants(2)) {
            return;
        }
        // The sums over a task's columns overwrite its first two columns of y_bar, which is no longer needed.
        parallel::for_chunks(out_bar, per_task, |k, y_bar| {
            let at = k * per_task..k * per_task + y_bar.len();
            if y_bar.len() > rows {
                sums(y_bar, rows, &a.data[at.clone()], (&c.data[at.clone()], &d.data[at]));
            }
        });
        for (which, input) in [0, 2].into_iter().enumerate() {
            let Some(bar) = x_bar.get(input) else { continue };
            for (k, sums) in out_bar.chunks(per_task).enumerate() {
                let at = k * per_task;
                for i in 0..rows {
                    // For one column the sum is y_bar itself.
                    let one = sums.len() == rows;
                    let slope = if which == 0 { a.data[at + i] } else { c.data[at + i] * d.data[at + i] };
                    let sum = if one { slope * sums[i] } else { sums[which * rows + i] };
                    bar[if bar.len() == 1 { 0 } else { i }] += sum;
                }
            }
        }
    }
}

/// Entries per task: whole columns, at least two.
fn per_task(rows: usize) -> usize {
    (parallel::CHUNK / rows).max(2) * rows
}

simd_fn! {
    fn values<T: Real>(y: &mut [T], first: (&[T], &[T]), second: (&[T], &[T], &[T])) {
        let ((alpha, a), (beta, c, d)) = (first, second);
        let rows = alpha.len();
        // Slices of equal length: with bounds checks in the loop its tail would be scalar.
        let beta = &beta[..rows];
        let others = a.chunks_exact(rows).zip(c.chunks_exact(rows)).zip(d.chunks_exact(rows));
        for (y, ((a, c), d)) in y.chunks_exact_mut(rows).zip(others) {
            for i in 0..rows {
                y[i] = (beta[i] * c[i]).mul_add(d[i], alpha[i] * a[i]);
            }
        }
    }
    /// x + h times the values.
    fn steps<T: Real>(y: &mut [T], from: (T, &[T]), first: (&[T], &[T]), second: (&[T], &[T], &[T])) {
        let ((h, x), (alpha, a), (beta, c, d)) = (from, first, second);
        let rows = alpha.len();
        let beta = &beta[..rows];
        let others = a.chunks_exact(rows).zip(c.chunks_exact(rows)).zip(d.chunks_exact(rows));
        for ((y, x), ((a, c), d)) in y.chunks_exact_mut(rows).zip(x.chunks_exact(rows)).zip(others) {
            for i in 0..rows {
                y[i] = h.mul_add((beta[i] * c[i]).mul_add(d[i], alpha[i] * a[i]), x[i]);
            }
        }
    }
    fn multiply<T: Real>(y: &mut [T], by: T) {
        y.iter_mut().for_each(|y| *y *= by);
    }
    fn scaled<T: Real>(bar: &mut [T], factor: &[T], y_bar: &[T]) {
        let rows = factor.len();
        for (bar, y) in bar.chunks_exact_mut(rows).zip(y_bar.chunks_exact(rows)) {
            for i in 0..rows {
                bar[i] = factor[i].mul_add(y[i], bar[i]);
            }
        }
    }
    fn scaled_product<T: Real>(bar: &mut [T], factor: &[T], other: &[T], y_bar: &[T]) {
        let rows = factor.len();
        let others = other.chunks_exact(rows).zip(y_bar.chunks_exact(rows));
        for (bar, (other, y)) in bar.chunks_exact_mut(rows).zip(others) {
            for i in 0..rows {
                bar[i] = (factor[i] * other[i]).mul_add(y[i], bar[i]);
            }
        }
    }
    /// The sum over columns of a o y_bar into the first column of y_bar, of c o d o y_bar into the second.
    fn sums<T: Real>(y_bar: &mut [T], rows: usize, a: &[T], product: (&[T], &[T])) {
        let (c, d) = product;
        let (head, rest) = y_bar.split_at_mut(2 * rows);
        let (first, second) = head.split_at_mut(rows);
        let (first, second) = (&mut first[..rows], &mut second[..rows]);
        let ((a0, a1), (c0, c1), (d0, d1)) = (a.split_at(rows), c.split_at(rows), d.split_at(rows));
        let (a1, c1, d1) = (&a1[..rows], &c1[..rows], &d1[..rows]);
        for i in 0..rows {
            let (y0, y1) = (first[i], second[i]);
            first[i] = a0[i].mul_add(y0, a1[i] * y1);
            second[i] = (c0[i] * d0[i]).mul_add(y0, c1[i] * d1[i] * y1);
        }
        let others = a.chunks_exact(rows).zip(c.chunks_exact(rows)).zip(d.chunks_exact(rows)).skip(2);
        for (y, ((a, c), d)) in rest.chunks_exact(rows).zip(others) {
            for i in 0..rows {
                first[i] = a[i].mul_add(y[i], first[i]);
                second[i] = (c[i] * d[i]).mul_add(y[i], second[i]);
            }
        }
    }
}
