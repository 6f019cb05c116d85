//! A target given by a function of one point: the simplest way to use your own energy.

use engine::Real;

use super::{Geometry, Target, TargetError};

/// An energy from a function that gives E(x) and writes grad E(x).
///
/// ```
/// use models::target::{Target, Pointwise};
/// // A Gaussian valley: E = (x^2 + 10 y^2) / 2.
/// let valley = Pointwise::new(2, |x: &[f64], gradient: &mut [f64]| {
///     gradient[0] = x[0];
///     gradient[1] = 10.0 * x[1];
///     0.5 * (x[0] * x[0] + 10.0 * x[1] * x[1])
/// });
/// let (mut log_p, mut score) = ([0.0], [0.0; 2]);
/// valley.evaluate(&[1.0, 2.0], &mut log_p, &mut score).unwrap();
/// assert_eq!((log_p[0], score), (-20.5, [-1.0, -20.0]));
/// ```
pub struct Pointwise<F> {
    geometry: Geometry,
    energy: F,
}

impl<F> Pointwise<F> {
    /// The target exp(-`energy`(x, gradient)) on R^dim.
    pub fn new(dim: usize, energy: F) -> Self {
        Self::on(Geometry::Euclidean(dim), energy)
    }

    /// The target exp(-`energy`(x, gradient)) on another space.
    pub fn on(geometry: Geometry, energy: F) -> Self {
        Self { geometry, energy }
    }
}

impl<T: Real, F: Fn(&[T], &mut [T]) -> T + Send + Sync> Target<T> for Pointwise<F> {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let d = self.geometry.dim();
        scratch.resize(2 * d, T::ZERO);
        let (point, gradient) = scratch.split_at_mut(d);
        for l in 0..n {
            (0..d).for_each(|a| point[a] = x[a * n + l]);
            log_p[l] = -(self.energy)(point, gradient);
            (0..d).for_each(|a| score[a * n + l] = -gradient[a]);
        }
        Ok(())
    }
}
