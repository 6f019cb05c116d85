//! Variances of the reverse steps that make the weights of paths even.

use engine::optim::Adam;
use engine::parallel::Tasks;
use engine::rng::Stream;
use engine::{Real, Tape};
use rayon::prelude::*;

use super::denoising_error::{add_squares, between, per_kind, variance};
use super::pair_covariance::Factor;
use super::reverse::square;
use super::{DenoisingError, ReverseProcess};
use crate::importance::tempered;

/// States per task.
const STATES: usize = 128;
/// Factors on the denoising error, one for each of these noise levels, uniform in t.
const FACTORS: usize = 12;
/// Steps of their optimisation, and the first learning rate.
const STEPS: usize = 150;
const RATE: f64 = 0.08;
/// Share of the noised paths that the objective rests on, at least.
const SHARE: f64 = 0.2;
/// Memory of the squares of the paths' steps, in numbers.
const NUMBERS: usize = 1 << 24;

/// Paths of states under noising, with what the reverse steps make of them.
struct Noised {
    /// log(exp(-E) forward / prior), without the factors of 2 pi of the steps, which cancel, and with (1/2) log det C of
    /// their covariances v C.
    log_w: Vec<f64>,
    /// Squared deviations from the reverse steps' means, in the metric of C^-1: a row for each path, with all kinds of
    /// each step.
    squares: Vec<f32>,
    /// Noise levels of the steps, from data to the prior.
    pairs: Vec<(f64, f64)>,
}

/// Variances v of the reverse steps.
struct Variances {
    /// 1 / v of each step and kind.
    precision: Vec<f64>,
    /// The derivative of log v in log r of each.
    slope: Vec<f64>,
    /// The sum of (1/2) log v over steps and coordinates.
    log_norm: f64,
}

impl Noised {
    fn log_weights(&self, steps: &Variances) -> Vec<f64> {
        (self.squares.par_chunks(steps.precision.len()).zip(&self.log_w)).tasks(|_, (squares, log_w)| {
            let sum: f64 = squares.iter().zip(&steps.precision).map(|(s, p)| f64::from(*s) * p).sum();
            log_w + steps.log_norm + 0.5 * sum
        })
    }
}

impl<T: Real> ReverseProcess<'_, T> {
    /// The denoising errors with which the weights of paths of `steps` steps are as even as they can be.
    ///
    /// `states` (columns) are samples of the target, or nearly so, and `log_p` their log densities. They are noised
    /// along paths x_0, x_1, ...; such a path has the weight w = exp(-E(x_0)) forward / backward. Of the Rényi
    /// divergences of order 1 + beta between noising and the reverse SDE,
    ///
    /// (1 / beta) log E w^beta + const, the mean over noised paths,
    ///
    /// beta = 1 is the second moment of the weights under the reverse SDE, 1 / ESS (minimised by VT-DIS: Zhang et al.
    /// 2025, arXiv 2505.21005), and beta -> 0 the Kullback-Leibler divergence, which [`DenoisingError::fitted`] minimises.
    /// The largest beta is taken at which the terms of the mean have an effective share of a fifth, so that few paths do
    /// not decide. The reverse steps' means do not depend on the variances, so that the score is evaluated once.
    pub fn tuned(&self, states: &[T], log_p: &[f64], steps: usize, key: (u64, u64)) -> DenoisingError {
        let d = self.model.network.dim();
        let kinds = self.error.kinds();
        let most = (NUMBERS / (kinds * (steps + 1))).max(64);
        let n = log_p.len().min(most);
        let noised = self.noised(&states[..n * d], &log_p[..n], steps, key);
        let mut factors = vec![0.0; FACTORS];
        let (mut adam, mut gradient) = (Adam::new(FACTORS), vec![0.0; FACTORS]);
        for step in 0..STEPS {
            self.gradient(&noised, &factors, &mut gradient);
            let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos());
            adam.step(&mut factors, &gradient, rate);
        }
        let mut tuned = self.error.clone();
        tuned.scale(|t| hats(t).iter().map(|(k, share)| share * factors[*k]).sum());
        tuned
    }

    fn noised(&self, states: &[T], log_p: &[f64], steps: usize, (seed, step): (u64, u64)) -> Noised {
        let geometry = self.model.network.geometry();
        let (d, kinds) = (geometry.dim(), self.error.kinds());
        let pairs: Vec<(f64, f64)> = self.pairs(steps).rev().collect();
        let row = kinds * pairs.len();
        let mut log_w = log_p.to_vec();
        let mut squares = vec![0f32; row * log_w.len()];
        let chunks = (
            states.par_chunks(STATES * d),
            log_w.par_chunks_mut(STATES),
            squares.par_chunks_mut(STATES * row),
        );
        chunks.into_par_iter().each(|chunk, (states, log_w, squares)| {
            let mut stream = Stream::new(seed, "noised paths", step, chunk as u64);
            let (mut x, mut next_x) = (states.to_vec(), states.to_vec());
            let (mut tape, mut score) = (Tape::new(), vec![T::ZERO; x.len()]);
            let mut sums = vec![0.0; kinds];
            let mut factor = Factor::default();
            for (k, (sigma, next)) in pairs.iter().enumerate() {
                let drift = sigma * sigma - next * next;
                geometry.fill_normal(&mut stream, &mut x);
                for (log_w, z) in log_w.iter_mut().zip(x.chunks_exact(d)) {
                    *log_w -= 0.5 * square(z);
                }
                let deviation = T::of(drift.sqrt());
                x.iter_mut().zip(&next_x).for_each(|(x, from)| *x = deviation.mul_add(*x, *from));
                self.model.score(&mut tape, &x, T::of(*sigma), &mut score);
                let covariance = self.error.covariance(self.schedule, (*sigma, *next));
                let rows = squares.chunks_exact_mut(row).zip(log_w.iter_mut());
                let columns = x.chunks_exact(d).zip(score.chunks_exact_mut(d)).zip(next_x.chunks_exact(d));
                for ((squares, log_w), ((x, s), from)) in rows.zip(columns) {
                    if let Some(step) = &covariance {
                        step.factor(x, s, &mut factor);
                    }
                    // The mean of the step back.
                    s.iter_mut().zip(x).for_each(|(s, x)| *s = T::of(drift).mul_add(*s, *x));
                    if covariance.is_some() {
                        squares[k] = factor.square(s.iter().zip(from).map(|(m, f)| *m - *f)) as f32;
                        *log_w += factor.log_det;
                        continue;
                    }
                    sums.fill(0.0);
                    add_squares(s, from, &mut sums);
                    let out = &mut squares[k * kinds..(k + 1) * kinds];
                    out.iter_mut().zip(&sums).for_each(|(out, s)| *out = *s as f32);
                }
                std::mem::swap(&mut x, &mut next_x);
            }
            let free = geometry.free_dim() as f64;
            let normalisers = 0.5 * free * pairs.iter().map(|(s, n)| (s * s - n * n).ln()).sum::<f64>();
            for (log_w, x) in log_w.iter_mut().zip(next_x.chunks_exact(d)) {
                *log_w -= normalisers + self.log_prior(square(x));
            }
        });
        Noised { log_w, squares, pairs }
    }

    /// log(forward / backward), as [`paths`](Self::paths) has it, of random paths that noise the columns of `x`.
    pub(crate) fn noised_ratios(&self, x: &[T], steps: usize, key: (u64, u64)) -> Vec<f64> {
        let noised = self.noised(x, &vec![0.0; x.len() / self.model.network.dim()], steps, key);
        noised.log_weights(&self.variances_by(&noised, &[0.0; FACTORS]))
    }

    /// The variances of the steps of noised paths, with factors on the denoising error.
    fn variances_by(&self, noised: &Noised, factors: &[f64]) -> Variances {
        let kinds = self.error.kinds();
        let row = kinds * noised.pairs.len();
        let per_kind = per_kind(self.model.network.geometry());
        let mut out = Variances { precision: vec![0.0; row], slope: vec![0.0; row], log_norm: 0.0 };
        let mut r = vec![0.0; kinds];
        for (k, (sigma, next)) in noised.pairs.iter().enumerate() {
            let (s2, next2, t) = (sigma * sigma, next * next, self.schedule.time(*sigma));
            let factor = hats(t).iter().map(|(j, share)| share * factors[*j]).sum::<f64>().exp();
            self.error.at(t, &mut r);
            for (kind, r) in r.iter().enumerate() {
                let own = (s2 - next2) * r * factor;
                let v = variance(s2, next2, own);
                out.precision[k * kinds + kind] = 1.0 / v;
                out.slope[k * kinds + kind] = own / (next2 + own);
                out.log_norm += 0.5 * per_kind * v.ln();
            }
        }
        out
    }

    /// The derivatives of the divergence in the logarithms of the factors on r.
    fn gradient(&self, noised: &Noised, factors: &[f64], gradient: &mut [f64]) {
        let kinds = self.error.kinds();
        let row = kinds * noised.pairs.len();
        let per_kind = per_kind(self.model.network.geometry());
        let steps = self.variances_by(noised, factors);
        let (precision, slope) = (&steps.precision, &steps.slope);
        let log_w = noised.log_weights(&steps);
        let mut w = tempered(&log_w, 1.0, SHARE);
        let sum: f64 = w.iter().sum();
        w.iter_mut().for_each(|w| *w /= sum);
        gradient.fill(0.0);
        let mut mean = vec![0.0; row];
        for (squares, w) in noised.squares.chunks_exact(row).zip(&w) {
            mean.iter_mut().zip(squares).for_each(|(m, s)| *m += w * f64::from(*s));
        }
        for (k, (sigma, _)) in noised.pairs.iter().enumerate() {
            let hats = hats(self.schedule.time(*sigma));
            // d/d log v of (1/2) (n log v + S / v), times d log v / d log r.
            let change: f64 = (k * kinds..(k + 1) * kinds)
                .map(|i| 0.5 * (per_kind - mean[i] * precision[i]) * slope[i])
                .sum();
            hats.iter().for_each(|(j, share)| gradient[*j] += share * change);
        }
    }
}

/// The factors that act at t, with their shares: linear interpolation.
fn hats(t: f64) -> [(usize, f64); 2] {
    let (below, share) = between(t, FACTORS);
    [(below, 1.0 - share), (below + 1, share)]
}
