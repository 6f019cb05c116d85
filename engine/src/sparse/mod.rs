//! Sparse matrices of fixed structure: the edges of a graph.
//!
//! [`Sparse`] is the structure of an m x n matrix S. Its values are an input of the ops (one column for each entry),
//! so that they can be learned. The ops are in [`ops::edge`](crate::ops::edge); each has a handle to the structure.

mod degree_order;
pub(crate) mod kernels;
mod pattern;
pub(crate) mod segment_softmax;

use std::sync::Arc;

use sprs::{CsMatI, SpIndex};

use crate::Real;

pub(crate) use degree_order::{DegreeOrder, Permutation};
pub(crate) use pattern::CompressedAxis;
pub use pattern::Pattern;

/// A handle to a sparse structure; build it once, outside the training loop, and clone the handle.
#[derive(Clone, Debug)]
pub struct Sparse {
    pub(crate) pattern: Arc<Pattern>,
}

impl Sparse {
    /// The structure of `matrix`, and its values as an op's input (1 x nnz).
    ///
    /// # Panics
    /// If there are more than 2^32 - 2 rows, columns or entries.
    pub fn new<T: Real, I: SpIndex, P: SpIndex>(matrix: &CsMatI<T, I, P>) -> (Self, Vec<T>) {
        let (pattern, values) = Pattern::new(matrix);
        (Self { pattern: Arc::new(pattern) }, values)
    }

    /// X S^T without a recording: `out` (rows x m) from `x` (rows x n) and the values of S.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn product<T: Real>(&self, values: &[T], x: &[T], rows: usize, out: &mut [T]) {
        let shape = self.pattern.shape();
        assert!(
            values.len() == self.pattern.len()
                && x.len() == rows * shape.cols
                && out.len() == rows * shape.rows,
            "S is {shape} with {} entries, x and the result have {rows} rows",
            self.pattern.len()
        );
        self.pattern.by_row.accumulate(values, 1, x, rows, true, out);
    }

    /// The structure.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}
