//! Adam and AdamW.

use rayon::prelude::*;

use super::PART;
use crate::parallel::Tasks;
use crate::{Real, simd_fn};

/// Adam (Kingma and Ba 2015, algorithm 1) with the decoupled weight decay of AdamW (Loshchilov and Hutter
/// 2019, algorithm 2), for parameters p with gradient g at step t:
///
/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
///
/// p -= rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay p).
#[derive(Clone, Debug)]
pub struct Adam<T> {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// eps, added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; 0 is Adam.
    pub weight_decay: f64,
    /// Steps done.
    pub steps: u64,
    /// First moment.
    pub m: Vec<T>,
    /// Second moment.
    pub v: Vec<T>,
}

struct Coefficients<T> {
    beta1: T,
    beta2: T,
    eps: T,
    rate: T,
    correction: T,
    decay: T,
}

impl<T: Real> Adam<T> {
    /// Adam for `n` parameters: b1 = 0.9, b2 = 0.999, eps = 1e-8, no decay.
    pub fn new(n: usize) -> Self {
        let zeros = vec![T::ZERO; n];
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, steps: 0, m: zeros.clone(), v: zeros }
    }

    /// One step with learning rate `rate`.
    pub fn step(&mut self, params: &mut [T], gradient: &[T], rate: f64) {
        assert!(
            params.len() == self.m.len() && gradient.len() == self.m.len(),
            "Adam was made for {} parameters",
            self.m.len()
        );
        self.steps += 1;
        let t = self.steps.min(i32::MAX as u64) as i32;
        let c = Coefficients {
            beta1: T::of(self.beta1),
            beta2: T::of(self.beta2),
            eps: T::of(self.eps),
            rate: T::of(rate / (1.0 - self.beta1.powi(t))),
            correction: T::of(1.0 / (1.0 - self.beta2.powi(t)).sqrt()),
            decay: T::of(1.0 - rate * self.weight_decay),
        };
        if params.len() <= PART {
            return update(&c, params, gradient, &mut self.m, &mut self.v);
        }
        (
            params.par_chunks_mut(PART),
            gradient.par_chunks(PART),
            self.m.par_chunks_mut(PART),
            self.v.par_chunks_mut(PART),
        )
            .into_par_iter()
            .each(|_, (p, g, m, v)| update(&c, p, g, m, v));
    }
}

simd_fn! {
    fn update<T: Real>(c: &Coefficients<T>, params: &mut [T], gradient: &[T], m: &mut [T], v: &mut [T]) {
        for (((p, g), m), v) in params.iter_mut().zip(gradient).zip(m).zip(v) {
            *m = c.beta1.mul_add(*m - *g, *g);
            *v = c.beta2.mul_add(*v - *g * *g, *g * *g);
            *p = c.decay * *p - c.rate * *m / ((*v).sqrt().mul_add(c.correction, c.eps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        // After bias correction m = g and v = g^2, so p moves by rate * sign(g).
        let mut adam = Adam::<f64>::new(2);
        let mut p = [1.0, 1.0];
        adam.step(&mut p, &[0.3, -4.0], 0.1);
        assert!((p[0] - 0.9).abs() < 1e-8 && (p[1] - 1.1).abs() < 1e-8, "{p:?}");
        // Second step by hand: m = 0.9*0.03 + 0.1*0.1 = 0.037, v = 0.999*9e-5 + 1e-3*0.01 = 9.991e-5,
        // corrected by 0.19 and 0.001999: 0.194737 / (0.223561 + 1e-8) = 0.871066.
        adam.step(&mut p, &[0.1, 0.0], 0.1);
        assert!((p[0] - (0.9 - 0.087_106_6)).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn a_quadratic_is_minimised() {
        let mut adam = Adam::<f64>::new(3);
        let (mut p, target) = ([5.0, -3.0, 0.0], [1.0, 2.0, 3.0]);
        for k in 0..4000 {
            let g: Vec<f64> = p.iter().zip(target).map(|(p, t)| p - t).collect();
            adam.step(&mut p, &g, 0.05 * 0.998f64.powi(k));
        }
        assert!(p.iter().zip(target).all(|(p, t)| (p - t).abs() < 1e-3), "{p:?}");
    }

    #[test]
    fn decay_shrinks_parameters_without_a_gradient() {
        let mut adam = Adam { weight_decay: 0.1, ..Adam::<f64>::new(1) };
        let mut p = [2.0];
        adam.step(&mut p, &[0.0], 0.5);
        assert!((p[0] - 1.9).abs() < 1e-15);
    }
}
