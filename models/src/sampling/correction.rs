//! An exact correction of a sampler's states: importance resampling by the weights of their paths, a random
//! symmetry, then Hamiltonian Monte Carlo (resample-move: Gilks and Berzuini 2001).
//!
//! Path weights are proper, so that resampling gives exp(-E) as the number of states grows, for any number
//! of moves; the moves leave exp(-E) invariant and spread copies of one state, and bring the states to
//! exp(-E) as their number grows, for any number of states. A rotation or reflection and a renumbering of
//! the particles, drawn uniformly, leave exp(-E) invariant too.

use engine::rng::Stream;

use super::{adapted, hmc, resampled, tempered};
use crate::energy::{Energy, ParticleSystem};

/// How fast the step size is adapted, in the first half of the moves.
const ADAPTATION: f64 = 0.5;

/// How states are corrected.
#[derive(Clone, Copy, Debug)]
pub struct Correction {
    /// Trajectories of HMC.
    pub moves: usize,
    /// Leapfrog steps of each.
    pub leapfrog: usize,
    /// The first step size.
    pub step: f64,
    /// Seed.
    pub seed: u64,
}

impl Correction {
    /// Corrects the columns of `x`, whose weights have the logarithms `log_w`; returns the mean acceptance of the
    /// last half of the moves. Energies evaluated: moves (leapfrog + 1) for each state.
    pub fn apply(
        &self,
        energy: &dyn Energy<f64>,
        system: ParticleSystem,
        log_w: &[f64],
        x: &mut [f64],
    ) -> f64 {
        let d = system.dim();
        let mut stream = Stream::new(self.seed, "correction", 0, 0);
        // A share of 0 leaves the weights as they are.
        let picked = resampled(x, d, &tempered(log_w, 0.0), &mut stream);
        if picked.len() == x.len() {
            x.copy_from_slice(&picked);
        }
        x.chunks_exact_mut(d).for_each(|x| symmetry(system, &mut stream, x));
        let (mut step, mut late) = (self.step, 0.0);
        for k in 0..self.moves {
            let acceptance =
                hmc(energy, Some(system), (step, self.leapfrog), (self.seed, (1 << 40) + k as u64), x);
            if 2 * k < self.moves {
                step = adapted(step, acceptance, ADAPTATION);
            } else {
                late += acceptance;
            }
        }
        // Systematic resampling leaves copies side by side, and sets of samples are cut from one end.
        stream.shuffle_columns(x, d);
        late / (self.moves / 2).max(1) as f64
    }
}

/// A uniform orthogonal map of space (Gram-Schmidt on a Gaussian matrix) and a uniform renumbering.
fn symmetry(system: ParticleSystem, stream: &mut Stream, x: &mut [f64]) {
    let d = system.space;
    let mut q = vec![0.0; d * d];
    stream.fill_normal(&mut q);
    for i in 0..d {
        let (before, row) = q.split_at_mut(i * d);
        let row = &mut row[..d];
        for earlier in before.chunks_exact(d) {
            let along: f64 = row.iter().zip(earlier).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(earlier).for_each(|(a, b)| *a -= along * b);
        }
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
    }
    let mut turned = vec![0.0; d];
    for point in x.chunks_exact_mut(d) {
        for (t, row) in turned.iter_mut().zip(q.chunks_exact(d)) {
            *t = row.iter().zip(&*point).map(|(a, b)| a * b).sum();
        }
        point.copy_from_slice(&turned);
    }
    stream.shuffle_columns(x, d);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::particles::PairEnergy;
    use crate::energy::{DoubleWell, LennardJones, Pointwise, evaluate};

    #[test]
    fn weighted_states_become_samples_of_the_target() {
        // Two particles on a line, mean-free: E = x^2 / 2 in x = x_1 - x_2, from N(0, 4) with its weights.
        let system = ParticleSystem { particles: 2, space: 1 };
        let energy = Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
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
            let correction = Correction { moves, leapfrog: 3, step: 0.3, seed: 1 };
            let acceptance = correction.apply(&energy, system, &log_w, &mut x);
            assert!(moves == 0 || (acceptance > 0.5 && acceptance < 1.0), "{acceptance}");
            let variance = x.chunks_exact(2).map(|x| (x[0] - x[1]).powi(2)).sum::<f64>() / n as f64;
            // Weights of N(0, 4) towards N(0, 1) have an effective share of 0.66: five standard errors.
            assert!((variance - 1.0).abs() < 5.0 * (2.0 / (0.66 * n as f64)).sqrt(), "{moves}: {variance}");
        }
    }

    #[test]
    fn symmetries_keep_energies_and_are_uniform() {
        let mut stream = Stream::new(5, "symmetry", 0, 0);
        let lj = LennardJones::new(13);
        let check = |energy: &dyn Energy<f64>, system: ParticleSystem, stream: &mut Stream| {
            let mut x = vec![0.0; system.dim()];
            stream.fill_normal(&mut x);
            x.iter_mut().for_each(|v| *v *= 3.0);
            system.center(&mut x);
            let (mut before, mut after) = ([0.0], [0.0]);
            evaluate(energy, &x, &mut before, &mut []);
            symmetry(system, stream, &mut x);
            evaluate(energy, &x, &mut after, &mut []);
            assert!((before[0] - after[0]).abs() < 1e-9 * before[0].abs().max(1.0));
        };
        for _ in 0..20 {
            check(&lj, lj.system(), &mut stream);
            check(&DoubleWell::dw4(), DoubleWell::dw4().system(), &mut stream);
        }
        // The image of e_1 has the mean 0 and the second moment 1/3 in each direction.
        let system = ParticleSystem { particles: 1, space: 3 };
        let (mut mean, mut square) = (0.0, 0.0);
        for _ in 0..4000 {
            let mut x = [1.0, 0.0, 0.0];
            symmetry(system, &mut stream, &mut x);
            (mean, square) = (mean + x[1] / 4000.0, square + x[1] * x[1] / 4000.0);
        }
        // Five standard errors: variances 1/3 and 1/5 - 1/9.
        assert!(mean.abs() < 5.0 * (1.0 / 3.0 / 4000.0f64).sqrt(), "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0 / 4000.0f64).sqrt(), "{square}");
    }
}
