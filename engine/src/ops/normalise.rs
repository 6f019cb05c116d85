//! Entries of each column, or of each row, made to have the mean 0 and the variance 1:
//! y = (x - m) / s, s = sqrt(v + eps), with the mean m and the variance v (over n, not n - 1) of the group;
//! x_bar += (y_bar - mean(y_bar) - y mean(y y_bar)) / s.
//!
//! Over columns this is the heart of layer norm (Ba, Kiros and Hinton 2016) where a column is a node, over rows that
//! of batch norm (Ioffe and Szegedy 2015). Sums over rows are taken in blocks of columns, in a fixed order.

use rayon::prelude::*;

use crate::parallel::Tasks;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel};

/// Columns whose sums are taken before they are added to those of others.
const BLOCK: usize = 256;

struct Normalise {
    by_row: bool,
    eps: f64,
}

/// The mean over the columns of what `f` gives for (column, row), for each row: some rows in a task.
fn row_means<T: Real>(shape: Shape, means: &mut [T], block: &mut [T], f: impl Fn(usize, usize) -> T + Sync) {
    let share = T::of(1.0 / shape.cols.max(1) as f64);
    let tasks = (means.par_chunks_mut(parallel::ROWS), block.par_chunks_mut(parallel::ROWS));
    tasks.into_par_iter().each(|c, (means, block)| {
        means.fill(T::ZERO);
        for from in (0..shape.cols).step_by(BLOCK) {
            block.fill(T::ZERO);
            for j in from..shape.cols.min(from + BLOCK) {
                block.iter_mut().enumerate().for_each(|(i, sum)| *sum += f(j, c * parallel::ROWS + i));
            }
            means.iter_mut().zip(&*block).for_each(|(mean, sum)| *mean += *sum);
        }
        means.iter_mut().for_each(|mean| *mean *= share);
    });
}

/// The mean of numbers.
fn mean<T: Real>(x: impl ExactSizeIterator<Item = T>) -> T {
    let n = T::of(x.len().max(1) as f64);
    x.sum::<T>() / n
}

/// Column j.
fn column<T>(data: &[T], rows: usize, j: usize) -> &[T] {
    &data[j * rows..(j + 1) * rows]
}

impl<T: Real> Op<T> for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if self.eps > 0.0 { Ok(inputs[0]) } else { Err("eps is above 0".into()) }
    }

    /// 1 / s of each group; for rows also room for two sums of each.
    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        if self.by_row { 3 * out.rows } else { out.cols }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (x, eps) = (x.get(0), T::of(self.eps));
        let rows = x.shape.rows;
        if x.shape.is_empty() {
            return aux.fill(T::ZERO);
        }
        if self.by_row {
            let (inverse, sums) = aux.split_at_mut(rows);
            let (means, block) = sums.split_at_mut(rows);
            row_means(x.shape, means, block, |j, i| x.data[j * rows + i]);
            parallel::for_columns(out, rows, |j, y| {
                y.iter_mut().zip(column(x.data, rows, j)).zip(&*means).for_each(|((y, x), m)| *y = *x - *m);
            });
            row_means(x.shape, inverse, block, |j, i| out[j * rows + i] * out[j * rows + i]);
            inverse.iter_mut().for_each(|v| *v = T::ONE / (*v + eps).sqrt());
            parallel::for_columns(out, rows, |_, y| y.iter_mut().zip(&*inverse).for_each(|(y, r)| *y *= *r));
            return;
        }
        let columns = parallel::columns(rows);
        let tasks = (out.par_chunks_mut(columns * rows), x.data.par_chunks(columns * rows));
        (tasks.0, tasks.1, aux.par_chunks_mut(columns)).into_par_iter().each(|_, (out, x, inverse)| {
            for ((y, x), r) in out.chunks_exact_mut(rows).zip(x.chunks_exact(rows)).zip(inverse) {
                let m = mean(x.iter().copied());
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *x - m);
                *r = T::ONE / (mean(y.iter().map(|y| *y * *y)) + eps).sqrt();
                y.iter_mut().for_each(|y| *y *= *r);
            }
        });
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (y, shape) = (saved.out.data, saved.out.shape);
        let (rows, out_bar) = (shape.rows, &*out_bar);
        let Some(x_bar) = x_bar.get(0).filter(|_| !shape.is_empty()) else { return };
        if self.by_row {
            let mut sums = vec![T::ZERO; 3 * rows];
            let (means, rest) = sums.split_at_mut(rows);
            let (products, block) = rest.split_at_mut(rows);
            row_means(shape, means, block, |j, i| out_bar[j * rows + i]);
            row_means(shape, products, block, |j, i| y[j * rows + i] * out_bar[j * rows + i]);
            let inverse = &saved.aux[..rows];
            parallel::for_columns(x_bar, rows, |j, x_bar| {
                let (y, bar) = (column(y, rows, j), column(out_bar, rows, j));
                for i in 0..rows {
                    x_bar[i] += inverse[i] * (bar[i] - means[i] - y[i] * products[i]);
                }
            });
            return;
        }
        parallel::for_columns(x_bar, rows, |j, x_bar| {
            let (y, bar) = (column(y, rows, j), column(out_bar, rows, j));
            let m = mean(bar.iter().copied());
            let product = mean(y.iter().zip(bar).map(|(y, b)| *y * *b));
            for ((x_bar, y), bar) in x_bar.iter_mut().zip(y).zip(bar) {
                *x_bar += saved.aux[j] * (*bar - m - *y * product);
            }
        });
    }
}

impl<T: Real> Recording<'_, T> {
    /// Each column with the mean 0 and the variance 1: y = (x - m) / sqrt(v + eps), v over n, not n - 1.
    pub fn normalise_columns(&mut self, x: Var, eps: f64) -> Var {
        self.apply(Normalise { by_row: false, eps }, &[x])
    }

    /// Each row with the mean 0 and the variance 1: y = (x - m) / sqrt(v + eps), v over n, not n - 1.
    pub fn normalise_rows(&mut self, x: Var, eps: f64) -> Var {
        self.apply(Normalise { by_row: true, eps }, &[x])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn values_and_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        // Columns (1, 3) and (2, 8): means 2 and 5, variances 1 and 9.
        let x = g.variable(2, 2, &[1.0, 3.0, 2.0, 8.0]);
        let columns = g.normalise_columns(x, 3.0);
        let want = [-0.5, 0.5, -3.0 / 12f64.sqrt(), 3.0 / 12f64.sqrt()];
        assert!(g.value(columns).data.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15));
        // With s = 2 and y_bar = (1, 0): (1 - 1/2 - y mean(y y_bar)) / 2, mean(y y_bar) = -1/4.
        g.backward_from(columns, &[1.0, 0.0, 0.0, 0.0], &mut []);
        assert_eq!(g.grad(x).data, [0.1875, -0.1875, 0.0, 0.0]);
        // Rows (1, 2) and (3, 8): means 1.5 and 5.5, variances 1/4 and 25/4.
        let rows = g.normalise_rows(x, 0.75);
        let s = 7f64.sqrt();
        let want = [-0.5, -2.5 / s, 0.5, 2.5 / s];
        assert!(g.value(rows).data.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15));
    }
}
