//! States of several walkers on one rung.

use engine::parallel;
use engine::rng::Stream;

use super::config::Config;
use crate::mcmc::hmc::States;
use crate::mcmc::recorded::{self, STARTS};
use crate::target::{Geometry, ParticleSystem, Target, TargetError};

/// Walkers that are moved together.
pub(super) const GROUP: usize = 32;

/// States of `n` walkers.
pub(super) type Block = States<f64>;

/// Dispersed starts of all walkers on all rungs, and how many energies they took. Only the last rung, the Gaussian,
/// may begin outside the support; see [`recorded`].
pub(super) fn starts(
    config: &Config,
    target: &dyn Target<f64>,
    seed: u64,
) -> Result<(Vec<Block>, u64), TargetError> {
    let groups = config.walkers.div_ceil(GROUP);
    let begun = parallel::map(config.rungs * groups, |task| {
        let first = task % groups * GROUP;
        let walkers = first..(first + GROUP).min(config.walkers);
        let scales: Vec<f64> = walkers.map(|w| config.scale * STARTS[w % 2]).collect();
        let mut stream = Stream::new(seed, "reference starts", 0, task as u64);
        let mut block = Block::zeros(scales.len(), target.dim());
        block.draw(target, &scales, &mut stream).map(|()| (block, scales, stream))
    });
    let mut begun = begun.into_iter().collect::<Result<Vec<_>, _>>()?;
    let log_p: Vec<f64> = begun.iter().flat_map(|(block, ..)| &block.log_p).copied().collect();
    recorded::some_inside(log_p.iter())?;
    let mut evaluations = log_p.len() as u64;
    for (block, scales, stream) in &mut begun[..(config.rungs - 1) * groups] {
        evaluations += block.draw_again_outside(target, scales, stream)?;
    }
    let blocks: Vec<Block> = begun.into_iter().map(|(block, ..)| block).collect();
    let tempered = blocks[..(config.rungs - 1) * groups].iter().flat_map(|b| &b.log_p);
    recorded::all_inside(tempered.collect::<Vec<_>>().into_iter())?;
    Ok((blocks, evaluations))
}

/// The mean distance of two particles, or the root mean square coordinate.
pub(super) fn spread(state: &[f64], geometry: Geometry) -> f64 {
    let Geometry::Particles(ParticleSystem { particles, space }) = geometry else {
        return (state.iter().map(|x| x * x).sum::<f64>() / state.len() as f64).sqrt();
    };
    let mut sum = 0.0;
    for (i, a) in state.chunks_exact(space).enumerate() {
        for b in state.chunks_exact(space).take(i) {
            sum += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        }
    }
    sum / (particles * (particles - 1) / 2) as f64
}

impl Block {
    /// Replaces states outside the support by new ones; returns how many energies that took.
    fn draw_again_outside(
        &mut self,
        target: &dyn Target<f64>,
        scales: &[f64],
        stream: &mut Stream,
    ) -> Result<u64, TargetError> {
        let mut evaluations = 0;
        let mut again = Self::zeros(0, 0);
        for _ in 1..recorded::DRAWS {
            let outside: Vec<usize> = (0..self.n).filter(|l| !self.log_p[*l].is_finite()).collect();
            if outside.is_empty() {
                break;
            }
            if again.n == 0 {
                again = Self::zeros(self.n, target.dim());
            }
            again.draw(target, scales, stream)?;
            evaluations += again.n as u64;
            outside.into_iter().for_each(|l| self.swap(&mut again, l));
        }
        Ok(evaluations)
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

    /// How many numbers there are of `n` states in `d` dimensions: coordinates, scores, log densities, acceptances.
    pub fn numbers(n: usize, d: usize) -> usize {
        n * (2 * d + 2)
    }

    /// Writes them to the beginning of `to`.
    pub fn write(&self, to: &mut [f64]) {
        let mut rest = to;
        for from in [&self.x, &self.score, &self.log_p, &self.acceptance] {
            let (first, next) = rest.split_at_mut(from.len());
            first.copy_from_slice(from);
            rest = next;
        }
    }

    /// Takes what [`write`](Self::write) wrote.
    pub fn read(&mut self, from: &[f64]) {
        let mut rest = from;
        for to in [&mut self.x, &mut self.score, &mut self.log_p, &mut self.acceptance] {
            let (first, next) = rest.split_at(to.len());
            to.copy_from_slice(first);
            rest = next;
        }
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
