//! Softmax over the edges of one receiver, with one or several heads: p_e = exp(s_e) / sum_e exp(s_e),
//! s_bar_e += p_e (p_bar_e - sum_e p_e p_bar_e).

use super::kernels::{LANES, lane_dot};
use crate::simd::round_by_round;
use crate::{Real, simd_fn};

/// Softmax of the columns of `s` (heads x entries of one row), head by head, into `p`.
pub(crate) fn softmax<T: Real>(s: &[T], heads: usize, p: &mut [T]) {
    if heads == 1 {
        p.copy_from_slice(s);
        softmax_one(p)
    } else if LANES.is_multiple_of(heads) {
        softmax_lanes(s, heads, p)
    } else {
        softmax_heads(s, heads, p)
    }
}

/// Every lane becomes `f` over the lanes of its head, l, l + heads, ...; heads divides the lanes.
#[inline(always)]
fn fold_heads<T: Real>(lanes: &mut [T; LANES], heads: usize, f: impl Fn(T, T) -> T) {
    let mut half = LANES / 2;
    while half >= heads {
        for l in 0..half {
            lanes[l] = f(lanes[l], lanes[l + half]);
        }
        half /= 2;
    }
    for l in heads..LANES {
        lanes[l] = lanes[l - heads];
    }
}

simd_fn! {
    /// One head, in place.
    pub(crate) fn softmax_one<T: Real>(p: &mut [T]) {
        let mut top = T::NEG_INFINITY;
        for s in p.iter() {
            top = s.max(top);
        }
        for p in p.iter_mut() {
            *p = (*p - top).exp();
        }
        let mut sum = T::ZERO;
        for p in p.iter() {
            sum += *p;
        }
        for p in p.iter_mut() {
            *p /= sum;
        }
    }

    /// `softmax_heads` where heads divides the lanes, so that each lane belongs to one head.
    fn softmax_lanes<T: Real>(s: &[T], heads: usize, p: &mut [T]) {
        let (blocks, rest) = s.as_chunks::<LANES>();
        let mut top = [T::NEG_INFINITY; LANES];
        for s in blocks {
            for l in 0..LANES {
                top[l] = s[l].max(top[l]);
            }
        }
        for (l, s) in rest.iter().enumerate() {
            top[l] = s.max(top[l]);
        }
        fold_heads(&mut top, heads, |a, b| a.max(b));
        let mut sum = [T::ZERO; LANES];
        let (p_blocks, p_rest) = p.as_chunks_mut::<LANES>();
        for (p, s) in p_blocks.iter_mut().zip(blocks) {
            for l in 0..LANES {
                p[l] = (s[l] - top[l]).exp();
            }
            for l in 0..LANES {
                sum[l] += p[l];
            }
        }
        if !rest.is_empty() {
            let mut last = [T::NEG_INFINITY; LANES];
            last[..rest.len()].copy_from_slice(rest);
            for l in 0..LANES {
                last[l] = (last[l] - top[l]).exp();
            }
            p_rest.copy_from_slice(&last[..rest.len()]);
            for (p, sum) in p_rest.iter().zip(&mut sum) {
                *sum += *p;
            }
        }
        fold_heads(&mut sum, heads, |a, b| a + b);
        for p in p_blocks {
            for l in 0..LANES {
                p[l] /= sum[l];
            }
            round_by_round();
        }
        for (p, sum) in p_rest.iter_mut().zip(&sum) {
            *p /= *sum;
        }
    }

    fn softmax_heads<T: Real>(s: &[T], heads: usize, p: &mut [T]) {
        for h in 0..heads {
            let mut top = T::NEG_INFINITY;
            for s in s.iter().skip(h).step_by(heads) {
                top = s.max(top);
            }
            let mut sum = T::ZERO;
            for (p, s) in p.iter_mut().zip(s).skip(h).step_by(heads) {
                *p = (*s - top).exp();
                sum += *p;
            }
            for p in p.iter_mut().skip(h).step_by(heads) {
                *p /= sum;
            }
        }
    }
}

/// s_bar += p (p_bar - <p, p_bar>) for the entries of one row, head by head.
pub(crate) fn softmax_vjp<T: Real>(p: &[T], heads: usize, p_bar: &[T], s_bar: &mut [T]) {
    if heads == 1 {
        softmax_one_vjp(p, p_bar, s_bar);
    } else if LANES.is_multiple_of(heads) {
        softmax_lanes_vjp(p, heads, p_bar, s_bar);
    } else {
        softmax_heads_vjp(p, heads, p_bar, s_bar);
    }
}

simd_fn! {
    fn softmax_one_vjp<T: Real>(p: &[T], p_bar: &[T], s_bar: &mut [T]) {
        let mean = lane_dot(p, p_bar);
        for ((s, p), b) in s_bar.iter_mut().zip(p).zip(p_bar) {
            *s = p.mul_add(*b - mean, *s);
        }
    }

    /// s_bar = p (p_bar - <p, p_bar>) of one head, which overwrites p_bar.
    pub(crate) fn softmax_one_back<T: Real>(p: &[T], bar: &mut [T]) {
        let mean = lane_dot(p, bar);
        for (p, bar) in p.iter().zip(bar) {
            *bar = *p * (*bar - mean);
        }
    }

    /// `softmax_heads_vjp` where heads divides the lanes.
    fn softmax_lanes_vjp<T: Real>(p: &[T], heads: usize, p_bar: &[T], s_bar: &mut [T]) {
        let ((ps, p_rest), (bs, b_rest)) = (p.as_chunks::<LANES>(), p_bar.as_chunks::<LANES>());
        let mut mean = [T::ZERO; LANES];
        for (p, b) in ps.iter().zip(bs) {
            for l in 0..LANES {
                mean[l] = p[l].mul_add(b[l], mean[l]);
            }
        }
        for ((p, b), mean) in p_rest.iter().zip(b_rest).zip(&mut mean) {
            *mean = p.mul_add(*b, *mean);
        }
        fold_heads(&mut mean, heads, |a, b| a + b);
        let (s_blocks, s_rest) = s_bar.as_chunks_mut::<LANES>();
        for (s, (p, b)) in s_blocks.iter_mut().zip(ps.iter().zip(bs)) {
            for l in 0..LANES {
                s[l] = p[l].mul_add(b[l] - mean[l], s[l]);
            }
            round_by_round();
        }
        for ((s, mean), (p, b)) in s_rest.iter_mut().zip(&mean).zip(p_rest.iter().zip(b_rest)) {
            *s = p.mul_add(*b - *mean, *s);
        }
    }

    fn softmax_heads_vjp<T: Real>(p: &[T], heads: usize, p_bar: &[T], s_bar: &mut [T]) {
        for h in 0..heads {
            let mut mean = T::ZERO;
            for (p, b) in p.iter().zip(p_bar).skip(h).step_by(heads) {
                mean = p.mul_add(*b, mean);
            }
            for (s, (p, b)) in s_bar.iter_mut().zip(p.iter().zip(p_bar)).skip(h).step_by(heads) {
                *s = p.mul_add(*b - mean, *s);
            }
        }
    }
}
