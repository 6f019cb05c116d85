//! Matrix products C = A B and C = A^T B.
//!
//! Columns of the result are processed in fixed chunks in parallel. Sums over a long batch, as that of a graph in the
//! gradient of a weight, are made in parts that are added up in their order.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::aligned::{padded, with_scratch};
use crate::matrix::faer_mut;
use crate::parallel::Tasks;
use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, View, parallel};

/// Columns of the result per task.
const COLUMNS: usize = 128;
/// The same of a result of few columns with a longer inner side: the gradient of weights on a batch.
const FEW_COLUMNS: usize = 32;
/// A long inner side; parts of it are at least as long.
pub(super) const LONG: usize = 1024;
/// Parts of an inner side at most: each has a result of its own.
const PARTS: usize = 64;
/// Columns of a result of which there are enough without parts.
const MANY: usize = 512;

/// Inputs A, B.
struct Product {
    a_transposed: bool,
}

fn oriented<'a, T: Real>(m: View<'a, T>, transposed: bool) -> MatRef<'a, T> {
    if transposed { m.faer().transpose() } else { m.faer() }
}

/// How long the parts of an inner side are.
pub(super) fn part_of(inner: usize) -> usize {
    LONG.max(inner.div_ceil(PARTS))
}

/// out += a b or out = a b by parts of the inner side.
fn by_parts<T: Real>(out: &mut [T], shape: Shape, accumulate: Accum, a: MatRef<T>, b: MatRef<T>) {
    let (inner, part, stride) = (a.ncols(), part_of(a.ncols()), padded(shape.len()));
    with_scratch(inner.div_ceil(part) * stride, |space| {
        parallel::for_chunks(space, stride, |c, sum| {
            let (first, n) = (c * part, part.min(inner - c * part));
            let (a, b, sum) = (a.subcols(first, n), b.subrows(first, n), &mut sum[..shape.len()]);
            matmul(faer_mut(sum, shape), Accum::Replace, a, b, T::ONE, Par::Seq);
        });
        if accumulate == Accum::Replace {
            out.fill(T::ZERO);
        }
        parallel::add_all(space.chunks_exact(stride).map(|sum| &sum[..shape.len()]), out);
    });
}

/// out += a b or out = a b, columns of out or parts of the inner side in parallel.
pub(super) fn product<T: Real>(out: &mut [T], shape: Shape, accumulate: Accum, a: MatRef<T>, b: MatRef<T>) {
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
    if a.ncols() > LONG && shape.cols <= MANY {
        return by_parts(out, shape, accumulate, a, b);
    }
    let columns = if a.ncols() > COLUMNS && shape.cols <= MANY { FEW_COLUMNS } else { COLUMNS };
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

    /// Weights, biases and products on as many columns as a graph has nodes: sums in parts, against plain ones.
    #[test]
    fn gradients_of_long_batches_are_sums_over_their_columns() {
        let numbers = |n: usize, seed: usize| -> Vec<f64> {
            (0..n).map(|i| ((i * (seed + 2)) as f64 * 0.7).sin()).collect()
        };
        let (m, k) = (3, 2);
        for cols in [1023, 1024, 1025, 2500, 70_001] {
            let (w, b, x, bar) =
                (numbers(m * k, 1), numbers(m, 2), numbers(k * cols, 3), numbers(m * cols, 4));
            let run = |threads: usize, product: bool| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mut tape = Tape::<f64>::new();
                    let mut g = tape.record(&[]);
                    let (w, b, x) = (g.variable(m, k, &w), g.variable(m, 1, &b), g.variable(k, cols, &x));
                    let y = if product {
                        let y = g.matmul(w, x);
                        g.add(y, b)
                    } else {
                        g.linear(w, x, b)
                    };
                    g.backward_from(y, &bar, &mut []);
                    [g.grad(w).data.to_vec(), g.grad(b).data.to_vec()].concat()
                })
            };
            let mut want = vec![0.0; m * k + m];
            for j in 0..cols {
                for r in 0..m {
                    (0..k).for_each(|c| want[c * m + r] += bar[j * m + r] * x[j * k + c]);
                    want[m * k + r] += bar[j * m + r];
                }
            }
            for product in [false, true] {
                let got = run(1, product);
                let near = got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-12 * cols as f64);
                assert!(near, "{cols} columns: {got:?}, {want:?}");
                assert_eq!(run(3, product), got, "the same bits");
            }
        }
    }
}
