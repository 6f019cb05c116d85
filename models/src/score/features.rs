//! The input layer of [`ScoreMlp`](super::ScoreMlp): features of state, noise level and position.

use engine::rng::Stream;
use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, simd_fn};

use super::MlpConfig;

/// The feature op, with the rows listed at [`ScoreMlp`](super::ScoreMlp); inputs x (d x n) and sigma (1 x n).
pub(super) struct Features<T> {
    dim: usize,
    sigma_data: f64,
    sigma_range: (f64, f64),
    /// pi 2^(k/2 - 1): the factors of tau.
    time: Vec<T>,
    /// Frequencies: row j is w_j; column-major, so that coordinate a of all of them is contiguous.
    space: Vec<T>,
    /// -|w_j|^2 / 8.
    damping: Vec<T>,
}

impl<T: Real> Features<T> {
    /// Those of a network, with frequencies from the target's width to a mode's.
    pub fn of(config: &MlpConfig, seed: u64) -> Self {
        let frequencies = (0.5 / config.sigma_data, 2.0 / config.mode_scale);
        let sizes = (config.dim, config.time_features, config.space_features);
        Self::new(sizes, config.sigma_data, config.sigma_range, frequencies, seed)
    }

    /// `space` frequencies with uniform directions and log-uniform magnitudes in `range`.
    fn new(
        (dim, time, space): (usize, usize, usize),
        sigma_data: f64,
        sigma_range: (f64, f64),
        range: (f64, f64),
        seed: u64,
    ) -> Self {
        let mut stream = Stream::new(seed, "frequencies", 0, 0);
        let mut w = vec![0.0_f64; dim * space];
        stream.fill_normal(&mut w);
        let mut damping = vec![T::ZERO; space];
        for j in 0..space {
            // Stratified: every octave is covered for any seed.
            let magnitude = range.0 * (range.1 / range.0).powf((j as f64 + stream.uniform()) / space as f64);
            let norm = (0..dim).map(|a| w[a * space + j].powi(2)).sum::<f64>().sqrt().max(1e-12);
            (0..dim).for_each(|a| w[a * space + j] *= magnitude / norm);
            damping[j] = T::of(-0.125 * magnitude * magnitude);
        }
        let time = (0..time).map(|k| T::of(std::f64::consts::PI * 2f64.powf(0.5 * k as f64 - 1.0))).collect();
        let space = w.iter().map(|w| T::of(*w)).collect();
        Self { dim, sigma_data, sigma_range, time, space, damping }
    }

    /// Rows of the output.
    pub fn rows(&self) -> usize {
        self.dim + 2 * self.time.len() + 2 * self.damping.len()
    }
}

impl<T: Real> Op<T> for Features<T> {
    fn name(&self) -> &'static str {
        "score features"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs {
            [x, s] if x.rows == self.dim && s.rows == 1 && s.cols == x.cols => {
                Ok(Shape::new(self.rows(), x.cols))
            }
            _ => Err(format!("wants x with {} rows and one sigma for each column", self.dim)),
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (x, sigma) = (x.get(0), x.get(1).data);
        let (low, high) = self.sigma_range;
        let per_unit = 1.0 / (high / low).ln();
        for (j, out) in out.chunks_exact_mut(self.rows()).enumerate() {
            let (state, rest) = out.split_at_mut(self.dim);
            let (time, space) = rest.split_at_mut(2 * self.time.len());
            let s = sigma[j].f64();
            let c = T::of(1.0 / s.hypot(self.sigma_data));
            state.iter_mut().zip(x.col(j)).for_each(|(y, x)| *y = c * *x);
            time_waves(&self.time, T::of((s / low).ln() * per_unit), time);
            space_waves(&self.space, &self.damping, x.col(j), sigma[j] * sigma[j], space);
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (d, rows, waves) = (self.dim, self.rows(), self.damping.len());
        let sigma = saved.x.get(1).data;
        let Some(x_bar) = x_bar.get(0) else { return };
        for (j, (x_bar, out_bar)) in x_bar.chunks_exact_mut(d).zip(out_bar.chunks_exact_mut(rows)).enumerate()
        {
            let c = T::of(1.0 / sigma[j].f64().hypot(self.sigma_data));
            x_bar.iter_mut().zip(&*out_bar).for_each(|(x, y)| *x += c * *y);
            if waves == 0 {
                continue;
            }
            // d sin = w cos, d cos = -w sin; the saved output includes the damping.
            let at = d + 2 * self.time.len();
            let (sin, cos) = saved.out.col(j)[at..].split_at(waves);
            let (sin_bar, cos_bar) = out_bar[at..].split_at_mut(waves);
            for (x_bar, w) in x_bar.iter_mut().zip(self.space.chunks_exact(waves)) {
                let terms = w.iter().zip(sin).zip(cos).zip(&*sin_bar).zip(&*cos_bar);
                *x_bar += terms.map(|((((w, s), c), sb), cb)| *w * (*c * *sb - *s * *cb)).sum::<T>();
            }
        }
    }
}

simd_fn! {
    fn time_waves<T: Real>(factors: &[T], tau: T, out: &mut [T]) {
        let (sin, cos) = out.split_at_mut(factors.len());
        for ((f, s), c) in factors.iter().zip(sin).zip(cos) {
            (*s, *c) = (*f * tau).sin_cos();
        }
    }

    fn space_waves<T: Real>(w: &[T], damping: &[T], x: &[T], sigma2: T, out: &mut [T]) {
        let n = damping.len();
        let (sin, cos) = out.split_at_mut(n);
        sin.fill(T::ZERO);
        for (a, x) in x.iter().enumerate() {
            for (w, phase) in w[a * n..(a + 1) * n].iter().zip(sin.iter_mut()) {
                *phase = w.mul_add(*x, *phase);
            }
        }
        for ((e, s), c) in damping.iter().zip(sin).zip(cos) {
            let (sin, cos) = s.sin_cos();
            // sqrt 2: an undamped wave has unit variance.
            let e = (*e * sigma2).exp() * T::of(std::f64::consts::SQRT_2);
            (*s, *c) = (e * sin, e * cos);
        }
    }
}
