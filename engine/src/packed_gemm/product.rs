//! W x with W in panels.

use super::register::{Arrays, Registers};
use super::{LANES, Lanes, Operand, Output, count};
use crate::Real;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Level, level};

/// out = W x, or out += W x. `w` holds W in panels, as many columns as `x` has rows.
///
/// # Panics
/// Where the sizes do not go together.
#[allow(unsafe_code)]
pub fn product<T: Real>(w: &[Lanes<T>], x: Operand<T>, mut out: Output<T>) {
    if out.data.is_empty() {
        return;
    }
    assert_eq!(out.cols, x.cols, "out has a column for each of x");
    assert_eq!(w.len(), count(out.rows) * x.rows, "W is as wide as x is high");
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` reports AVX-512 only where the CPU has it.
        Level::Avx512 => return unsafe { product_avx512(w, x, &mut out) },
        // SAFETY: `level` reports AVX2 only where the CPU has AVX2 and FMA.
        Level::Avx2 => return unsafe { product_avx2(w, x, &mut out) },
        Level::Baseline => {}
    }
    product_baseline(w, x, &mut out);
}

/// 24 sums in 32 registers, each column of W multiplied by twelve numbers of x from memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[allow(unsafe_code)]
fn product_avx512<T: Real>(w: &[Lanes<T>], x: Operand<T>, out: &mut Output<T>) {
    use super::register::Assume;
    // SAFETY: this function runs only where there is AVX-512.
    wide(unsafe { T::Avx512::assume() }, w, x, out);
}

/// 12 sums in 16 registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[allow(unsafe_code)]
fn product_avx2<T: Real>(w: &[Lanes<T>], x: Operand<T>, out: &mut Output<T>) {
    use super::register::Assume;
    // SAFETY: this function runs only where there are AVX2 and FMA.
    narrow(unsafe { T::Avx2::assume() }, w, x, out);
}

fn product_baseline<T: Real>(w: &[Lanes<T>], x: Operand<T>, out: &mut Output<T>) {
    narrow(Arrays::<LANES>, w, x, out);
}

/// Tiles for 32 registers.
#[inline(always)]
pub(super) fn wide<T: Real, S: Registers<T>>(s: S, w: &[Lanes<T>], x: Operand<T>, out: &mut Output<T>) {
    let panels = count(out.rows);
    if S::PARTS > 1 {
        return (0..panels).for_each(|p| columns::<T, S, 1, 2, 12, 4>(s, w, x, out, p));
    }
    // A column is one register: two panels at once, so that a number of x serves two products.
    let pairs = panels / 2 * 2;
    for p in (0..pairs).step_by(2) {
        columns::<T, S, 2, 1, 12, 4>(s, w, x, out, p);
    }
    if pairs < panels {
        columns::<T, S, 1, 1, 12, 4>(s, w, x, out, pairs);
    }
}

/// Tiles for 16 registers.
#[inline(always)]
pub(super) fn narrow<T: Real, S: Registers<T>>(s: S, w: &[Lanes<T>], x: Operand<T>, out: &mut Output<T>) {
    for p in 0..count(out.rows) {
        if S::PARTS > 1 {
            columns::<T, S, 1, 2, 6, 2>(s, w, x, out, p);
        } else {
            columns::<T, S, 1, 1, 6, 2>(s, w, x, out, p);
        }
    }
}

/// `P` panels from `p` on and all columns of x, in tiles of `N`, then `M`, then one of them. A tile has `Q`
/// registers of each panel.
#[inline(always)]
fn columns<T: Real, S: Registers<T>, const P: usize, const Q: usize, const N: usize, const M: usize>(
    s: S,
    w: &[Lanes<T>],
    x: Operand<T>,
    out: &mut Output<T>,
    p: usize,
) {
    let w: [&[Lanes<T>]; P] = std::array::from_fn(|i| &w[(p + i) * x.rows..][..x.rows]);
    let mut c = 0;
    while c + N <= x.cols {
        tile::<T, S, P, Q, N>(s, w, x, out, (p, c));
        c += N;
    }
    while c + M <= x.cols {
        tile::<T, S, P, Q, M>(s, w, x, out, (p, c));
        c += M;
    }
    while c < x.cols {
        tile::<T, S, P, Q, 1>(s, w, x, out, (p, c));
        c += 1;
    }
}

/// The sums of `P` panels, `Q` registers of each at a time, and `N` columns.
#[inline(always)]
fn tile<T: Real, S: Registers<T>, const P: usize, const Q: usize, const N: usize>(
    s: S,
    w: [&[Lanes<T>]; P],
    x: Operand<T>,
    out: &mut Output<T>,
    (p, c): (usize, usize),
) {
    // Sums that are written in a loop would not stay in registers while they grow: they go by way of `done`.
    let mut done = [[[T::ZERO; LANES]; P]; N];
    for part in (0..S::PARTS).step_by(Q) {
        let mut sums = [[[s.zero(); Q]; P]; N];
        for first in (0..x.rows).step_by(LANES) {
            // Rows of x that lie together.
            let len = LANES.min(x.rows - first);
            let mut columns = [&[] as &[T]; N];
            for j in 0..N {
                columns[j] = &x.at(first / LANES, c + j)[..len];
            }
            let mut panels = w;
            for i in 0..P {
                panels[i] = &w[i][first..][..len];
            }
            for l in 0..len {
                let mut v = [[s.zero(); Q]; P];
                for i in 0..P {
                    for q in 0..Q {
                        v[i][q] = s.load(&panels[i][l], part + q);
                    }
                }
                for j in 0..N {
                    let x = s.splat(columns[j][l]);
                    for i in 0..P {
                        for q in 0..Q {
                            sums[j][i][q] = s.mul_add(v[i][q], x, sums[j][i][q]);
                        }
                    }
                }
            }
        }
        for j in 0..N {
            for i in 0..P {
                for q in 0..Q {
                    s.store(sums[j][i][q], &mut done[j][i], part + q);
                }
            }
        }
    }
    for j in 0..N {
        for i in 0..P {
            out.put(p + i, c + j, &done[j][i]);
        }
    }
}
