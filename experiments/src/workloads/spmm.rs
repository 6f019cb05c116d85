//! Sparse times dense: a 100 000 x 100 000 matrix with 1.2 million entries times 100 000 x 64.

use engine::aligned::AlignedBuffer;
use engine::rng::Stream;
use engine::sparse::Sparse;
use sprs::CsMat;

use super::cost::{Cost, WORD};
use super::{Array, Given, Step};

const SIZE: usize = 100_000;
const ENTRIES: usize = 1_200_000;
const COLUMNS: usize = 64;

/// Rows of the product that are compared, besides the sum of each column.
const ROWS: usize = 16;

/// The matrix and the dense factor, 100 000 x 64 by rows.
fn factors() -> (CsMat<f32>, AlignedBuffer<f32>) {
    let mut s = Stream::new(0, "spmm", 0, 0);
    let mut at: Vec<(usize, usize)> = (0..ENTRIES).map(|_| (s.index(SIZE), s.index(SIZE))).collect();
    at.sort_unstable();
    at.dedup();
    let mut starts = vec![0; SIZE + 1];
    at.iter().for_each(|(i, _)| starts[i + 1] += 1);
    (0..SIZE).for_each(|i| starts[i + 1] += starts[i]);
    let mut values = vec![0.0_f32; at.len()];
    s.fill_normal(&mut values);
    let matrix = CsMat::new((SIZE, SIZE), starts, at.iter().map(|(_, j)| *j).collect(), values);
    let mut x = AlignedBuffer::<f32>::zeros(COLUMNS * SIZE);
    s.fill_normal(&mut x);
    (matrix, x)
}

pub(super) fn build() -> Step {
    let (matrix, x) = factors();
    let (sparse, values) = Sparse::new(&matrix);
    let mut y = AlignedBuffer::<f32>::zeros(COLUMNS * SIZE);
    Box::new(move || sparse.product(&values, &x, COLUMNS, &mut y))
}

pub(super) fn given() -> Given {
    let (matrix, x) = factors();
    let (sparse, values) = Sparse::new(&matrix);
    let mut y = AlignedBuffer::<f32>::zeros(COLUMNS * SIZE);
    sparse.product(&values, &x, COLUMNS, &mut y);
    let mut sums = vec![0.0; COLUMNS];
    for row in y.chunks_exact(COLUMNS) {
        row.iter().zip(&mut sums).for_each(|(y, sum)| *sum += f64::from(*y));
    }
    let arrays = vec![
        Array::indices("starts", matrix.indptr().raw_storage().iter().map(|i| *i as u32)),
        Array::indices("indices", matrix.indices().iter().map(|j| *j as u32)),
        Array::floats("values", &[matrix.nnz()], matrix.data()),
        Array::floats("x", &[SIZE, COLUMNS], &x),
    ];
    let rows = y[..ROWS * COLUMNS].iter().map(|y| f64::from(*y)).collect();
    Given { arrays, wanted: vec![("rows", rows), ("sums", sums)], tolerance: 1e-3 }
}

/// Two operations for each entry and column. Memory: the matrix, the dense factor once, the product; without a cache
/// that holds the dense factor (26 MB) its rows are read 307 MB often.
pub(super) fn cost() -> Cost {
    let (size, entries, columns) = (SIZE as f64, ENTRIES as f64, COLUMNS as f64);
    Cost { flops: 2.0 * entries * columns, bytes: WORD * (2.0 * entries + size + 2.0 * size * columns) }
}
