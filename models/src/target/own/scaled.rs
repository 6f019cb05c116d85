//! What every target of one's own is given: units, the meaning of NaN, log Z.

use std::sync::Arc;

use engine::Real;

use super::description::{Description, Nan};
use crate::target::{Geometry, Target, TargetError};

/// exp(-E(l x) / T), l the unit of length and T the temperature of the description, whose gradient is l / T times that
/// of E. Gradients of particles lose their mean, as the states have none.
pub(super) struct Scaled<E: ?Sized> {
    energy: Arc<E>,
    geometry: Geometry,
    length: f64,
    /// 1 / T.
    inverse: f64,
    nan: Nan,
    log_z: Option<f64>,
}

impl<E: ?Sized> Scaled<E> {
    pub fn new(energy: Arc<E>, description: &Description) -> Self {
        Self {
            energy,
            geometry: description.geometry,
            length: description.length,
            inverse: 1.0 / description.temperature,
            nan: description.nan,
            log_z: description.log_z,
        }
    }

    /// x in units of the energy; None if they are the sampler's.
    fn stretched<T: Real>(&self, x: &[T]) -> Option<Vec<T>> {
        let length = T::of(self.length);
        (self.length != 1.0).then(|| x.iter().map(|x| length * *x).collect())
    }

    fn finish<T: Real>(&self, log_p: &mut [T], score: &mut [T]) {
        for log_p in log_p.iter_mut() {
            // No number has no order.
            if self.nan == Nan::Outside && (*log_p).partial_cmp(&*log_p).is_none() {
                *log_p = T::NEG_INFINITY;
            }
        }
        if self.inverse != 1.0 {
            times(self.inverse, log_p);
        }
        if self.inverse * self.length != 1.0 {
            times(self.inverse * self.length, score);
        }
    }
}

/// Numbers near the largest one stay finite.
fn times<T: Real>(factor: f64, values: &mut [T]) {
    let factor = T::of(factor);
    for v in values {
        let new = factor * *v;
        if new.is_finite() || !v.is_finite() {
            *v = new;
        }
    }
}

impl<T: Real, E: Target<T> + ?Sized> Target<T> for Scaled<E> {
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
        let own = self.stretched(x);
        self.energy.log_density_block(n, own.as_deref().unwrap_or(x), log_p, score, scratch)?;
        self.finish(log_p, score);
        self.geometry.project_block(n, score);
        Ok(())
    }

    fn log_density_batch(&self, x: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
        let own = self.stretched(x);
        self.energy.log_density_batch(own.as_deref().unwrap_or(x), log_p, score)?;
        self.finish(log_p, score);
        self.geometry.project(score);
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        self.log_z
    }
}
