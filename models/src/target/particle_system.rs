//! The shape of a state, and the mean-free subspace.

use engine::Real;
use engine::rng::Stream;

/// n particles in D dimensions, a state being n D numbers, particle by particle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParticleSystem {
    /// n.
    pub particles: usize,
    /// D, the dimension of space.
    pub space: usize,
}

impl ParticleSystem {
    /// The length n D of a state.
    pub fn dim(&self) -> usize {
        self.particles * self.space
    }

    /// The dimension (n - 1) D of the mean-free states.
    pub fn mean_free_dim(&self) -> usize {
        self.particles.saturating_sub(1) * self.space
    }

    /// Projects each column of `x` onto the mean-free states: x_i - (1/n) sum_j x_j.
    ///
    /// # Panics
    /// If `x` is not a whole number of states.
    pub fn center<T: Real>(&self, x: &mut [T]) {
        if x.is_empty() {
            return;
        }
        assert!(x.len().is_multiple_of(self.dim()), "x is a whole number of states");
        let scale = T::of(1.0 / self.particles as f64);
        for state in x.chunks_exact_mut(self.dim()) {
            for k in 0..self.space {
                let axis = || (k..k + (self.particles - 1) * self.space + 1).step_by(self.space);
                let mean = axis().map(|a| state[a]).sum::<T>() * scale;
                axis().for_each(|a| state[a] -= mean);
            }
        }
    }

    /// [`center`](Self::center) for `n` states laid out coordinate by coordinate, as an energy's blocks are.
    ///
    /// # Panics
    /// If `x` does not hold `n` states.
    pub fn center_block<T: Real>(&self, n: usize, x: &mut [T]) {
        /// States whose means lie on the stack.
        const STATES: usize = 64;
        assert_eq!(x.len(), n * self.dim(), "x holds n states");
        let scale = T::of(1.0 / self.particles.max(1) as f64);
        let mut means = [T::ZERO; STATES];
        for (k, first) in (0..self.space).flat_map(|k| (0..n).step_by(STATES).map(move |first| (k, first))) {
            let mean = &mut means[..STATES.min(n - first)];
            let row = |particle: usize| (particle * self.space + k) * n + first;
            mean.fill(T::ZERO);
            for particle in 0..self.particles {
                mean.iter_mut().zip(&x[row(particle)..]).for_each(|(m, x)| *m += *x);
            }
            mean.iter_mut().for_each(|m| *m *= scale);
            for particle in 0..self.particles {
                x[row(particle)..].iter_mut().zip(&*mean).for_each(|(x, m)| *x -= *m);
            }
        }
    }

    /// Fills the columns of `out` with the standard Gaussian of the mean-free states: a Gaussian of all
    /// states, projected.
    ///
    /// # Panics
    /// If `out` is not a whole number of states.
    pub fn fill_normal<T: Real>(&self, stream: &mut Stream, out: &mut [T]) {
        stream.fill_normal(out);
        self.center(out);
    }

    /// Applies a uniform random orthogonal map (Gram-Schmidt on a Gaussian matrix) and a uniform permutation of the
    /// particles to the state `x`. exp(-E) is invariant under both, and states of a Markov chain that rotates slowly
    /// lose their common orientation.
    ///
    /// # Panics
    /// If `x` is not one state.
    pub fn random_symmetry(&self, stream: &mut Stream, x: &mut [f64]) {
        assert_eq!(x.len(), self.dim(), "x is one state");
        let d = self.space;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::PairEnergy;
    use crate::target::{DoubleWell, LennardJones, Target};

    #[test]
    fn centring_worked_out_by_hand() {
        let planar = ParticleSystem { particles: 2, space: 2 };
        let mut x = [1.0, 2.0, 3.0, 8.0, 0.0, 0.0, 2.0, -2.0];
        planar.center(&mut x);
        assert_eq!(x, [-1.0, -3.0, 1.0, 3.0, -1.0, 1.0, 1.0, -1.0]);
        // The same two states, coordinate by coordinate.
        let mut block = [1.0, 0.0, 2.0, 0.0, 3.0, 2.0, 8.0, -2.0];
        planar.center_block(2, &mut block);
        assert_eq!(block, [-1.0, -1.0, -3.0, 1.0, 1.0, 1.0, 3.0, -1.0]);
        planar.center::<f64>(&mut []);
        planar.center_block::<f64>(0, &mut []);
    }

    #[test]
    fn mean_free_noise_has_the_variance_of_its_subspace() {
        let system = ParticleSystem { particles: 13, space: 3 };
        let mut x = vec![0.0_f64; 20_000 * system.dim()];
        system.fill_normal(&mut Stream::new(0, "mean-free", 0, 0), &mut x);
        assert!((0..3).all(|k| x[..39].iter().skip(k).step_by(3).sum::<f64>().abs() < 1e-13));
        let energy = x.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        // Chi-square of 36 degrees of freedom: standard deviation sqrt(72 / 20000) of the mean.
        assert!((energy - system.mean_free_dim() as f64).abs() < 0.3, "{energy}");
    }
    #[test]
    fn symmetries_keep_energies_and_are_uniform() {
        let mut stream = Stream::new(5, "symmetry", 0, 0);
        let lj = LennardJones::lj13();
        let check = |energy: &dyn Target<f64>, system: ParticleSystem, stream: &mut Stream| {
            let mut x = vec![0.0; system.dim()];
            stream.fill_normal(&mut x);
            x.iter_mut().for_each(|v| *v *= 3.0);
            system.center(&mut x);
            let (mut before, mut after) = ([0.0], [0.0]);
            energy.evaluate(&x, &mut before, &mut []).unwrap();
            system.random_symmetry(stream, &mut x);
            energy.evaluate(&x, &mut after, &mut []).unwrap();
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
            system.random_symmetry(&mut stream, &mut x);
            (mean, square) = (mean + x[1] / 4000.0, square + x[1] * x[1] / 4000.0);
        }
        // Five standard errors: variances 1/3 and 1/5 - 1/9.
        assert!(mean.abs() < 5.0 * (1.0 / 3.0 / 4000.0f64).sqrt(), "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0 / 4000.0f64).sqrt(), "{square}");
    }
}
