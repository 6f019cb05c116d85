//! The move of the coordinates by an edge, c_ij d / (sqrt(r2 + 1e-8) + 1), and its derivatives.

use engine::{Real, simd_fn};

use super::edges::{Columns, Edge};

simd_fn! {
    /// Adds each edge's step to x_i, and with `even` subtracts it from x_j.
    pub(super) fn push<T: Real>(edges: &[Edge<T>], weights: &[T], even: bool, columns: Columns, out: &mut [T]) {
        for (e, weight) in edges.iter().zip(weights) {
            let scale = *weight * step_scale(e.r2).0;
            for (node, scale) in [(e.i, scale), (e.j, -scale)].into_iter().take(if even { 2 } else { 1 }) {
                for (x, d) in out[columns.position(node)].iter_mut().zip(e.d) {
                    *x = scale.mul_add(d, *x);
                }
            }
        }
    }

    /// t_bar of each edge, the cotangent of the argument of tanh in c_ij.
    pub(super) fn weights_back<T: Real>(
        edges: &[Edge<T>], weights: &[T], even: bool, columns: Columns, out_bar: &[T], t_bars: &mut [T],
    ) {
        for ((e, weight), t_bar) in edges.iter().zip(weights).zip(t_bars) {
            let step = step_bar(e, even, columns, out_bar);
            *t_bar = along(e, step) * step_scale(e.r2).0 * (T::ONE - *weight * *weight);
        }
    }

    /// Adds the gradients through d and r2 to x_bar (columns of positions); `bars` has the cotangents of r2
    /// first.
    pub(super) fn push_back<T: Real>(
        edges: &[Edge<T>], weights: &[T], bars: &[[T; 2]], even: bool, columns: Columns, out_bar: &[T],
        x_bar: &mut [T],
    ) {
        let space = columns.space;
        for ((e, weight), [r2_bar, _]) in edges.iter().zip(weights).zip(bars) {
            let step = step_bar(e, even, columns, out_bar);
            let (scale, slope) = step_scale(e.r2);
            let by_r2 = T::of(2.0) * (*r2_bar + *weight * slope * along(e, step));
            for k in 0..space {
                let bar = by_r2.mul_add(e.d[k], *weight * scale * step[k]);
                x_bar[e.i as usize * space + k] += bar;
                x_bar[e.j as usize * space + k] -= bar;
            }
        }
    }

    /// Adds the gradient through e0 to origin_bar; `bars` has the cotangents of e0 second.
    pub(super) fn origin_back<T: Real>(
        edges: &[Edge<T>], bars: &[[T; 2]], space: usize, origin: &[T], origin_bar: &mut [T],
    ) {
        for (e, [_, e0_bar]) in edges.iter().zip(bars) {
            let (i, j) = (e.i as usize * space, e.j as usize * space);
            for k in 0..space {
                let bar = T::of(2.0) * *e0_bar * (origin[i + k] - origin[j + k]);
                origin_bar[i + k] += bar;
                origin_bar[j + k] -= bar;
            }
        }
    }
}

/// The cotangent of an edge's step: that of x_i, with `even` less that of x_j.
#[inline(always)]
fn step_bar<T: Real>(e: &Edge<T>, even: bool, columns: Columns, out_bar: &[T]) -> [T; 3] {
    let mut bar = [T::ZERO; 3];
    for (bar, out) in bar.iter_mut().zip(&out_bar[columns.position(e.i)]) {
        *bar = *out;
    }
    if even {
        for (bar, out) in bar.iter_mut().zip(&out_bar[columns.position(e.j)]) {
            *bar -= *out;
        }
    }
    bar
}

/// 1 / (sqrt(r2 + 1e-8) + 1) and its derivative by r2.
#[inline(always)]
fn step_scale<T: Real>(r2: T) -> (T, T) {
    let root = (r2 + T::of(1e-8)).sqrt();
    let scale = T::ONE / (root + T::ONE);
    (scale, -T::HALF * scale * scale / root)
}

/// d . bar.
#[inline(always)]
fn along<T: Real>(e: &Edge<T>, bar: [T; 3]) -> T {
    bar.iter().zip(e.d).fold(T::ZERO, |sum, (b, d)| b.mul_add(d, sum))
}
