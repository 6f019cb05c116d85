//! Exponential moving average of parameters.

use super::PART;
use crate::{Real, parallel, simd_fn};

/// Exponential moving average a of parameters p: a = d a + (1 - d) p at update t, with
/// d = min(decay, (1 + t) / (10 + t)), so that the first steps have little weight.
#[derive(Clone, Debug)]
pub struct Ema<T> {
    /// The largest decay.
    pub decay: f64,
    /// Number of updates t.
    pub updates: u64,
    average: Vec<T>,
}

impl<T: Real> Ema<T> {
    /// An average that starts at `params`.
    pub fn new(params: &[T], decay: f64) -> Self {
        Self { decay, updates: 0, average: params.to_vec() }
    }

    /// The average.
    pub fn values(&self) -> &[T] {
        &self.average
    }

    /// The average, to restore it from a checkpoint.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.average
    }

    /// Updates the average with the parameters after a step.
    pub fn update(&mut self, params: &[T]) {
        let t = self.updates as f64;
        self.updates += 1;
        let decay = T::of(self.decay.min((1.0 + t) / (10.0 + t)));
        parallel::for_chunks(&mut self.average, PART, |i, a| {
            mix(decay, &params[i * PART..i * PART + a.len()], a);
        });
    }
}

simd_fn! {
    fn mix<T: Real>(decay: T, params: &[T], average: &mut [T]) {
        for (p, a) in params.iter().zip(average) {
            *a = decay.mul_add(*a - *p, *p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_updates_forget_quickly() {
        let mut ema = Ema::new(&[0.0_f64], 0.5);
        ema.update(&[1.0]);
        assert!((ema.values()[0] - 0.9).abs() < 1e-15);
        ema.update(&[1.0]);
        // d = 2/11: 0.9 * 2/11 + 9/11
        assert!((ema.values()[0] - (1.8 + 9.0) / 11.0).abs() < 1e-15);
        (0..60).for_each(|_| ema.update(&[1.0]));
        let before = ema.values()[0];
        ema.update(&[0.0]);
        assert!((ema.values()[0] - 0.5 * before).abs() < 1e-15);
    }
}
