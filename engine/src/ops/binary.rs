//! a + b, a - b, a b, a / b, entry by entry; b has the shape of a, or is one column (rows x 1), one
//! row (1 x cols) or one number that is repeated over a.
//!
//! The cotangent of a repeated b is summed over its repetitions, in the order of the columns.

use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Graph, Op, Real, Shape, Var};

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

        impl<T: Real> Graph<'_, T> {
            #[doc = $doc]
            #[doc = " with b of the shape of a, or one column, one row or one number, repeated."]
            pub fn $method(&mut self, a: Var, b: Var) -> Var {
                self.apply(&Broadcast($op), &[a, b])
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

/// Steps in b for a step down a column and a step to the next column of a.
fn strides(b: Shape) -> (usize, usize) {
    (usize::from(b.rows > 1), if b.cols > 1 { b.rows } else { 0 })
}

impl<B: Binary, T: Real> Op<T> for Broadcast<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
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
        if a.shape == b.shape {
            for ((y, a), b) in out.iter_mut().zip(a.data).zip(b.data) {
                *y = B::value(*a, *b);
            }
            return;
        }
        let (down, right) = strides(b.shape);
        for j in 0..a.shape.cols {
            let column = &mut out[j * a.shape.rows..(j + 1) * a.shape.rows];
            for (i, (y, a)) in column.iter_mut().zip(a.col(j)).enumerate() {
                *y = B::value(*a, b.data[i * down + j * right]);
            }
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (a, b) = (saved.x.get(0), saved.x.get(1));
        let (rows, (down, right)) = (a.shape.rows, strides(b.shape));
        let b_at = |k: usize| (k % rows) * down + (k / rows) * right;
        if let Some(a_bar) = x_bar.get(0) {
            for (k, (a_bar, y_bar)) in a_bar.iter_mut().zip(&*out_bar).enumerate() {
                *a_bar += B::slopes(a.data[k], b.data[b_at(k)]).0 * *y_bar;
            }
        }
        if let Some(b_bar) = x_bar.get(1) {
            for (k, y_bar) in out_bar.iter().enumerate() {
                b_bar[b_at(k)] += B::slopes(a.data[k], b.data[b_at(k)]).1 * *y_bar;
            }
        }
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
