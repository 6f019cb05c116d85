//! a b^T with a in panels.

use super::register::{Arrays, Registers};
use super::{LANES, Lanes, Operand};
use crate::Real;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Level, level};

/// out += a b^T, in panels; `a` holds a in panels, as many columns as `b` has.
///
/// # Panics
/// Where the sizes do not go together.
#[allow(unsafe_code)]
pub fn outer<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    if b.rows == 0 || b.cols == 0 {
        return;
    }
    assert!(
        a.len().is_multiple_of(b.cols) && a.len() / b.cols * b.rows == out.len(),
        "a is as wide as b, and out as high as a and as wide as b is high"
    );
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` reports AVX-512 only where the CPU has it.
        Level::Avx512 => return unsafe { outer_avx512(a, b, out) },
        // SAFETY: `level` reports AVX2 only where the CPU has AVX2 and FMA.
        Level::Avx2 => return unsafe { outer_avx2(a, b, out) },
        Level::Baseline => {}
    }
    outer_baseline(a, b, out);
}

/// 16 sums, each column of a multiplied by eight numbers of b from memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[allow(unsafe_code)]
fn outer_avx512<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    use super::register::Assume;
    // SAFETY: this function runs only where there is AVX-512.
    wide(unsafe { T::Avx512::assume() }, a, b, out);
}

/// At most 12 sums in 16 registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[allow(unsafe_code)]
fn outer_avx2<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    use super::register::Assume;
    // SAFETY: this function runs only where there are AVX2 and FMA.
    narrow(unsafe { T::Avx2::assume() }, a, b, out);
}

fn outer_baseline<T: Real>(a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    narrow(Arrays::<LANES>, a, b, out);
}

/// Tiles for 32 registers.
#[inline(always)]
pub(super) fn wide<T: Real, S: Registers<T>>(s: S, a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    if S::PARTS > 1 {
        tiles::<T, S, 1, 2, 8, 8, 0>(s, a, b, out);
    } else {
        // A column is one register: two panels at once, so that a number of b serves two products.
        tiles::<T, S, 2, 1, 8, 8, 0>(s, a, b, out);
    }
}

/// Tiles for 16 registers.
#[inline(always)]
pub(super) fn narrow<T: Real, S: Registers<T>>(s: S, a: &[Lanes<T>], b: Operand<T>, out: &mut [Lanes<T>]) {
    if S::PARTS > 1 {
        tiles::<T, S, 1, 2, 6, 5, 5>(s, a, b, out);
    } else {
        tiles::<T, S, 1, 1, 6, 5, 5>(s, a, b, out);
    }
}

/// Tiles of some of the rows of b, `A + B + C` of which are [`LANES`]: within a panel of b they lie together.
#[inline(always)]
fn tiles<
    T: Real,
    S: Registers<T>,
    const P: usize,
    const Q: usize,
    const A: usize,
    const B: usize,
    const C: usize,
>(
    s: S,
    a: &[Lanes<T>],
    b: Operand<T>,
    out: &mut [Lanes<T>],
) {
    let mut r = 0;
    while r + LANES <= b.rows {
        panels::<T, S, P, Q, A>(s, a, b, out, r);
        panels::<T, S, P, Q, B>(s, a, b, out, r + A);
        if C > 0 {
            panels::<T, S, P, Q, C>(s, a, b, out, r + A + B);
        }
        r += LANES;
    }
    while r < b.rows {
        panels::<T, S, P, Q, 1>(s, a, b, out, r);
        r += 1;
    }
}

/// All panels of a, `P` at a time, and `N` rows of b from `r` on.
#[inline(always)]
fn panels<T: Real, S: Registers<T>, const P: usize, const Q: usize, const N: usize>(
    s: S,
    a: &[Lanes<T>],
    b: Operand<T>,
    out: &mut [Lanes<T>],
    r: usize,
) {
    let mut a = a.chunks_exact(P * b.cols);
    let mut out = out.chunks_exact_mut(P * b.rows);
    for (a, out) in (&mut a).zip(&mut out) {
        let a: [&[Lanes<T>]; P] = std::array::from_fn(|i| &a[i * b.cols..][..b.cols]);
        tile::<T, S, P, Q, N>(s, a, b, out, r);
    }
    // Fewer than P are left, which is at most 2.
    let (a, out) = (a.remainder(), out.into_remainder());
    if !a.is_empty() {
        tile::<T, S, 1, Q, N>(s, [a], b, out, r);
    }
}

/// The sums of `P` panels, `Q` registers of each at a time, and `N` rows of b.
#[inline(always)]
fn tile<T: Real, S: Registers<T>, const P: usize, const Q: usize, const N: usize>(
    s: S,
    a: [&[Lanes<T>]; P],
    b: Operand<T>,
    out: &mut [Lanes<T>],
    r: usize,
) {
    let rows = &b.at(r / LANES, 0)[r % LANES..];
    for part in (0..S::PARTS).step_by(Q) {
        let mut sums = [[[s.zero(); Q]; P]; N];
        for c in 0..a[0].len() {
            let Some(b) = rows.get(c * b.strides.1..).and_then(|b| b.first_chunk::<N>()) else { break };
            let mut v = [[s.zero(); Q]; P];
            for i in 0..P {
                for q in 0..Q {
                    v[i][q] = s.load(&a[i][c], part + q);
                }
            }
            for j in 0..N {
                let b = s.splat(b[j]);
                for i in 0..P {
                    for q in 0..Q {
                        sums[j][i][q] = s.mul_add(v[i][q], b, sums[j][i][q]);
                    }
                }
            }
        }
        for j in 0..N {
            for i in 0..P {
                let out = &mut out[i * b.rows + r + j];
                for q in 0..Q {
                    s.store(s.add(s.load(out, part + q), sums[j][i][q]), out, part + q);
                }
            }
        }
    }
}
