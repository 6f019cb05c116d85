//! A batch in pieces of a fixed size, so that what comes of it depends neither on who computes a piece nor on how many
//! do.

use std::sync::{Mutex, PoisonError};

use crate::target::TargetError;

/// A batch: rows of x, their energies, and their gradients or none.
pub(super) type Batch<'b> = (&'b [f64], &'b mut [f64], &'b mut [f64]);

/// The pieces of `size` rows of `d` numbers; the last may be shorter.
pub(super) fn pieces<'b>(
    size: usize,
    d: usize,
    (x, energy, gradient): Batch<'b>,
) -> impl Iterator<Item = Batch<'b>> {
    let mut gradients = gradient.chunks_mut(size * d);
    let parts = x.chunks(size * d).zip(energy.chunks_mut(size));
    parts.map(move |(x, energy)| (x, energy, gradients.next().unwrap_or_default()))
}

/// Runs `answer(x, energy, gradient)` on each piece of `size` rows of `d` numbers, at most `width` at a time. The
/// caller's thread waits, and takes up nothing else, so that `answer` may wait for one who computes.
///
/// # Errors
/// The first error; what has not been begun by then is left out.
pub(super) fn in_pieces(
    width: usize,
    size: usize,
    d: usize,
    batch: Batch<'_>,
    answer: impl Fn(&[f64], &mut [f64], &mut [f64]) -> Result<(), TargetError> + Sync,
) -> Result<(), TargetError> {
    let count = batch.1.len().div_ceil(size);
    let mut pieces = pieces(size, d, batch);
    if width.min(count) <= 1 {
        return pieces.try_for_each(|(x, energy, gradient)| answer(x, energy, gradient));
    }
    // None once there is an error.
    let left = Mutex::new(Some(pieces.collect::<Vec<_>>().into_iter()));
    let work = || -> Result<(), TargetError> {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Iterator::next);
            let Some((x, energy, gradient)) = next else { return Ok(()) };
            if let Err(e) = answer(x, energy, gradient) {
                *left.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(e);
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..width.min(count)).map(|_| scope.spawn(work)).collect();
        let own = work();
        others.into_iter().fold(own, |said, other| {
            said.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_answered_once_in_its_place() {
        let y: Vec<f64> = (0..22).map(f64::from).collect();
        for width in [1, 3, 50] {
            let (mut energy, mut gradient) = (vec![0.0; 11], vec![0.0; 22]);
            in_pieces(width, 4, 2, (&y, &mut energy, &mut gradient), |y, energy, gradient| {
                assert!(energy.len() <= 4 && y.len() == gradient.len());
                energy.iter_mut().zip(y.chunks(2)).for_each(|(e, y)| *e += y[0] + y[1]);
                gradient.iter_mut().zip(y).for_each(|(g, y)| *g -= y);
                Ok(())
            })
            .unwrap();
            assert!((0..11).all(|i| energy[i] == (4 * i + 1) as f64 && gradient[2 * i] == -y[2 * i]));
            in_pieces(width, 4, 2, (&y, &mut energy, &mut []), |_, _, gradient| {
                assert!(gradient.is_empty());
                Ok(())
            })
            .unwrap();
        }
    }

    #[test]
    fn an_error_ends_the_batch() {
        let failing = |y: &[f64], _: &mut [f64], _: &mut [f64]| match y[0] {
            3.0 => Err(TargetError::Evaluation("no".into())),
            _ => Ok(()),
        };
        let y: Vec<f64> = (0..9).map(f64::from).collect();
        for width in [1, 4] {
            let said = in_pieces(width, 1, 1, (&y, &mut [0.0; 9], &mut []), failing).unwrap_err();
            assert_eq!(said, TargetError::Evaluation("no".into()));
        }
    }
}
