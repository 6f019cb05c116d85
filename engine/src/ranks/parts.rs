//! Arrays whose parts are computed by several ranks, and which all of them have in the end.

use std::ops::Range;

use super::{Ranks, RanksError};
use crate::Real;

/// An error that one rank meets and all of them have.
pub trait Told: From<RanksError> {
    /// What is told to the others.
    fn tell(&self) -> String;

    /// The error of what was told.
    fn heard(text: &str) -> Self;
}

impl Told for RanksError {
    fn tell(&self) -> String {
        self.to_string()
    }

    fn heard(text: &str) -> Self {
        Self::Engine(text.into())
    }
}

/// The parts, of `parts` in all, that a rank computes: contiguous, and the shares differ by one part at most.
pub fn share(parts: usize, rank: usize, size: usize) -> Range<usize> {
    rank * parts / size..(rank + 1) * parts / size
}

/// Where some parts of `part` numbers lie among `length` of them; the last part may be shorter.
fn within(parts: &Range<usize>, part: usize, length: usize) -> Range<usize> {
    (parts.start * part).min(length)..(parts.end * part).min(length)
}

/// Computes two arrays together with the other ranks: `work(first, a, b)` fills the parts from the `first` on that are
/// this rank's, and all ranks have all parts afterwards. With each array comes the length of its parts, of which both
/// have as many; either may be empty. One rank works on the arrays as they are.
///
/// # Errors
/// The error of the first part that fails, on all ranks, and failures of ranks. The arrays are then undefined.
pub fn for_parts<A: Real, B: Real, E: Told>(
    ranks: &dyn Ranks,
    (a, a_part): (&mut [A], usize),
    (b, b_part): (&mut [B], usize),
    work: impl FnOnce(usize, &mut [A], &mut [B]) -> Result<(), E>,
) -> Result<(), E> {
    let (rank, size) = (ranks.rank(), ranks.size());
    if size == 1 {
        return work(0, a, b);
    }
    let parts = a.len().div_ceil(a_part.max(1)).max(b.len().div_ceil(b_part.max(1)));
    let places = |rank: usize, a: usize, b: usize| {
        let own = share(parts, rank, size);
        (within(&own, a_part, a), within(&own, b_part, b))
    };
    let own = share(parts, rank, size);
    let (in_a, in_b) = places(rank, a.len(), b.len());
    let done = match own.is_empty() {
        true => Ok(()),
        false => work(own.start, &mut a[in_a.clone()], &mut b[in_b.clone()]),
    };
    let mut message = vec![u8::from(done.is_err())];
    match &done {
        Ok(()) => {
            A::append_bytes(&a[in_a], &mut message);
            B::append_bytes(&b[in_b], &mut message);
        }
        Err(e) => message.extend_from_slice(e.tell().as_bytes()),
    }
    let all = ranks.all_gather(&message)?;
    // The first part in order, as with one rank.
    if let Some(failed) = all.iter().position(|m| m.first() == Some(&1)) {
        return match done {
            Err(own) if failed == rank => Err(own),
            _ => Err(E::heard(&String::from_utf8_lossy(&all[failed][1..]))),
        };
    }
    for (other, message) in all.iter().enumerate().filter(|(other, _)| *other != rank) {
        let (in_a, in_b) = places(other, a.len(), b.len());
        let first = in_a.len() * size_of::<A>();
        if message.len() != 1 + first + in_b.len() * size_of::<B>() {
            return Err(RanksError::Apart { rank: other }.into());
        }
        a[in_a].copy_from_slice(&A::from_bytes(&message[1..1 + first]));
        b[in_b].copy_from_slice(&B::from_bytes(&message[1 + first..]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Solo, Threads};
    use super::*;

    #[test]
    fn shares_tile_the_parts() {
        for (parts, size) in [(0, 3), (1, 4), (7, 3), (8, 4), (100, 7)] {
            let shares: Vec<_> = (0..size).map(|rank| share(parts, rank, size)).collect();
            assert!(shares.iter().flat_map(|s| s.clone()).eq(0..parts), "{shares:?}");
            let lengths = shares.iter().map(Range::len);
            assert!(lengths.clone().max() <= lengths.min().map(|least| least + 1), "{shares:?}");
        }
    }

    fn filled(ranks: &dyn Ranks, n: usize) -> (Vec<f32>, Vec<f64>) {
        let (mut a, mut b) = (vec![0.0; 3 * n], vec![0.0; n.div_ceil(4)]);
        for_parts::<_, _, RanksError>(ranks, (&mut a, 12), (&mut b, 1), |first, a, b| {
            for (k, (a, b)) in a.chunks_mut(12).zip(b).enumerate() {
                a.iter_mut().enumerate().for_each(|(i, a)| *a = (12 * (first + k) + i) as f32);
                *b = 0.1 * (first + k) as f64;
            }
            Ok(())
        })
        .unwrap();
        (a, b)
    }

    #[test]
    fn all_ranks_have_what_one_has() {
        for n in [0, 1, 4, 5, 16, 37] {
            let want = filled(&Solo, n);
            assert!(want.0.iter().enumerate().all(|(i, a)| *a == i as f32));
            for size in 1..=4 {
                for found in Threads::run(size, 1, |ranks| filled(&*ranks, n)) {
                    assert_eq!(found, want, "{n} on {size}");
                }
            }
        }
    }

    #[test]
    fn the_first_part_that_fails_is_the_error_of_all() {
        let fails = |ranks: &dyn Ranks| {
            let mut a = [0.0_f32; 8];
            for_parts(ranks, (&mut a, 1), (&mut [0.0_f64; 0], 1), |first, a, _| {
                match (first..first + a.len()).find(|part| [3, 6].contains(part)) {
                    Some(part) => Err(RanksError::Engine(format!("part {part}"))),
                    None => Ok(()),
                }
            })
        };
        let want = fails(&Solo);
        assert_eq!(want, Err(RanksError::Engine("part 3".into())));
        assert!(Threads::run(4, 1, |ranks| fails(&*ranks)).iter().all(|found| *found == want));
    }

    #[test]
    fn ranks_that_work_on_other_sizes_are_apart() {
        let found = Threads::run(2, 1, |ranks| {
            let mut a = vec![0.0_f32; 8 + ranks.rank()];
            for_parts::<_, _, RanksError>(&*ranks, (&mut a, 1), (&mut [0.0_f64; 0], 1), |_, _, _| Ok(()))
        });
        assert!(found.contains(&Err(RanksError::Apart { rank: 1 })), "{found:?}");
    }
}
