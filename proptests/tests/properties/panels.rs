//! Products of matrices in panels against plain loops, bit for bit: whatever the tiles, an entry is one fused
//! sum in the order of its terms.

use engine::packed_gemm::{self, LANES, Operand, Output, Packed};
use engine::rng::Stream;
use engine::{Matrix, Real, Shape, View};
use proptest::prelude::*;

use crate::cases::cases;

fn matrix<T: Real>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    let mut s = Stream::new(seed, "panels", rows as u64, cols as u64);
    Matrix::from_fn(rows, cols, |_, _| T::of(2.0 * s.uniform() - 1.0))
}

fn packed<T: Real>(x: &Matrix<T>) -> Packed<T> {
    let mut out = Packed::default();
    packed_gemm::pack(x.view(), &mut out);
    out
}

/// sum_k a(k) b(k), each product fused into the sum.
fn fused<T: Real>(terms: usize, f: impl Fn(usize) -> (T, T)) -> T {
    (0..terms).map(f).fold(T::ZERO, |sum, (a, b)| a.mul_add(b, sum))
}

fn transposed<T: Real>(x: &Matrix<T>) -> Matrix<T> {
    Matrix::from_fn(x.cols(), x.rows(), |i, j| x[(j, i)])
}

/// W x in all layouts, and added to what is there.
fn products<T: Real>(m: usize, k: usize, n: usize, seed: u64) {
    let (w, x, old) = (matrix::<T>(m, k, seed), matrix(k, n, seed + 1), matrix(m, n, seed + 2));
    let want = Matrix::from_fn(m, n, |i, j| fused(k, |l| (w[(i, l)], x[(l, j)])));
    let (wp, xp) = (packed(&w), packed(&x));
    let mut again = Packed::default();
    packed_gemm::pack_transposed(transposed(&w).view(), &mut again);
    assert_eq!(wp[..], again[..], "a packed transpose");
    let below = Matrix::from_fn(k + 2, n, |i, j| if i < k { x[(i, j)] } else { T::ONE });
    for x in [Operand::columns(x.view()), Operand::top(below.view(), k), Operand::panels(&xp, k, n)] {
        let mut out = matrix::<T>(m, n, 99);
        packed_gemm::product(&wp, x, Output::columns(out.data_mut(), m, false));
        assert_eq!(out, want, "columns");
        let mut out = old.clone();
        packed_gemm::product(&wp, x, Output::columns(out.data_mut(), m, true));
        assert_eq!(out, Matrix::from_fn(m, n, |i, j| old[(i, j)] + want[(i, j)]), "added");
        let tall = matrix::<T>(m + 3, n, seed + 3);
        let mut out = tall.clone();
        packed_gemm::product(&wp, x, Output::top(out.data_mut(), m + 3, m, false));
        let upper = Matrix::from_fn(m + 3, n, |i, j| if i < m { want[(i, j)] } else { tall[(i, j)] });
        assert_eq!(out, upper, "the upper rows");
        let mut out = vec![[T::ONE; LANES]; packed_gemm::count(m) * n];
        packed_gemm::product(&wp, x, Output::panels(&mut out, n, false));
        assert_eq!(out[..], packed(&want)[..], "panels, filled up with zeros");
    }
}

/// a b^T in both layouts of b.
fn outers<T: Real>(m: usize, k: usize, n: usize, seed: u64) {
    let (a, b, old) = (matrix::<T>(m, n, seed), matrix(k, n, seed + 1), matrix(m, k, seed + 2));
    let want = Matrix::from_fn(m, k, |i, j| old[(i, j)] + fused(n, |l| (a[(i, l)], b[(j, l)])));
    let (ap, bp) = (packed(&a), packed(&b));
    for b in [Operand::columns(b.view()), Operand::panels(&bp, k, n)] {
        let mut sums = packed(&old);
        packed_gemm::outer(&ap, b, &mut sums);
        assert_eq!(sums[..], packed(&want)[..]);
        let mut out = matrix::<T>(m, k, 99);
        let before = out.clone();
        packed_gemm::add_unpacked(&sums, m, out.data_mut());
        assert_eq!(out, Matrix::from_fn(m, k, |i, j| before[(i, j)] + want[(i, j)]));
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn products_are_plain_fused_sums(m in 0_usize..40, k in 0_usize..40, n in 0_usize..30, seed in 0_u64..1000) {
        products::<f32>(m, k, n, seed);
        products::<f64>(m, k, n, seed);
    }

    #[test]
    fn outer_products_are_plain_fused_sums(m in 0_usize..40, k in 0_usize..40, n in 0_usize..30, seed in 0_u64..1000) {
        outers::<f32>(m, k, n, seed);
        outers::<f64>(m, k, n, seed);
    }
}

#[test]
#[should_panic(expected = "W is as wide as x is high")]
fn sizes_that_do_not_go_together_are_refused() {
    let x = [1.0_f32; 6];
    let x = Operand::columns(View { data: &x, shape: Shape::new(3, 2) });
    packed_gemm::product(&[[0.0; LANES]; 2], x, Output::columns(&mut [0.0; 4], 2, false));
}

#[test]
#[should_panic(expected = "a is as wide as b")]
fn outer_products_of_parts_of_columns_are_refused() {
    let b = [1.0_f32; 6];
    let b = Operand::columns(View { data: &b, shape: Shape::new(3, 2) });
    packed_gemm::outer(&[[0.0; LANES]; 3], b, &mut [[0.0; LANES]; 3]);
}
