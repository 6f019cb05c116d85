//! The loops of sparse products: sums of weighted columns and inner products of columns.

use super::pattern::{CompressedAxis, EdgeIds, Pattern};
use crate::simd::{axpy, prefetch};
use crate::{Real, simd_fn};

/// Prefetch distance of columns, in entries.
pub(crate) const AHEAD: usize = 12;
/// Rows that `weighted_sum` keeps in registers while it runs over the entries.
const TILE: usize = 64;
/// The same with a second operand in registers.
const HALF_TILE: usize = 32;

impl CompressedAxis {
    /// Columns of `out` += sums of scaled columns of `x`: out_g += sum_e w_e x_{other(e)}; = if `overwrite`.
    pub(crate) fn accumulate<T: Real>(
        &self,
        w: &[T],
        heads: usize,
        x: &[T],
        rows: usize,
        overwrite: bool,
        out: &mut [T],
    ) {
        self.for_groups(out, rows, |g, y| self.accumulate_one(g, w, heads, x, overwrite, y));
    }

    /// One column of [`CompressedAxis::accumulate`].
    #[inline]
    pub(crate) fn accumulate_one<T: Real>(
        &self,
        g: usize,
        w: &[T],
        heads: usize,
        x: &[T],
        overwrite: bool,
        y: &mut [T],
    ) {
        let (others, numbers) = self.group(g);
        match numbers {
            EdgeIds::From(first) if heads == 1 => {
                weighted_sum(others, self.from(g), Consecutive(first), w, x, overwrite, y);
            }
            EdgeIds::List(list) if heads == 1 => {
                weighted_sum(others, self.from(g), Listed(list), w, x, overwrite, y)
            }
            _ => {
                if overwrite {
                    y.fill(T::ZERO);
                }
                gather_scaled(others, numbers, w, heads, x, y);
            }
        }
    }

    /// y = sum_e w_e x_{other(e)} over the entries of group g, with their weights from `w[0]` on.
    #[inline]
    pub(crate) fn weigh_own<T: Real>(&self, g: usize, w: &[T], x: &[T], y: &mut [T]) {
        weighted_sum(self.group(g).0, self.from(g), Consecutive(0), w, x, true, y);
    }

    /// y += sum_e w_e (own - x_{other(e)}) over the entries of group g, or = if `overwrite`.
    pub(crate) fn accumulate_differences<T: Real>(
        &self,
        g: usize,
        w: &[T],
        own: &[T],
        x: &[T],
        overwrite: bool,
        y: &mut [T],
    ) {
        let (others, numbers) = self.group(g);
        match numbers {
            EdgeIds::From(first) => {
                weighted_differences(others, self.from(g), Consecutive(first), w, own, x, overwrite, y);
            }
            EdgeIds::List(list) => {
                weighted_differences(others, self.from(g), Listed(list), w, own, x, overwrite, y)
            }
        }
    }
}

/// The number of the k-th entry, known at compile time to be consecutive or listed.
pub(crate) trait Number {
    fn at(&self, k: usize) -> usize;
}
pub(crate) struct Consecutive(pub(super) usize);
pub(crate) struct Listed<'a>(pub(super) &'a [u32]);

impl Number for Consecutive {
    #[inline(always)]
    fn at(&self, k: usize) -> usize {
        self.0 + k
    }
}
impl Number for Listed<'_> {
    #[inline(always)]
    fn at(&self, k: usize) -> usize {
        self.0[k] as usize
    }
}

simd_fn! {
    /// y += sum_k w_{number k} x_{others k}, or = if `overwrite`: a tile of y stays in registers over all entries.
    pub(crate) fn weighted_sum<T: Real, N: Number>(others: &[u32], ahead: &[u32], number: N, w: &[T], x: &[T], overwrite: bool, y: &mut [T]) {
        let rows = y.len();
        let mut tiles = y.chunks_exact_mut(TILE);
        let mut at = 0;
        for tile in &mut tiles {
            let mut sum = [T::ZERO; TILE];
            if !overwrite {
                sum.copy_from_slice(tile);
            }
            for (k, other) in others.iter().enumerate() {
                if let Some(next) = ahead.get(k + AHEAD) {
                    prefetch(x, *next as usize * rows + at, TILE);
                }
                let start = *other as usize * rows + at;
                let (w, x) = (w[number.at(k)], &x[start..start + TILE]);
                for r in 0..TILE {
                    sum[r] = w.mul_add(x[r], sum[r]);
                }
            }
            tile.copy_from_slice(&sum);
            at += TILE;
        }
        let rest = tiles.into_remainder();
        if overwrite {
            rest.fill(T::ZERO);
        }
        for (k, other) in others.iter().enumerate() {
            let (w, start) = (w[number.at(k)], *other as usize * rows + at);
            for (x, y) in x[start..start + rest.len()].iter().zip(rest.iter_mut()) {
                *y = w.mul_add(*x, *y);
            }
        }
    }

    /// y += sum_k w_{number k} (own - x_{others k}), or = if `overwrite`: tiles of y and of own stay in registers.
    fn weighted_differences<T: Real, N: Number>(
        others: &[u32], ahead: &[u32], number: N, w: &[T], own: &[T], x: &[T], overwrite: bool, y: &mut [T],
    ) {
        let rows = y.len();
        let mut tiles = y.chunks_exact_mut(HALF_TILE);
        let mut at = 0;
        for tile in &mut tiles {
            let mut sum = [T::ZERO; HALF_TILE];
            let mut here = [T::ZERO; HALF_TILE];
            here.copy_from_slice(&own[at..at + HALF_TILE]);
            if !overwrite {
                sum.copy_from_slice(tile);
            }
            for (k, other) in others.iter().enumerate() {
                if let Some(next) = ahead.get(k + AHEAD) {
                    prefetch(x, *next as usize * rows + at, HALF_TILE);
                }
                let start = *other as usize * rows + at;
                let (w, x) = (w[number.at(k)], &x[start..start + HALF_TILE]);
                for r in 0..HALF_TILE {
                    sum[r] = w.mul_add(here[r] - x[r], sum[r]);
                }
            }
            tile.copy_from_slice(&sum);
            at += HALF_TILE;
        }
        let rest = tiles.into_remainder();
        if overwrite {
            rest.fill(T::ZERO);
        }
        for (k, other) in others.iter().enumerate() {
            let (w, start) = (w[number.at(k)], *other as usize * rows + at);
            for ((x, own), y) in x[start..start + rest.len()].iter().zip(&own[at..]).zip(rest.iter_mut()) {
                *y = w.mul_add(*own - *x, *y);
            }
        }
    }

    /// w_bar_k += <a, b_{others k}>. Lanes are summed in a second loop over many entries: inside the first, the
    /// compiler would split its vectors for the few additions at the end.
    pub(crate) fn add_dots<T: Real>(a: &[T], others: &[u32], ahead: &[u32], b: &[T], w_bar: &mut [T]) {
        const GROUP: usize = 32;
        let mut lanes = [[T::ZERO; LANES]; GROUP];
        let (blocks, rest) = a.as_chunks::<LANES>();
        for (k, (others, w_bar)) in others.chunks(GROUP).zip(w_bar.chunks_mut(GROUP)).enumerate() {
            for ((e, other), lanes) in others.iter().enumerate().zip(&mut lanes) {
                if let Some(next) = ahead.get(k * GROUP + e + AHEAD) {
                    prefetch(b, *next as usize * a.len(), a.len());
                }
                let start = *other as usize * a.len();
                let b = b[start..start + a.len()].as_chunks::<LANES>().0;
                let mut sum = [T::ZERO; LANES];
                for (a, b) in blocks.iter().zip(b) {
                    for l in 0..LANES {
                        sum[l] = a[l].mul_add(b[l], sum[l]);
                    }
                }
                *lanes = sum;
            }
            for ((other, lanes), w) in others.iter().zip(&lanes).zip(w_bar) {
                let end = (*other as usize + 1) * a.len();
                let b = &b[end - rest.len()..end];
                let rest = rest.iter().zip(b).fold(T::ZERO, |sum, (a, b)| a.mul_add(*b, sum));
                *w += lane_sum(*lanes) + rest;
            }
        }
    }

    /// <x, y>, summed in a fixed order over lanes.
    pub(crate) fn dot<T: Real>(x: &[T], y: &[T]) -> T {
        lane_dot(x, y)
    }
}

/// The same, inlined.
#[inline(always)]
pub(crate) fn lane_dot<T: Real>(x: &[T], y: &[T]) -> T {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sum = [T::ZERO; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            sum[l] = x[l].mul_add(y[l], sum[l]);
        }
    }
    let rest = x_rest.iter().zip(y_rest).fold(T::ZERO, |sum, (x, y)| x.mul_add(*y, sum));
    lane_sum(sum) + rest
}

/// Partial sums of reductions.
pub(crate) const LANES: usize = 16;

/// The sum of the lanes, by halving.
#[inline(always)]
pub(crate) fn lane_sum<T: Real>(lanes: [T; LANES]) -> T {
    let eight: [T; 8] = std::array::from_fn(|l| lanes[l] + lanes[l + 8]);
    let four: [T; 4] = std::array::from_fn(|l| eight[l] + eight[l + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The general case: entries in any order, and heads with weights of their own.
fn gather_scaled<T: Real>(others: &[u32], numbers: EdgeIds<'_>, w: &[T], heads: usize, x: &[T], y: &mut [T]) {
    let (rows, block) = (y.len(), y.len() / heads);
    if block == 0 {
        return;
    }
    for (k, other) in others.iter().enumerate() {
        let x = &x[*other as usize * rows..(*other as usize + 1) * rows];
        let w = &w[numbers.get(k) * heads..(numbers.get(k) + 1) * heads];
        for ((w, x), y) in w.iter().zip(x.chunks_exact(block)).zip(y.chunks_exact_mut(block)) {
            axpy(*w, x, y);
        }
    }
}

/// w_bar_e += <a_i, b_j> for every entry (i, j), head by head.
pub(crate) fn sampled_product<T: Real>(
    pattern: &Pattern,
    heads: usize,
    a: &[T],
    b: &[T],
    rows: usize,
    w_bar: &mut [T],
) {
    let block = rows / heads;
    if block == 0 {
        return;
    }
    pattern.for_rows(w_bar, heads, |i, w_bar| {
        let (others, _) = pattern.by_row.group(i);
        let a = &a[i * rows..(i + 1) * rows];
        if heads == 1 {
            return add_dots(a, others, pattern.by_row.from(i), b, w_bar);
        }
        for (other, w_bar) in others.iter().zip(w_bar.chunks_exact_mut(heads)) {
            let b = &b[*other as usize * rows..(*other as usize + 1) * rows];
            for ((w, a), b) in w_bar.iter_mut().zip(a.chunks_exact(block)).zip(b.chunks_exact(block)) {
                *w += dot(a, b);
            }
        }
    });
}
