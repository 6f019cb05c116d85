//! Products of symmetric double wells: 2^dim modes of equal weights.

use std::sync::Arc;

use engine::Real;
use engine::rng::Stream;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::tabulated::Tabulated;
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "mw",
    about: "MW: a double well in every coordinate, 2^dim modes of equal weights",
    parameters: &[
        ("dim", Parameter::Integer(5), [1.0, 1000.0]),
        ("delta", Parameter::Real(4.0), [0.1, 100.0]),
    ],
    // Wells at +-sqrt(delta), where the curvature is 8 delta.
    scales: |c| Some([c.real("delta").sqrt(), (8.0 * c.real("delta")).sqrt().recip()]),
    build: |c| Ok(Arc::new(MultiWell::new(c.count("dim"), c.real("delta"))?)),
    page: Page {
        log_z: Some((-0.541_056, 1e-6)),
        how: "quadrature",
        values: &[(At::All(1.0), -45.0)],
        source: "Richter and Berner 2024",
        traps: &[
            "MW(5, 5, 4) of the papers is dim 5 and delta 4: their second 5 counts the coordinates with wells",
        ],
    },
}];

/// The density is as good as 0 this far outside the wells: below e^-256.
const BEYOND: f64 = 4.0;

/// A double well in each coordinate, MW(5, 5, 4) for d = 5 and delta = 4 (Richter and Berner 2024,
/// "Improved sampling via learned diffusions"):
///
/// log p = -sum_i (x_i^2 - delta)^2.
///
/// Z is the d-th power of an integral, computed by quadrature: log Z = -0.541056 for MW(5, 5, 4).
#[derive(Clone, Debug)]
pub struct MultiWell {
    dim: usize,
    delta: f64,
    well: Tabulated,
}

impl MultiWell {
    /// Wells at +-sqrt(`delta`) in each of `dim` coordinates.
    ///
    /// # Errors
    /// Without a coordinate, and for a `delta` outside [0.1, 100].
    pub fn new(dim: usize, delta: f64) -> Result<Self, TargetError> {
        if dim == 0 {
            return Err(TargetError::Parameter("dim = 0: wells need at least 1 coordinate".into()));
        }
        if !(0.1..=100.0).contains(&delta) {
            return Err(TargetError::Parameter(format!("delta = {delta} must lie between 0.1 and 100")));
        }
        let end = delta.sqrt() + BEYOND;
        Ok(Self { dim, delta, well: Tabulated::new([-end, end], |x| -(x * x - delta).powi(2)) })
    }
}

impl<T: Real> Target<T> for MultiWell {
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
        let (delta, four) = (T::of(self.delta), T::of(4.0));
        log_p.fill(T::ZERO);
        for (x, score) in x.chunks_exact(n).zip(score.chunks_exact_mut(n)) {
            for l in 0..n {
                let above = x[l] * x[l] - delta;
                log_p[l] += -above * above;
                score[l] = -four * x[l] * above;
            }
        }
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        Some(self.dim as f64 * self.well.log_z())
    }

    fn sample(&self, stream: &mut Stream, out: &mut [T]) -> bool {
        out.iter_mut().for_each(|x| *x = T::of(self.well.draw(stream)));
        true
    }

    fn first_plane(&self) -> Option<Box<dyn Target<T>>> {
        Some(Box::new(Self { dim: 2, ..self.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_worked_out_elsewhere() {
        let target = MultiWell::new(5, 4.0).unwrap();
        let (mut log_p, mut score) = ([0.0], [0.0; 5]);
        target.evaluate(&[1.0; 5], &mut log_p, &mut score).unwrap();
        assert_eq!((log_p[0], score), (-45.0, [12.0; 5]));
        let log_z = Target::<f64>::log_z(&target).unwrap();
        assert!((log_z + 0.541_056).abs() < 1e-6, "{log_z}");
    }

    #[test]
    fn the_sampler_and_log_z_agree_with_importance_sampling() {
        // One coordinate, drawn from the mixture of N(+-2, 0.25^2): log Z and E x^2 by weights.
        let target = MultiWell::new(1, 4.0).unwrap();
        let (n, s, mut stream) = (40_000, 0.25, Stream::new(5, "test", 0, 0));
        let mut x = vec![0.0; n];
        stream.fill_normal(&mut x);
        x.iter_mut().enumerate().for_each(|(i, x)| *x = 2.0 * [1.0, -1.0][i % 2] + s * *x);
        let q = |x: f64| {
            let part = |m: f64| (-0.5 * ((x - m) / s).powi(2)).exp();
            (0.5 * (part(2.0) + part(-2.0)) / (s * std::f64::consts::TAU.sqrt())).ln()
        };
        let log_w: Vec<f64> = x.iter().map(|x| -(x * x - 4.0).powi(2) - q(*x)).collect();
        let (log_z, error) = crate::importance::log_z(&log_w);
        let known = Target::<f64>::log_z(&target).unwrap();
        assert!(error < 0.01 && (log_z - known).abs() < 5.0 * error, "{log_z} +- {error}, {known}");
        let weights: Vec<f64> = log_w.iter().map(|l| l.exp()).collect();
        let square =
            x.iter().zip(&weights).map(|(x, w)| w * x * x).sum::<f64>() / weights.iter().sum::<f64>();
        let mut y = vec![0.0_f64; n];
        assert!(target.sample(&mut stream, &mut y));
        let squares: Vec<f64> = y.iter().map(|y| y * y).collect();
        let (mean, sd) = (crate::metrics::mean(&squares), crate::metrics::sd(&squares));
        // Both estimates have about the same error.
        let error = 1.5 * sd / (n as f64).sqrt();
        assert!((mean - square).abs() < 5.0 * error, "{mean} {square} {error}");
        let left = y.iter().filter(|y| **y < 0.0).count() as f64 / n as f64;
        assert!((left - 0.5).abs() < 5.0 * 0.5 / (n as f64).sqrt(), "{left}");
    }
}
