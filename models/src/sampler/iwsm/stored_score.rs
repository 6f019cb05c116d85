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

use super::{Identity, Trainer};
use super::trainer::BEYOND;
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
            if adjoint {
                clip_by_norm(a, clip);
            }
            if exponent < 1.0 {
                // The score of exp(-b E) N^(1 - b).
                a.iter_mut().zip(&*b).for_each(|(a, x)| *a = T::of(exponent) * *a - T::of(pull) * *x);
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
