//! Matrix products C = A B and C = A^T B.
//!
//! Columns of the result are processed in fixed chunks in parallel; sums over a long batch (the gradient of a
//! weight) are sequential inside a chunk.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::matrix::faer_mut;
use crate::parallel::Tasks;
use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, View};

/// Columns of the result per task.
const COLUMNS: usize = 128;
/// The same of a product with a long inner side, whose results are few: the gradient of weights on a long batch.
const FEW_COLUMNS: usize = 32;
/// An inner side that is long.
const LONG: usize = 8192;

/// Inputs A, B.
struct Product {
    a_transposed: bool,
}

fn oriented<'a, T: Real>(m: View<'a, T>, transposed: bool) -> MatRef<'a, T> {
    if transposed { m.faer().transpose() } else { m.faer() }
}

/// out += a b or out = a b, columns of out in parallel.
fn product<T: Real>(out: &mut [T], shape: Shape, accumulate: Accum, a: MatRef<T>, b: MatRef<T>) {
    if shape.is_empty() {
        return;
    }
    if a.ncols() == 0 {
        if accumulate == Accum::Replace {
            out.fill(T::ZERO);
        }
        return;
    }
    let run = |out: MatMut<T>, b: MatRef<T>| matmul(out, accumulate, a, b, T::ONE, Par::Seq);
    let columns = if a.ncols() < LONG { COLUMNS } else { FEW_COLUMNS };
    if shape.cols <= columns {
        return run(faer_mut(out, shape), b);
    }
    out.par_chunks_mut(columns * shape.rows).each(|i, out| {
        let n = out.len() / shape.rows;
        run(faer_mut(out, Shape::new(shape.rows, n)), b.subcols(i * columns, n));
    });
}

impl<T: Real> Op<T> for Product {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [a, b] = inputs else { return Err("wants two inputs".into()) };
        let (m, k) = if self.a_transposed { (a.cols, a.rows) } else { (a.rows, a.cols) };
        if k == b.rows {
            Ok(Shape::new(m, b.cols))
        } else {
            Err(format!("the inner sizes {k} and {} differ", b.rows))
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (a, b) = (oriented(x.get(0), self.a_transposed), x.get(1).faer());
        product(out, Shape::new(a.nrows(), b.ncols()), Accum::Replace, a, b);
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (a, b) = (saved.x.get(0), saved.x.get(1));
        let g = MatRef::from_column_major_slice(out_bar, saved.out.shape.rows, saved.out.shape.cols);
        let op_a = oriented(a, self.a_transposed);
        let add = |bar: Cotangent<T>, shape, left, right| {
            let accumulate = if bar.overwrite { Accum::Replace } else { Accum::Add };
            product(bar.data, shape, accumulate, left, right);
        };
        if let Some(a_bar) = x_bar.get_uninit(0) {
            if self.a_transposed {
                add(a_bar, a.shape, b.faer(), g.transpose());
            } else {
                add(a_bar, a.shape, g, b.faer().transpose());
            }
        }
        if let Some(b_bar) = x_bar.get_uninit(1) {
            add(b_bar, b.shape, op_a.transpose(), g);
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// C = A B. With G the cotangent of C: A_bar += G B^T, B_bar += A^T G.
    pub fn matmul(&mut self, a: Var, b: Var) -> Var {
        self.apply(Product { a_transposed: false }, &[a, b])
    }
    /// C = A^T B. With G the cotangent of C: A_bar += B G^T, B_bar += A G.
    pub fn matmul_tn(&mut self, a: Var, b: Var) -> Var {
        self.apply(Product { a_transposed: true }, &[a, b])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn a_product_and_its_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        // [1 3; 2 4] [5; 6]
        let a = g.variable(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let b = g.variable(2, 1, &[5.0, 6.0]);
        let c = g.matmul(a, b);
        assert_eq!(g.value(c).data, [23.0, 34.0]);
        g.backward_from(c, &[1.0, 10.0], &mut []);
        assert_eq!(g.grad(a).data, [5.0, 50.0, 6.0, 60.0]);
        assert_eq!(g.grad(b).data, [21.0, 43.0]);
    }
}
