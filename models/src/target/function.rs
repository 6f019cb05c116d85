//! A target given by a function of one point: the easy way to bring an energy of one's own.

use engine::Real;

use super::Energy;

/// An energy from a function that gives E(x) and writes grad E(x).
///
/// ```
/// use models::target::{Energy, Pointwise};
/// // A Gaussian valley: E = (x^2 + 10 y^2) / 2.
/// let valley = Pointwise::new(2, |x: &[f64], gradient: &mut [f64]| {
///     gradient[0] = x[0];
///     gradient[1] = 10.0 * x[1];
///     0.5 * (x[0] * x[0] + 10.0 * x[1] * x[1])
/// });
/// let (mut log_p, mut score) = ([0.0], [0.0; 2]);
/// models::target::evaluate(&valley, &[1.0, 2.0], &mut log_p, &mut score);
/// assert_eq!((log_p[0], score), (-20.5, [-1.0, -20.0]));
/// ```
pub struct Pointwise<F> {
    dim: usize,
    energy: F,
}

impl<F> Pointwise<F> {
    /// The target exp(-`energy`(x, gradient)) on R^dim.
    pub fn new(dim: usize, energy: F) -> Self {
        Self { dim, energy }
    }
}

impl<T: Real, F: Fn(&[T], &mut [T]) -> T + Send + Sync> Energy<T> for Pointwise<F> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn log_density_block(&self, n: usize, x: &[T], log_p: &mut [T], score: &mut [T], scratch: &mut Vec<T>) {
        let d = self.dim;
        scratch.resize(2 * d, T::ZERO);
        let (point, gradient) = scratch.split_at_mut(d);
        for l in 0..n {
            (0..d).for_each(|a| point[a] = x[a * n + l]);
            log_p[l] = -(self.energy)(point, gradient);
            (0..d).for_each(|a| score[a * n + l] = -gradient[a]);
        }
    }
}
