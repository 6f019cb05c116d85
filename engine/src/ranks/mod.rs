//! Ranks: processes, or groups of threads in tests, that compute one thing together.
//!
//! Every rank runs the same program on the same state. What is shared out ([`for_parts`]) is cut into parts of a fixed
//! size; a rank computes a contiguous range of them, and all of them get all results. No sum ever crosses ranks: what
//! is gathered lies in the order of the parts, and whoever sums it does so in that order. So results are the same to
//! the last bit for any number of ranks, as they are for any number of threads.
//!
//! Calls on [`Ranks`] are collective: all ranks make the same ones in the same order, each from one thread, outside of
//! parallel loops.

mod parts;
mod threads;

pub use parts::{Told, for_parts, share};
pub use threads::Threads;

use crate::Real;

/// Why ranks cannot go on together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RanksError {
    /// One of them has failed, and said so.
    #[error("rank {rank}: {why}")]
    Elsewhere {
        /// Which.
        rank: usize,
        /// Why.
        why: String,
    },
    /// One of them does not come, and all were asked to stop.
    #[error("rank {rank} does not answer: it has ended, or takes longer over its part than a stop can wait")]
    Lost {
        /// Which.
        rank: usize,
    },
    /// They do not make the same calls.
    #[error(
        "rank {rank} is at another place of the program: start all ranks with one program and one command"
    )]
    Apart {
        /// Which differs from the rank that says so.
        rank: usize,
    },
    /// Their states are not the same after a step, though they ought to be.
    #[error(
        "at step {step} the states of ranks {ranks} are not that of rank 0: let all ranks have the same program and the same files; if they have, please report this"
    )]
    Differ {
        /// The step.
        step: u64,
        /// Those that differ from the first.
        ranks: String,
    },
    /// What carries the messages has failed.
    #[error("{0}")]
    Engine(String),
}

/// The ranks of a program.
pub trait Ranks: Send + Sync {
    /// The place of this one, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// The bytes that each rank gives, of any lengths, in the order of ranks.
    ///
    /// # Errors
    /// A rank has failed or is lost.
    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError>;

    /// The bytes of rank 0; what the others give is left out.
    ///
    /// # Errors
    /// A rank has failed or is lost.
    fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        let given = if self.rank() == 0 { own } else { Vec::new() };
        Ok(self.all_gather(&given)?.swap_remove(0))
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// A rank has failed or is lost.
    fn barrier(&self) -> Result<(), RanksError> {
        self.all_gather(&[]).map(drop)
    }

    /// Tells the others that this one cannot go on, in place of the next call: theirs is an error with these words.
    fn fail(&self, why: &str);

    /// From here on a rank that is waited for while `asked` holds is lost after a moment.
    fn give_up_when(&self, _asked: Box<dyn Fn() -> bool + Send + Sync>) {}
}

/// One rank, which has no others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Ranks for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        Ok(vec![own.to_vec()])
    }

    fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        Ok(own)
    }

    fn barrier(&self) -> Result<(), RanksError> {
        Ok(())
    }

    fn fail(&self, _: &str) {}
}

/// Some words of each rank, in the order of ranks.
///
/// # Errors
/// As [`Ranks::all_gather`].
pub fn gather_words<const N: usize>(ranks: &dyn Ranks, own: [u64; N]) -> Result<Vec<[u64; N]>, RanksError> {
    if ranks.size() == 1 {
        return Ok(vec![own]);
    }
    let bytes: Vec<u8> = own.iter().flat_map(|word| word.to_le_bytes()).collect();
    let all = ranks.all_gather(&bytes)?;
    let words = |(rank, bytes): (usize, &Vec<u8>)| {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let words: Vec<u64> = chunks.iter().map(|word| u64::from_le_bytes(*word)).collect();
        match <[u64; N]>::try_from(words) {
            Ok(words) if rest.is_empty() => Ok(words),
            _ => Err(RanksError::Apart { rank }),
        }
    };
    all.iter().enumerate().map(words).collect()
}

/// A hash of the bits of some numbers and of their order, on top of another hash. It finds what differs by accident.
pub fn hash<T: Real>(before: u64, values: &[T]) -> u64 {
    hash_words(before, values.iter().map(|v| v.f64().to_bits()))
}

/// The same of words.
pub fn hash_words(before: u64, words: impl Iterator<Item = u64>) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    words.fold(before ^ ODD, |hash, word| {
        let mixed = (hash ^ word).wrapping_mul(ODD);
        mixed ^ (mixed >> 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rank_has_what_it_gives() {
        assert_eq!(Solo.all_gather(b"abc").unwrap(), [b"abc"]);
        assert_eq!(Solo.broadcast(b"abc".to_vec()).unwrap(), b"abc");
        assert_eq!(gather_words(&Solo, [1, 2]).unwrap(), [[1, 2]]);
    }

    #[test]
    fn a_hash_sees_every_bit_and_the_order() {
        let x = [1.0_f32, -0.0, 3.0];
        let of = |x: &[f32]| hash(0, x);
        assert_eq!(of(&x), of(&x.clone()));
        let next = f32::from_bits(3f32.to_bits() + 1);
        for other in [[1.0, 0.0, 3.0], [-0.0, 1.0, 3.0], [1.0, -0.0, next]] {
            assert_ne!(of(&x), of(&other), "{other:?}");
        }
        assert_ne!(of(&[]), of(&[0.0]));
        assert_ne!(of(&[0.0]), of(&[0.0, 0.0]));
    }
}
