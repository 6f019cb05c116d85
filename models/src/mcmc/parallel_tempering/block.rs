//! States of several walkers on one rung, moved together by Hamiltonian Monte Carlo.
//!
//! The layout is coordinate by coordinate, as energies need it; inner loops run over walkers.

use engine::rng::Stream;

use crate::target::{Energy, ParticleSystem};

/// The density of a rung: exp(-lambda E(x) - (1 - lambda) |x|^2 / 2 s^2).
#[derive(Clone, Copy)]
pub(super) struct Rung<'a> {
    pub energy: &'a dyn Energy<f64>,
    pub system: Option<ParticleSystem>,
    pub lambda: f64,
    /// 1 / s^2.
    pub precision: f64,
}

impl Rung<'_> {
    /// Projects onto the mean-free states, for particles.
    fn project(&self, n: usize, x: &mut [f64]) {
        if let Some(system) = self.system {
            system.center_block(n, x);
        }
    }
}

/// States of `n` walkers.
#[derive(Clone, Default)]
pub(super) struct Block {
    pub n: usize,
    /// The states.
    pub x: Vec<f64>,
    /// -E of each.
    pub log_p: Vec<f64>,
    /// -grad E.
    pub score: Vec<f64>,
    /// The mean probability of acceptance in the last move.
    pub acceptance: f64,
    /// The current point of the trajectory.
    moving: Moving,
}

#[derive(Clone, Default)]
struct Moving {
    x: Vec<f64>,
    log_p: Vec<f64>,
    score: Vec<f64>,
    momentum: Vec<f64>,
    kernel: Vec<f64>,
}

impl Block {
    /// `n` states from the Gaussian of standard deviation `scales[l]` for walker l.
    pub fn new(rung: Rung<'_>, scales: &[f64], stream: &mut Stream) -> Self {
        let (n, d) = (scales.len(), rung.energy.dim());
        let mut block = Self {
            n,
            x: vec![0.0; n * d],
            log_p: vec![0.0; n],
            score: vec![0.0; n * d],
            moving: Moving {
                x: vec![0.0; n * d],
                log_p: vec![0.0; n],
                score: vec![0.0; n * d],
                momentum: vec![0.0; n * d],
                kernel: Vec::new(),
            },
            acceptance: 0.0,
        };
        block.draw(rung, scales, stream);
        block
    }

    /// Replaces every state by an independent one from a Gaussian.
    pub fn draw(&mut self, rung: Rung<'_>, scales: &[f64], stream: &mut Stream) {
        stream.fill_normal(&mut self.x);
        for row in self.x.chunks_exact_mut(self.n) {
            row.iter_mut().zip(scales).for_each(|(x, s)| *x *= s);
        }
        rung.project(self.n, &mut self.x);
        let kernel = &mut self.moving.kernel;
        rung.energy.log_density_block(self.n, &self.x, &mut self.log_p, &mut self.score, kernel);
        self.acceptance = 1.0;
    }

    /// One trajectory of `steps` leapfrog steps of size `step`, accepted or not for each walker.
    pub fn trajectory(&mut self, rung: Rung<'_>, step: f64, steps: usize, stream: &mut Stream) {
        let (n, confine) = (self.n, (1.0 - rung.lambda) * rung.precision);
        let m = &mut self.moving;
        stream.fill_normal(&mut m.momentum);
        rung.project(n, &mut m.momentum);
        m.x.copy_from_slice(&self.x);
        m.score.copy_from_slice(&self.score);
        let before = total(rung.lambda, confine, &self.log_p, &m.x, &m.momentum);
        // p += (h / 2) force, x += h p, p += (h / 2) force; halves between steps are taken together.
        kick(0.5 * step, rung.lambda, confine, &m.score, &m.x, &mut m.momentum);
        for k in 1..=steps {
            m.x.iter_mut().zip(&m.momentum).for_each(|(x, p)| *x += step * p);
            rung.energy.log_density_block(n, &m.x, &mut m.log_p, &mut m.score, &mut m.kernel);
            let part = if k == steps { 0.5 * step } else { step };
            kick(part, rung.lambda, confine, &m.score, &m.x, &mut m.momentum);
        }
        // Rounding errors move the mean, over many moves.
        rung.project(n, &mut m.x);
        let after = total(rung.lambda, confine, &m.log_p, &m.x, &m.momentum);
        let mut uniforms = vec![0.0_f64; n];
        stream.fill_uniform(&mut uniforms);
        self.acceptance = 0.0;
        for l in 0..n {
            // A divergent trajectory is rejected.
            let change = after[l] - before[l];
            let change = if after[l].is_finite() && !change.is_nan() { change } else { f64::NEG_INFINITY };
            self.acceptance += change.min(0.0).exp() / n as f64;
            if uniforms[l].ln() < change {
                copy_column(n, l, &m.x, &mut self.x);
                copy_column(n, l, &m.score, &mut self.score);
                self.log_p[l] = m.log_p[l];
            }
        }
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

/// The logarithm of the joint density of states and momenta.
fn total(lambda: f64, confine: f64, log_p: &[f64], x: &[f64], momentum: &[f64]) -> Vec<f64> {
    let n = log_p.len();
    let mut out: Vec<f64> = log_p.iter().map(|l| lambda * l).collect();
    for (x, p) in x.chunks_exact(n).zip(momentum.chunks_exact(n)) {
        for ((out, x), p) in out.iter_mut().zip(x).zip(p) {
            *out -= 0.5 * (confine * x * x + p * p);
        }
    }
    out
}

/// p += h (lambda score - confine x).
fn kick(h: f64, lambda: f64, confine: f64, score: &[f64], x: &[f64], momentum: &mut [f64]) {
    let (h, pull) = (h * lambda, h * confine);
    momentum.iter_mut().zip(score).zip(x).for_each(|((p, s), x)| *p += h * s - pull * x);
}

fn copy_column(n: usize, l: usize, from: &[f64], to: &mut [f64]) {
    (l..from.len()).step_by(n).for_each(|at| to[at] = from[at]);
}
