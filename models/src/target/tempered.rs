//! A target at another temperature.

use engine::Real;

use super::{Geometry, Target, TargetError};

/// exp(-E / T) of the target exp(-E).
#[derive(Clone, Debug)]
pub struct Tempered<E> {
    energy: E,
    /// 1 / T.
    inverse: f64,
}

impl<E> Tempered<E> {
    /// At the temperature T, in the units of the energy.
    ///
    /// # Errors
    /// If it is no positive number.
    pub fn new(energy: E, temperature: f64) -> Result<Self, TargetError> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(TargetError::Parameter(format!(
                "temperature = {temperature} must be a positive number"
            )));
        }
        Ok(Self { energy, inverse: 1.0 / temperature })
    }
}

impl<T: Real, E: Target<T>> Target<T> for Tempered<E> {
    fn geometry(&self) -> Geometry {
        self.energy.geometry()
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        self.energy.log_density_block(n, x, log_p, score, scratch)?;
        cool(self.inverse, log_p, score);
        Ok(())
    }

    fn log_density_batch(&self, x: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
        self.energy.log_density_batch(x, log_p, score)?;
        cool(self.inverse, log_p, score);
        Ok(())
    }

    fn softened(&self, core: f64) -> Option<Box<dyn Target<T>>> {
        Some(Box::new(Softened { energy: self.energy.softened(core)?, inverse: self.inverse }))
    }
}

/// The same of a softened target.
struct Softened<T> {
    energy: Box<dyn Target<T>>,
    inverse: f64,
}

impl<T: Real> Target<T> for Softened<T> {
    fn geometry(&self) -> Geometry {
        self.energy.geometry()
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        self.energy.log_density_block(n, x, log_p, score, scratch)?;
        cool(self.inverse, log_p, score);
        Ok(())
    }
}

/// Energies and gradients near the largest number stay finite also where T < 1.
fn cool<T: Real>(inverse: f64, log_p: &mut [T], score: &mut [T]) {
    let b = T::of(inverse);
    let times = |v: &mut T| {
        let cold = b * *v;
        // An energy of +inf stays.
        if cold.is_finite() || !v.is_finite() {
            *v = cold;
        }
    };
    log_p.iter_mut().for_each(times);
    score.iter_mut().for_each(times);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{LennardJones, TargetConfig, registry::Parameter};

    #[test]
    fn energies_and_gradients_are_those_of_the_target_over_the_temperature() {
        let x: Vec<f64> = (0..39).map(|i| ((7 * i) as f64 * 0.37).sin() * 1.5).collect();
        let at = |target: &dyn Target<f64>| {
            let (mut log_p, mut score) = ([0.0], vec![0.0; 39]);
            target.evaluate(&x, &mut log_p, &mut score).unwrap();
            (log_p[0], score)
        };
        let mut config = TargetConfig::of("lj13").unwrap();
        let plain = at(config.build().unwrap().double());
        config.parameters.insert("temperature".into(), Parameter::Real(0.5));
        let cold = config.build().unwrap();
        let close = |a: (f64, Vec<f64>), b: (f64, Vec<f64>)| {
            let near = |a: f64, b: f64| (a - 2.0 * b).abs() < 1e-12 * b.abs();
            assert!(near(a.0, b.0) && a.1.iter().zip(&b.1).all(|(a, b)| near(*a, *b)), "{a:?} {b:?}");
        };
        close(at(cold.double()), plain);
        let softened = |target: &dyn Target<f64>| at(&*target.softened(0.8).unwrap());
        close(softened(cold.double()), softened(&LennardJones::lj13()));
        let (mut log_p, mut score) = ([0.0_f32], vec![0.0; 39]);
        cold.single().evaluate(&[0.0; 39], &mut log_p, &mut score).unwrap();
        assert!(log_p[0].is_finite(), "coincident particles at a low temperature: {log_p:?}");
    }

    #[test]
    fn a_temperature_is_a_positive_number() {
        assert!(Tempered::new(LennardJones::lj13(), 0.0).is_err());
        assert!(Tempered::new(LennardJones::lj13(), f64::NAN).is_err());
    }
}
