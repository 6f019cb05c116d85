//! States of several walkers on one rung.

use engine::rng::Stream;

use crate::mcmc::hmc::States;
use crate::target::{Target, TargetError};

/// States of `n` walkers.
pub(super) type Block = States<f64>;

impl Block {
    /// States from the Gaussian of standard deviation `scales[l]` for walker l.
    pub fn begin(target: &dyn Target<f64>, scales: &[f64], stream: &mut Stream) -> Result<Self, TargetError> {
        let mut block = Self::zeros(scales.len(), target.dim());
        block.draw(target, scales, stream)?;
        Ok(block)
    }

    /// Replaces every state by an independent one from a Gaussian.
    pub fn draw(
        &mut self,
        target: &dyn Target<f64>,
        scales: &[f64],
        stream: &mut Stream,
    ) -> Result<(), TargetError> {
        stream.fill_normal(&mut self.x);
        for row in self.x.chunks_exact_mut(self.n) {
            row.iter_mut().zip(scales).for_each(|(x, s)| *x *= s);
        }
        target.geometry().project_block(self.n, &mut self.x);
        self.acceptance.fill(1.0);
        self.evaluate(target)
    }

    /// The mean probability of acceptance in the last move.
    pub fn mean_acceptance(&self) -> f64 {
        self.acceptance.iter().map(|a| a / self.n as f64).sum()
    }

    /// |x|^2 of walker l.
    pub fn square(&self, l: usize) -> f64 {
        self.x.iter().skip(l).step_by(self.n).map(|x| x * x).sum()
    }

    /// The state of walker l.
    pub fn state(&self, l: usize) -> impl Iterator<Item = f64> {
        self.x.iter().skip(l).step_by(self.n).copied()
    }

    /// Exchanges the states of walker l.
    pub fn swap(&mut self, other: &mut Self, l: usize) {
        let n = self.n;
        for at in (l..self.x.len()).step_by(n) {
            std::mem::swap(&mut self.x[at], &mut other.x[at]);
            std::mem::swap(&mut self.score[at], &mut other.score[at]);
        }
        std::mem::swap(&mut self.log_p[l], &mut other.log_p[l]);
    }
}
