use super::register::{Arrays, Registers};
use super::*;
use crate::rng::Stream;
use crate::{Matrix, Real, Shape, View};

#[test]
fn a_product_and_an_outer_product_worked_out_by_hand() {
    // W = [1 2; 3 4; 5 6], x = (1, -1): W x = (-1, -1, -1); x (1, 2, 3)^T = [1 2 3; -1 -2 -3].
    let w = View { data: &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0], shape: Shape::new(3, 2) };
    let x = View { data: &[1.0, -1.0], shape: Shape::new(2, 1) };
    let (mut packed, mut out) = (Packed::default(), [9.0; 3]);
    pack(w, &mut packed);
    product(&packed, Operand::columns(x), Output::columns(&mut out, 3, false));
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

fn random<T: Real>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    let mut s = Stream::new(seed, "packed", rows as u64, cols as u64);
    Matrix::from_fn(rows, cols, |_, _| T::of(2.0 * s.uniform() - 1.0))
}

/// sum_l a_il b_lj, each product fused into the sum, added to `old`.
fn fused<T: Real>(a: &Matrix<T>, b: &Matrix<T>, old: &Matrix<T>) -> Matrix<T> {
    Matrix::from_fn(a.rows(), b.cols(), |i, j| {
        old[(i, j)] + (0..a.cols()).fold(T::ZERO, |sum, l| a[(i, l)].mul_add(b[(l, j)], sum))
    })
}

fn packed<T: Real>(x: &Matrix<T>) -> Packed<T> {
    let mut out = Packed::default();
    pack(x.view(), &mut out);
    out
}

/// Arrays as long as a register, by calls, since so many sums inlined take a minute to compile.
#[derive(Clone, Copy)]
struct Called<const N: usize>;

impl<T: Real, const N: usize> Registers<T> for Called<N> {
    type Register = [T; N];
    const PARTS: usize = LANES / N;

    fn zero(self) -> [T; N] {
        [T::ZERO; N]
    }
    fn splat(self, x: T) -> [T; N] {
        [x; N]
    }
    #[inline(never)]
    fn load(self, column: &Lanes<T>, part: usize) -> [T; N] {
        Arrays::<N>.load(column, part)
    }
    #[inline(never)]
    fn store(self, x: [T; N], column: &mut Lanes<T>, part: usize) {
        Arrays::<N>.store(x, column, part);
    }
    #[inline(never)]
    fn add(self, x: [T; N], y: [T; N]) -> [T; N] {
        Arrays::<N>.add(x, y)
    }
    #[inline(never)]
    fn mul_add(self, x: [T; N], y: [T; N], z: [T; N]) -> [T; N] {
        Arrays::<N>.mul_add(x, y, z)
    }
}

type ProductTiles<T, S> = fn(S, &[Lanes<T>], Operand<T>, &mut Output<T>);
type OuterTiles<T, S> = fn(S, &[Lanes<T>], Operand<T>, &mut [Lanes<T>]);

/// Tiles against plain sums, m x k times k x n.
fn check<T: Real, S: Registers<T>>(s: S, tiles: (ProductTiles<T, S>, OuterTiles<T, S>)) {
    for m in [0, 1, 16, 17, 32, 33, 50] {
        for k in [0, 1, 15, 16, 33] {
            for n in [0, 1, 3, 5, 12, 16, 19, 35] {
                check_size(s, tiles, (m, k, n));
            }
        }
    }
}

fn check_size<T: Real, S: Registers<T>>(
    s: S,
    (product, outer): (ProductTiles<T, S>, OuterTiles<T, S>),
    (m, k, n): (usize, usize, usize),
) {
    let (w, x, old) = (random::<T>(m, k, 1), random::<T>(k, n, 2), random::<T>(m, n, 3));
    let want = fused(&w, &x, &old);
    let (w, xp) = (packed(&w), packed(&x));
    for x in [Operand::columns(x.view()), Operand::panels(&xp, k, n)] {
        let mut out = old.clone();
        if m > 0 && n > 0 {
            product(s, &w, x, &mut Output::columns(out.data_mut(), m, true));
        }
        assert_eq!(out, want, "product of {m} x {k} x {n}, {} registers a column", S::PARTS);
    }
    // The same numbers as a b^T, with b = x^T.
    let bt = Matrix::from_fn(n, k, |i, j| x[(j, i)]);
    let bp = packed(&bt);
    for b in [Operand::columns(bt.view()), Operand::panels(&bp, n, k)] {
        let mut out = packed(&old);
        if n > 0 && k > 0 {
            outer(s, &w, b, &mut out);
            assert_eq!(
                out[..],
                packed(&want)[..],
                "outer product of {m} x {k} x {n}, {} registers",
                S::PARTS
            );
        }
    }
}

/// The tiles of AVX-512 and of AVX2, in arrays as long as their registers: all run on every machine.
#[test]
fn tiles_of_any_registers_are_plain_fused_sums() {
    check::<f32, _>(Called::<16>, (product::wide, outer::wide));
    check::<f64, _>(Called::<8>, (product::wide, outer::wide));
    check::<f32, _>(Called::<8>, (product::narrow, outer::narrow));
    check::<f64, _>(Called::<4>, (product::narrow, outer::narrow));
}
