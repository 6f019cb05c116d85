//! Row tiles: some rows of a matrix with its columns in an order of their own, in and out.

use std::marker::PhantomData;
use std::ops::Range;
use std::slice;

use crate::Real;
use crate::packed_gemm::put_part;
use crate::simd::{prefetch, prefetch_line};
use crate::sparse::Permutation;

/// Rows of a tile: two cache lines of f32 for each node.
pub(super) const TILE_ROWS: usize = 32;
/// Nodes by which columns of a matrix are asked for before they are packed or written.
const AHEAD: usize = 40;

/// Rows from `first` on of the columns of a matrix of `rows` rows at some places of an order, zeros below its last.
pub(super) fn pack<T: Real>(
    nodes: &Permutation,
    places: Range<usize>,
    x: &[T],
    rows: usize,
    first: usize,
    tile: &mut [[T; TILE_ROWS]],
) {
    let nodes = &nodes.columns()[places.start..];
    let len = TILE_ROWS.min(rows - first);
    for (k, (node, p)) in nodes.iter().zip(tile).enumerate() {
        if let Some(next) = nodes.get(k + AHEAD) {
            prefetch(x, *next as usize * rows + first, len);
        }
        let at = *node as usize * rows + first;
        if len == TILE_ROWS {
            p.copy_from_slice(&x[at..at + TILE_ROWS]);
        } else {
            p[..len].copy_from_slice(&x[at..at + len]);
            p[len..].fill(T::ZERO);
        }
    }
}

/// Where a stage's columns go.
pub(super) trait Sink<T> {
    /// Takes the column of the node at a place.
    fn put(&mut self, place: usize, x: &[T; TILE_ROWS]);
}

/// A matrix with a column for each node, whose tiles are written at the same time.
pub(super) struct Columns<'a, T> {
    data: *mut T,
    rows: usize,
    nodes: &'a [u32],
    /// Whether what is written is added to what is there.
    add: bool,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: threads share it only to write different numbers, each its own places of a `RowTile`.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Columns<'_, T> {}

impl<'a, T: Real> Columns<'a, T> {
    /// Of a matrix of `rows` rows with a column for each of `nodes`.
    pub(super) fn new(data: &'a mut [T], rows: usize, nodes: &'a Permutation, add: bool) -> Self {
        assert_eq!(data.len(), rows * nodes.columns().len(), "a column for each node");
        let nodes = nodes.columns();
        Self { data: data.as_mut_ptr(), rows, nodes, add, matrix: PhantomData }
    }

    /// Its rows from `first` on.
    ///
    /// # Safety
    /// `first` is a multiple of `TILE_ROWS`. While tiles with the same `first` live, none puts a place that another one
    /// puts.
    #[allow(unsafe_code)]
    pub(super) unsafe fn tile(&self, first: usize) -> RowTile<'_, T> {
        assert!(first < self.rows);
        RowTile { matrix: self, first, len: TILE_ROWS.min(self.rows - first) }
    }
}

/// Some rows of a matrix.
pub(super) struct RowTile<'a, T> {
    matrix: &'a Columns<'a, T>,
    first: usize,
    len: usize,
}

impl<T: Real> Sink<T> for RowTile<'_, T> {
    #[allow(unsafe_code)]
    #[inline(always)]
    fn put(&mut self, place: usize, x: &[T; TILE_ROWS]) {
        let Columns { data, rows, nodes, add, .. } = *self.matrix;
        if let Some(next) = nodes.get(place + AHEAD) {
            let next = data.wrapping_add(*next as usize * rows + self.first);
            prefetch_line(next);
            prefetch_line(next.wrapping_add(TILE_ROWS / 2));
        }
        let at = nodes[place] as usize * rows + self.first;
        // SAFETY: `Permutation` has each number of a column once, and `first + len` is no more than the rows, so that these
        // numbers lie in the matrix; no one else has these rows of this place.
        let out = unsafe { slice::from_raw_parts_mut(data.add(at), self.len) };
        match out.first_chunk_mut::<TILE_ROWS>() {
            Some(out) if add => {
                for r in 0..TILE_ROWS {
                    out[r] += x[r];
                }
            }
            Some(out) => *out = *x,
            None => put_part(out, *x, add),
        }
    }
}
