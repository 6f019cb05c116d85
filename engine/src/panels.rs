//! Products for kernels that lay out their own memory.
//!
//! A panel is [`LANES`] rows of a matrix, column after column; the panels of a matrix follow each other, and
//! the last one is filled up with rows of zeros. Passes over panels touch whole vectors of whole cache lines,
//! sums over columns stay in registers, and both products below read panels as they are: no operand is
//! packed before it is multiplied, which is what a general product spends a tenth of its time on for matrices
//! of a hundred rows.
//!
//! [`product`] is W x with W in panels, [`outer`] is a b^T with a in panels; the other operand may lie in
//! panels or in columns. Every entry is one sum in the order of its terms, with each product fused into it, so
//! tiles of any shape and every SIMD level agree bit for bit.

use std::ops::{Deref, DerefMut};

use crate::aligned::AlignedBuffer;
use crate::simd::{Level, level};
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
    /// Sets the number of columns; they hold whatever numbers there were.
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
    rows: usize,
    cols: usize,
    /// From a panel to the next, and from a column to the next.
    strides: (usize, usize),
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
    fn at(&self, p: usize, c: usize) -> &'a [T] {
        &self.data[p * self.strides.0 + c * self.strides.1..]
    }
}

/// A matrix to write, in panels or in columns.
pub struct Target<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    strides: (usize, usize),
    /// Whether what is written is added to what is there.
    add: bool,
}

impl<'a, T: Real> Target<'a, T> {
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

    #[inline(always)]
    fn put(&mut self, p: usize, c: usize, sum: &Lanes<T>) {
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

/// The first numbers of a column, filled up with zeros.
#[inline(always)]
pub fn lanes<T: Real>(column: &[T]) -> Lanes<T> {
    column.first_chunk().copied().unwrap_or_else(|| {
        let mut lanes = [T::ZERO; LANES];
        lanes[..column.len()].copy_from_slice(column);
        lanes
    })
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

/// out = W x, or out += W x. `w` holds W in panels, as many columns as `x` has rows.
///
/// # Panics
/// Where the sizes do not go together.
pub fn product<T: Real>(w: &[Lanes<T>], x: Operand<T>, mut out: Target<T>) {
    if out.data.is_empty() {
        return;
    }
    assert_eq!(out.cols, x.cols, "out has a column for each of x");
    assert_eq!(w.len(), count(out.rows) * x.rows, "W is as wide as x is high");
    // Twelve sums hide the latency of their additions: of two AVX2 registers each, or of one of AVX-512.
    if level() == Level::Avx512 { product_wide(w, x, &mut out) } else { product_narrow(w, x, &mut out) }
}

/// out += a b^T, in panels; `a` holds a in panels, as many columns as `b` has.
///
/// # Panics
/// Where the sizes do not go together.
pub fn outer<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    if b.rows == 0 || b.cols == 0 {
        return;
    }
    assert!(
        a.len().is_multiple_of(b.cols) && a.len() / b.cols * b.rows == out.len(),
        "a is as wide as b, and out as high as a and as wide as b is high"
    );
    if level() == Level::Avx512 { outer_wide(a, b, out) } else { outer_narrow(a, b, out) }
}

simd_fn! {
    fn product_wide<T: Real>(w: &[Lanes<T>], x: Operand<T>, out: &mut Target<T>) {
        product_tiles::<T, 12>(w, x, out);
    }

    fn product_narrow<T: Real>(w: &[Lanes<T>], x: Operand<T>, out: &mut Target<T>) {
        product_tiles::<T, 6>(w, x, out);
    }

    fn outer_wide<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
        outer_tiles::<T, 16, 0, 0>(a, b, out);
    }

    fn outer_narrow<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
        outer_tiles::<T, 6, 5, 5>(a, b, out);
    }

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
                *out = lanes(&column[p * LANES..]);
            }
        }
    }
}

/// Tiles of a panel's rows and `N` columns.
#[inline(always)]
fn product_tiles<T: Real, const N: usize>(w: &[Lanes<T>], x: Operand<T>, out: &mut Target<T>) {
    for p in 0..count(out.rows) {
        let panel = &w[p * x.rows..][..x.rows];
        let mut c = 0;
        while c + N <= x.cols {
            product_tile::<T, N>(panel, x, out, p, c);
            c += N;
        }
        while c + 2 <= x.cols {
            product_tile::<T, 2>(panel, x, out, p, c);
            c += 2;
        }
        if c < x.cols {
            product_tile::<T, 1>(panel, x, out, p, c);
        }
    }
}

#[inline(always)]
fn product_tile<T: Real, const N: usize>(
    w: &[Lanes<T>],
    x: Operand<T>,
    out: &mut Target<T>,
    p: usize,
    c: usize,
) {
    let mut sums = [[T::ZERO; LANES]; N];
    let (panels, rest) = w.as_chunks::<LANES>();
    for (q, w) in panels.iter().enumerate() {
        let x: [&Lanes<T>; N] = std::array::from_fn(|j| x.at(q, c + j).first_chunk().unwrap_or(&w[0]));
        for (l, w) in w.iter().enumerate() {
            for j in 0..N {
                add_scaled(w, x[j][l], &mut sums[j]);
            }
        }
    }
    if !rest.is_empty() {
        let x: [&[T]; N] = std::array::from_fn(|j| &x.at(panels.len(), c + j)[..rest.len()]);
        for (l, w) in rest.iter().enumerate() {
            for j in 0..N {
                add_scaled(w, x[j][l], &mut sums[j]);
            }
        }
    }
    for j in 0..N {
        out.put(p, c + j, &sums[j]);
    }
}

/// Tiles of a panel's rows and some of the rows of b, `A + B + C` of which are [`LANES`].
#[inline(always)]
fn outer_tiles<T: Real, const A: usize, const B: usize, const C: usize>(
    a: &[Lanes<T>],
    b: Operand<T>,
    out: &mut [Lanes<T>],
) {
    let mut r = 0;
    while r + LANES <= b.rows {
        outer_panels::<T, A>(a, b, out, r);
        if B + C > 0 {
            outer_panels::<T, B>(a, b, out, r + A);
            outer_panels::<T, C>(a, b, out, r + A + B);
        }
        r += LANES;
    }
    while r < b.rows {
        outer_panels::<T, 1>(a, b, out, r);
        r += 1;
    }
}

#[inline(always)]
fn outer_panels<T: Real, const N: usize>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>], r: usize) {
    let columns = b.at(r / LANES, 0)[r % LANES..].chunks(b.strides.1);
    for (panel, out) in a.chunks_exact(b.cols).zip(out.chunks_exact_mut(b.rows)) {
        let mut sums = [[T::ZERO; LANES]; N];
        for (a, b) in panel.iter().zip(columns.clone()) {
            let Some(b) = b.first_chunk::<N>() else { break };
            for j in 0..N {
                add_scaled(a, b[j], &mut sums[j]);
            }
        }
        for (out, sum) in out[r..r + N].iter_mut().zip(&sums) {
            for l in 0..LANES {
                out[l] += sum[l];
            }
        }
    }
}

/// sum += v x.
#[inline(always)]
fn add_scaled<T: Real>(x: &Lanes<T>, v: T, sum: &mut Lanes<T>) {
    for l in 0..LANES {
        sum[l] = x[l].mul_add(v, sum[l]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    #[test]
    fn a_product_and_an_outer_product_worked_out_by_hand() {
        // W = [1 2; 3 4; 5 6], x = (1, -1): W x = (-1, -1, -1); x (1, 2, 3)^T = [1 2 3; -1 -2 -3].
        let w = View { data: &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0], shape: Shape::new(3, 2) };
        let x = View { data: &[1.0, -1.0], shape: Shape::new(2, 1) };
        let (mut packed, mut out) = (Packed::default(), [9.0; 3]);
        pack(w, &mut packed);
        product(&packed, Operand::columns(x), Target::columns(&mut out, 3, false));
        assert_eq!(out, [-1.0; 3]);
        let y = View { data: &[1.0, 2.0, 3.0], shape: Shape::new(3, 1) };
        pack(x, &mut packed);
        let mut sums = vec![[0.0; LANES]; 3];
        outer(&packed, Operand::columns(y), &mut sums);
        let mut out = [0.0; 6];
        add_unpacked(&sums, 2, &mut out);
        assert_eq!(out, [1.0, -1.0, 2.0, -2.0, 3.0, -3.0]);
        pack_transposed(w, &mut packed);
        assert_eq!(packed[2][..2], [5.0, 6.0]);
    }
}
