//! The mixture's kernel: log pi and its score at a block of points.
//!
//! log pi(x) = logsumexp_j q_j,  q_j = c_j - |x - m_j|^2 / 2 s_j^2,
//! score(x) = sum_j r_j (m_j - x) / s_j^2,  r_j = exp(q_j - log pi).
//!
//! Two sweeps over the components: one for the largest q_j, one for the sums. In the plane q_j is computed twice, for a few
//! points whose sums stay in registers; in higher dimensions it is stored, and the inner loop is over all points. Cost for
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
        scratch.clear();
        scratch.extend(
            components.flat_map(|c| [T::of(c.mean[0]), T::of(c.mean[1]), c.inv_variance, c.log_norm]),
        );
        let (x, y) = x.split_at(n);
        let (gx, gy) = score.split_at_mut(n);
        planar(scratch.as_chunks().0, x, y, log_p, gx, gy);
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

/// The log-density, given the largest q_j and the sum of the others in its units.
#[inline(always)]
fn total<T: Real>(max: T, sum: T) -> T {
    // So far away that every square overflows: density 0, where the sum is anything.
    if max == T::NEG_INFINITY { max } else { max + sum.ln() }
}

/// Points whose sums are in registers: one of AVX-512 or two of AVX2 for each.
const POINTS: usize = 16;

simd_fn! {
    /// Of components (mean, 1 / s^2, c).
    fn planar<T: Real>(components: &[[T; 4]], x: &[T], y: &[T], log_p: &mut [T], gx: &mut [T], gy: &mut [T]) {
        let points = x.chunks(POINTS).zip(y.chunks(POINTS));
        let results = log_p.chunks_mut(POINTS).zip(gx.chunks_mut(POINTS).zip(gy.chunks_mut(POINTS)));
        for ((x, y), (log_p, (gx, gy))) in points.zip(results) {
            let n = x.len();
            let (mut xs, mut ys) = ([T::ZERO; POINTS], [T::ZERO; POINTS]);
            xs[..n].copy_from_slice(x);
            ys[..n].copy_from_slice(y);
            let mut max = [T::NEG_INFINITY; POINTS];
            for [mx, my, inv_variance, log_norm] in components {
                for l in 0..POINTS {
                    max[l] = planar_q(*mx - xs[l], *my - ys[l], *inv_variance, *log_norm).max(max[l]);
                }
            }
            let [mut sum, mut sx, mut sy] = [[T::ZERO; POINTS]; 3];
            for [mx, my, inv_variance, log_norm] in components {
                for l in 0..POINTS {
                    let (dx, dy) = (*mx - xs[l], *my - ys[l]);
                    let e = (planar_q(dx, dy, *inv_variance, *log_norm) - max[l]).exp_up_to_zero();
                    sum[l] += e;
                    let e = e * *inv_variance;
                    sx[l] = e.mul_add(dx, sx[l]);
                    sy[l] = e.mul_add(dy, sy[l]);
                }
            }
            for l in 0..POINTS {
                (sx[l], sy[l]) = (sx[l] / sum[l], sy[l] / sum[l]);
                max[l] = total(max[l], sum[l]);
            }
            log_p.copy_from_slice(&max[..n]);
            gx.copy_from_slice(&sx[..n]);
            gy.copy_from_slice(&sy[..n]);
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
            let e = (*q - *max).exp_up_to_zero();
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
            *log_p = total(*log_p, *sum);
        }
    }

    fn divide<T: Real>(sum: &[T], g: &mut [T]) {
        for (sum, g) in sum.iter().zip(g) {
            *g /= *sum;
        }
    }
}
