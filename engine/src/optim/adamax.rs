//! Adamax.

use crate::{Real, simd_fn};

/// Adamax (Kingma and Ba 2015, algorithm 2), for parameters p with gradient g at step t:
///
/// m = b1 m + (1 - b1) g,  u = max(b2 u, |g| + eps),  p -= rate / (1 - b1^t) m / u.
#[derive(Clone, Debug)]
pub struct Adamax<T> {
    /// Decay of the mean.
    pub beta1: f64,
    /// Decay of the largest size.
    pub beta2: f64,
    /// Added to the size of a gradient.
    pub eps: f64,
    /// Steps done.
    pub steps: u64,
    /// The mean of gradients.
    pub m: Vec<T>,
    /// Their largest size.
    pub u: Vec<T>,
}

impl<T: Real> Adamax<T> {
    /// Adamax for `n` parameters: b1 = 0.9, b2 = 0.999, eps = 1e-8.
    pub fn new(n: usize) -> Self {
        let zeros = vec![T::ZERO; n];
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, steps: 0, m: zeros.clone(), u: zeros }
    }

    /// One step with learning rate `rate`.
    pub fn step(&mut self, params: &mut [T], gradient: &[T], rate: f64) {
        assert!(
            params.len() == self.m.len() && gradient.len() == self.m.len(),
            "Adamax was made for {} parameters",
            self.m.len()
        );
        self.steps += 1;
        let t = self.steps.min(i32::MAX as u64) as i32;
        let rate = T::of(rate / (1.0 - self.beta1.powi(t)));
        let constants = [T::of(self.beta1), T::of(self.beta2), T::of(self.eps), rate];
        update(constants, params, gradient, &mut self.m, &mut self.u);
    }
}

simd_fn! {
    fn update<T: Real>(constants: [T; 4], params: &mut [T], gradient: &[T], m: &mut [T], u: &mut [T]) {
        let [beta1, beta2, eps, rate] = constants;
        for (((p, g), m), u) in params.iter_mut().zip(gradient).zip(m).zip(u) {
            *m = beta1.mul_add(*m - *g, *g);
            *u = (beta2 * *u).max(g.abs() + eps);
            *p -= rate * *m / *u;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        // m = 0.1 g and u = |g|: the first step has the length of the rate.
        let mut adamax = Adamax::<f64>::new(2);
        let mut p = [1.0, 1.0];
        adamax.step(&mut p, &[0.3, -4.0], 0.1);
        assert!((p[0] - 0.9).abs() < 1e-8 && (p[1] - 1.1).abs() < 1e-8, "{p:?}");
        // m = 0.9 * 0.03 + 0.1 * 0.6 = 0.087, u = max(0.2997, 0.6); m = -0.36, u = 3.996.
        adamax.step(&mut p, &[0.6, 0.0], 0.1);
        assert!((p[0] - (0.9 - 0.1 / 0.19 * 0.087 / 0.6)).abs() < 1e-7, "{p:?}");
        assert!((p[1] - (1.1 + 0.1 / 0.19 * 0.36 / 3.996)).abs() < 1e-7, "{p:?}");
    }
}
