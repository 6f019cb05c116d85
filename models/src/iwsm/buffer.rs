//! The replay buffer and its noised density.
//!
//! log p_t^B(x) = logsumexp_l log N(x; b_l, sigma^2 I) - log |B|: the exact density from which
//! x_t = b_l + sigma eps was drawn, given the buffer. `L` samples estimate it; all of them give it.

use engine::rng::Stream;
use engine::{Real, simd_fn};
use rayon::prelude::*;

/// A ring of states, stored coordinate by coordinate.
pub struct Buffer<T> {
    dim: usize,
    capacity: usize,
    len: usize,
    next: usize,
    coordinates: Vec<T>,
}

impl<T: Real> Buffer<T> {
    /// An empty buffer for `capacity` states.
    pub fn new(dim: usize, capacity: usize) -> Self {
        Self { dim, capacity, len: 0, next: 0, coordinates: vec![T::ZERO; dim * capacity] }
    }
    /// Number of states held.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Adds columns, replacing the oldest states when full. Columns that are not finite are left out.
    pub fn push(&mut self, columns: &[T]) {
        for x in columns.chunks_exact(self.dim).filter(|x| x.iter().all(|v| v.is_finite())) {
            for (a, v) in x.iter().enumerate() {
                self.coordinates[a * self.capacity + self.next] = *v;
            }
            self.next = (self.next + 1) % self.capacity;
            self.len = (self.len + 1).min(self.capacity);
        }
    }
    /// Copies state l.
    pub fn get(&self, l: usize, out: &mut [T]) {
        (0..self.dim).for_each(|a| out[a] = self.coordinates[a * self.capacity + l]);
    }
    /// A state drawn uniformly.
    pub fn draw(&self, stream: &mut Stream, out: &mut [T]) {
        self.get(stream.index(self.len), out);
    }

    /// log p_t^B at each column of `x` with its own noise level, from the whole buffer.
    pub fn log_density(&self, x: &[T], sigma: &[T], out: &mut [T]) {
        const POINTS: usize = 16;
        let d = self.dim;
        (out.par_chunks_mut(POINTS), x.par_chunks(POINTS * d), sigma.par_chunks(POINTS)).into_par_iter().for_each(
            |(out, x, sigma)| {
                for ((out, x), sigma) in out.iter_mut().zip(x.chunks_exact(d)).zip(sigma) {
                    *out = self.log_density_at(x, *sigma);
                }
            },
        );
    }

    fn log_density_at(&self, x: &[T], sigma: T) -> T {
        const BLOCK: usize = 512;
        let mut squares = [T::ZERO; BLOCK];
        let half_precision = T::of(-0.5) / (sigma * sigma);
        let (mut max, mut total) = (T::NEG_INFINITY, T::ZERO);
        for at in (0..self.len).step_by(BLOCK) {
            let n = BLOCK.min(self.len - at);
            let squares = &mut squares[..n];
            squares.fill(T::ZERO);
            for (a, x) in x.iter().enumerate() {
                let b = &self.coordinates[a * self.capacity + at..a * self.capacity + at + n];
                add_square(*x, b, squares);
            }
            let block_max = scale_max(half_precision, squares);
            if block_max > max {
                total *= (max - block_max).exp();
                max = block_max;
            }
            total += exp_sum(max, squares);
        }
        let norm = 0.5 * self.dim as f64 * (std::f64::consts::TAU * sigma.f64().powi(2)).ln() + (self.len as f64).ln();
        max + total.ln() - T::of(norm)
    }
}

/// Strands of a sum.
const WIDTH: usize = 32;

simd_fn! {
    fn add_square<T: Real>(x: T, b: &[T], q: &mut [T]) {
        for (b, q) in b.iter().zip(q) {
            let d = x - *b;
            *q = d.mul_add(d, *q);
        }
    }

    fn scale_max<T: Real>(factor: T, q: &mut [T]) -> T {
        let mut max = [T::NEG_INFINITY; WIDTH];
        for q in q.chunks_mut(WIDTH) {
            for (q, max) in q.iter_mut().zip(&mut max) {
                *q *= factor;
                *max = (*q).max(*max);
            }
        }
        max.iter().fold(T::NEG_INFINITY, |m, v| v.max(m))
    }

    fn exp_sum<T: Real>(max: T, q: &mut [T]) -> T {
        let mut sum = [T::ZERO; WIDTH];
        for q in q.chunks(WIDTH) {
            for (q, sum) in q.iter().zip(&mut sum) {
                *sum += (*q - max).exp();
            }
        }
        let mut total = T::ZERO;
        for s in sum {
            total += s;
        }
        total
    }
}
