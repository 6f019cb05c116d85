//! The fused linear layer y = f(W x + b).
//!
//! Columns are processed in fixed chunks: bias, activation and slope are applied to a block that is still in
//! cache. f'(z) is stored for the backward pass.

use std::marker::PhantomData;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};
use rayon::prelude::*;

use super::activation::{Activation, Identity, Relu, Silu, Tanh};
use super::matmul::{LONG, part_of, product};
use crate::aligned::{padded, with_scratch};
use crate::matrix::faer_mut;
use crate::parallel::Tasks;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, View, parallel, simd_fn};

/// Columns per task: a constant, so that results do not depend on the number of threads.
const COLUMNS: usize = 128;

/// The op of a linear layer with activation `A`; inputs W, x, b.
struct Linear<A>(PhantomData<A>);

impl<A> Linear<A> {
    /// The value of this type, to pass to [`Recording::apply`](crate::Recording::apply).
    const OP: Self = Self(PhantomData);
}

impl<A: Activation, T: Real> Op<T> for Linear<A> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [w, x, b] = inputs else { return Err("wants W, x and b".into()) };
        if w.cols != x.rows {
            return Err("W has as many columns as x has rows".into());
        }
        if b.rows != w.rows || b.cols != 1 {
            return Err("b is one column as long as W has rows".into());
        }
        Ok(Shape::new(w.rows, x.cols))
    }

    /// The slopes.
    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        if A::IS_IDENTITY { 0 } else { out.len() }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (w, x, b) = (x.get(0), x.get(1), x.get(2));
        let (m, k) = (w.shape.rows, w.shape.cols);
        let block = |x: &[T], out: &mut [T], aux: &mut [T]| {
            let shape = Shape::new(m, out.len() / m);
            let x = MatRef::from_column_major_slice(x, k, shape.cols);
            matmul(faer_mut(out, shape), Accum::Replace, w.faer(), x, T::ONE, Par::Seq);
            if A::IS_IDENTITY {
                add_bias(b.data, out);
            } else {
                bias_activation::<T, A>(b.data, out, aux);
            }
        };
        if x.shape.cols <= COLUMNS || m == 0 || k == 0 {
            if m > 0 {
                block(x.data, out, aux);
            }
            return;
        }
        let (xs, outs) = (x.data.par_chunks(COLUMNS * k), out.par_chunks_mut(COLUMNS * m));
        if A::IS_IDENTITY {
            (xs, outs).into_par_iter().each(|_, (x, out)| block(x, out, &mut []));
        } else {
            (xs, outs, aux.par_chunks_mut(COLUMNS * m))
                .into_par_iter()
                .each(|_, (x, out, aux)| block(x, out, aux));
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let shape = saved.out.shape;
        if shape.is_empty() {
            return;
        }
        if !A::IS_IDENTITY {
            parallel::for_chunks(out_bar, parallel::CHUNK, |k, g| {
                scale_by_slope(&saved.aux[k * parallel::CHUNK..k * parallel::CHUNK + g.len()], g);
            });
        }
        let g = MatRef::from_column_major_slice(out_bar, shape.rows, shape.cols);
        if let Some(b_bar) = x_bar.get(2) {
            if shape.cols <= LONG {
                add_columns(out_bar, b_bar);
            } else {
                add_all_columns(View { data: out_bar, shape }, b_bar);
            }
        }
        if let Some(w_bar) = x_bar.get(0) {
            // Columns of W only where the batch is long enough to be worth it.
            if shape.cols <= COLUMNS {
                let x = x.faer().transpose();
                matmul(faer_mut(w_bar, w.shape), Accum::Add, g, x, T::ONE, Par::Seq);
            } else {
                product(w_bar, w.shape, Accum::Add, g, x.faer().transpose());
            }
        }
        if let Some(x_bar) = x_bar.get_uninit(1) {
            let k = x.shape.rows;
            let accumulate = if x_bar.overwrite { Accum::Replace } else { Accum::Add };
            parallel::for_chunks(x_bar.data, COLUMNS * k.max(1), |c, x_bar| {
                let n = x_bar.len() / k;
                let (x_bar, g) = (faer_mut(x_bar, Shape::new(k, n)), g.subcols(c * COLUMNS, n));
                matmul(x_bar, accumulate, w.faer().transpose(), g, T::ONE, Par::Seq);
            });
        }
    }
}

/// b_bar += g 1: sums over parts of the columns, added up in their order.
fn add_all_columns<T: Real>(g: View<T>, b_bar: &mut [T]) {
    let (m, cols) = (g.shape.rows, g.shape.cols);
    let (columns, stride) = (part_of(cols), padded(m));
    with_scratch(cols.div_ceil(columns) * stride, |space| {
        parallel::for_chunks(space, stride, |c, sum| {
            let end = cols.min((c + 1) * columns);
            sum.fill(T::ZERO);
            add_columns(&g.data[c * columns * m..end * m], &mut sum[..m]);
        });
        parallel::add_all(space.chunks_exact(stride).map(|sum| &sum[..m]), b_bar);
    });
}

simd_fn! {
    fn bias_activation<T: Real, A: Activation>(b: &[T], out: &mut [T], aux: &mut [T]) {
        for (out, aux) in out.chunks_exact_mut(b.len()).zip(aux.chunks_exact_mut(b.len())) {
            for ((y, slope), b) in out.iter_mut().zip(aux).zip(b) {
                (*y, *slope) = A::value_and_slope(*y + *b);
            }
        }
    }

    pub(super) fn add_bias<T: Real>(b: &[T], out: &mut [T]) {
        for out in out.chunks_exact_mut(b.len()) {
            for (y, b) in out.iter_mut().zip(b) {
                *y += *b;
            }
        }
    }

    fn scale_by_slope<T: Real>(slope: &[T], g: &mut [T]) {
        for (slope, g) in slope.iter().zip(g) {
            *g *= *slope;
        }
    }

    pub(super) fn add_columns<T: Real>(g: &[T], sum: &mut [T]) {
        for column in g.chunks_exact(sum.len()) {
            for (g, sum) in column.iter().zip(sum.iter_mut()) {
                *sum += *g;
            }
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// y = W x + b, b added to every column. With an activation f (in the methods below), z = W x + b and
    /// g = f'(z) y_bar:
    ///
    /// W_bar += g x^T,  b_bar += g 1,  x_bar += W^T g.
    pub fn linear(&mut self, w: Var, x: Var, b: Var) -> Var {
        self.apply(Linear::<Identity>::OP, &[w, x, b])
    }

    /// silu(W x + b).
    pub fn linear_silu(&mut self, w: Var, x: Var, b: Var) -> Var {
        self.apply(Linear::<Silu>::OP, &[w, x, b])
    }

    /// max(W x + b, 0).
    pub fn linear_relu(&mut self, w: Var, x: Var, b: Var) -> Var {
        self.apply(Linear::<Relu>::OP, &[w, x, b])
    }

    /// tanh(W x + b).
    pub fn linear_tanh(&mut self, w: Var, x: Var, b: Var) -> Var {
        self.apply(Linear::<Tanh>::OP, &[w, x, b])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn a_layer_and_its_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        // W = [1 -2], b = 3, x = (2, 1) and (0, 4): z = 3 and -5.
        let w = g.variable(1, 2, &[1.0, -2.0]);
        let b = g.variable(1, 1, &[3.0]);
        let x = g.variable(2, 2, &[2.0, 1.0, 0.0, 4.0]);
        let y = g.linear_relu(w, x, b);
        assert_eq!(g.value(y).data, [3.0, 0.0]);
        g.backward_from(y, &[10.0, 10.0], &mut []);
        assert_eq!(g.grad(w).data, [20.0, 10.0]);
        assert_eq!(g.grad(b).data, [10.0]);
        assert_eq!(g.grad(x).data, [10.0, -20.0, 0.0, 0.0]);
    }
}
