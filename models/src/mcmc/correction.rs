//! An exact correction of a sampler's states by resampling and moves.

use engine::ranks::Ranks;
use engine::rng::Stream;

use super::{adapted, hmc_over};
use crate::importance::{resampled, tempered};
use crate::target::{Geometry, Target, TargetError};

/// Rate of the adaptation of the step size, in the first half of the moves.
const ADAPTATION: f64 = 0.5;

/// An exact correction of a sampler's states: importance resampling by the weights of their paths, a random
/// symmetry, then Hamiltonian Monte Carlo (resample-move: Gilks and Berzuini 2001), between whose trajectories the model
/// may move the states too.
///
/// Path weights are proper, so that resampling converges to exp(-E) with the number of states, for any number of
/// moves. The moves leave exp(-E) invariant, separate copies of a state, and converge to exp(-E) with their
/// number, for any number of states; between modes they converge as fast as the model's jumps
/// ([`ReverseProcess::jump`](crate::diffusion::ReverseProcess::jump)). A uniform rotation or reflection and
/// permutation of the particles leaves exp(-E) invariant too.
#[derive(Clone, Copy, Debug)]
pub struct Correction {
    /// Trajectories of HMC.
    pub moves: usize,
    /// Leapfrog steps of each.
    pub leapfrog: usize,
    /// The first step size.
    pub step: f64,
    /// Jumps by the model, with equal parts of the trajectories before, between and after them.
    pub jumps: usize,
    /// Seed.
    pub seed: u64,
}

/// Mean acceptances of a [`Correction`].
#[derive(Clone, Copy, Debug)]
pub struct Corrected {
    /// Of the last half of the trajectories; 0 without any.
    pub moves: f64,
    /// Of the jumps; 0 without any.
    pub jumps: f64,
}

/// A move of all columns by the model, the k-th of a correction, that leaves exp(-E) invariant; returns its mean
/// acceptance.
pub type Jump<'a> = &'a dyn Fn(u64, &mut [f64]) -> Result<f64, TargetError>;

impl Correction {
    /// Corrects the columns of `x`, whose weights have the logarithms `log_w`. Energies evaluated: moves (leapfrog + 1)
    /// for each state, and those of the jumps. Ranks share the trajectories.
    ///
    /// # Errors
    /// Where the target cannot be evaluated, or no state has a weight.
    pub fn apply(
        &self,
        ranks: &dyn Ranks,
        target: &dyn Target<f64>,
        log_w: &[f64],
        x: &mut [f64],
        jump: Jump<'_>,
    ) -> Result<Corrected, TargetError> {
        let d = target.dim();
        TargetError::unless_inside(log_w.iter().copied(), "samples to correct", "train longer")?;
        let mut stream = Stream::new(self.seed, "correction", 0, 0);
        // A share of 0: the weights as they are.
        let picked = resampled(x, d, &tempered(log_w, 1.0, 0.0), &mut stream);
        if picked.len() == x.len() {
            x.copy_from_slice(&picked);
        }
        if let Geometry::Particles(system) = target.geometry() {
            x.chunks_exact_mut(d).for_each(|x| system.random_symmetry(&mut stream, x));
        }
        let (mut step, mut late, mut jumped) = (self.step, 0.0, 0.0);
        let parts = self.jumps + 1;
        for part in 0..parts {
            if part > 0 {
                jumped += jump(part as u64, x)?;
            }
            for k in part * self.moves / parts..(part + 1) * self.moves / parts {
                let (moves, key) = ((step, self.leapfrog), (self.seed, (1 << 40) + k as u64));
                let acceptance = hmc_over(ranks, target, moves, key, x)?;
                if 2 * k < self.moves {
                    step = adapted(step, acceptance, ADAPTATION);
                } else {
                    late += acceptance;
                }
            }
        }
        // Systematic resampling makes copies adjacent, and sets of samples are contiguous.
        stream.shuffle_columns(x, d);
        Ok(Corrected {
            moves: late / (self.moves / 2).max(1) as f64,
            jumps: jumped / self.jumps.max(1) as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::ranks::Solo;

    use super::*;
    use crate::target::{ParticleSystem, Pointwise};

    #[test]
    fn weighted_states_become_samples_of_the_target() {
        // Two particles on a line, mean-free: E = x^2 / 2 in x = x_1 - x_2, from N(0, 4) with its weights.
        let system = ParticleSystem { particles: 2, space: 1 };
        let energy = Pointwise::on(system.into(), |x: &[f64], g: &mut [f64]| {
            let r = x[0] - x[1];
            (g[0], g[1]) = (r, -r);
            0.5 * r * r
        });
        let (n, mut stream) = (20_000, Stream::new(3, "start", 0, 0));
        let mut r = vec![0.0; n];
        stream.fill_normal(&mut r);
        for moves in [0, 6] {
            let mut x: Vec<f64> = r.iter().flat_map(|z| [*z, -*z]).collect();
            let log_w: Vec<f64> = r.iter().map(|z| -2.0 * z * z + 0.5 * z * z).collect();
            // A jump that takes every state to its mirror image leaves the energy as it is.
            let count = std::cell::Cell::new(0);
            let mirror = |k: u64, x: &mut [f64]| {
                count.set(count.get() + k);
                x.iter_mut().for_each(|x| *x = -*x);
                Ok(1.0)
            };
            let correction = Correction { moves, leapfrog: 3, step: 0.3, jumps: 2, seed: 1 };
            let done = correction.apply(&Solo, &energy, &log_w, &mut x, &mirror).unwrap();
            assert_eq!((count.get(), done.jumps), (3, 1.0));
            let acceptance = done.moves;
            assert!(moves == 0 || (acceptance > 0.5 && acceptance < 1.0), "{acceptance}");
            let variance = x.chunks_exact(2).map(|x| (x[0] - x[1]).powi(2)).sum::<f64>() / n as f64;
            // Weights of N(0, 4) towards N(0, 1) have an effective share of 0.66: five standard errors.
            assert!((variance - 1.0).abs() < 5.0 * (2.0 / (0.66 * n as f64)).sqrt(), "{moves}: {variance}");
        }
    }
}
