//! Many wells: pairs of coordinates, one in a skewed double well and one Gaussian.

use std::sync::Arc;

use engine::Real;
use engine::rng::Stream;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::tabulated::Tabulated;
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "many-well",
    about: "pairs of a double-well and a Gaussian coordinate: 2^pairs modes of unequal weights",
    parameters: &[("pairs", Parameter::Integer(16), [1.0, 500.0])],
    // E a^2 = 2.960 and E b^2 = 1; the curvature at the deeper well is 12 a^2 - 12 = 26.
    scales: |_| Some([1.41, 0.2]),
    build: |c| Ok(Arc::new(ManyWell::new(c.count("pairs"))?)),
    page: Page {
        log_z: Some((164.695_675, 1e-6)),
        how: "quadrature",
        values: &[(At::All(1.0), 80.0)],
        source: "Noe, Olsson, Koehler and Wu 2019; Midgley et al. 2023",
        traps: &[
            "the share of the left well of a pair is 0.155693: a sampler with all 2^16 modes may have it wrong",
        ],
    },
}];

/// Where the double well is as good as 0: at +-4 it is e^-160, at its deeper well e^10.
const RANGE: [f64; 2] = [-4.0, 4.0];

/// The many-well target (Noe, Olsson, Koehler and Wu 2019, "Boltzmann generators"; in this form Midgley et al. 2023,
/// "Flow annealed importance sampling bootstrap"): for each pair (a, b) of coordinates
///
/// log p = a / 2 + 6 a^2 - a^4 - b^2 / 2.
///
/// Z is the product over pairs of sqrt(2 pi) and of the integral over a, 11784.509, computed by quadrature: log Z is
/// 164.695675 for 16 pairs. The wells of a lie at -1.71 and 1.75; the share of the left one is 0.155693.
#[derive(Clone, Debug)]
pub struct ManyWell {
    pairs: usize,
    well: Tabulated,
}

impl ManyWell {
    /// `pairs` pairs, so twice as many dimensions.
    ///
    /// # Errors
    /// For no pair.
    pub fn new(pairs: usize) -> Result<Self, TargetError> {
        if pairs == 0 {
            return Err(TargetError::Parameter("pairs = 0: a many-well needs at least 1".into()));
        }
        let well = Tabulated::new(RANGE, |a| 0.5 * a + a * a * (6.0 - a * a));
        Ok(Self { pairs, well })
    }

    /// The share of samples in the left well of a pair, a < 0.
    pub fn left_share(&self) -> f64 {
        self.well.share_below(0.0)
    }
}

impl<T: Real> Target<T> for ManyWell {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(2 * self.pairs)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let (half, four, six, twelve) = (T::HALF, T::of(4.0), T::of(6.0), T::of(12.0));
        log_p.fill(T::ZERO);
        for (x, score) in x.chunks_exact(2 * n).zip(score.chunks_exact_mut(2 * n)) {
            let ((a, b), (score_a, score_b)) = (x.split_at(n), score.split_at_mut(n));
            for l in 0..n {
                let (a, b) = (a[l], b[l]);
                let a2 = a * a;
                log_p[l] += half * a + a2 * (six - a2) - half * b * b;
                score_a[l] = half + a * (twelve - four * a2);
                score_b[l] = -b;
            }
        }
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        Some(self.pairs as f64 * (self.well.log_z() + 0.5 * std::f64::consts::TAU.ln()))
    }

    fn sample(&self, stream: &mut Stream, out: &mut [T]) -> bool {
        stream.fill_normal(out);
        out.iter_mut().step_by(2).for_each(|a| *a = T::of(self.well.draw(stream)));
        true
    }

    fn first_plane(&self) -> Option<Box<dyn Target<T>>> {
        Some(Box::new(Self { pairs: 1, well: self.well.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_worked_out_elsewhere() {
        let target = ManyWell::new(16).unwrap();
        // 16 (0.5 + 6 - 1 - 0.5) = 80; score (0.5 + 12 - 4, -1).
        let (mut log_p, mut score) = ([0.0], [0.0; 32]);
        target.evaluate(&[1.0; 32], &mut log_p, &mut score).unwrap();
        assert_eq!((log_p[0], score[0], score[1]), (80.0, 8.5, -1.0));
        let log_z = Target::<f64>::log_z(&target).unwrap();
        assert!((log_z - 164.695_675).abs() < 1e-6, "{log_z}");
        assert!((target.left_share() - 0.155_693).abs() < 1e-6, "{}", target.left_share());
    }

    #[test]
    fn exact_samples_have_the_moments_and_the_share() {
        let target = ManyWell::new(16).unwrap();
        let mut x = vec![0.0_f64; 32 * 2000];
        assert!(target.sample(&mut Stream::new(3, "test", 0, 0), &mut x));
        let a: Vec<f64> = x.iter().step_by(2).copied().collect();
        let b: Vec<f64> = x.iter().skip(1).step_by(2).copied().collect();
        let mean = |f: &dyn Fn(f64) -> f64, x: &[f64]| x.iter().map(|x| f(*x)).sum::<f64>() / x.len() as f64;
        // 32000 values: the standard errors of the mean, of the mean square and of the share are
        // sqrt(2.960 - 1.188^2) / 179 = 0.0070, below 0.006, and 0.0020; of the Gaussian 0.0056 and 0.0079.
        assert!((mean(&|a| a, &a) - 1.187_961).abs() < 0.035, "{}", mean(&|a| a, &a));
        assert!((mean(&|a| a * a, &a) - 2.959_806).abs() < 0.03, "{}", mean(&|a| a * a, &a));
        assert!((mean(&|a| f64::from(u8::from(a < 0.0)), &a) - 0.155_693).abs() < 0.01);
        assert!(mean(&|b| b, &b).abs() < 0.028 && (mean(&|b| b * b, &b) - 1.0).abs() < 0.04);
        // The mean of log p is log Z minus the entropy 27.49722; log p has a variance of about 16.
        let mut log_p = vec![0.0; 2000];
        target.evaluate(&x, &mut log_p, &mut []).unwrap();
        let entropy = 164.695_675 - log_p.iter().sum::<f64>() / 2000.0;
        assert!((entropy - 27.497).abs() < 5.0 * 4.0 / 2000f64.sqrt(), "{entropy}");
    }
}
