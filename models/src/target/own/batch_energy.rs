//! Energies that something else computes: a library, a program, clients of a socket.

use super::Keys;
use crate::target::{Geometry, Target, TargetError};

/// Something that computes energies of whole batches.
pub(super) trait BatchEnergy: Send + Sync {
    /// Writes E to `energy` (n) and, unless `gradient` is empty, grad E to `gradient` (n rows of `d` numbers), at the n
    /// rows of `x`. May be called by several threads at once.
    ///
    /// # Errors
    /// [`TargetError::Evaluation`] if it cannot be computed.
    fn energies(
        &self,
        d: usize,
        x: &[f64],
        energy: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), TargetError>;
}

/// The target of an energy that something else computes.
pub(super) struct Elsewhere<E> {
    pub energy: E,
    pub geometry: Geometry,
    /// What is taken off the energy, in double precision: single precision has seven digits, which total energies of
    /// many electrons use up before the point.
    pub offset: f64,
}

/// The key of [`Elsewhere::offset`].
pub(super) fn offset(keys: &mut Keys<'_>) -> Result<f64, TargetError> {
    keys.take("offset").map_or(Ok(0.0), |v| v.number())
}

impl<E: BatchEnergy> Target<f64> for Elsewhere<E> {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[f64],
        log_p: &mut [f64],
        score: &mut [f64],
        scratch: &mut Vec<f64>,
    ) -> Result<(), TargetError> {
        let d = self.dim();
        scratch.resize(2 * n * d, 0.0);
        let (rows, gradient) = scratch.split_at_mut(n * d);
        for l in 0..n {
            for a in 0..d {
                rows[l * d + a] = x[a * n + l];
            }
        }
        self.log_density_batch(rows, log_p, gradient)?;
        for l in 0..n {
            for a in 0..d {
                score[a * n + l] = gradient[l * d + a];
            }
        }
        Ok(())
    }

    fn log_density_batch(&self, x: &[f64], log_p: &mut [f64], score: &mut [f64]) -> Result<(), TargetError> {
        let d = self.dim();
        assert_eq!(x.len(), d * log_p.len(), "x has dim numbers for each entry of log_p");
        if log_p.is_empty() {
            return Ok(());
        }
        self.energy.energies(d, x, log_p, score)?;
        log_p.iter_mut().for_each(|v| *v = self.offset - *v);
        score.iter_mut().for_each(|v| *v = -*v);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Double;

    /// E = |x|^2 / 2.
    struct Half;

    impl BatchEnergy for Half {
        fn energies(&self, d: usize, x: &[f64], e: &mut [f64], g: &mut [f64]) -> Result<(), TargetError> {
            for (e, x) in e.iter_mut().zip(x.chunks_exact(d)) {
                *e = 0.5 * x.iter().map(|x| x * x).sum::<f64>();
            }
            if !g.is_empty() {
                g.copy_from_slice(x);
            }
            Ok(())
        }
    }

    #[test]
    fn rows_and_blocks_give_the_same() {
        let target = Elsewhere { energy: Half, geometry: Geometry::Euclidean(2), offset: 0.0 };
        let (mut log_p, mut score) = ([0.0; 2], [0.0; 4]);
        target.evaluate(&[1.0, 2.0, 0.0, 1.0], &mut log_p, &mut score).unwrap();
        assert_eq!((log_p, score), ([-2.5, -0.5], [-1.0, -2.0, 0.0, -1.0]));
        target.evaluate_block(2, &[1.0, 0.0, 2.0, 1.0], &mut log_p, &mut score, &mut vec![7.0; 9]).unwrap();
        assert_eq!((log_p, score), ([-2.5, -0.5], [-1.0, 0.0, -2.0, -1.0]));
        target.evaluate(&[3.0, 4.0], &mut log_p[..1], &mut []).unwrap();
        assert_eq!(log_p[0], -12.5);
        target.evaluate(&[], &mut [], &mut []).unwrap();
    }

    /// A total energy of -1e7, as of many electrons.
    struct Deep;

    impl BatchEnergy for Deep {
        fn energies(&self, d: usize, x: &[f64], e: &mut [f64], g: &mut [f64]) -> Result<(), TargetError> {
            Half.energies(d, x, e, g)?;
            e.iter_mut().for_each(|e| *e -= 1e7);
            Ok(())
        }
    }

    #[test]
    fn an_offset_keeps_the_digits_that_single_precision_would_lose() {
        let of = |offset: f64| {
            let target = Double(Elsewhere { energy: Deep, geometry: Geometry::Euclidean(1), offset });
            let mut log_p = [0.0_f32; 2];
            target.evaluate(&[0.5, 0.25], &mut log_p, &mut []).unwrap();
            log_p
        };
        assert_eq!(of(-1e7), [-0.125, -0.03125]);
        assert_eq!(of(0.0), [1e7; 2], "nothing is left of the difference");
    }
}
