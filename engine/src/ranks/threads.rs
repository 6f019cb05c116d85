//! Ranks that are threads of one process, for tests of what several ranks do.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Ranks, RanksError};

/// One of several threads that meet. When it is dropped it has ended, and the others wait for it no more.
pub struct Threads {
    rank: usize,
    place: Arc<Place>,
}

/// Where they meet.
struct Place {
    size: usize,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

#[derive(Default)]
struct Meeting {
    /// Meetings that are over.
    over: u64,
    given: Vec<Option<Vec<u8>>>,
    /// What was given in the last meeting. All have read it before the next is over, which needs all of them.
    all: Arc<Vec<Vec<u8>>>,
    failed: Option<(usize, String)>,
}

impl Threads {
    /// So many ranks, one for each thread that will use them.
    pub fn new(size: usize) -> Vec<Self> {
        let meeting = Meeting { given: vec![None; size], ..Meeting::default() };
        let place = Arc::new(Place { size, meeting: Mutex::new(meeting), changed: Condvar::new() });
        (0..size).map(|rank| Self { rank, place: place.clone() }).collect()
    }

    /// Runs `f` on `size` ranks, each with `threads` worker threads of its own; results in the order of ranks.
    ///
    /// # Panics
    /// If a rank panics, or threads cannot be started.
    pub fn run<R: Send>(size: usize, threads: usize, f: impl Fn(Arc<dyn Ranks>) -> R + Sync) -> Vec<R> {
        let f = &f;
        std::thread::scope(|scope| {
            let start = |ranks: Self| {
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.expect("worker threads").install(|| f(Arc::new(ranks)))
                })
            };
            let started: Vec<_> = Self::new(size).into_iter().map(start).collect();
            started.into_iter().map(|rank| rank.join().expect("a rank has panicked")).collect()
        })
    }

    fn meeting(&self) -> MutexGuard<'_, Meeting> {
        self.place.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.place.size
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        let mut meeting = self.meeting();
        let this = meeting.over;
        meeting.given[self.rank] = Some(own.to_vec());
        if meeting.given.iter().all(Option::is_some) {
            meeting.all = Arc::new(meeting.given.iter_mut().filter_map(Option::take).collect());
            meeting.over += 1;
            self.place.changed.notify_all();
        }
        while meeting.over == this {
            if let Some((rank, why)) = meeting.failed.clone() {
                return Err(RanksError::Elsewhere { rank, why });
            }
            meeting = self.place.changed.wait(meeting).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(meeting.all.to_vec())
    }

    fn fail(&self, why: &str) {
        self.meeting().failed.get_or_insert((self.rank, why.into()));
        self.place.changed.notify_all();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.fail("has ended");
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather_words;
    use super::*;

    #[test]
    fn what_is_gathered_has_the_order_of_ranks_and_any_lengths() {
        for size in 1..=4 {
            let want: Vec<Vec<u8>> = (0..size).map(|rank| vec![rank as u8; 3 * rank]).collect();
            let found = Threads::run(size, 1, |ranks| {
                (0..200).for_each(|k| {
                    let own = vec![ranks.rank() as u8; 3 * ranks.rank()];
                    assert_eq!(ranks.all_gather(&own).unwrap(), want);
                    let words = gather_words(&*ranks, [k, ranks.rank() as u64]).unwrap();
                    assert!(words.iter().enumerate().all(|(r, w)| *w == [k, r as u64]));
                });
                ranks.broadcast(vec![7 + ranks.rank() as u8]).unwrap()
            });
            assert_eq!(found, vec![vec![7]; size]);
        }
    }

    #[test]
    fn a_rank_that_fails_ends_the_others_with_its_words() {
        let found = Threads::run(3, 1, |ranks| {
            ranks.barrier().unwrap();
            if ranks.rank() == 1 {
                ranks.fail("no disk");
                return Ok(());
            }
            ranks.barrier()
        });
        let said = Err(RanksError::Elsewhere { rank: 1, why: "no disk".into() });
        assert_eq!(found, [said.clone(), Ok(()), said]);
    }

    #[test]
    fn a_rank_that_has_ended_is_not_waited_for() {
        let found = Threads::run(2, 1, |ranks| if ranks.rank() == 0 { Ok(()) } else { ranks.barrier() });
        assert_eq!(found[1], Err(RanksError::Elsewhere { rank: 0, why: "has ended".into() }));
    }
}
