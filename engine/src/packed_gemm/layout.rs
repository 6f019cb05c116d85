//! Matrices in panels: the buffer, what a product reads and writes, and the ways in and out.

use std::ops::{Deref, DerefMut};

use crate::aligned::AlignedBuffer;
use crate::{Real, View, simd_fn};

/// Rows of a panel.
pub const LANES: usize = 16;

/// A column of a panel.
pub type Lanes<T> = [T; LANES];

/// Columns of panels in a buffer that begins at a cache line and is used again and again.
pub struct Packed<T> {
    slab: AlignedBuffer<T>,
    len: usize,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self { slab: AlignedBuffer::default(), len: 0 }
    }
}

impl<T: Real> Packed<T> {
    /// Sets the number of columns; their contents are unspecified.
    pub fn resize(&mut self, len: usize) {
        self.slab.grow(len * LANES);
        self.len = len;
    }

    /// Sets the number of columns and all of them to zero.
    pub fn clear(&mut self, len: usize) {
        self.resize(len);
        self.fill([T::ZERO; LANES]);
    }
}

impl<T> Deref for Packed<T> {
    type Target = [Lanes<T>];
    fn deref(&self) -> &[Lanes<T>] {
        &self.slab.as_chunks().0[..self.len]
    }
}

impl<T> DerefMut for Packed<T> {
    fn deref_mut(&mut self) -> &mut [Lanes<T>] {
        &mut self.slab.as_chunks_mut().0[..self.len]
    }
}

/// Panels that so many rows fill.
pub const fn count(rows: usize) -> usize {
    rows.div_ceil(LANES)
}

/// A matrix to read, in panels or in columns.
#[derive(Clone, Copy)]
pub struct Operand<'a, T> {
    data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// From a panel to the next, and from a column to the next.
    pub(super) strides: (usize, usize),
}

impl<'a, T: Real> Operand<'a, T> {
    /// A matrix as it is everywhere else.
    pub fn columns(x: View<'a, T>) -> Self {
        Self { data: x.data, rows: x.shape.rows, cols: x.shape.cols, strides: (LANES, x.shape.rows) }
    }

    /// The first `rows` rows of a matrix.
    pub fn top(x: View<'a, T>, rows: usize) -> Self {
        assert!(rows <= x.shape.rows, "{rows} rows of {}", x.shape);
        Self { rows, ..Self::columns(x) }
    }

    /// `rows x cols` in panels.
    pub fn panels(x: &'a [Lanes<T>], rows: usize, cols: usize) -> Self {
        assert_eq!(x.len(), count(rows) * cols, "panels of {rows} x {cols}");
        Self { data: x.as_flattened(), rows, cols, strides: (LANES * cols, LANES) }
    }

    /// What is left of column `c` from panel `p` on.
    #[inline(always)]
    pub(super) fn at(&self, p: usize, c: usize) -> &'a [T] {
        &self.data[p * self.strides.0 + c * self.strides.1..]
    }
}

/// A matrix to write, in panels or in columns.
pub struct Output<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    strides: (usize, usize),
    /// Whether what is written is added to what is there.
    add: bool,
}

impl<'a, T: Real> Output<'a, T> {
    /// Columns of `rows` numbers.
    pub fn columns(data: &'a mut [T], rows: usize, add: bool) -> Self {
        let cols = data.len() / rows.max(1);
        Self { data, rows, cols, strides: (LANES, rows), add }
    }

    /// The first `rows` numbers of columns of `height` numbers.
    pub fn top(data: &'a mut [T], height: usize, rows: usize, add: bool) -> Self {
        assert!(rows <= height, "{rows} of {height} rows");
        Self { rows, ..Self::columns(data, height, add) }
    }

    /// Panels of `cols` columns.
    pub fn panels(data: &'a mut [Lanes<T>], cols: usize, add: bool) -> Self {
        // Rows that fill up are written too: sums of zeros.
        let rows = data.len().checked_div(cols).unwrap_or(0) * LANES;
        Self { data: data.as_flattened_mut(), rows, cols, strides: (LANES * cols, LANES), add }
    }

    /// Writes column `c` of panel `p`, or adds to it.
    #[inline(always)]
    pub(super) fn put(&mut self, p: usize, c: usize, sum: &Lanes<T>) {
        let out = &mut self.data[p * self.strides.0 + c * self.strides.1..];
        let rows = self.rows - p * LANES;
        if rows < LANES {
            return put_part(&mut out[..rows], *sum, self.add);
        }
        let Some(out) = out.first_chunk_mut::<LANES>() else { return };
        if self.add {
            for l in 0..LANES {
                out[l] += sum[l];
            }
        } else {
            *out = *sum;
        }
    }
}

/// The first rows of a sum. Apart, and with a copy: where the sum's address is taken or its rows are told apart,
/// the compiler no longer keeps it in whole registers (a third of the speed).
#[cold]
#[inline(never)]
pub(crate) fn put_part<T: Real, const N: usize>(out: &mut [T], sum: [T; N], add: bool) {
    for (out, sum) in out.iter_mut().zip(sum) {
        *out = if add { *out + sum } else { sum };
    }
}

/// The matrix `x` in panels.
pub fn pack<T: Real>(x: View<T>, out: &mut Packed<T>) {
    out.resize(count(x.shape.rows) * x.shape.cols);
    if !x.shape.is_empty() {
        pack_into(x.data, x.shape.rows, out);
    }
}

/// The transpose of `x` in panels.
pub fn pack_transposed<T: Real>(x: View<T>, out: &mut Packed<T>) {
    let (rows, cols) = (x.shape.rows, x.shape.cols);
    out.clear(count(cols) * rows);
    if rows == 0 {
        return;
    }
    for (c, column) in x.data.chunks_exact(rows).enumerate() {
        let panel = &mut out[c / LANES * rows..][..rows];
        for (lanes, v) in panel.iter_mut().zip(column) {
            lanes[c % LANES] = *v;
        }
    }
}

/// Adds a matrix in panels to `out`, columns of `rows` numbers.
pub fn add_unpacked<T: Real>(x: &[Lanes<T>], rows: usize, out: &mut [T]) {
    if rows > 0 {
        add_panels(x, rows, out);
    }
}

simd_fn! {
    fn add_panels<T: Real>(x: &[Lanes<T>], rows: usize, out: &mut [T]) {
        let cols = out.len() / rows;
        for (c, column) in out.chunks_exact_mut(rows).enumerate() {
            for (p, part) in column.chunks_mut(LANES).enumerate() {
                part.iter_mut().zip(&x[p * cols + c]).for_each(|(o, x)| *o += *x);
            }
        }
    }

    fn pack_into<T: Real>(x: &[T], rows: usize, out: &mut [Lanes<T>]) {
        for (p, panel) in out.chunks_exact_mut(x.len() / rows).enumerate() {
            for (column, out) in x.chunks_exact(rows).zip(panel) {
                let rows = &column[p * LANES..];
                match rows.first_chunk() {
                    Some(rows) => *out = *rows,
                    None => {
                        out[..rows.len()].copy_from_slice(rows);
                        out[rows.len()..].fill(T::ZERO);
                    }
                }
            }
        }
    }
}
