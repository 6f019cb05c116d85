//! Reductions: sum, mean, max, log-sum-exp, softmax and log-softmax over each column or all entries; sum and
//! mean over each row.
//!
//! Sums are in column order; log-sum-exp subtracts the largest entry first. Over no entries the sum is 0, the
//! mean NaN, maximum and log-sum-exp -inf. NaN propagates.

use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var};

/// The set of entries that is reduced to one number.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Column,
    Row,
    Whole,
}

impl Over {
    fn reduced(self, x: Shape) -> Shape {
        match self {
            Self::Column => Shape::new(1, x.cols),
            Self::Row => Shape::new(x.rows, 1),
            Self::Whole => Shape::new(1, 1),
        }
    }

    /// Length of the contiguous ranges that are reduced (not for rows).
    fn stretch(self, x: Shape) -> usize {
        if self == Self::Column { x.rows } else { x.len() }
    }
}

/// y = f sum(x), f = 1 or 1 / count; x_bar += f y_bar.
struct Sum {
    over: Over,
    mean: bool,
}

impl Sum {
    fn factor<T: Real>(&self, x: Shape) -> T {
        let count = x.len() as f64 / self.over.reduced(x).len() as f64;
        if self.mean { T::of(1.0 / count) } else { T::ONE }
    }
}

impl<T: Real> Op<T> for Sum {
    fn name(&self) -> &'static str {
        if self.mean { "mean" } else { "sum" }
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(self.over.reduced(inputs[0]))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let x = x.get(0);
        out.fill(T::ZERO);
        match self.over {
            Over::Row => {
                (0..x.shape.cols).for_each(|j| out.iter_mut().zip(x.col(j)).for_each(|(y, x)| *y += *x))
            }
            Over::Column => out.iter_mut().enumerate().for_each(|(j, y)| *y = x.col(j).iter().copied().sum()),
            Over::Whole => out[0] = x.data.iter().copied().sum(),
        }
        if self.mean {
            let factor = self.factor::<T>(x.shape);
            out.iter_mut().for_each(|y| *y = if factor.is_finite() { *y * factor } else { T::of(f64::NAN) });
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let shape = saved.x.get(0).shape;
        let factor = self.factor::<T>(shape);
        let Some(x_bar) = x_bar.get(0) else { return };
        for (k, x_bar) in x_bar.iter_mut().enumerate() {
            let y = match self.over {
                Over::Column => k / shape.rows,
                Over::Row => k % shape.rows,
                Over::Whole => 0,
            };
            *x_bar += factor * out_bar[y];
        }
    }
}

/// y = max(x); x_bar += y_bar at the first largest entry, or the first NaN.
struct Max(Over);

impl<T: Real> Op<T> for Max {
    fn name(&self) -> &'static str {
        "max"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(self.0.reduced(inputs[0]))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let x = x.get(0);
        out.fill(T::NEG_INFINITY);
        for (y, x) in out.iter_mut().zip(x.data.chunks(self.0.stretch(x.shape).max(1))) {
            *y = largest(x);
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let x = saved.x.get(0);
        let n = self.0.stretch(x.shape).max(1);
        let Some(x_bar) = x_bar.get(0) else { return };
        for (k, (x, x_bar)) in x.data.chunks(n).zip(x_bar.chunks_mut(n)).enumerate() {
            let y = saved.out.data[k];
            if let Some(i) = x.iter().position(|v| *v == y || (is_nan(y) && is_nan(*v))) {
                x_bar[i] += out_bar[k];
            }
        }
    }
}

/// y = log sum exp x; x_bar += exp(x - y) y_bar.
struct LogSumExp(Over);

impl<T: Real> Op<T> for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(self.0.reduced(inputs[0]))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let x = x.get(0);
        out.fill(T::NEG_INFINITY);
        for (y, x) in out.iter_mut().zip(x.data.chunks(self.0.stretch(x.shape).max(1))) {
            *y = log_sum_exp(x);
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let x = saved.x.get(0);
        let n = self.0.stretch(x.shape).max(1);
        let Some(x_bar) = x_bar.get(0) else { return };
        for (k, (x, x_bar)) in x.data.chunks(n).zip(x_bar.chunks_mut(n)).enumerate() {
            let y = saved.out.data[k];
            if y != T::NEG_INFINITY {
                x.iter().zip(x_bar).for_each(|(x, b)| *b += (*x - y).exp() * out_bar[k]);
            }
        }
    }
}

/// y = softmax(x) or its logarithm. x_bar += y (y_bar - <y, y_bar>), or y_bar - softmax(x) sum(y_bar).
struct Softmax {
    over: Over,
    log: bool,
}

impl<T: Real> Op<T> for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log softmax" } else { "softmax" }
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let x = x.get(0);
        let n = self.over.stretch(x.shape).max(1);
        for (x, y) in x.data.chunks(n).zip(out.chunks_mut(n)) {
            let total = log_sum_exp(x);
            for (x, y) in x.iter().zip(y) {
                *y = if self.log { *x - total } else { (*x - total).exp() };
            }
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let n = self.over.stretch(saved.out.shape).max(1);
        let Some(x_bar) = x_bar.get(0) else { return };
        for ((y, y_bar), x_bar) in saved.out.data.chunks(n).zip(out_bar.chunks(n)).zip(x_bar.chunks_mut(n)) {
            if self.log {
                let total: T = y_bar.iter().copied().sum();
                y.iter().zip(y_bar).zip(x_bar).for_each(|((y, g), b)| *b += *g - y.exp() * total);
            } else {
                let dot: T = y.iter().zip(y_bar).map(|(y, g)| *y * *g).sum();
                y.iter().zip(y_bar).zip(x_bar).for_each(|((y, g), b)| *b += *y * (*g - dot));
            }
        }
    }
}

fn is_nan<T: Real>(x: T) -> bool {
    x.f64().is_nan()
}

/// The largest entry; NaN if any entry is NaN.
fn largest<T: Real>(x: &[T]) -> T {
    x.iter().fold(T::NEG_INFINITY, |m, v| if *v > m || is_nan(*v) { *v } else { m })
}

fn log_sum_exp<T: Real>(x: &[T]) -> T {
    let max = largest(x);
    if !max.is_finite() {
        return max;
    }
    max + x.iter().map(|v| (*v - max).exp()).sum::<T>().ln()
}

macro_rules! reductions {
    ($($method:ident, $op:expr, $doc:literal;)+) => {
        impl<T: Real> Recording<'_, T> {$(
            #[doc = $doc]
            pub fn $method(&mut self, x: Var) -> Var {
                self.apply($op, &[x])
            }
        )+}
    };
}

reductions! {
    sum, Sum { over: Over::Whole, mean: false }, "The sum of all entries (1 x 1).";
    mean, Sum { over: Over::Whole, mean: true }, "The mean of all entries (1 x 1).";
    column_sum, Sum { over: Over::Column, mean: false }, "Each column's sum (1 x cols).";
    column_mean, Sum { over: Over::Column, mean: true }, "Each column's mean (1 x cols).";
    row_sum, Sum { over: Over::Row, mean: false }, "Each row's sum (rows x 1).";
    row_mean, Sum { over: Over::Row, mean: true }, "Each row's mean (rows x 1).";
    max, Max(Over::Whole), "The largest entry (1 x 1).";
    column_max, Max(Over::Column), "Each column's largest entry (1 x cols).";
    logsumexp, LogSumExp(Over::Whole), "log of the sum of exponentials of all entries (1 x 1).";
    column_logsumexp, LogSumExp(Over::Column), "Each column's log-sum-exp (1 x cols).";
    softmax, Softmax { over: Over::Whole, log: false }, "Softmax over all entries.";
    column_softmax, Softmax { over: Over::Column, log: false }, "Softmax of each column.";
    column_log_softmax, Softmax { over: Over::Column, log: true }, "Log-softmax of each column.";
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn values_and_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(2, 2, &[0.0, 3f64.ln(), 5.0, -1.0]);
        let (c, r, m) = (g.column_sum(x), g.row_mean(x), g.column_max(x));
        assert_eq!(g.value(c).data, [3f64.ln(), 4.0]);
        assert_eq!(g.value(r).data, [2.5, (3f64.ln() - 1.0) / 2.0]);
        assert_eq!(g.value(m).data, [3f64.ln(), 5.0]);
        let l = g.column_logsumexp(x);
        assert!((g.value(l).data[0] - 4f64.ln()).abs() < 1e-15);
        let s = g.column_softmax(x);
        assert!((g.value(s).data[1] - 0.75).abs() < 1e-15);
        g.backward_from(l, &[1.0, 0.0], &mut []);
        assert!((g.grad(x).data[0] - 0.25).abs() < 1e-15 && (g.grad(x).data[1] - 0.75).abs() < 1e-15);
        g.backward_from(m, &[2.0, 3.0], &mut []);
        assert_eq!(g.grad(x).data, [0.0, 2.0, 3.0, 0.0]);
    }

    #[test]
    fn of_nothing_and_of_minus_infinity() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let nothing = g.variable(0, 3, &[]);
        let (s, l) = (g.column_sum(nothing), g.column_logsumexp(nothing));
        assert_eq!(g.value(s).data, [0.0; 3]);
        assert_eq!(g.value(l).data, [f64::NEG_INFINITY; 3]);
        let x = g.variable(2, 1, &[f64::NEG_INFINITY, 1.0]);
        let l = g.logsumexp(x);
        assert_eq!(g.value(l).data, [1.0]);
        g.backward(l, &mut []);
        assert_eq!(g.grad(x).data, [0.0, 1.0]);
    }

    #[test]
    fn what_is_not_finite_propagates() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(2, 4, &[f64::NAN, 1.0, 1.0, f64::NAN, f64::NAN, f64::NAN, f64::INFINITY, 0.0]);
        let (max, log) = (g.column_max(x), g.column_logsumexp(x));
        for y in [max, log] {
            assert!(g.value(y).data[..3].iter().all(|v| v.is_nan()));
            assert_eq!(g.value(y).data[3], f64::INFINITY);
        }
        g.backward_from(max, &[1.0; 4], &mut []);
        assert_eq!(g.grad(x).data, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
        g.backward_from(log, &[1.0; 4], &mut []);
        assert!(g.grad(x).data[..6].iter().all(|v| v.is_nan()));
    }
}
