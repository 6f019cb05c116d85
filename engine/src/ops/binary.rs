//! a + b, a - b, a b, a / b, entry by entry; b has the shape of a, or is broadcast: one column (rows x 1),
//! one row (1 x cols) or one number.
//!
//! The cotangent of a broadcast b is summed over the repetitions, in the order of the columns.

use super::matmul::{LONG, part_of};
use crate::aligned::{padded, with_scratch};
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, View, parallel, simd_fn};

/// A function of two numbers with its partial derivatives.
trait Binary: Send + Sync + 'static {
    const NAME: &'static str;
    fn value<T: Real>(a: T, b: T) -> T;
    /// (d/da, d/db).
    fn slopes<T: Real>(a: T, b: T) -> (T, T);
}

struct Add;
struct Sub;
struct Mul;
struct Div;

macro_rules! binary {
    ($($op:ident, $method:ident, $name:literal, $value:expr, $slopes:expr, $doc:literal;)+) => {$(
        impl Binary for $op {
            const NAME: &'static str = $name;
            #[inline(always)]
            fn value<T: Real>(a: T, b: T) -> T {
                $value(a, b)
            }
            #[inline(always)]
            fn slopes<T: Real>(a: T, b: T) -> (T, T) {
                $slopes(a, b)
            }
        }

        impl<T: Real> Recording<'_, T> {
            #[doc = $doc]
            #[doc = " with b of the shape of a, or one column, one row or one number, broadcast."]
            pub fn $method(&mut self, a: Var, b: Var) -> Var {
                self.apply(Broadcast($op), &[a, b])
            }
        }
    )+};
}

binary! {
    Add, add, "add", |a, b| a + b, |_, _| (T::ONE, T::ONE), "a + b";
    Sub, sub, "sub", |a, b| a - b, |_, _| (T::ONE, -T::ONE), "a - b";
    Mul, mul, "mul", |a, b| a * b, |a, b| (b, a), "a b, entry by entry,";
    Div, div, "div", |a, b| a / b, |a: T, b: T| (T::ONE / b, -a / (b * b)), "a / b, entry by entry,";
}

struct Broadcast<B>(B);

impl<B: Binary, T: Real> Op<T> for Broadcast<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [a, b] = inputs else { return Err("wants two inputs".into()) };
        let fits = |a: usize, b: usize| a == b || b == 1;
        if fits(a.rows, b.rows) && fits(a.cols, b.cols) {
            Ok(*a)
        } else {
            Err("b has the shape of a, or is one column, one row or one number".into())
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (a, b) = (x.get(0), x.get(1));
        let (rows, same) = (a_rows(a.shape), a.shape == b.shape);
        for_blocks(out, a.shape, b.shape, |at, out| {
            let a = &a.data[at.clone()];
            match operand(b, same, a.len(), at.start / rows, at.start) {
                Operand::Slice(b) => values::<T, B>(a, b, out),
                Operand::Number(b) => values_with::<T, B>(a, b, out),
            }
        });
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (a, b) = (saved.x.get(0), saved.x.get(1));
        let (rows, same, out_bar) = (a_rows(a.shape), a.shape == b.shape, &*out_bar);
        if let Some(a_bar) = x_bar.get_uninit(0) {
            let overwrite = a_bar.overwrite;
            for_blocks(a_bar.data, a.shape, b.shape, |at, a_bar| {
                if overwrite {
                    a_bar.fill(T::ZERO);
                }
                let (a, y_bar) = (&a.data[at.clone()], &out_bar[at.clone()]);
                match operand(b, same, a.len(), at.start / rows, at.start) {
                    Operand::Slice(b) => first_slopes::<T, B>(a, b, y_bar, a_bar),
                    Operand::Number(b) => first_slopes_with::<T, B>(a, b, y_bar, a_bar),
                }
            });
        }
        if a.shape == b.shape {
            let Some(b_bar) = x_bar.get_uninit(1) else { return };
            return b_bar.for_chunks(parallel::CHUNK, |c, b_bar| {
                let at = c * parallel::CHUNK..c * parallel::CHUNK + b_bar.len();
                second_slopes::<T, B>(&a.data[at.clone()], &b.data[at.clone()], &out_bar[at], b_bar);
            });
        }
        let Some(b_bar) = x_bar.get(1).filter(|_| !a.shape.is_empty()) else { return };
        let column = |j: usize| j * rows..(j + 1) * rows;
        match (b.shape.rows > 1, b.shape.cols > 1) {
            // One column: each task sums a few rows over the columns, in order.
            (true, _) if a.shape.cols <= LONG => parallel::for_chunks(b_bar, parallel::ROWS, |c, b_bar| {
                for j in 0..a.shape.cols {
                    let at = j * rows + c * parallel::ROWS..j * rows + c * parallel::ROWS + b_bar.len();
                    let b = &b.data[c * parallel::ROWS..c * parallel::ROWS + b_bar.len()];
                    second_slopes::<T, B>(&a.data[at.clone()], b, &out_bar[at], b_bar);
                }
            }),
            // Of many, sums over parts of them are added up.
            (true, _) => {
                let (columns, stride) = (part_of(a.shape.cols), padded(rows));
                with_scratch(a.shape.cols.div_ceil(columns) * stride, |space| {
                    parallel::for_chunks(space, stride, |c, sum| {
                        sum.fill(T::ZERO);
                        for j in c * columns..a.shape.cols.min((c + 1) * columns) {
                            let at = j * rows..(j + 1) * rows;
                            second_slopes::<T, B>(
                                &a.data[at.clone()],
                                b.data,
                                &out_bar[at],
                                &mut sum[..rows],
                            );
                        }
                    });
                    parallel::add_all(space.chunks_exact(stride).map(|sum| &sum[..rows]), b_bar);
                });
            }
            // One row: a sum down each column.
            (_, true) => {
                let columns = (parallel::CHUNK / rows).max(1);
                parallel::for_chunks(b_bar, columns, |c, b_bar| {
                    for (k, b_bar) in b_bar.iter_mut().enumerate() {
                        let j = c * columns + k;
                        *b_bar += second_sum::<T, B>(&a.data[column(j)], b.data[j], &out_bar[column(j)]);
                    }
                });
            }
            _ => {
                for j in 0..if b.shape.len() == 1 { a.shape.cols } else { 0 } {
                    b_bar[0] += second_sum::<T, B>(&a.data[column(j)], b.data[0], &out_bar[column(j)]);
                }
            }
        }
    }
}

/// Rows of a, at least 1, as a divisor.
fn a_rows(a: Shape) -> usize {
    a.rows.max(1)
}

/// The entries of b for a range of a.
enum Operand<'a, T> {
    Slice(&'a [T]),
    Number(T),
}

/// The entries of b for the range of a that begins at entry `at`, in column j; `same` if b has a's shape.
fn operand<T: Real>(b: View<'_, T>, same: bool, len: usize, j: usize, at: usize) -> Operand<'_, T> {
    match (same || b.shape.rows > 1, same || b.shape.cols > 1) {
        (true, true) => Operand::Slice(&b.data[at..at + len]),
        (true, false) => Operand::Slice(&b.data[..len]),
        (false, true) => Operand::Number(b.data[j]),
        (false, false) => Operand::Number(b.data[0]),
    }
}

/// Runs `f(range, part)` over ranges of a, in parallel: of fixed length if b has a's shape or is one number,
/// column by column if b is one column or one row.
fn for_blocks<T: Real>(
    data: &mut [T],
    a: Shape,
    b: Shape,
    f: impl Fn(std::ops::Range<usize>, &mut [T]) + Sync,
) {
    let whole = a == b || b.len() == 1;
    let stretch = if whole { parallel::CHUNK } else { a.rows.max(1) };
    let per_task = (parallel::CHUNK / stretch).max(1) * stretch;
    parallel::for_chunks(data, per_task, |task, part| {
        for (k, part) in part.chunks_mut(stretch).enumerate() {
            let at = task * per_task + k * stretch;
            f(at..at + part.len(), part);
        }
    });
}

simd_fn! {
    fn values<T: Real, B: Binary>(a: &[T], b: &[T], y: &mut [T]) {
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            *y = B::value(*a, *b);
        }
    }
    fn values_with<T: Real, B: Binary>(a: &[T], b: T, y: &mut [T]) {
        for (a, y) in a.iter().zip(y) {
            *y = B::value(*a, b);
        }
    }
    fn first_slopes<T: Real, B: Binary>(a: &[T], b: &[T], y_bar: &[T], a_bar: &mut [T]) {
        for (((a, b), y_bar), a_bar) in a.iter().zip(b).zip(y_bar).zip(a_bar) {
            *a_bar = B::slopes(*a, *b).0.mul_add(*y_bar, *a_bar);
        }
    }
    fn first_slopes_with<T: Real, B: Binary>(a: &[T], b: T, y_bar: &[T], a_bar: &mut [T]) {
        for ((a, y_bar), a_bar) in a.iter().zip(y_bar).zip(a_bar) {
            *a_bar = B::slopes(*a, b).0.mul_add(*y_bar, *a_bar);
        }
    }
    fn second_slopes<T: Real, B: Binary>(a: &[T], b: &[T], y_bar: &[T], b_bar: &mut [T]) {
        for (((a, b), y_bar), b_bar) in a.iter().zip(b).zip(y_bar).zip(b_bar) {
            *b_bar = B::slopes(*a, *b).1.mul_add(*y_bar, *b_bar);
        }
    }
    /// The sum of y_bar times the slope in a single number b, in a fixed order over lanes.
    fn second_sum<T: Real, B: Binary>(a: &[T], b: T, y_bar: &[T]) -> T {
        const LANES: usize = 16;
        let mut sum = [T::ZERO; LANES];
        let (xs, ys) = (a.chunks_exact(LANES), y_bar.chunks_exact(LANES));
        let mut rest = T::ZERO;
        for (a, y) in xs.remainder().iter().zip(ys.remainder()) {
            rest = B::slopes(*a, b).1.mul_add(*y, rest);
        }
        for (a, y) in xs.zip(ys) {
            for l in 0..LANES {
                sum[l] = B::slopes(a[l], b).1.mul_add(y[l], sum[l]);
            }
        }
        for l in 1..LANES {
            sum[0] += sum[l];
        }
        sum[0] + rest
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn broadcasts_and_their_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let a = g.variable(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let column = g.variable(2, 1, &[10.0, 20.0]);
        let row = g.variable(1, 2, &[2.0, 3.0]);
        let y = g.add(a, column);
        assert_eq!(g.value(y).data, [11.0, 22.0, 13.0, 24.0]);
        let y = g.mul(y, row);
        assert_eq!(g.value(y).data, [22.0, 44.0, 39.0, 72.0]);
        g.backward_from(y, &[1.0; 4], &mut []);
        assert_eq!(g.grad(a).data, [2.0, 2.0, 3.0, 3.0]);
        assert_eq!(g.grad(column).data, [5.0, 5.0]);
        assert_eq!(g.grad(row).data, [33.0, 37.0]);
    }

    #[test]
    fn one_value_used_twice_gets_both_parts() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(1, 1, &[3.0]);
        let y = g.mul(x, x);
        g.backward(y, &mut []);
        assert_eq!(g.grad(x).data, [6.0]);
    }

    #[test]
    #[should_panic(expected = "add: b has the shape of a")]
    fn shapes_that_do_not_fit_are_named() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let (a, b) = (g.constant(2, 2, &[0.0; 4]), g.constant(3, 1, &[0.0; 3]));
        g.add(a, b);
    }
}
