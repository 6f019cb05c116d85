//! A softened core, for training only.

use engine::Real;

use super::pair_energy::{Pair, PairEnergy, pair_target};
use super::{Target, TargetError};

/// An energy whose pair energies are continued linearly within a core radius c:
///
/// u_c(r) = u(r) for r >= c,  u(c) + u'(c) (r - c) for r < c.
///
/// The first derivative is continuous, and at most |u'(c)| in the core. The target is changed where particles
/// overlap: for *training* alone, measurements take the exact energy. For Lennard-Jones pairs c = 0.8 gives u = 13.8
/// and u' = -322 at the edge of the core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftenedCore<P> {
    inner: P,
    core: f64,
    energy: f64,
    slope: f64,
}

impl<P: PairEnergy> SoftenedCore<P> {
    /// `inner`, softened within the radius `core`.
    ///
    /// # Errors
    /// If `core` is not a positive number, or so small that the energy there is not finite.
    pub fn new(inner: P, core: f64) -> Result<Self, TargetError> {
        let wrong = |what: &str| Err(TargetError::Parameter(format!("core = {core:?} {what}")));
        if !(core > 0.0 && core.is_finite()) {
            return wrong("must be a positive number");
        }
        let edge = inner.pair::<f64>(core * core);
        let (energy, slope) = (edge.energy, edge.strength * (edge.scale * core));
        if !(energy.is_finite() && slope.is_finite()) {
            return wrong("is so small that the energy at it is not finite");
        }
        Ok(Self { inner, core, energy, slope })
    }
}

impl<P: PairEnergy> PairEnergy for SoftenedCore<P> {
    const SPACE: usize = P::SPACE;
    const TRAP: bool = P::TRAP;

    fn particles(&self) -> usize {
        self.inner.particles()
    }

    #[inline(always)]
    fn pair<T: Real>(&self, r2: T) -> Pair<T> {
        let outside = self.inner.pair(r2);
        let (r, slope, core) = (r2.sqrt(), T::of(self.slope), T::of(self.core));
        let inside = r < core;
        let pick = |a: T, b: T| if inside { a } else { b };
        Pair {
            energy: pick(slope.mul_add(r - core, T::of(self.energy)), outside.energy),
            strength: pick(slope, outside.strength),
            scale: pick(T::ONE / r, outside.scale),
        }
    }
}

impl<T: Real, P: PairEnergy> Target<T> for SoftenedCore<P> {
    pair_target!(T);
}

#[cfg(test)]
mod tests {
    use super::super::LennardJones;
    use super::*;

    fn at(energy: &dyn Target<f64>, r: f64) -> (f64, f64) {
        let (mut log_p, mut score) = ([0.0], [0.0; 6]);
        energy.evaluate(&[r, 0.0, 0.0, 0.0, 0.0, 0.0], &mut log_p, &mut score).unwrap();
        (-log_p[0], -score[0])
    }

    #[test]
    fn the_core_is_a_straight_line_and_the_rest_untouched() {
        let exact = LennardJones::new(2).unwrap();
        let soft = SoftenedCore::new(exact, 0.8).unwrap();
        for r in [0.8, 0.9, 1.0, 3.0] {
            assert_eq!(at(&soft, r), at(&exact, r));
        }
        let trap = |r: f64| (0.25 * r * r, 0.5 * r);
        let edge = at(&exact, 0.8);
        let (u, slope) = (edge.0 - trap(0.8).0, edge.1 - trap(0.8).1);
        assert!((u - 13.845).abs() < 0.001 && (slope + 322.1).abs() < 0.1, "{u} {slope}");
        for r in [0.0, 0.1, 0.5, 0.799] {
            let (energy, gradient) = at(&soft, r);
            assert!((energy - trap(r).0 - u - slope * (r - 0.8)).abs() < 1e-10);
            let want = if r > 0.0 { slope + trap(r).1 } else { 0.0 };
            assert!((gradient - want).abs() < 1e-10, "r = {r}: {gradient}");
        }
    }
}
