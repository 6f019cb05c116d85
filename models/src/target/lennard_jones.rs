//! Lennard-Jones clusters in a harmonic trap.

use std::sync::Arc;

use engine::Real;

use super::book::{At, Page};
use super::pair_energy::{Pair, PairEnergy, pair_target, pairs_of};
use super::registry::{AnyTarget, Entry, Parameter, TargetConfig};
use super::{Target, TargetError, Tempered};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "lj13",
        about: "a Lennard-Jones cluster of 13 particles in a harmonic trap",
        parameters: TEMPERATURE,
        scales: |c| Some([0.6, 0.06 * c.real("temperature").sqrt()]),
        build: |c| at_temperature(LennardJones::lj13(), c),
        page: Page {
            log_z: Some((59.86, 0.02)),
            how: "weights along paths of the reverse SDE; parallel tempering says 59.87",
            values: &[(At::Lattice(1.1), 16.032_851_058)],
            source: "Koehler, Klein and Noe 2020",
            traps: &[
                "a factor of 1 or 2 of the pairs and the oscillator differ among papers and codes: here a pair has depth 2",
            ],
        },
    },
    Entry {
        name: "lj55",
        about: "a Lennard-Jones cluster of 55 particles in a harmonic trap",
        parameters: TEMPERATURE,
        scales: |c| Some([0.9, 0.05 * c.real("temperature").sqrt()]),
        build: |c| at_temperature(LennardJones::lj55(), c),
        page: Page {
            log_z: None,
            how: "parallel tempering says 384.0, without an error that could be trusted",
            values: &[(At::Lattice(1.1), 141.020_160_919)],
            source: "Koehler, Klein and Noe 2020",
            traps: &[
                "a factor of 1 or 2 of the pairs and the oscillator differ among papers and codes: here a pair has depth 2",
            ],
        },
    },
];

/// kT in units of the energy; half of it is the usual reduced temperature, because a pair counts twice. Over this range
/// the presets' noise levels still fit.
const TEMPERATURE: &[(&str, Parameter, [f64; 2])] = &[("temperature", Parameter::Real(1.0), [0.3, 3.0])];

fn at_temperature(cluster: LennardJones, c: &TargetConfig) -> Result<Arc<dyn AnyTarget>, TargetError> {
    match c.real("temperature") {
        1.0 => Ok(Arc::new(cluster)),
        temperature => Ok(Arc::new(Tempered::new(cluster, temperature)?)),
    }
}

/// The Lennard-Jones cluster of Koehler, Klein and Noe (2020, "Equivariant flows"), in space:
///
/// E = sum over i != j of (1 / r^12 - 2 / r^6) + 1/2 sum_i |x_i - mean|^2,
///
/// the first sum over *ordered* pairs, so that a pair counts twice and has depth 2 at r = 1;
/// temperature 1. See the [module](crate::target) for overlapping particles: the energy is
/// exact up to the largest number of the type, which is the energy at r = 6.5e-4 in f32 and 2.2e-26 in
/// f64, and equal to it below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LennardJones {
    particles: usize,
}

impl LennardJones {
    /// LJ-n: `particles` particles in space.
    ///
    /// # Errors
    /// For fewer than 2 particles.
    pub fn new(particles: usize) -> Result<Self, TargetError> {
        Ok(Self { particles: pairs_of(particles)? })
    }

    /// LJ-13: 39 coordinates.
    pub fn lj13() -> Self {
        Self { particles: 13 }
    }

    /// LJ-55: 165 coordinates.
    pub fn lj55() -> Self {
        Self { particles: 55 }
    }
}

impl PairEnergy for LennardJones {
    const SPACE: usize = 3;
    const TRAP: bool = true;

    fn particles(&self) -> usize {
        self.particles
    }

    #[inline(always)]
    fn pair<T: Real>(&self, r2: T) -> Pair<T> {
        let inverse = T::ONE / r2;
        let sixth = inverse * inverse * inverse;
        Pair {
            energy: T::of(2.0) * (sixth * (sixth - T::of(2.0))),
            strength: T::of(24.0) * (sixth * (T::ONE - sixth)),
            scale: inverse,
        }
    }
}

impl<T: Real> Target<T> for LennardJones {
    pair_target!(T, softened);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<T: Real>(x: &[f64]) -> (f64, Vec<f64>) {
        let x: Vec<T> = x.iter().map(|v| T::of(*v)).collect();
        let (mut log_p, mut score) = ([T::ZERO], vec![T::ZERO; x.len()]);
        LennardJones::new(x.len() / 3).unwrap().evaluate(&x, &mut log_p, &mut score).unwrap();
        (-log_p[0].f64(), score.iter().map(|s| -s.f64()).collect())
    }

    fn pair_at<T: Real>(r: f64) -> (f64, Vec<f64>) {
        at::<T>(&[r, 0.0, 0.0, 0.0, 0.0, 0.0])
    }

    #[test]
    fn energies_worked_out_by_hand() {
        // At r = 1: twice -1, and the trap 2 * (1/2) (1/2)^2.
        let (energy, gradient) = pair_at::<f64>(1.0);
        assert_eq!((energy, gradient[0], gradient[3]), (-1.75, 0.5, -0.5));
        // At r = 1/2: 2 (4096 - 128), slope -24 (2^13 - 2^7), and the trap.
        let (energy, gradient) = pair_at::<f64>(0.5);
        assert_eq!(energy, 2.0 * (4096.0 - 128.0) + 0.0625);
        assert_eq!(gradient[0], -24.0 * (8192.0 - 128.0) + 0.25);
        // A regular triangle of side 1: each particle lies 1 / sqrt 3 from the mean.
        let h = 0.75f64.sqrt();
        let energy = at::<f64>(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5, h, 0.0]).0;
        assert!((energy + 5.5).abs() < 1e-13, "{energy}");
    }

    #[test]
    fn near_overlaps_keep_their_exact_energy_as_far_as_the_type_reaches() {
        for r in [1e-1, 3e-2, 1e-2, 2e-3, 1e-3] {
            let exact = |r: f64| 2.0 * (r.powi(-12) - 2.0 * r.powi(-6));
            let (energy, gradient) = pair_at::<f32>(r);
            let r = f64::from(r as f32);
            assert!((energy / exact(r) - 1.0).abs() < 1e-5, "r = {r}: {energy}");
            let slope = -24.0 * r.powi(-13);
            if slope > -1e37 {
                assert!((gradient[0] / slope - 1.0).abs() < 1e-5, "r = {r}: {gradient:?}");
            }
        }
        let (energy, gradient) = pair_at::<f64>(1e-20);
        assert!((energy / 2e240 - 1.0).abs() < 1e-12 && (gradient[0] / -2.4e261 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn overlaps_saturate_at_the_largest_number_with_a_finite_gradient() {
        for r in [6e-4, 1e-5, 1e-10, 1e-19, 1e-25, 0.0] {
            let (energy, gradient) = pair_at::<f32>(r);
            assert_eq!(energy, f64::from(f32::MAX), "r = {r}");
            assert!(gradient.iter().all(|g| g.is_finite()), "r = {r}: {gradient:?}");
        }
        assert_eq!(pair_at::<f64>(0.0).0, f64::MAX);
        // Coinciding, on a line, and one far away.
        let mut x = [0.0; 39];
        x[36] = 1e18;
        let (energy, gradient) = at::<f32>(&x);
        assert!(energy == f64::from(f32::MAX) && gradient.iter().all(|g| g.is_finite()));
    }
}
