//! Hamiltonian Monte Carlo for many states at once.

use engine::Real;
use engine::parallel::Tasks;
use engine::ranks::{Ranks, Solo, for_parts};
use engine::rng::Stream;
use rayon::prelude::*;

use crate::target::{BLOCK, Target, TargetError};

/// Target acceptance of the adaptation.
const ACCEPTANCE: f64 = 0.75;

/// The step size adapted towards an acceptance of 3/4, after trajectories with this `acceptance`.
pub(crate) fn adapted(step: f64, acceptance: f64, rate: f64) -> f64 {
    (step * (rate * (acceptance - ACCEPTANCE)).exp()).clamp(1e-6, 1e3)
}

/// One trajectory of Hamiltonian Monte Carlo (Duane, Kennedy, Pendleton and Roweth 1987) for each column of `x`
/// (d x n); returns the mean probability of acceptance. With momentum p ~ N(0, I) and H(x, p) = E(x) + |p|^2 / 2,
/// `leapfrog` steps of size h = `step`
///
/// p -= (h / 2) grad E(x),  x += h p,  p -= (h / 2) grad E(x)
///
/// are accepted with probability min(1, exp(H_old - H_new)). One leapfrog step is the Metropolis-adjusted Langevin
/// algorithm. Evaluates the energy `leapfrog + 1` times for each state.
///
/// exp(-E) is invariant for any step size, so that importance weights of states stay valid (Neal 2001). Step sizes
/// vary by +-20 % between blocks of states, against periodic orbits. Random numbers are those of (`seed`, `at`).
///
/// # Errors
/// If the target cannot be evaluated, or is broken at a point; the error of the first block, for any number of threads.
pub fn hmc<T: Real>(
    target: &dyn Target<T>,
    moves: (f64, usize),
    key: (u64, u64),
    x: &mut [T],
) -> Result<f64, TargetError> {
    hmc_over(&Solo, target, moves, key, x)
}

/// The same with the states shared out over ranks, in blocks of [`BLOCK`]; all ranks have all states afterwards.
///
/// # Errors
/// As [`hmc`], the same on all ranks; and failures of ranks.
pub fn hmc_over<T: Real>(
    ranks: &dyn Ranks,
    target: &dyn Target<T>,
    (step, leapfrog): (f64, usize),
    (seed, at): (u64, u64),
    x: &mut [T],
) -> Result<f64, TargetError> {
    let d = target.dim();
    let states = x.len() / d.max(1);
    // Sums over the states of a block.
    let mut acceptances = vec![0.0; states.div_ceil(BLOCK)];
    for_parts(ranks, (x, BLOCK * d), (&mut acceptances, 1), |first, x, acceptances| {
        let moved: Vec<Result<(), TargetError>> =
            (x.par_chunks_mut(BLOCK * d), acceptances).into_par_iter().tasks(|chunk, (x, acceptance)| {
                let mut stream = Stream::new(seed, "moves", at, (first + chunk) as u64);
                let step = step * (0.8 + 0.4 * stream.uniform());
                let mut states = States::from_columns(target, x)?;
                states.trajectory(Density { target, tempering: None }, T::of(step), leapfrog, &mut stream)?;
                states.write_columns(x);
                *acceptance = states.acceptance.iter().sum();
                Ok(())
            });
        moved.into_iter().collect::<Result<(), _>>()
    })?;
    Ok(acceptances.iter().sum::<f64>() / states.max(1) as f64)
}

/// What trajectories leave invariant: exp(-E), or with tempering exp(-lambda E - (1 - lambda) |x|^2 / 2 s^2).
#[derive(Clone, Copy)]
pub(super) struct Density<'a, T> {
    pub target: &'a dyn Target<T>,
    pub tempering: Option<Tempering>,
}

/// A rung of a ladder between the target and a Gaussian.
#[derive(Clone, Copy)]
pub(super) struct Tempering {
    pub lambda: f64,
    /// 1 / s^2.
    pub precision: f64,
}

/// States that move together, coordinate-major as targets need them: inner loops run over states.
#[derive(Clone, Default)]
pub(super) struct States<T> {
    pub n: usize,
    /// The states (d x n, coordinate-major).
    pub x: Vec<T>,
    /// -E of each.
    pub log_p: Vec<T>,
    /// -grad E.
    pub score: Vec<T>,
    /// Each state's probability of acceptance in the last trajectory.
    pub acceptance: Vec<f64>,
    end: End<T>,
}

/// The current point of a trajectory.
#[derive(Clone, Default)]
struct End<T> {
    x: Vec<T>,
    log_p: Vec<T>,
    score: Vec<T>,
    momentum: Vec<T>,
    scratch: Vec<T>,
}

impl<T: Real> States<T> {
    /// Memory for `n` states of `d` numbers, all zero.
    pub fn zeros(n: usize, d: usize) -> Self {
        let vectors = || vec![T::ZERO; n * d];
        let end = End {
            x: vectors(),
            log_p: vec![T::ZERO; n],
            score: vectors(),
            momentum: vectors(),
            scratch: Vec::new(),
        };
        Self { n, x: vectors(), log_p: vec![T::ZERO; n], score: vectors(), acceptance: vec![1.0; n], end }
    }

    fn from_columns(target: &dyn Target<T>, columns: &[T]) -> Result<Self, TargetError> {
        let d = target.dim();
        let mut states = Self::zeros(columns.len() / d, d);
        states.read_columns(columns);
        states.evaluate(target)?;
        Ok(states)
    }

    /// Takes the states from columns; they must be evaluated anew.
    pub fn read_columns(&mut self, columns: &[T]) {
        let (n, d) = (self.n, columns.len() / self.n.max(1));
        for (l, column) in columns.chunks_exact(d).enumerate() {
            column.iter().enumerate().for_each(|(a, v)| self.x[a * n + l] = *v);
        }
    }

    /// Writes the states as columns.
    pub fn write_columns(&self, columns: &mut [T]) {
        let d = columns.len() / self.n.max(1);
        for (l, column) in columns.chunks_exact_mut(d).enumerate() {
            column.iter_mut().enumerate().for_each(|(a, v)| *v = self.x[a * self.n + l]);
        }
    }

    /// Evaluates -E and -grad E of the states.
    pub fn evaluate(&mut self, target: &dyn Target<T>) -> Result<(), TargetError> {
        target.evaluate_block(self.n, &self.x, &mut self.log_p, &mut self.score, &mut self.end.scratch)
    }

    /// One trajectory of `steps` leapfrog steps of size `step`, accepted or not for each state.
    pub fn trajectory(
        &mut self,
        density: Density<'_, T>,
        step: T,
        steps: usize,
        stream: &mut Stream,
    ) -> Result<(), TargetError> {
        let (n, m, target) = (self.n, &mut self.end, density.target);
        let geometry = target.geometry();
        stream.fill_normal(&mut m.momentum);
        geometry.project_block(n, &mut m.momentum);
        m.x.copy_from_slice(&self.x);
        m.score.copy_from_slice(&self.score);
        let before = density.log_joint(&self.log_p, &m.x, &m.momentum);
        // p += (h / 2) force, x += h p, p += (h / 2) force; halves between steps are taken together.
        density.kick(T::HALF * step, &m.score, &m.x, &mut m.momentum);
        for k in 1..=steps {
            m.x.iter_mut().zip(&m.momentum).for_each(|(x, p)| *x += step * *p);
            // Rounding errors move the mean of particles.
            if k == steps && density.tempering.is_none() {
                geometry.project_block(n, &mut m.x);
            }
            target.evaluate_block(n, &m.x, &mut m.log_p, &mut m.score, &mut m.scratch)?;
            density.kick(if k == steps { T::HALF * step } else { step }, &m.score, &m.x, &mut m.momentum);
        }
        if density.tempering.is_some() {
            geometry.project_block(n, &mut m.x);
        }
        let after = density.log_joint(&m.log_p, &m.x, &m.momentum);
        for l in 0..n {
            let change = after[l] - before[l];
            // A divergent trajectory is rejected.
            let sound = after[l].is_finite()
                && !change.is_nan()
                && m.x.iter().skip(l).step_by(n).all(|x| x.is_finite());
            let change = if sound { change } else { f64::NEG_INFINITY };
            self.acceptance[l] = change.min(0.0).exp();
            if stream.uniform().ln() < change {
                for at in (l..m.x.len()).step_by(n) {
                    (self.x[at], self.score[at]) = (m.x[at], m.score[at]);
                }
                self.log_p[l] = m.log_p[l];
            }
        }
        Ok(())
    }
}

impl<T: Real> Density<'_, T> {
    /// The logarithm of the joint density of states and momenta, up to a constant.
    fn log_joint(&self, log_p: &[T], x: &[T], momentum: &[T]) -> Vec<f64> {
        let n = log_p.len();
        let Some(Tempering { lambda, precision }) = self.tempering else {
            let mut squares = vec![0.0; n];
            for p in momentum.chunks_exact(n) {
                squares.iter_mut().zip(p).for_each(|(sum, p)| *sum += p.f64() * p.f64());
            }
            return log_p.iter().zip(squares).map(|(l, square)| l.f64() - 0.5 * square).collect();
        };
        let confine = (1.0 - lambda) * precision;
        let mut out: Vec<f64> = log_p.iter().map(|l| lambda * l.f64()).collect();
        for (x, p) in x.chunks_exact(n).zip(momentum.chunks_exact(n)) {
            for ((out, x), p) in out.iter_mut().zip(x).zip(p) {
                let (x, p) = (x.f64(), p.f64());
                *out -= 0.5 * (confine * x * x + p * p);
            }
        }
        out
    }

    /// p += h force, the force being lambda score - (1 - lambda) x / s^2.
    fn kick(&self, h: T, score: &[T], x: &[T], momentum: &mut [T]) {
        match self.tempering {
            None => momentum.iter_mut().zip(score).for_each(|(p, s)| *p += h * *s),
            Some(Tempering { lambda, precision }) => {
                let (h, pull) = (h * T::of(lambda), h * T::of((1.0 - lambda) * precision));
                momentum.iter_mut().zip(score).zip(x).for_each(|((p, s), x)| *p += h * *s - pull * *x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Pointwise;

    #[test]
    fn a_gaussian_is_left_invariant_and_reached_from_elsewhere() {
        let target = Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
            (g[0], g[1]) = (x[0], 4.0 * x[1]);
            0.5 * (x[0] * x[0] + 4.0 * x[1] * x[1])
        });
        let mut x = vec![3.0; 2 * 4000];
        for k in 0..60 {
            let acceptance = hmc(&target, (0.3, 5), (1, k), &mut x).unwrap();
            assert!(acceptance > 0.8 && acceptance < 1.0, "{acceptance}");
        }
        for (a, want) in [(0, 1.0), (1, 0.25)] {
            let mean = x.iter().skip(a).step_by(2).map(|v| v * v).sum::<f64>() / 4000.0;
            // Five standard errors of a variance of 4000 samples.
            assert!((mean / want - 1.0).abs() < 5.0 * (2.0_f64 / 4000.0).sqrt(), "{a}: {mean}");
        }
    }

    #[test]
    fn trajectories_that_fly_apart_are_refused() {
        let cliff = Pointwise::new(1, |x: &[f32], g: &mut [f32]| {
            g[0] = 1e30 * x[0];
            0.5e30 * x[0] * x[0]
        });
        let mut x = vec![1e3; 200];
        hmc(&cliff, (1.0, 10), (0, 0), &mut x).unwrap();
        assert!(x.iter().all(|v| v.is_finite()));
    }
}
