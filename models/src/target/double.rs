//! A target that is known in double precision only.

use super::{Geometry, Target, TargetError};

/// A target in double precision, for single precision too: what methods by name need. States are converted, and what
/// comes of them; a gradient that overflows there is the largest number.
///
/// ```
/// use models::target::{Double, Pointwise, Target};
/// let valley = Double(Pointwise::new(1, |x: &[f64], gradient: &mut [f64]| {
///     gradient[0] = x[0];
///     0.5 * x[0] * x[0]
/// }));
/// let (mut log_p, mut score) = ([0f32], [0f32]);
/// valley.evaluate(&[3.0], &mut log_p, &mut score).unwrap();
/// assert_eq!((log_p, score), ([-4.5], [-3.0]));
/// ```
pub struct Double<E>(pub E);

impl<E: Target<f64>> Target<f64> for Double<E> {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[f64],
        log_p: &mut [f64],
        score: &mut [f64],
        scratch: &mut Vec<f64>,
    ) -> Result<(), TargetError> {
        self.0.log_density_block(n, x, log_p, score, scratch)
    }

    fn log_density_batch(&self, x: &[f64], log_p: &mut [f64], score: &mut [f64]) -> Result<(), TargetError> {
        self.0.log_density_batch(x, log_p, score)
    }

    fn log_z(&self) -> Option<f64> {
        self.0.log_z()
    }
}

impl<E: Target<f64>> Target<f32> for Double<E> {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[f32],
        log_p: &mut [f32],
        score: &mut [f32],
        _: &mut Vec<f32>,
    ) -> Result<(), TargetError> {
        in_double(x, log_p, score, |x, log_p, score| {
            self.0.log_density_block(n, x, log_p, score, &mut Vec::new())
        })
    }

    fn log_density_batch(&self, x: &[f32], log_p: &mut [f32], score: &mut [f32]) -> Result<(), TargetError> {
        in_double(x, log_p, score, |x, log_p, score| self.0.log_density_batch(x, log_p, score))
    }

    fn log_z(&self) -> Option<f64> {
        self.0.log_z()
    }
}

fn in_double(
    x: &[f32],
    log_p: &mut [f32],
    score: &mut [f32],
    evaluate: impl FnOnce(&[f64], &mut [f64], &mut [f64]) -> Result<(), TargetError>,
) -> Result<(), TargetError> {
    let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let (mut l, mut s) = (vec![0.0; log_p.len()], vec![0.0; score.len()]);
    evaluate(&x, &mut l, &mut s)?;
    log_p.iter_mut().zip(l).for_each(|(out, v)| *out = v as f32);
    let most = f64::from(f32::MAX);
    let finite = |v: f64| if v.is_finite() { v.clamp(-most, most) } else { v };
    score.iter_mut().zip(s).for_each(|(out, v)| *out = finite(v) as f32);
    Ok(())
}
