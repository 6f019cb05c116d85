//! Sparse times dense: a 100 000 x 100 000 matrix with 1.2 million entries times 100 000 x 64.

use engine::aligned::AlignedBuffer;
use engine::rng::Stream;
use engine::sparse::Sparse;
use sprs::CsMat;

use super::Step;

const SIZE: usize = 100_000;
const ENTRIES: usize = 1_200_000;
const COLUMNS: usize = 64;

pub(super) fn build() -> Step {
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
    let (sparse, values) = Sparse::new(&matrix);
    let mut x = AlignedBuffer::<f32>::zeros(COLUMNS * SIZE);
    s.fill_normal(&mut x);
    let mut y = AlignedBuffer::<f32>::zeros(COLUMNS * SIZE);
    Box::new(move || sparse.product(&values, &x, COLUMNS, &mut y))
}
