//! The mixture's kernel: log pi and its score at a block of points.
//!
//! log pi(x) = logsumexp_j q_j,  q_j = c_j - |x - m_j|^2 / 2 s_j^2,
//! score(x) = sum_j r_j (m_j - x) / s_j^2,  r_j = exp(q_j - log pi).
//!
//! Two sweeps over the components, the inner loop over points: one for the largest q_j, one for the
//! sums. In the plane q_j is computed twice, in higher dimensions stored. Cost for
//! each point and component: one exponential and 12 (planar) or 4 d + 4 flops.

use engine::{Real, simd_fn};

/// One Gaussian in the form that the kernel needs.
pub(super) struct Component<'a, T> {
    pub mean: &'a [f64],
    pub inv_variance: T,
    pub log_norm: T,
}

pub(super) fn log_density_block<'a, T: Real>(
    dim: usize,
    n: usize,
    components: impl Iterator<Item = Component<'a, T>> + Clone,
    x: &[T],
    log_p: &mut [T],
    score: &mut [T],
    scratch: &mut Vec<T>,
) {
    log_p.fill(T::NEG_INFINITY);
    score.fill(T::ZERO);
    let count = components.clone().count();
    if dim == 2 {
        scratch.resize(n, T::ZERO);
        let (x, y) = x.split_at(n);
        let (gx, gy) = score.split_at_mut(n);
        for c in components.clone() {
            planar_max(T::of(c.mean[0]), T::of(c.mean[1]), c.inv_variance, c.log_norm, x, y, log_p);
        }
        scratch.fill(T::ZERO);
        for c in components {
            let m = [T::of(c.mean[0]), T::of(c.mean[1])];
            planar_sum(m, c.inv_variance, c.log_norm, x, y, log_p, scratch, gx, gy);
        }
        finish(scratch, log_p);
        divide(scratch, gx);
        divide(scratch, gy);
    } else {
        scratch.resize((count + 1) * n, T::ZERO);
        let (sum, q) = scratch.split_at_mut(n);
        for (c, q) in components.clone().zip(q.chunks_exact_mut(n)) {
            q.fill(T::ZERO);
            for (x, m) in x.chunks_exact(n).zip(c.mean) {
                add_square(T::of(*m), x, q);
            }
            log_term_max(c.inv_variance, c.log_norm, q, log_p);
        }
        sum.fill(T::ZERO);
        for (c, q) in components.zip(q.chunks_exact_mut(n)) {
            exp_sum(c.inv_variance, log_p, q, sum);
            for ((x, m), g) in x.chunks_exact(n).zip(c.mean).zip(score.chunks_exact_mut(n)) {
                pull(T::of(*m), x, q, g);
            }
        }
        finish(sum, log_p);
        score.chunks_exact_mut(n).for_each(|g| divide(sum, g));
    }
}

#[inline(always)]
fn planar_q<T: Real>(dx: T, dy: T, inv_variance: T, log_norm: T) -> T {
    (T::of(-0.5) * inv_variance).mul_add(dx.mul_add(dx, dy * dy), log_norm)
}

simd_fn! {
    fn planar_max<T: Real>(mx: T, my: T, inv_variance: T, log_norm: T, x: &[T], y: &[T], max: &mut [T]) {
        for ((x, y), max) in x.iter().zip(y).zip(max) {
            *max = planar_q(mx - *x, my - *y, inv_variance, log_norm).max(*max);
        }
    }

    fn planar_sum<T: Real>(
        m: [T; 2], inv_variance: T, log_norm: T,
        x: &[T], y: &[T], max: &[T], sum: &mut [T], gx: &mut [T], gy: &mut [T],
    ) {
        let points = x.iter().zip(y).zip(max);
        for (((x, y), max), ((sum, gx), gy)) in points.zip(sum.iter_mut().zip(gx).zip(gy)) {
            let (dx, dy) = (m[0] - *x, m[1] - *y);
            let e = (planar_q(dx, dy, inv_variance, log_norm) - *max).exp();
            *sum += e;
            let e = e * inv_variance;
            *gx = e.mul_add(dx, *gx);
            *gy = e.mul_add(dy, *gy);
        }
    }

    fn add_square<T: Real>(m: T, x: &[T], q: &mut [T]) {
        for (x, q) in x.iter().zip(q) {
            let d = m - *x;
            *q = d.mul_add(d, *q);
        }
    }

    fn log_term_max<T: Real>(inv_variance: T, log_norm: T, q: &mut [T], max: &mut [T]) {
        for (q, max) in q.iter_mut().zip(max) {
            *q = (T::of(-0.5) * inv_variance).mul_add(*q, log_norm);
            *max = (*q).max(*max);
        }
    }

    fn exp_sum<T: Real>(inv_variance: T, max: &[T], q: &mut [T], sum: &mut [T]) {
        for ((max, q), sum) in max.iter().zip(q).zip(sum) {
            let e = (*q - *max).exp();
            *sum += e;
            *q = e * inv_variance;
        }
    }

    fn pull<T: Real>(m: T, x: &[T], e: &[T], g: &mut [T]) {
        for ((x, e), g) in x.iter().zip(e).zip(g) {
            *g = e.mul_add(m - *x, *g);
        }
    }

    fn finish<T: Real>(sum: &[T], log_p: &mut [T]) {
        for (sum, log_p) in sum.iter().zip(log_p) {
            // So far away that every square overflows: density 0, where the sum is NaN.
            let total = *log_p + sum.ln();
            *log_p = if *log_p == T::NEG_INFINITY { *log_p } else { total };
        }
    }

    fn divide<T: Real>(sum: &[T], g: &mut [T]) {
        for (sum, g) in sum.iter().zip(g) {
            *g /= *sum;
        }
    }
}
