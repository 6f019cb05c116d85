//! Hamiltonian Monte Carlo on an energy, for many states at once.

use engine::Real;
use engine::rng::Stream;
use rayon::prelude::*;

use crate::target::{BLOCK, Energy, ParticleSystem};

/// Target acceptance of the adaptation.
const ACCEPTANCE: f64 = 0.75;

/// The step size adapted towards an acceptance of 3/4, after trajectories with this `acceptance`.
pub(crate) fn adapted(step: f64, acceptance: f64, rate: f64) -> f64 {
    (step * (rate * (acceptance - ACCEPTANCE)).exp()).clamp(1e-6, 1e3)
}

/// One trajectory of Hamiltonian Monte Carlo (Duane, Kennedy, Pendleton and Roweth 1987), of `leapfrog` steps of
/// size `step`, for each column of `x`; returns the mean probability of acceptance. With one leapfrog step this
/// is the Metropolis-adjusted Langevin algorithm. Evaluates the energy `leapfrog + 1` times for each state.
///
/// exp(-E) is invariant for any step size, so that importance weights of states stay valid (Neal 2001). Step
/// sizes vary by +-20 % between blocks of states, against periodic orbits.
pub fn hmc<T: Real>(
    energy: &dyn Energy<T>,
    system: Option<ParticleSystem>,
    (step, leapfrog): (f64, usize),
    (seed, at): (u64, u64),
    x: &mut [T],
) -> f64 {
    let d = energy.dim();
    let states = x.len() / d.max(1);
    let parts: Vec<f64> = x
        .par_chunks_mut(BLOCK * d)
        .enumerate()
        .map(|(chunk, x)| {
            let mut stream = Stream::new(seed, "moves", at, chunk as u64);
            let step = step * (0.8 + 0.4 * stream.uniform());
            trajectory(energy, system, (T::of(step), leapfrog), &mut stream, x)
        })
        .collect();
    parts.iter().sum::<f64>() / states.max(1) as f64
}

/// The sum of the probabilities of acceptance.
fn trajectory<T: Real>(
    energy: &dyn Energy<T>,
    system: Option<ParticleSystem>,
    (step, leapfrog): (T, usize),
    stream: &mut Stream,
    columns: &mut [T],
) -> f64 {
    let d = energy.dim();
    let n = columns.len() / d;
    let at = |l: usize, a: usize| a * n + l;
    let mut x = vec![T::ZERO; d * n];
    for (l, column) in columns.chunks_exact(d).enumerate() {
        column.iter().enumerate().for_each(|(a, v)| x[at(l, a)] = *v);
    }
    let (mut log_p, mut score, mut scratch) = (vec![T::ZERO; n], vec![T::ZERO; d * n], Vec::new());
    let mut momentum = vec![T::ZERO; d * n];
    stream.fill_normal(&mut momentum);
    if let Some(system) = system {
        system.center_block(n, &mut momentum);
    }
    let kinetic = |p: &[T], l: usize| 0.5 * (0..d).map(|a| p[at(l, a)].f64().powi(2)).sum::<f64>();
    let kick = |h: T, p: &mut [T], score: &[T]| p.iter_mut().zip(score).for_each(|(p, s)| *p += h * *s);
    energy.log_density_block(n, &x, &mut log_p, &mut score, &mut scratch);
    let before: Vec<f64> = (0..n).map(|l| log_p[l].f64() - kinetic(&momentum, l)).collect();
    kick(T::HALF * step, &mut momentum, &score);
    for k in 1..=leapfrog {
        x.iter_mut().zip(&momentum).for_each(|(x, p)| *x += step * *p);
        if k == leapfrog
            && let Some(system) = system
        {
            // Rounding errors move the mean.
            system.center_block(n, &mut x);
        }
        energy.log_density_block(n, &x, &mut log_p, &mut score, &mut scratch);
        kick(if k == leapfrog { T::HALF * step } else { step }, &mut momentum, &score);
    }
    let mut accepted = 0.0;
    for (l, column) in columns.chunks_exact_mut(d).enumerate() {
        let change = log_p[l].f64() - kinetic(&momentum, l) - before[l];
        // A divergent trajectory is rejected.
        let fine = !change.is_nan() && (0..d).all(|a| x[at(l, a)].is_finite());
        let change = if fine { change } else { f64::NEG_INFINITY };
        accepted += change.min(0.0).exp();
        if stream.uniform().ln() < change {
            column.iter_mut().enumerate().for_each(|(a, v)| *v = x[at(l, a)]);
        }
    }
    accepted
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
            let acceptance = hmc(&target, None, (0.3, 5), (1, k), &mut x);
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
        hmc(&cliff, None, (1.0, 10), (0, 0), &mut x);
        assert!(x.iter().all(|v| v.is_finite()));
    }
}
