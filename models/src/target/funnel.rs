//! Neal's funnel: a narrow neck below a wide mouth.

use std::f64::consts::TAU;
use std::sync::Arc;

use engine::Real;
use engine::rng::Stream;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::{Geometry, Target, TargetError};

/// Standard deviation of x_0.
const WIDTH: f64 = 3.0;
/// exp(-x_0) is held below e^60, which it reaches 20 standard deviations from the centre: beyond, energies and scores
/// would leave the range of single precision.
const STEEPEST: f64 = 60.0;

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "funnel",
    about: "Neal's funnel: coordinates whose width is the exponential of the first one",
    parameters: &[("dim", Parameter::Integer(10), [2.0, 1000.0])],
    // E[exp x_0] = exp(9 / 2): the root mean square of a coordinate is e^2.25.
    scales: |_| Some([9.5, 1.0]),
    build: |c| Ok(Arc::new(Funnel::new(c.count("dim"))?)),
    page: Page {
        log_z: Some((0.0, 0.0)),
        how: "exact",
        values: &[(At::All(1.0), -16.499_011)],
        source: "Neal 2003, Slice sampling, section 8",
        traps: &[
            "the benchmark of the field cuts its exact samples at +-30, ours are not cut",
            "chains that miss the neck have good diagnostics and a wrong log Z",
        ],
    },
}];

/// The funnel of Neal (2003, "Slice sampling", section 8), x_0 ~ N(0, 3^2) and x_i ~ N(0, exp x_0) for i > 0:
///
/// E = x_0^2 / 18 + (d - 1) x_0 / 2 + exp(-x_0) sum_{i > 0} x_i^2 / 2 + log(3 (2 pi)^(d/2)),  Z = 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funnel {
    dim: usize,
}

impl Funnel {
    /// The funnel in R^`dim`.
    ///
    /// # Errors
    /// For fewer than 2 dimensions.
    pub fn new(dim: usize) -> Result<Self, TargetError> {
        match dim {
            0 | 1 => Err(TargetError::Parameter(format!(
                "dim = {dim}: a funnel has a neck and a mouth, and needs at least 2"
            ))),
            _ => Ok(Self { dim }),
        }
    }
}

impl<T: Real> Target<T> for Funnel {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.dim)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let others = T::of((self.dim - 1) as f64);
        let log_norm = T::of(WIDTH.ln() + 0.5 * self.dim as f64 * TAU.ln());
        let precision = T::of(1.0 / (WIDTH * WIDTH));
        for l in 0..n {
            let x0 = x[l];
            let inverse = (-x0).min(T::of(STEEPEST)).exp();
            let mut square = T::ZERO;
            for a in 1..self.dim {
                square += x[a * n + l] * x[a * n + l];
                score[a * n + l] = -inverse * x[a * n + l];
            }
            let (energy, half) = (T::HALF * inverse * square, T::HALF * others);
            // Where exp(-x_0) is held, it does not change with x_0.
            let pull = if -x0 < T::of(STEEPEST) { energy } else { T::ZERO };
            log_p[l] = -(T::HALF * precision * x0 * x0 + half * x0 + energy + log_norm);
            score[l] = pull - half - precision * x0;
        }
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        Some(0.0)
    }

    fn sample(&self, stream: &mut Stream, out: &mut [T]) -> bool {
        stream.fill_normal(out);
        for x in out.chunks_exact_mut(self.dim) {
            x[0] *= T::of(WIDTH);
            let scale = (T::HALF * x[0]).exp();
            x[1..].iter_mut().for_each(|x| *x *= scale);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_and_score_worked_out_by_hand() {
        // x = (0, 1, 2): E = 0 + 0 + 5/2 + log 3 + 1.5 log 2 pi; grad E = (1 - 5/2, 1, 2).
        let (mut log_p, mut score) = ([0.0], [0.0; 3]);
        Funnel::new(3).unwrap().evaluate(&[0.0, 1.0, 2.0], &mut log_p, &mut score).unwrap();
        assert!((log_p[0] + 2.5 + 3f64.ln() + 1.5 * TAU.ln()).abs() < 1e-12);
        assert_eq!(score, [1.5, -1.0, -2.0]);
        // All ones in ten dimensions: -log 3 - 1/18 - 5 log 2 pi - 9 (1 + 1/e) / 2.
        let mut log_p = [0.0];
        Funnel::new(10).unwrap().evaluate(&[1.0; 10], &mut log_p, &mut []).unwrap();
        assert!((log_p[0] + 16.499_011).abs() < 1e-6, "{}", log_p[0]);
    }

    #[test]
    fn exact_samples_have_the_energy_of_the_density() {
        // E[E] = (1 + 9) / 2 + log(3 (2 pi)^5), since all squares have mean 1 and x_0 has mean 0.
        let funnel = Funnel::new(10).unwrap();
        let mut x = vec![0.0f64; 10 * 40_000];
        assert!(funnel.sample(&mut Stream::new(0, "funnel", 0, 0), &mut x));
        let mut log_p = vec![0.0; 40_000];
        funnel.evaluate(&x, &mut log_p, &mut []).unwrap();
        let mean = -log_p.iter().sum::<f64>() / 40_000.0;
        // Var E = 10 / 2 + (9 / 2)^2 9: five standard errors.
        let error = ((5.0 + 20.25 * 9.0) / 40_000.0f64).sqrt();
        let want = 5.0 + 3f64.ln() + 5.0 * TAU.ln();
        assert!((mean - want).abs() < 5.0 * error, "{mean} {want}");
    }
}
