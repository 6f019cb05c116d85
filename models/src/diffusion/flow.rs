//! The probability-flow ODE and the density of the model that it defines.

use engine::parallel::Tasks;
use engine::ranks::{Ranks, RanksError, for_parts};
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
    /// Who shares the states, 64 at a time; with more than one rank all of them ask for the same.
    pub ranks: &'a dyn Ranks,
}

impl<T: Real> Flow<'_, T> {
    /// log density of the model at each column of `x`.
    ///
    /// # Errors
    /// Failures of ranks.
    pub fn log_density(&self, x: &[T]) -> Result<Vec<f64>, RanksError> {
        let mut x = x.to_vec();
        let mut log_p = vec![0.0; x.len() / self.model.network.dim()];
        self.integrate(&mut x, &mut log_p, self.schedule.sigma_min, self.schedule.sigma_max)?;
        // d log p integrates to log p(end) - log p(start).
        let end = self.log_prior(&x);
        Ok(end.iter().zip(log_p).map(|(end, change)| end - change).collect())
    }

    /// `n` samples with their log densities.
    ///
    /// # Errors
    /// Failures of ranks.
    pub fn sample(&self, n: usize, (seed, step): (u64, u64)) -> Result<(Vec<T>, Vec<f64>), RanksError> {
        let d = self.model.network.dim();
        let mut x = vec![T::ZERO; n * d];
        for (chunk, x) in x.chunks_mut(STATES * d).enumerate() {
            let mut stream = Stream::new(seed, "flow", step, chunk as u64);
            self.model.network.geometry().fill_normal(&mut stream, x);
        }
        x.iter_mut().for_each(|x| *x *= T::of(self.prior_scale));
        let mut log_p = self.log_prior(&x);
        self.integrate(&mut x, &mut log_p, self.schedule.sigma_max, self.schedule.sigma_min)?;
        Ok((x, log_p))
    }

    /// The error of [`log_density`](Self::log_density) that comes from the finite number of steps: the largest over the
    /// columns of `x`.
    ///
    /// A method of order 4 with steps of length h is off by C h^4 to leading order, so that with n steps and with m < n
    /// the densities differ by C h^4 ((n / m)^4 - 1): half the steps differ by fifteen times the error of all of them
    /// (Richardson; Hairer, Noersett and Wanner, Solving Ordinary Differential Equations I, section II.4). Where
    /// rounding exceeds that error, it is what is found.
    ///
    /// # Errors
    /// Failures of ranks.
    pub fn step_error(&self, x: &[T]) -> Result<f64, RanksError> {
        let (many, few) = (self.steps.max(2), self.steps.max(2) / 2);
        let log_q = |steps: usize| Self { steps, ..*self }.log_density(x);
        let change = log_q(many)?
            .iter()
            .zip(log_q(few)?)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, |a: f64, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) });
        let ratio = (many as f64 / few as f64).powi(4);
        Ok(change / (ratio - 1.0) * if self.steps < 2 { ratio } else { 1.0 })
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
    fn integrate(&self, x: &mut [T], log_p: &mut [f64], from: f64, to: f64) -> Result<(), RanksError> {
        let part = STATES * self.model.network.dim();
        for_parts(self.ranks, (x, part), (log_p, STATES), |_, x, log_p| {
            (x.par_chunks_mut(part), log_p.par_chunks_mut(STATES))
                .into_par_iter()
                .each(|_, (x, log_p)| self.integrate_some(x, log_p, from, to));
            Ok(())
        })
    }

    fn integrate_some(&self, x: &mut [T], log_p: &mut [f64], from: f64, to: f64) {
        let mut path =
            Path { flow: self, tape: Tape::new(), f: vec![T::ZERO; x.len()], rates: vec![0.0; log_p.len()] };
        let h = (to / from).ln() / self.steps as f64;
        let mut state: Vec<f64> = x.iter().map(|x| x.f64()).collect();
        for i in 0..self.steps {
            path.step(&mut state, log_p, from.ln() + i as f64 * h, h);
        }
        x.iter_mut().zip(&state).for_each(|(x, s)| *x = T::of(*s));
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

#[cfg(test)]
mod tests {
    use engine::Params;
    use engine::ranks::Solo;

    use super::*;
    use crate::evaluate::{Figure, Sizes, flow_figures};
    use crate::score::{MlpConfig, ScoreMlp};
    use crate::target::Pointwise;

    fn network<T: Real>(params: &mut Params<T>) -> ScoreMlp<T> {
        let config = MlpConfig {
            dim: 2,
            hidden: 9,
            layers: 2,
            time_features: 3,
            space_features: 4,
            sigma_data: 1.5,
            mode_scale: 1.0,
            sigma_range: (0.3, 10.0),
        };
        ScoreMlp::new(config, params, 1)
    }

    fn flow<'a, T: Real>(network: &'a ScoreMlp<T>, params: &'a Params<T>, steps: usize) -> Flow<'a, T> {
        let schedule = Schedule { sigma_min: 0.3, sigma_max: 10.0 };
        let model = ScoreModel { network, params: params.values() };
        Flow { model, schedule, prior_scale: 10f64.hypot(1.5), steps, ranks: &Solo }
    }

    #[test]
    fn the_error_of_the_steps_is_that_against_many_more_of_them() {
        let mut params = Params::new();
        let network = network::<f64>(&mut params);
        Stream::new(2, "params", 0, 0).fill_normal(params.values_mut());
        params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
        let (x, _) = flow(&network, &params, 50).sample(64, (1, 0)).unwrap();
        let exact = flow(&network, &params, 800).log_density(&x).unwrap();
        for steps in [40, 81] {
            let flow = flow(&network, &params, steps);
            let log_q = flow.log_density(&x).unwrap();
            let error = log_q.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let ratio = flow.step_error(&x).unwrap() / error;
            assert!((0.4..2.5).contains(&ratio), "{steps} steps: {ratio} of {error}");
        }
        assert!(flow(&network, &params, 1).step_error(&x).unwrap() > 0.1);
        assert_eq!(flow(&network, &params, 1).step_error(&[]), Ok(0.0));
    }

    #[test]
    fn a_constant_in_the_energy_moves_log_z_by_as_much_in_single_precision_too() {
        // The last layer begins at zero: the score is that of a Gaussian of this variance.
        let mut params = Params::new();
        let network = network::<f32>(&mut params);
        let flow = flow(&network, &params, 60);
        let s2 = 1.5f64.powi(2) + 0.3f64.powi(2);
        for offset in [0.0, 1e8] {
            let energy = Pointwise::new(2, move |x: &[f64], g: &mut [f64]| {
                (g[0], g[1]) = (x[0] / (0.8 * s2), x[1] / (0.8 * s2));
                offset + (x[0] * x[0] + x[1] * x[1]) / (1.6 * s2)
            });
            let sizes = Sizes { sets: 1, set_size: 1, flow_samples: 1000 };
            let figures = flow_figures(&energy, None, &flow, sizes, 1).unwrap();
            let log_z: &Figure = figures.iter().find(|f| f.name == "log_z").unwrap();
            let (error, want) = (log_z.sd.unwrap(), (std::f64::consts::TAU * 0.8 * s2).ln() - offset);
            assert!(error < 0.02 && (log_z.value - want).abs() < 4.0 * error, "{log_z:?}, not {want}");
        }
    }
}
