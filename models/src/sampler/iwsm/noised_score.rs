//! Monte Carlo estimates of the noised target's density and score, from the same K energies.
//!
//! With x^k = x_t + sigma eps_k, eps_k ~ N(0, I), and r_k = softmax_k(-E(x^k)):
//!
//! - density: Z p_t(x_t) = E exp(-E(x^k)), estimated without bias by the mean over k;
//! - target score identity: grad log p_t = sum_k r_k a_k, a_k = -grad E(x^k) (Akhound-Sadegh et al.
//!   2024, eq. 8; De Bortoli et al. 2024, "Target score matching");
//! - denoising score identity: grad log p_t = sum_k r_k b_k, b_k = (x^k - x_t) / sigma^2 = eps_k / sigma;
//! - any mixture kappa a + (1 - kappa) b of the two. Under r its variance is minimal at
//!   kappa = (V_bb - V_ab) / (V_aa - 2 V_ab + V_bb), V the covariances summed over coordinates. For a
//!   Gaussian of standard deviation s that is s^2 / (s^2 + sigma^2), and the variance vanishes;
//! - where the density ends at a wall of infinite energy, the integration by parts behind the first identity has a
//!   boundary term that no gradient knows, and the first identity, like any mixture, misses the wall; the second
//!   holds. So where a draw has met an infinite energy, the second alone is to be used;
//! - a draw x_0 from the r_k: with the weight Z p_t(x_t) it is properly weighted for the target for any K,
//!   because E((1/K) sum_k exp(-E(x^k)) f(x^k)) = E(exp(-E(x_0)) f(x_0)).
//!
//! Sums are accumulated block by block in one pass with a running maximum; nothing of size K d is stored.
//! Draws are antithetic pairs +-eps. Sums have 64 fixed partial sums, so that results do not depend on the
//! number of threads or the SIMD width.
//!
//! For particles eps_k is the standard Gaussian of the mean-free states, so that the density is one on
//! that subspace, of dimension (n - 1) D.

use engine::buffer_pool::BufferPool;
use engine::parallel::Tasks;
use engine::ranks::{Ranks, Solo, for_parts};
use engine::rng::Stream;
use engine::{Real, simd_fn};
use rayon::prelude::*;

use crate::target::{BLOCK, Geometry, Target, TargetError, all_finite};

/// Partial sums of each sum.
const WIDTH: usize = 64;

/// Estimates at a batch of points, with their buffers; reuse it from step to step.
pub struct Estimates<T> {
    geometry: Geometry,
    dim: usize,
    records: Vec<T>,
    workspaces: BufferPool<Workspace<T>>,
}

/// The estimate at one point.
#[derive(Clone, Copy, Debug)]
pub struct Estimate<'a, T> {
    /// log of the estimate of Z p_t(x_t).
    pub log_density: T,
    /// The covariances V_aa, V_ab, V_bb.
    pub covariance: [T; 3],
    /// Whether a draw lies outside the support.
    pub outside: bool,
    /// The score by the target identity, sum_k r_k a_k.
    pub target: &'a [T],
    /// The score by the denoising identity, sum_k r_k b_k.
    pub denoising: &'a [T],
    /// One x_0 drawn from the r_k.
    pub draw: &'a [T],
}

#[derive(Clone, Default)]
struct Workspace<T> {
    noise: Vec<T>,
    x: Vec<T>,
    log_p: Vec<T>,
    score: Vec<T>,
    sums: Vec<T>,
    kernel: Vec<T>,
}

/// Single numbers at the head of a record.
const HEAD: usize = 5;
/// Single numbers among the sums.
const MOMENTS: usize = 4;

impl<T: Real> Estimates<T> {
    /// Buffers for states of that space.
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, dim: geometry.dim(), records: Vec::new(), workspaces: BufferPool::default() }
    }

    fn width(&self) -> usize {
        HEAD + 3 * self.dim
    }

    /// The estimate at point i.
    pub fn get(&self, i: usize) -> Estimate<'_, T> {
        let (head, vectors) = self.records[i * self.width()..(i + 1) * self.width()].split_at(HEAD);
        let (target, rest) = vectors.split_at(self.dim);
        let (denoising, draw) = rest.split_at(self.dim);
        let (covariance, outside) = ([head[1], head[2], head[3]], head[4] != T::ZERO);
        Estimate { log_density: head[0], covariance, outside, target, denoising, draw }
    }

    /// Estimates at each column of `x` (d x n) with its own noise level, from `draws` draws each;
    /// random numbers are those of (`seed`, `step`). Each column has a stream of its own, and is a task.
    ///
    /// # Errors
    /// If the target cannot be evaluated.
    pub fn run(
        &mut self,
        target: &dyn Target<T>,
        x: &[T],
        sigma: &[T],
        draws: usize,
        key: (u64, u64),
    ) -> Result<(), TargetError> {
        self.run_over(&Solo, target, x, sigma, draws, key)
    }

    /// The same with the points shared out over ranks, all of which have all estimates afterwards: 5 + 3 d numbers of
    /// each point go around.
    ///
    /// # Errors
    /// If the target cannot be evaluated, on all ranks; and failures of ranks.
    pub fn run_over(
        &mut self,
        ranks: &dyn Ranks,
        target: &dyn Target<T>,
        x: &[T],
        sigma: &[T],
        draws: usize,
        (seed, step): (u64, u64),
    ) -> Result<(), TargetError> {
        let (d, width, geometry) = (self.dim, self.width(), self.geometry);
        assert_eq!(x.len(), d * sigma.len(), "one noise level for each column of x");
        assert!(draws > 0, "an estimate needs draws");
        self.records.resize(sigma.len() * width, T::ZERO);
        let (workspaces, records) = (&self.workspaces, &mut self.records[..]);
        for_parts(ranks, (records, width), (&mut [T::ZERO; 0], 1), |first, records, _| {
            let (x, sigma) = (&x[first * d..], &sigma[first..]);
            (records.par_chunks_mut(width), x.par_chunks(d), sigma).into_par_iter().try_each(
                |k, (record, x, sigma)| {
                    let mut stream = Stream::new(seed, "draws", step, (first + k) as u64);
                    let mut workspace = workspaces.take();
                    let result = workspace.estimate(target, geometry, x, *sigma, draws, &mut stream, record);
                    workspaces.give_back(workspace);
                    result
                },
            )
        })
    }
}

impl<T: Real> Workspace<T> {
    fn estimate(
        &mut self,
        target: &dyn Target<T>,
        geometry: Geometry,
        x_t: &[T],
        sigma: T,
        draws: usize,
        stream: &mut Stream,
        record: &mut [T],
    ) -> Result<(), TargetError> {
        let d = x_t.len();
        // Partial sums of: w, w a.a, w a.b, w b.b, w a (d), w b (d).
        let quantities = MOMENTS + 2 * d;
        self.noise.resize(d * BLOCK, T::ZERO);
        self.x.resize(d * BLOCK, T::ZERO);
        self.score.resize(d * BLOCK, T::ZERO);
        self.log_p.resize(BLOCK, T::ZERO);
        self.sums.clear();
        self.sums.resize(quantities * WIDTH, T::ZERO);
        let mut max = T::NEG_INFINITY;
        let mut outside = false;
        let mut chosen_total = 0.0;
        let mut left = draws;
        while left > 0 {
            let n = left.min(BLOCK);
            left -= n;
            let half = n / 2;
            let (noise, x) = (&mut self.noise[..d * n], &mut self.x[..d * n]);
            // An odd n leaves one draw without a partner.
            stream.fill_normal(&mut x[..d * (n - half)]);
            geometry.project_block(n - half, &mut x[..d * (n - half)]);
            for a in 0..d {
                let fresh = &x[a * (n - half)..(a + 1) * (n - half)];
                noise[a * n..a * n + n - half].copy_from_slice(fresh);
                negate(&fresh[..half], &mut noise[a * n + n - half..(a + 1) * n]);
            }
            for a in 0..d {
                shift(x_t[a], sigma, &noise[a * n..(a + 1) * n], &mut x[a * n..(a + 1) * n]);
            }
            let (log_p, score) = (&mut self.log_p[..n], &mut self.score[..d * n]);
            target.evaluate_block(n, x, log_p, score, &mut self.kernel)?;
            outside |= !all_finite(log_p);
            let block_max = log_p.iter().fold(T::NEG_INFINITY, |m, v| v.max(m));
            if block_max > max {
                let factor = (max - block_max).exp();
                scale(factor, &mut self.sums);
                chosen_total *= factor.f64();
                max = block_max;
            }
            if max == T::NEG_INFINITY {
                continue;
            }
            accumulate(max, log_p, score, noise, &mut self.sums);
            // Reservoir sampling over blocks, then inversion within the block; log_p is w by now.
            let block_total: f64 = log_p.iter().map(|w| w.f64()).sum();
            chosen_total += block_total;
            if stream.uniform() * chosen_total < block_total {
                let mut rest = stream.uniform() * block_total;
                let mut k = 0;
                while k + 1 < n && rest >= log_p[k].f64() {
                    rest -= log_p[k].f64();
                    k += 1;
                }
                (0..d).for_each(|a| record[HEAD + 2 * d + a] = x[a * n + k]);
            }
        }
        if max == T::NEG_INFINITY {
            // All draws have density 0: no estimate.
            record.fill(T::ZERO);
            record[0] = T::NEG_INFINITY;
            record[HEAD + 2 * d..].copy_from_slice(x_t);
            return Ok(());
        }
        let mut totals = self.sums.chunks_exact_mut(WIDTH).map(fold);
        let mut next = || totals.next().unwrap_or(T::ZERO);
        let w = next();
        let [aa, ab, bb] = [next() / w, next() / w, next() / w];
        let (inv_sigma, k) = (T::ONE / sigma, T::of(draws as f64));
        record[0] = max + (w / k).ln();
        for a in 0..d {
            record[HEAD + a] = next() / w;
        }
        for a in 0..d {
            record[HEAD + d + a] = next() / w * inv_sigma;
        }
        let (target, denoising) = record[HEAD..HEAD + 2 * d].split_at(d);
        let dot = |u: &[T], v: &[T]| u.iter().zip(v).map(|(u, v)| *u * *v).sum::<T>();
        let covariance = [
            aa - dot(target, target),
            ab * inv_sigma - dot(target, denoising),
            bb * inv_sigma * inv_sigma - dot(denoising, denoising),
        ];
        record[1..MOMENTS].copy_from_slice(&covariance);
        record[MOMENTS] = if outside { T::ONE } else { T::ZERO };
        Ok(())
    }
}

simd_fn! {
    fn negate<T: Real>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = -*x;
        }
    }

    fn shift<T: Real>(x_t: T, sigma: T, noise: &[T], x: &mut [T]) {
        for (e, x) in noise.iter().zip(x) {
            *x = sigma.mul_add(*e, x_t);
        }
    }

    fn scale<T: Real>(factor: T, sums: &mut [T]) {
        for s in sums {
            *s *= factor;
        }
    }

    /// Replaces log_p by w = exp(log_p - max) and adds a block to the partial sums.
    fn accumulate<T: Real>(max: T, log_p: &mut [T], score: &[T], noise: &[T], sums: &mut [T]) {
        let n = log_p.len();
        for w in log_p.iter_mut() {
            *w = (*w - max).exp_up_to_zero();
        }
        let (head, vectors) = sums.split_at_mut(MOMENTS * WIDTH);
        let (w_sum, moments) = head.split_at_mut(WIDTH);
        let (aa, rest) = moments.split_at_mut(WIDTH);
        let (ab, bb) = rest.split_at_mut(WIDTH);
        for w in log_p.chunks(WIDTH) {
            for (w, s) in w.iter().zip(w_sum.iter_mut()) {
                *s += *w;
            }
        }
        let (wa, wb) = vectors.split_at_mut(vectors.len() / 2);
        let coordinates = score.chunks_exact(n).zip(noise.chunks_exact(n));
        for ((a, b), (wa, wb)) in coordinates.zip(wa.chunks_exact_mut(WIDTH).zip(wb.chunks_exact_mut(WIDTH))) {
            for ((w, a), b) in log_p.chunks(WIDTH).zip(a.chunks(WIDTH)).zip(b.chunks(WIDTH)) {
                let sums = wa.iter_mut().zip(wb.iter_mut()).zip(aa.iter_mut()).zip(ab.iter_mut()).zip(bb.iter_mut());
                for (((w, a), b), ((((wa, wb), aa), ab), bb)) in w.iter().zip(a).zip(b).zip(sums) {
                    let (x, y) = (*w * *a, *w * *b);
                    *wa += x;
                    *wb += y;
                    *aa = x.mul_add(*a, *aa);
                    *ab = x.mul_add(*b, *ab);
                    *bb = y.mul_add(*b, *bb);
                }
            }
        }
    }
}

/// The sum of the partial sums, by halving.
fn fold<T: Real>(strands: &mut [T]) -> T {
    let mut n = strands.len();
    while n > 1 {
        n /= 2;
        for i in 0..n {
            strands[i] += strands[i + n];
        }
    }
    strands[0]
}
