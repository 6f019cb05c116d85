//! A density with hard walls.

use std::sync::Arc;

use engine::Real;
use engine::rng::Stream;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "box",
    about: "uniform in the box [-1, 1]^dim, with nothing outside: hard walls",
    parameters: &[("dim", Parameter::Integer(2), [1.0, 1000.0])],
    scales: |_| Some([1.0 / 3f64.sqrt(), 0.3]),
    build: |c| Ok(Arc::new(UniformBox { dim: c.count("dim") })),
    page: Page {
        log_z: Some((2.0 * std::f64::consts::LN_2, 0.0)),
        how: "exact",
        values: &[(At::All(0.5), 0.0), (At::All(1.5), f64::NEG_INFINITY)],
        source: "made for this program: hard walls",
        traps: &["gradients know nothing of the walls"],
    },
}];

/// E = 0 in [-1, 1]^dim and +inf outside; log Z = dim log 2. Its gradient is 0 inside and knows nothing of the
/// walls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformBox {
    /// Coordinates.
    pub dim: usize,
}

impl<T: Real> Target<T> for UniformBox {
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
        score.fill(T::ZERO);
        log_p.fill(T::ZERO);
        for x in x.chunks_exact(n) {
            for (log_p, x) in log_p.iter_mut().zip(x) {
                // No number is outside too.
                let inside = x.abs() <= T::ONE;
                if !inside {
                    *log_p = T::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        Some(self.dim as f64 * std::f64::consts::LN_2)
    }

    fn sample(&self, stream: &mut Stream, out: &mut [T]) -> bool {
        stream.fill_uniform(out);
        out.iter_mut().for_each(|x| *x = T::of(2.0) * *x - T::ONE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_flat_and_outside_is_nothing() {
        let target = UniformBox { dim: 2 };
        let (mut log_p, mut score) = ([9.0; 4], [9.0; 8]);
        target.evaluate(&[0.3, -1.0, 1.5, 0.0, 0.0, -1.01, 1.0, 1.0], &mut log_p, &mut score).unwrap();
        assert_eq!(log_p, [0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0]);
        assert_eq!(score, [0.0; 8]);
        target.evaluate(&[f64::NAN, 0.0], &mut log_p[..1], &mut []).unwrap();
        assert_eq!(log_p[0], f64::NEG_INFINITY);
        let mut x = vec![0.0_f64; 20_000];
        assert!(target.sample(&mut Stream::new(1, "box", 0, 0), &mut x));
        let mean = x.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        // A square has the mean 1/3 and the deviation sqrt(4 / 45).
        assert!((mean - 1.0 / 3.0).abs() < 5.0 * 0.3 / 20_000f64.sqrt(), "{mean}");
    }
}
