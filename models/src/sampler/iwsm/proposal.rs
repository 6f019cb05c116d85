//! The proposal: the noised replay buffer, with an optional defensive component.

use std::ops::Range;

use engine::parallel::Tasks;
use engine::rng::Stream;
use engine::{Real, simd_fn};
use rayon::prelude::*;

use super::Weights;
use super::buffer::{Buffer, Fresh};
use super::symmetric::Symmetric;
use crate::importance::log_mean_exp;
use crate::target::Geometry;

/// The density of the noised states of a replay buffer B.
///
/// x_t = x_0 + sigma eps, with x_0 from B or with probability rho from a wide Gaussian, has exactly the density
///
/// q(x) = (1 - rho) (1/|B|) sum_l N(x; b_l, sigma^2 I) + rho N(x; 0, (flat^2 + sigma^2) I),
///
/// if all states of B are equally likely. L of the states estimate the sum without bias. For particles noise and states
/// are mean-free, and N is the density on that subspace.
pub struct Proposal<T> {
    geometry: Geometry,
    dim: usize,
    flat_scale: f64,
    defensive: f64,
    /// The states.
    pub buffer: Buffer<T>,
}

impl<T: Real> Proposal<T> {
    /// An empty buffer, filled with samples of N(0, `flat_scale`^2 I), and the share rho = `defensive` of that Gaussian in
    /// the proposal.
    pub fn new(
        geometry: Geometry,
        mut buffer: Buffer<T>,
        (flat_scale, defensive): (f64, f64),
        seed: u64,
    ) -> Self {
        let dim = geometry.dim();
        let mut x = vec![T::ZERO; dim * buffer.capacity()];
        geometry.fill_normal(&mut Stream::new(seed, "buffer", 0, 0), &mut x);
        x.iter_mut().for_each(|x| *x *= T::of(flat_scale));
        let unknown = vec![T::ZERO; if buffer.keeps_energies() { x.len() } else { 0 }];
        buffer.push(Fresh { x: &x, log_w: &[], energies: (&unknown, &unknown) });
        Self { geometry, dim, flat_scale, defensive, buffer }
    }
    /// Standard deviation of the wide Gaussian.
    pub fn flat_scale(&self) -> f64 {
        self.flat_scale
    }
    /// Dimension of the space on which densities are defined.
    fn free_dim(&self) -> f64 {
        self.geometry.free_dim() as f64
    }
    /// log density of the initial wide Gaussian at one state.
    pub(super) fn log_flat(&self, x: &[T]) -> f64 {
        let (s2, square) = (self.flat_scale.powi(2), x.iter().map(|x| x.f64().powi(2)).sum::<f64>());
        -0.5 * square / s2 - 0.5 * self.free_dim() * (std::f64::consts::TAU * s2).ln()
    }

    /// log(exp(-E) / N) of each stored state, N the initial wide Gaussian; the buffer keeps energies.
    pub(super) fn excess(&self) -> Vec<f64> {
        let mut x = vec![T::ZERO; self.dim];
        let of = |l: usize| {
            self.buffer.state(l, &mut x);
            self.buffer.energy(l).0.f64() - self.log_flat(&x)
        };
        (0..self.buffer.len()).map(of).collect()
    }

    /// Fills `x` with noised stored states, which are drawn by their weights if they have any, one for each noise level,
    /// and `from` with the indices of the stored states they were made from (the number of states for the defensive
    /// component).
    pub fn draw(&self, sigma: &[T], stream: &mut Stream, x: &mut [T], from: &mut Vec<usize>) {
        self.draw_by(|stream| self.buffer.pick(stream), sigma, stream, x, from);
    }

    /// The same with all stored states equally likely, whatever their weights: states of the density q.
    pub fn draw_evenly(&self, sigma: &[T], stream: &mut Stream, x: &mut [T]) {
        self.draw_by(|stream| stream.index(self.buffer.len()), sigma, stream, x, &mut Vec::new());
    }

    fn draw_by(
        &self,
        pick: impl Fn(&mut Stream) -> usize,
        sigma: &[T],
        stream: &mut Stream,
        x: &mut [T],
        from: &mut Vec<usize>,
    ) {
        self.geometry.fill_normal(stream, x);
        from.clear();
        for (x, sigma) in x.chunks_exact_mut(self.dim).zip(sigma) {
            if self.defensive > 0.0 && stream.uniform() < self.defensive {
                let scale = T::of(sigma.f64().hypot(self.flat_scale));
                x.iter_mut().for_each(|x| *x *= scale);
                from.push(self.buffer.len());
            } else {
                let l = pick(stream);
                from.push(l);
                for (a, x) in x.iter_mut().enumerate() {
                    *x = sigma.mul_add(*x, self.buffer.coordinate(a, l..l + 1)[0]);
                }
            }
        }
    }

    /// log q at each column of `x` with its own noise level, from the whole buffer or from `denominator_samples` of
    /// its states, with the bandwidth of `weights`.
    pub fn log_density(&self, x: &[T], sigma: &[T], weights: &Weights, stream: &mut Stream, out: &mut [T]) {
        let d = self.dim;
        let window = self.window(weights.denominator_samples, stream);
        let floor = T::of(weights.bandwidth);
        if let Some(group) = self.geometry.particles().filter(|_| weights.symmetric).and_then(Symmetric::of) {
            return self.symmetric_log_density(&group, x, sigma, floor, window, out);
        }
        (out, x.par_chunks(d), sigma)
            .into_par_iter()
            .each(|_, (out, x, sigma)| *out = self.log_density_at(x, (*sigma).max(floor), &window));
    }

    /// The positions of `samples` consecutive states of the ring (0: of all) from a random position on, so that every
    /// state is equally likely to be among them. The second range is the part that wraps around.
    fn window(&self, samples: usize, stream: &mut Stream) -> [Range<usize>; 2] {
        let len = self.buffer.len();
        if samples == 0 || samples >= len {
            return [0..len, 0..0];
        }
        let start = stream.index(len);
        let end = start + samples;
        [start..end.min(len), 0..end.saturating_sub(len)]
    }

    /// `log_density` averaged over the symmetries of `group`.
    fn symmetric_log_density(
        &self,
        group: &Symmetric,
        x: &[T],
        sigma: &[T],
        floor: T,
        window: [Range<usize>; 2],
        out: &mut [T],
    ) {
        let wide = |x: &[T]| -> Vec<f64> { x.iter().map(|v| v.f64()).collect() };
        let d = self.dim;
        let states = self.buffer.states();
        let stored: Vec<f64> = window.iter().flat_map(|w| wide(&states[w.start * d..w.end * d])).collect();
        (out, x.par_chunks(d), sigma).into_par_iter().each(|_, (out, x, sigma)| {
            let (x, sigma) = (wide(x), sigma.max(floor).f64());
            let logs: Vec<f64> = stored.chunks_exact(d).map(|b| group.log_kernel(&x, b, sigma)).collect();
            let normal = 0.5 * self.free_dim() * (std::f64::consts::TAU * sigma * sigma).ln();
            *out = T::of(log_mean_exp(&logs) - normal);
        });
    }

    fn log_density_at(&self, x: &[T], sigma: T, window: &[Range<usize>; 2]) -> T {
        const BLOCK: usize = 512;
        let mut squares = [T::ZERO; BLOCK];
        let half_precision = T::of(-0.5) / (sigma * sigma);
        let (mut max, mut total) = (T::NEG_INFINITY, T::ZERO);
        for (at, end) in window.iter().flat_map(|w| w.clone().step_by(BLOCK).map(|at| (at, w.end))) {
            let n = BLOCK.min(end - at);
            let squares = &mut squares[..n];
            squares.fill(T::ZERO);
            for (a, x) in x.iter().enumerate() {
                add_square(*x, self.buffer.coordinate(a, at..at + n), squares);
            }
            let block_max = scale_max(half_precision, squares);
            if block_max > max {
                total *= (max - block_max).exp();
                max = block_max;
            }
            total += exp_sum(max, squares);
        }
        let normal = |s2: f64| 0.5 * self.free_dim() * (std::f64::consts::TAU * s2).ln();
        let s2 = sigma.f64().powi(2);
        let buffer =
            max.f64() + total.f64().ln() - normal(s2) - ((window[0].len() + window[1].len()) as f64).ln();
        if self.defensive == 0.0 {
            return T::of(buffer);
        }
        let wide = self.flat_scale.powi(2) + s2;
        let square: f64 = x.iter().map(|x| x.f64().powi(2)).sum();
        let flat = -0.5 * square / wide - normal(wide) + self.defensive.ln();
        let buffer = buffer + (1.0 - self.defensive).ln();
        let top = flat.max(buffer);
        T::of(top + ((flat - top).exp() + (buffer - top).exp()).ln())
    }
}

/// Partial sums of a sum.
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
                *sum += (*q - max).exp_up_to_zero();
            }
        }
        let mut total = T::ZERO;
        for s in sum {
            total += s;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(geometry: Geometry, capacity: usize, flat: (f64, f64), seed: u64) -> Proposal<f64> {
        Proposal::new(geometry, Buffer::new(geometry.dim(), capacity, false), flat, seed)
    }

    fn push(p: &mut Proposal<f64>, x: &[f64]) {
        p.buffer.push(Fresh { x, log_w: &[], energies: (&[], &[]) });
    }

    fn weights() -> Weights {
        Weights { power: 1.0, clip: 1e9, ..crate::sampler::iwsm::Config::default().weights }
    }

    fn density(p: &Proposal<f64>, x: &[f64], sigma: f64, weights: &Weights, step: u64) -> f64 {
        let mut out = vec![0.0; x.len() / 2];
        let sigma = vec![sigma; out.len()];
        p.log_density(x, &sigma, weights, &mut Stream::new(0, "test", step, 0), &mut out);
        out[0]
    }

    #[test]
    fn density_of_one_state_is_a_gaussian() {
        let mut p = proposal(Geometry::Euclidean(2), 1, (1.0, 0.0), 0);
        push(&mut p, &[1.0, 2.0]);
        let got = density(&p, &[4.0, -2.0], 5.0, &weights(), 0);
        assert!((got - (-0.5 - (50.0 * std::f64::consts::PI).ln())).abs() < 1e-12);
    }

    #[test]
    fn a_sampled_denominator_is_unbiased() {
        // States in an order: a window that reached the ends of the ring less often would be far off.
        let mut p = proposal(Geometry::Euclidean(2), 600, (3.0, 0.1), 0);
        let states: Vec<f64> = (0..600).flat_map(|l| [f64::from(l - 300).abs() / 100.0, 0.5]).collect();
        p.buffer.replace(&states);
        let exact = density(&p, &[1.0, 0.5], 2.0, &weights(), 0).exp();
        let sampled = Weights { denominator_samples: 50, ..weights() };
        let draws: Vec<f64> = (0..4000).map(|s| density(&p, &[1.0, 0.5], 2.0, &sampled, s).exp()).collect();
        let mean = draws.iter().sum::<f64>() / 4000.0;
        let error = (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0).sqrt() / 4000f64.sqrt();
        assert!((mean - exact).abs() < 5.0 * error, "{mean} +- {error} against {exact}");
        // Windows of any length are whole, also around the end of the storage.
        let mut stream = Stream::new(1, "test", 0, 0);
        for samples in [1, 599, 600, 601] {
            let [a, b] = p.window(samples, &mut stream);
            assert_eq!(a.len() + b.len(), samples.min(600));
        }
    }

    #[test]
    fn drawn_states_have_the_stated_density() {
        // E_q[p / q] = 1 for the normalised p = N(0, 2^2 I), whatever the proposal q.
        let p = proposal(Geometry::Euclidean(2), 300, (3.0, 0.2), 1);
        const N: usize = 40_000;
        let (sigma, mut x, mut log_q) = (vec![1.5; N], vec![0.0; 2 * N], vec![0.0; N]);
        p.draw(&sigma, &mut Stream::new(5, "test", 0, 0), &mut x, &mut Vec::new());
        p.log_density(&x, &sigma, &weights(), &mut Stream::new(5, "test", 1, 0), &mut log_q);
        let w: Vec<f64> = (x.chunks_exact(2).zip(&log_q))
            .map(|(x, q)| (-(x[0] * x[0] + x[1] * x[1]) / 8.0 - (8.0 * std::f64::consts::PI).ln() - q).exp())
            .collect();
        let mean = w.iter().sum::<f64>() / N as f64;
        let sd = (w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / N as f64).sqrt();
        assert!((mean - 1.0).abs() < 5.0 * sd / (N as f64).sqrt(), "{mean} +- {sd}");
    }

    #[test]
    fn mean_free_states_have_the_stated_density_on_their_subspace() {
        // E_q[p / q] = 1 for p the Gaussian of scale 2 on the mean-free states of 3 particles in the plane.
        let system = crate::target::ParticleSystem { particles: 3, space: 2 };
        let p = proposal(system.into(), 300, (3.0, 0.2), 1);
        const N: usize = 40_000;
        let (sigma, mut x, mut log_q) = (vec![1.5; N], vec![0.0; 6 * N], vec![0.0; N]);
        p.draw(&sigma, &mut Stream::new(5, "test", 0, 0), &mut x, &mut Vec::new());
        p.log_density(&x, &sigma, &weights(), &mut Stream::new(5, "test", 1, 0), &mut log_q);
        assert!(x.chunks_exact(6).all(|x| (x[0] + x[2] + x[4]).abs() < 1e-12));
        let w: Vec<f64> = (x.chunks_exact(6).zip(&log_q))
            .map(|(x, q)| {
                let square = x.iter().map(|v| v * v).sum::<f64>();
                (-square / 8.0 - 2.0 * (8.0 * std::f64::consts::PI).ln() - q).exp()
            })
            .collect();
        let mean = w.iter().sum::<f64>() / N as f64;
        let sd = (w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / N as f64).sqrt();
        let error = sd / (N as f64).sqrt();
        assert!((mean - 1.0).abs() < 5.0 * error && error < 0.02, "{mean} +- {error}");
    }
}
