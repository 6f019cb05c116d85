//! Particles in the plane with double-well pair energies.

use std::sync::Arc;

use engine::Real;

use super::book::{At, Page};
use super::pair_energy::{Pair, PairEnergy, pair_target, pairs_of};
use super::registry::Entry;
use super::{Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "dw4",
    about: "four particles in the plane, pairs in double wells",
    parameters: &[],
    scales: |_| Some([1.8, 0.3]),
    build: |_| Ok(Arc::new(DoubleWell::dw4())),
    page: Page {
        log_z: Some((29.664, 0.007)),
        how: "weights of 10 000 paths of the reverse SDE, and of the flow",
        values: &[(At::Lattice(2.0), 6.4)],
        source: "Koehler, Klein and Noe 2020",
        traps: &[
            "the public test samples are off: their mean energy is -22.469 +- 0.018, the right one -22.537 +- 0.005",
        ],
    },
}];

const QUARTIC: f64 = 0.9;
const QUADRATIC: f64 = -4.0;
const CENTRE: f64 = 4.0;

/// The double-well system of Koehler, Klein and Noe (2020, "Equivariant flows"), in the plane:
///
/// E = sum over i < j of a (r - r0)^4 + b (r - r0)^2, with a = 0.9, b = -4, r0 = 4, temperature 1.
///
/// Each pair's energy has wells of depth b^2 / 4a = 4.44 at r0 +- sqrt(-b / 2a) = 4 +- 1.49. At r = 0
/// it is finite (166.4) with a kink, where the gradient is taken as 0; see the
/// [module](crate::target) for the largest energies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubleWell {
    particles: usize,
}

impl DoubleWell {
    /// `particles` particles in the plane.
    ///
    /// # Errors
    /// For fewer than 2 particles.
    pub fn new(particles: usize) -> Result<Self, TargetError> {
        Ok(Self { particles: pairs_of(particles)? })
    }

    /// DW-4: four particles, eight coordinates.
    pub fn dw4() -> Self {
        Self { particles: 4 }
    }
}

impl PairEnergy for DoubleWell {
    const SPACE: usize = 2;
    const TRAP: bool = false;

    fn particles(&self) -> usize {
        self.particles
    }

    #[inline(always)]
    fn pair<T: Real>(&self, r2: T) -> Pair<T> {
        let r = r2.sqrt();
        let v = r - T::of(CENTRE);
        let v2 = v * v;
        Pair {
            energy: v2 * T::of(QUARTIC).mul_add(v2, T::of(QUADRATIC)),
            strength: v * T::of(4.0 * QUARTIC).mul_add(v2, T::of(2.0 * QUADRATIC)),
            scale: T::ONE / r,
        }
    }
}

impl<T: Real> Target<T> for DoubleWell {
    pair_target!(T, softened);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<T: Real>(x: &[f64]) -> (f64, Vec<f64>) {
        let x: Vec<T> = x.iter().map(|v| T::of(*v)).collect();
        let (mut log_p, mut score) = ([T::ZERO], vec![T::ZERO; x.len()]);
        DoubleWell::new(x.len() / 2).unwrap().evaluate(&x, &mut log_p, &mut score).unwrap();
        (-log_p[0].f64(), score.iter().map(|s| -s.f64()).collect())
    }

    #[test]
    fn energies_worked_out_by_hand() {
        // r = 5: 0.9 - 4; slope 3.6 - 8. The direction is (3, 4) / 5.
        let (energy, gradient) = at::<f64>(&[3.0, 4.0, 0.0, 0.0]);
        assert!((energy + 3.1).abs() < 1e-14, "{energy}");
        for (g, want) in gradient.iter().zip([-2.64, -3.52, 2.64, 3.52]) {
            assert!((g - want).abs() < 1e-14, "{gradient:?}");
        }
        // A square of side 4: four sides of 0, two diagonals with v = 4 (sqrt 2 - 1).
        let v = 4.0 * (2f64.sqrt() - 1.0);
        let energy = at::<f64>(&[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0]).0;
        assert!((energy - 2.0 * (0.9 * v.powi(4) - 4.0 * v * v)).abs() < 1e-13);
    }

    #[test]
    fn coinciding_and_far_particles_have_finite_energies_and_gradients() {
        // 6 pairs of 0.9 * 256 - 4 * 16.
        let (energy, gradient) = at::<f32>(&[1.0; 8]);
        assert!((energy - 6.0 * 166.4).abs() < 1e-3 && gradient.iter().all(|g| *g == 0.0), "{energy}");
        for far in [1e9, 1e12, 1e20, 1e37] {
            let (energy, gradient) = at::<f32>(&[far, 0.0, -far, 0.0, 0.0, far, 0.0, 0.0]);
            assert!(energy.is_finite() && energy > 1e35, "{far}: {energy}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
            assert!(gradient[0] > 0.0 && gradient[2] < 0.0, "the force points inwards: {gradient:?}");
        }
    }
}
