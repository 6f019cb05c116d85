//! Scores from stored states.
//!
//! For x_t = x_0 + sigma eps the score of p_t at x_t is the posterior mean of both a = -grad E(x_0) (De Bortoli et al.
//! 2024) and b = (x_0 - x_t) / sigma^2 (Vincent 2011), so of kappa a + (1 - kappa) b. All of these have the same
//! posterior mean, so that the kappa of least variance is that of least mean square: kappa = E b . (b - a) / E|a - b|^2,
//! tracked for each noise level. With a wall of infinite energy a has another mean (see
//! [`noised_score`](super::noised_score)). States behind it have the weight 0: where states are drawn by their weights,
//! one such state makes kappa 0 from then on. Where they are not, it is an error.

use engine::Real;
use engine::optim::clip_by_norm;

use super::trainer::BEYOND;
use super::{Identity, Trainer};
use crate::target::{TargetError, all_finite};

impl<T: Real> Trainer<'_, T> {
    /// Stores b in `stored.denoising`, a in `stored.target`. No energy is evaluated: the buffer has them.
    ///
    /// # Errors
    /// If a stored state of the batch lies outside the target's support.
    pub(super) fn stored_scores(&mut self) -> Result<(), TargetError> {
        let (d, n) = (self.target.dim(), self.batch.sigma.len());
        let (s, buffer) = (&mut self.stored, &self.state.proposal.buffer);
        let (exponent, flat) = (self.state.exponent, self.state.proposal.flat_scale());
        let pull = (1.0 - exponent) / (flat * flat);
        let adjoint = self.config.train.identity == Identity::Adjoint;
        let clip = match self.config.train.score_clip {
            0.0 => f64::INFINITY,
            clip => clip,
        };
        for (i, l) in self.batch.from.iter().enumerate() {
            let column = i * d..(i + 1) * d;
            let (log_p, score) = buffer.energy(*l);
            s.log_p[i] = log_p;
            let (a, b) = (&mut s.target[column.clone()], &mut s.denoising[column]);
            buffer.state(*l, b);
            a.copy_from_slice(score);
            if exponent < 1.0 {
                // The score of exp(-b E) N^(1 - b).
                a.iter_mut().zip(&*b).for_each(|(a, x)| *a = T::of(exponent) * *a - T::of(pull) * *x);
            }
            if adjoint {
                clip_by_norm(a, clip);
            }
        }
        let step = self.state.step;
        let states = format_args!("stored states of step {step}");
        TargetError::unless_inside(s.log_p.iter().map(|l| l.f64()), states, BEYOND)?;
        // Adjoint matching leaves them out.
        if !adjoint && !all_finite(&s.log_p) {
            let outside = s.log_p.iter().filter(|l| !l.is_finite()).count();
            return Err(TargetError::Outside(format!(
                "{outside} of the {n} {states} have an infinite energy, and a score by stored states misses such a wall: set train.identity = denoising and weights.form = marginal"
            )));
        }
        let columns =
            s.denoising.chunks_exact_mut(d).zip(self.batch.x.chunks_exact(d)).zip(&self.batch.sigma);
        for ((b, x), sigma) in columns {
            b.iter_mut().zip(x).for_each(|(b, x)| *b = (*b - *x) / (*sigma * *sigma));
        }
        Ok(())
    }
}

/// Scores from the stored states of a batch.
pub(super) struct Stored<T> {
    pub log_p: Vec<T>,
    pub target: Vec<T>,
    pub denoising: Vec<T>,
}

impl<T: Real> Stored<T> {
    pub fn new(d: usize, n: usize) -> Self {
        Self { log_p: vec![T::ZERO; n], target: vec![T::ZERO; n * d], denoising: vec![T::ZERO; n * d] }
    }

    /// E|a|^2, E a . b, E|b|^2 of state i.
    pub fn moments(&self, d: usize, i: usize) -> [f64; 3] {
        let (a, b) = (&self.target[i * d..(i + 1) * d], &self.denoising[i * d..(i + 1) * d]);
        let dot = |u: &[T], v: &[T]| u.iter().zip(v).map(|(u, v)| u.f64() * v.f64()).sum::<f64>();
        [dot(a, a), dot(a, b), dot(b, b)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Objective};
    use super::*;
    use crate::target::Mixture;

    #[test]
    fn adjoint_scores_are_the_papers_regression_on_the_base_process() {
        let target = Mixture::new(2, vec![1.0, 0.0, -1.0, 0.5], vec![0.6, 0.9], vec![0.3, 0.7]).unwrap();
        let mut config = Config { objective: Objective::Idem, ..Config::default() };
        (config.train.identity, config.train.batch) = (Identity::Adjoint, 60);
        (config.replay.capacity, config.network.hidden) = (40, 8);
        (config.network.sigma_data, config.network.mode_scale) = (1.5, 0.5);
        (config.network.sigma_min, config.network.sigma_max) = (0.05, 9.0);
        let mut trainer = Trainer::<f64>::new(config, &target, 1).unwrap();
        trainer.step().unwrap();
        let (batch, buffer, s2) = (&trainer.batch, &trainer.state.proposal.buffer, 1.5 * 1.5);
        let mut x_1 = [0.0; 2];
        for i in 0..60 {
            let (sigma, x) = (batch.sigma[i], &batch.x[2 * i..2 * i + 2]);
            buffer.state(batch.from[i], &mut x_1);
            let minus_grad_e = buffer.energy(batch.from[i]).1;
            // The variance of the Brownian motion at the time of this noise level, S^2 (S^2 - nu) / nu = sigma^2.
            let nu = s2 * s2 / (s2 + sigma * sigma);
            let (a, b) = trainer.network.scaling(sigma);
            for k in 0..2 {
                // X_t given X_1: mean and deviation of the bridge.
                let (mean, deviation) = (nu / s2 * x_1[k], (nu * (s2 - nu) / s2).sqrt());
                let z = (x[k] - x_1[k]) / sigma;
                assert!((nu / s2 * x[k] - (mean + deviation * z)).abs() < 1e-12);
                // u / g = -grad h(X_1), h = E + log N(0, S^2 I), is a score in X_t; x = X_t S^2 / nu.
                let control = minus_grad_e[k] + x_1[k] / s2;
                let score = -x[k] / (s2 + sigma * sigma) + nu / s2 * control;
                let wanted = (score - a * x[k]) / b;
                let found = batch.target[2 * i + k];
                assert!((found - wanted).abs() < 1e-9 * (1.0 + wanted.abs()), "{found} {wanted}");
            }
        }
    }
}
