//! The probability-flow ODE and the density of the model that it defines.

use engine::rng::Stream;
use engine::{Real, Tape};
use rayon::prelude::*;

use super::{Schedule, ScoreModel};

/// States per task.
const STATES: usize = 64;

/// The probability-flow ODE of a score model (Song et al. 2021, eqs. 13 and 39). With tau = log sigma, along a
/// path
///
/// dx/dtau = -sigma^2 score(x, sigma),  d(log p)/dtau = sigma^2 div score.
///
/// From data (sigma_min) to the prior N(0, prior_scale^2 I) at sigma_max it gives log p(x) of given states; in
/// the other direction it samples, with their density. The divergence is exact: one backward pass for each
/// dimension, because columns are independent. Classical Runge-Kutta of order 4 in `steps` equal steps of tau,
/// in double precision.
///
/// For particles densities are on the mean-free states. The network is invariant under translations and its
/// output mean-free, so that the trace over all coordinates is that over the subspace.
#[derive(Clone, Copy)]
pub struct Flow<'a, T> {
    /// The score network and its parameters.
    pub model: ScoreModel<'a, T>,
    /// Noise levels.
    pub schedule: Schedule,
    /// Standard deviation of the Gaussian at sigma_max.
    pub prior_scale: f64,
    /// Runge-Kutta steps.
    pub steps: usize,
}

impl<T: Real> Flow<'_, T> {
    /// log density of the model at each column of `x`.
    pub fn log_density(&self, x: &[T]) -> Vec<f64> {
        let mut x = x.to_vec();
        let mut log_p = vec![0.0; x.len() / self.model.network.dim()];
        self.integrate(&mut x, &mut log_p, self.schedule.sigma_min, self.schedule.sigma_max);
        // d log p integrates to log p(end) - log p(start).
        let end = self.log_prior(&x);
        end.iter().zip(log_p).map(|(end, change)| end - change).collect()
    }

    /// `n` samples with their log densities.
    pub fn sample(&self, n: usize, (seed, step): (u64, u64)) -> (Vec<T>, Vec<f64>) {
        let d = self.model.network.dim();
        let mut x = vec![T::ZERO; n * d];
        for (chunk, x) in x.chunks_mut(STATES * d).enumerate() {
            let mut stream = Stream::new(seed, "flow", step, chunk as u64);
            self.model.network.geometry().fill_normal(&mut stream, x);
        }
        x.iter_mut().for_each(|x| *x *= T::of(self.prior_scale));
        let mut log_p = self.log_prior(&x);
        self.integrate(&mut x, &mut log_p, self.schedule.sigma_max, self.schedule.sigma_min);
        (x, log_p)
    }

    fn free_dim(&self) -> usize {
        self.model.network.geometry().free_dim()
    }

    fn log_prior(&self, x: &[T]) -> Vec<f64> {
        let (d, s2) = (self.model.network.dim(), self.prior_scale.powi(2));
        let norm = 0.5 * self.free_dim() as f64 * (std::f64::consts::TAU * s2).ln();
        x.chunks_exact(d).map(|x| -0.5 * x.iter().map(|x| x.f64().powi(2)).sum::<f64>() / s2 - norm).collect()
    }

    /// Integrates `x` from one noise level to another and adds the change of log density.
    fn integrate(&self, x: &mut [T], log_p: &mut [f64], from: f64, to: f64) {
        let d = self.model.network.dim();
        (x.par_chunks_mut(STATES * d), log_p.par_chunks_mut(STATES)).into_par_iter().for_each(
            |(x, log_p)| {
                let mut path = Path {
                    flow: self,
                    tape: Tape::new(),
                    f: vec![T::ZERO; x.len()],
                    rates: vec![0.0; log_p.len()],
                };
                let h = (to / from).ln() / self.steps as f64;
                let mut state: Vec<f64> = x.iter().map(|x| x.f64()).collect();
                for i in 0..self.steps {
                    path.step(&mut state, log_p, from.ln() + i as f64 * h, h);
                }
                x.iter_mut().zip(&state).for_each(|(x, s)| *x = T::of(*s));
            },
        );
    }
}

struct Path<'f, 'a, T: Real> {
    flow: &'f Flow<'a, T>,
    tape: Tape<T>,
    f: Vec<T>,
    rates: Vec<f64>,
}

impl<T: Real> Path<'_, '_, T> {
    fn step(&mut self, x: &mut [f64], log_p: &mut [f64], tau: f64, h: f64) {
        let start = x.to_vec();
        let mut k = vec![0.0; x.len()];
        // (where the stage is taken, its weight)
        for (at, weight) in [(0.0, 1.0), (0.5, 2.0), (0.5, 2.0), (1.0, 1.0)] {
            let stage: Vec<f64> = start.iter().zip(&k).map(|(s, k)| s + at * h * k).collect();
            self.right_hand_side(&stage, tau + at * h, &mut k);
            x.iter_mut().zip(&k).for_each(|(x, k)| *x += h * weight / 6.0 * k);
            log_p.iter_mut().zip(&self.rates).for_each(|(p, r)| *p += h * weight / 6.0 * r);
        }
    }

    fn right_hand_side(&mut self, x: &[f64], tau: f64, k: &mut [f64]) {
        let model = self.flow.model;
        let (d, n) = (model.network.dim(), self.rates.len());
        let sigma = tau.exp();
        let s2 = sigma * sigma;
        self.f.iter_mut().zip(x).for_each(|(f, x)| *f = T::of(*x));
        let mut rec = self.tape.record(model.params);
        rec.freeze_params();
        let input = rec.variable(d, n, &self.f);
        let f = model.network.record(&mut rec, input, &vec![T::of(sigma); n]);
        let (a, b) = model.network.scaling(T::of(sigma));
        let (a, b) = (a.f64(), b.f64());
        for ((k, x), f) in k.iter_mut().zip(x).zip(rec.value(f).data) {
            *k = -s2 * (a * x + b * f.f64());
        }
        self.rates.fill(s2 * a * self.flow.free_dim() as f64);
        for axis in 0..d {
            self.f
                .iter_mut()
                .enumerate()
                .for_each(|(i, s)| *s = if i % d == axis { T::ONE } else { T::ZERO });
            rec.backward_from(f, &self.f, &mut []);
            let gradient = rec.grad(input).data;
            self.rates.iter_mut().enumerate().for_each(|(j, r)| *r += s2 * b * gradient[j * d + axis].f64());
        }
    }
}
