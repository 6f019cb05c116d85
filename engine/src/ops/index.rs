//! Gather and scatter-add of columns, each the other's vjp.
//!
//! Scatter runs over the sources of each target in order (precomputed), so that targets run in parallel and sums
//! have a fixed order.

use std::sync::Arc;

use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel};

/// Column indices into `n` columns, and the sources of each target.
#[derive(Debug)]
struct Columns {
    indices: Vec<u32>,
    /// Sources of target j: `sources[starts[j]..starts[j + 1]]`.
    starts: Vec<usize>,
    sources: Vec<u32>,
}

/// An index out of range.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("index {index} at position {position} points beyond {n} columns")]
pub struct IndexError {
    /// Position in the list.
    pub position: usize,
    /// The index.
    pub index: usize,
    /// Number of columns.
    pub n: usize,
}

impl Columns {
    /// Checks the indices and lists the sources of each target.
    fn new(indices: Vec<u32>, n: usize) -> Result<Arc<Self>, IndexError> {
        if let Some((position, index)) = indices.iter().enumerate().find(|(_, i)| **i as usize >= n) {
            return Err(IndexError { position, index: *index as usize, n });
        }
        assert!(indices.len() <= u32::MAX as usize, "indices are numbered in 32 bits");
        let mut starts = vec![0; n + 1];
        indices.iter().for_each(|i| starts[*i as usize + 1] += 1);
        (0..n).for_each(|j| starts[j + 1] += starts[j]);
        let (mut next, mut sources) = (starts.clone(), vec![0; indices.len()]);
        for (k, i) in (0..).zip(&indices) {
            let place = &mut next[*i as usize];
            sources[*place] = k;
            *place += 1;
        }
        Ok(Arc::new(Self { indices, starts, sources }))
    }

    /// Number of columns indexed.
    fn targets(&self) -> usize {
        self.starts.len() - 1
    }

    /// out_k += x_{i_k}; = if `overwrite`.
    fn gather<T: Real>(&self, x: &[T], rows: usize, overwrite: bool, out: &mut [T]) {
        if rows == 1 {
            return parallel::for_chunks(out, parallel::CHUNK, |c, out| {
                let indices = &self.indices[c * parallel::CHUNK..][..out.len()];
                let values = indices.iter().map(|i| x[*i as usize]);
                if overwrite {
                    out.iter_mut().zip(values).for_each(|(y, x)| *y = x);
                } else {
                    out.iter_mut().zip(values).for_each(|(y, x)| *y += x);
                }
            });
        }
        parallel::for_columns(out, rows, |k, y| {
            let i = self.indices[k] as usize;
            let x = &x[i * rows..(i + 1) * rows];
            if overwrite { y.copy_from_slice(x) } else { y.iter_mut().zip(x).for_each(|(y, x)| *y += *x) }
        });
    }

    /// out_j += sum of x_k with i_k = j; = if `overwrite`.
    fn scatter<T: Real>(&self, x: &[T], rows: usize, overwrite: bool, out: &mut [T]) {
        if rows == 1 {
            return parallel::for_chunks(out, parallel::CHUNK, |c, out| {
                for (y, ends) in out.iter_mut().zip(self.starts[c * parallel::CHUNK..].windows(2)) {
                    let before = if overwrite { T::ZERO } else { *y };
                    *y = self.sources[ends[0]..ends[1]].iter().fold(before, |y, k| y + x[*k as usize]);
                }
            });
        }
        parallel::for_columns(out, rows, |j, y| {
            if overwrite {
                y.fill(T::ZERO);
            }
            for k in &self.sources[self.starts[j]..self.starts[j + 1]] {
                let k = *k as usize;
                y.iter_mut().zip(&x[k * rows..(k + 1) * rows]).for_each(|(y, x)| *y += *x);
            }
        });
    }
}

struct Gather(Arc<Columns>);
struct Scatter(Arc<Columns>);

impl<T: Real> Op<T> for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (n, x) = (self.0.targets(), inputs[0]);
        if x.cols == n {
            Ok(Shape::new(x.rows, self.0.indices.len()))
        } else {
            Err(format!("indices are into {n} columns"))
        }
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        self.0.gather(x.get(0).data, x.get(0).shape.rows, true, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(0) {
            self.0.scatter(out_bar, saved.out.shape.rows, overwrite, data);
        }
    }
}

impl<T: Real> Op<T> for Scatter {
    fn name(&self) -> &'static str {
        "scatter_add"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (n, x) = (self.0.indices.len(), inputs[0]);
        if x.cols == n {
            Ok(Shape::new(x.rows, self.0.targets()))
        } else {
            Err(format!("there are {n} indices"))
        }
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        self.0.scatter(x.get(0).data, x.get(0).shape.rows, true, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(0) {
            self.0.gather(out_bar, saved.out.shape.rows, overwrite, data);
        }
    }
}

/// A list of column indices for gather and scatter-add; build it once, outside the training loop.
#[derive(Clone)]
pub struct Moves(Arc<Columns>);

impl Moves {
    /// `indices` into `n` columns.
    ///
    /// # Errors
    /// If an index is `n` or larger.
    ///
    /// # Panics
    /// If there are 2^32 indices or more.
    pub fn new(indices: Vec<u32>, n: usize) -> Result<Self, IndexError> {
        Columns::new(indices, n).map(Self)
    }
}

impl<T: Real> Recording<'_, T> {
    /// Gather y_k = x_{i_k}, one column for each index; x_bar_j += sum of y_bar_k with i_k = j.
    pub fn gather(&mut self, x: Var, moves: &Moves) -> Var {
        self.apply(Gather(moves.0.clone()), &[x])
    }
    /// Scatter-add y_j = sum of x_k with i_k = j; x_bar_k += y_bar_{i_k}.
    pub fn scatter_add(&mut self, x: Var, moves: &Moves) -> Var {
        self.apply(Scatter(moves.0.clone()), &[x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn columns_move_and_gradients_move_back() {
        let moves = Moves::new(vec![2, 0, 2], 3).unwrap();
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let y = g.gather(x, &moves);
        assert_eq!(g.value(y).data, [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
        let z = g.scatter_add(y, &moves);
        assert_eq!(g.value(z).data, [1.0, 2.0, 0.0, 0.0, 10.0, 12.0]);
        g.backward_from(z, &[1.0; 6], &mut []);
        assert_eq!(g.grad(x).data, [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
    }

    #[test]
    fn an_index_beyond_the_columns_is_named() {
        let e = Columns::new(vec![0, 7], 3).unwrap_err();
        assert_eq!(e.to_string(), "index 7 at position 1 points beyond 3 columns");
    }
}
