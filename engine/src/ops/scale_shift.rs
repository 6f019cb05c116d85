//! y = w o x + b, w and b one number for each row: what a normalisation learns. One op, so that w o x is not kept;
//! x_bar += w o y_bar, w_bar += sum over columns of x o y_bar, b_bar += sum of y_bar, in the order of the columns.

use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel, simd_fn};

struct ScaleShift;

impl<T: Real> Op<T> for ScaleShift {
    fn name(&self) -> &'static str {
        "scale_shift"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x, w, b] = inputs else { return Err("wants x, w and b".into()) };
        let column = Shape::new(x.rows, 1);
        if (*w, *b) == (column, column) {
            Ok(*x)
        } else {
            Err("w and b are one column as long as x's".into())
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (x, w, b) = (x.get(0), x.get(1).data, x.get(2).data);
        parallel::for_columns(out, x.shape.rows, |j, y| scaled(x.col(j), w, b, y));
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (x, w, out_bar) = (saved.x.get(0), saved.x.get(1).data, &*out_bar);
        let rows = x.shape.rows;
        let bar = |j: usize| &out_bar[j * rows..(j + 1) * rows];
        if let Some(x_bar) = x_bar.get_uninit(0) {
            let overwrite = x_bar.overwrite;
            parallel::for_columns(x_bar.data, rows, |j, x_bar| {
                if overwrite {
                    x_bar.fill(T::ZERO);
                }
                add_products(w, bar(j), x_bar);
            });
        }
        let own = |c: usize, n: usize| c * parallel::ROWS..c * parallel::ROWS + n;
        if let Some(w_bar) = x_bar.get(1) {
            parallel::for_chunks(w_bar, parallel::ROWS, |c, w_bar| {
                let at = own(c, w_bar.len());
                (0..x.shape.cols)
                    .for_each(|j| add_products(&x.col(j)[at.clone()], &bar(j)[at.clone()], w_bar));
            });
        }
        if let Some(b_bar) = x_bar.get(2) {
            parallel::for_chunks(b_bar, parallel::ROWS, |c, b_bar| {
                let at = own(c, b_bar.len());
                for j in 0..x.shape.cols {
                    b_bar.iter_mut().zip(&bar(j)[at.clone()]).for_each(|(b, bar)| *b += *bar);
                }
            });
        }
    }
}

simd_fn! {
    fn scaled<T: Real>(x: &[T], w: &[T], b: &[T], y: &mut [T]) {
        for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(b) {
            *y = *x * *w + *b;
        }
    }

    /// sum += a o b.
    fn add_products<T: Real>(a: &[T], b: &[T], sum: &mut [T]) {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum = a.mul_add(*b, *sum);
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// y = w o x + b, with one number of w and of b (rows x 1) for each row.
    pub fn scale_shift(&mut self, x: Var, w: Var, b: Var) -> Var {
        self.apply(ScaleShift, &[x, w, b])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn values_and_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let (w, b) = (g.variable(2, 1, &[10.0, -1.0]), g.variable(2, 1, &[0.5, 0.0]));
        let y = g.scale_shift(x, w, b);
        assert_eq!(g.value(y).data, [10.5, -2.0, 30.5, -4.0]);
        g.backward_from(y, &[1.0, 2.0, 3.0, 4.0], &mut []);
        assert_eq!(g.grad(x).data, [10.0, -2.0, 30.0, -4.0]);
        assert_eq!(g.grad(w).data, [10.0, 20.0]);
        assert_eq!(g.grad(b).data, [4.0, 6.0]);
    }
}
