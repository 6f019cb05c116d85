//! Dense column-major matrices without padding: [`Matrix`] is owned, [`View`] borrowed.

use crate::Real;
use faer::{MatMut, MatRef};

/// Rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Length of a column: features of a sample.
    pub rows: usize,
    /// Number of columns: samples.
    pub cols: usize,
}

impl Shape {
    /// `rows x cols`.
    pub const fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols }
    }
    /// Number of entries.
    pub const fn len(self) -> usize {
        self.rows * self.cols
    }
    /// Whether there is no entry.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.rows, self.cols)
    }
}

/// An owned column-major matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    data: Vec<T>,
    shape: Shape,
}

impl<T: Real> Matrix<T> {
    /// All zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { data: vec![T::ZERO; rows * cols], shape: Shape { rows, cols } }
    }
    /// Entry (i, j) is `f(i, j)`; called column by column.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        for j in 0..cols {
            data.extend((0..rows).map(|i| f(i, j)));
        }
        Self { data, shape: Shape { rows, cols } }
    }
    /// A matrix of column-major entries.
    ///
    /// # Panics
    /// If there are not `rows * cols` entries.
    pub fn from_vec(rows: usize, cols: usize, data: Vec<T>) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix needs {} entries", rows * cols);
        Self { data, shape: Shape { rows, cols } }
    }
    /// Rows and columns.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shape.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.shape.cols
    }
    /// All entries, column after column.
    pub fn data(&self) -> &[T] {
        &self.data
    }
    /// All entries, to write.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }
    /// Column j.
    pub fn col(&self, j: usize) -> &[T] {
        &self.data[j * self.shape.rows..(j + 1) * self.shape.rows]
    }
    /// Column j, to write.
    pub fn col_mut(&mut self, j: usize) -> &mut [T] {
        &mut self.data[j * self.shape.rows..(j + 1) * self.shape.rows]
    }
    /// Borrows the whole matrix.
    pub fn view(&self) -> View<'_, T> {
        View { data: &self.data, shape: self.shape }
    }
    /// The entries, column after column.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }
    /// The matrix in another precision.
    pub fn cast<U: Real>(&self) -> Matrix<U> {
        Matrix { data: self.data.iter().map(|v| U::of(v.f64())).collect(), shape: self.shape }
    }
}

impl<T> std::ops::Index<(usize, usize)> for Matrix<T> {
    type Output = T;
    fn index(&self, (i, j): (usize, usize)) -> &T {
        &self.data[i + j * self.shape.rows]
    }
}

impl<T> std::ops::IndexMut<(usize, usize)> for Matrix<T> {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut T {
        &mut self.data[i + j * self.shape.rows]
    }
}

/// A borrowed column-major matrix.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// All entries, column after column.
    pub data: &'a [T],
    /// Rows and columns.
    pub shape: Shape,
}

impl<'a, T: Real> View<'a, T> {
    /// Column j.
    pub fn col(&self, j: usize) -> &'a [T] {
        &self.data[j * self.shape.rows..(j + 1) * self.shape.rows]
    }
    /// As faer's view.
    pub(crate) fn faer(&self) -> MatRef<'a, T> {
        MatRef::from_column_major_slice(self.data, self.shape.rows, self.shape.cols)
    }
}

/// Column-major entries as faer's mutable view.
pub(crate) fn faer_mut<T: Real>(data: &mut [T], shape: Shape) -> MatMut<'_, T> {
    MatMut::from_column_major_slice_mut(data, shape.rows, shape.cols)
}
