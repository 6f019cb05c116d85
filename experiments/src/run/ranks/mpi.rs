//! Ranks by MPI.
//!
//! Before each exchange the ranks meet at rank 0 by short messages: a rank that comes says what it is about to do and
//! how many bytes it brings, and hears from rank 0 what all bring, or that one has failed. Meetings poll, so that a
//! rank which never comes can be given up; the exchanges after them, between ranks that are all there, block.
//!
//! MPI is asked for the level Serialized, and called from the thread that has begun it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use engine::ranks::{Ranks, RanksError, Solo};
use ferrompi::{Communicator, ThreadLevel};

use super::{environment, launched};
use crate::run::console;
use crate::run::error::CliError;

/// What a rank is about to do.
const GATHER: u64 = 1;
const BROADCAST: u64 = 2;
/// To end, well or not.
const END: u64 = 3;
const FAIL: u64 = 4;
/// What rank 0 says of one that does something else.
const APART: u64 = 5;

/// Tags of messages to rank 0, from it, and of words.
const COME: i32 = 1;
const GO: i32 = 2;
const WORDS: i32 = 3;

/// How long rank 0 waits for others once all are asked to stop: launchers kill a second or more after that.
const PATIENCE: Duration = Duration::from_millis(300);
/// The same of the others, which wait while rank 0 saves.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// How long ranks wait for each other at the end, where one has failed.
const FAREWELL: Duration = Duration::from_secs(5);
/// Looks at a message that has not come before the core is given away, and the time after which they are rare.
const LOOKS: u32 = 500;
const RARE: Duration = Duration::from_millis(2);
/// Longest words that are told.
const LONGEST: usize = 2000;

/// Runs `body` with the ranks that a launcher has started. Rank 0 ends as `body` says, the others in silence.
///
/// # Errors
/// Those of `body`; and ranks that cannot begin, or of which one has failed.
pub fn start(body: impl FnOnce(&Arc<dyn Ranks>) -> Result<(), CliError>) -> Result<(), CliError> {
    let count = launched(environment).map_or(1, |launched| launched.count as usize);
    if count <= 1 {
        // One process has no need of MPI, which may not even begin without its launcher.
        let ranks: Arc<dyn Ranks> = Arc::new(Solo);
        return body(&ranks);
    }
    let wrong = |e: ferrompi::Error| CliError::Failed(format!("MPI cannot begin: {e}"));
    let mpi = ferrompi::Mpi::init_thread(ThreadLevel::Serialized).map_err(wrong)?;
    let own = Arc::new(Mpi::new(mpi.world()));
    if mpi.thread_level() < ThreadLevel::Serialized {
        return Err(CliError::Failed(
            "this MPI does not let a worker thread call it: use one built with threads".into(),
        ));
    }
    if own.size == 1 {
        return Err(CliError::usage(format!(
            "started as one of {count} processes that do not see each other: start it by the launcher of the MPI that it was built with"
        )));
    }
    if own.rank > 0 {
        console::silence();
    }
    let ranks: Arc<dyn Ranks> = own.clone();
    let outcome = body(&ranks);
    let words = outcome.as_ref().err().map(ToString::to_string);
    let (together, elsewhere) = own.end(words.as_deref());
    if !together {
        // Somebody may wait in MPI for ever: the launcher ends them when this process ends.
        std::mem::forget(mpi);
    }
    match outcome {
        // What is wrong is for rank 0 to say.
        _ if own.rank > 0 && together => Ok(()),
        Ok(()) => elsewhere.map_or(Ok(()), |e| Err(e.into())),
        Err(e) => Err(e),
    }
}

/// The ranks of MPI_COMM_WORLD.
struct Mpi {
    world: Communicator,
    rank: usize,
    size: usize,
    /// Meetings so far.
    calls: AtomicU64,
    asked: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// On rank 0, the others that have said that they end.
    ended: Mutex<Vec<bool>>,
    /// Whether one was given up.
    lost: AtomicBool,
}

fn engine(e: ferrompi::Error) -> RanksError {
    RanksError::Engine(format!("MPI: {e}"))
}

impl Mpi {
    fn new(world: Communicator) -> Self {
        // MPI counts ranks by i32, from 0.
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        let ended = Mutex::new(vec![false; size]);
        let (calls, asked, lost) = (AtomicU64::new(0), OnceLock::new(), AtomicBool::new(false));
        Self { world, rank, size, calls, asked, ended, lost }
    }

    fn send(&self, words: &[u64], to: usize, tag: i32) -> Result<(), RanksError> {
        self.world.send(words, to as i32, tag).map_err(engine)
    }

    /// Waits for a message: at most `limit`, and for a moment only once all are asked to stop.
    fn receive(
        &self,
        words: &mut [u64],
        from: usize,
        tag: i32,
        limit: Option<Duration>,
    ) -> Result<(), RanksError> {
        let patience = if self.rank == 0 { PATIENCE } else { LONG_PATIENCE };
        let (began, mut asked_at, mut looks) = (Instant::now(), None, 0_u32);
        while self.world.iprobe::<u64>(from as i32, tag).map_err(engine)?.is_none() {
            looks = looks.saturating_add(1);
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            let waited = began.elapsed();
            match waited > RARE {
                true => std::thread::sleep(Duration::from_micros(50)),
                false => std::thread::yield_now(),
            }
            if limit.is_none() && self.asked.get().is_some_and(|asked| asked()) {
                asked_at.get_or_insert_with(Instant::now);
            }
            let given_up = asked_at.is_some_and(|at: Instant| at.elapsed() > patience);
            if given_up || limit.is_some_and(|limit| waited > limit) {
                self.lost.store(true, Ordering::Relaxed);
                return Err(RanksError::Lost { rank: from });
            }
        }
        self.world.recv(words, from as i32, tag).map_err(engine).map(drop)
    }

    /// Words of `length` bytes that a rank sends.
    fn words(&self, from: usize, length: u64) -> Result<String, RanksError> {
        // No longer than they are sent.
        let mut bytes = vec![0_u8; (length as usize).min(LONGEST)];
        self.world.recv(&mut bytes, from as i32, WORDS).map_err(engine)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn send_words(&self, words: &str, to: usize) -> Result<(), RanksError> {
        self.world.send(cut(words), to as i32, WORDS).map_err(engine)
    }

    /// All ranks meet before an exchange: the bytes that each of them brings.
    fn meet(&self, kind: u64, length: usize) -> Result<Vec<usize>, RanksError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.rank > 0 {
            self.send(&[kind, call, length as u64], 0, COME)?;
            return self.hear(None);
        }
        let mut lengths = vec![length];
        let mut trouble = None;
        for other in 1..self.size {
            let mut come = [0; 3];
            self.receive(&mut come, other, COME, None)?;
            let found = match come {
                [FAIL, _, length] => {
                    self.has_ended(other);
                    Some(RanksError::Elsewhere { rank: other, why: self.words(other, length)? })
                }
                [END, ..] => {
                    self.has_ended(other);
                    Some(RanksError::Apart { rank: other })
                }
                [theirs, at, _] if theirs != kind || at != call => Some(RanksError::Apart { rank: other }),
                _ => None,
            };
            trouble = trouble.or(found);
            lengths.push(come[2] as usize);
        }
        if let Some(trouble) = trouble {
            self.tell(&trouble)?;
            return Err(trouble);
        }
        let mut go = vec![kind, call];
        go.extend(lengths.iter().map(|length| *length as u64));
        (1..self.size).try_for_each(|other| self.send(&go, other, GO))?;
        Ok(lengths)
    }

    /// What rank 0 says to one that has come.
    fn hear(&self, limit: Option<Duration>) -> Result<Vec<usize>, RanksError> {
        let mut go = vec![0; self.size + 2];
        self.receive(&mut go, 0, GO, limit)?;
        match (go[0], go[1] as usize) {
            (FAIL, rank) => Err(RanksError::Elsewhere { rank, why: self.words(0, go[2])? }),
            (APART, rank) => Err(RanksError::Apart { rank }),
            _ => Ok(go[2..].iter().map(|length| *length as usize).collect()),
        }
    }

    /// On rank 0: tells those that wait why they wait in vain.
    fn tell(&self, trouble: &RanksError) -> Result<(), RanksError> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (1..self.size).filter(|other| !ended[*other]).try_for_each(|other| self.tell_one(trouble, other))
    }

    fn tell_one(&self, trouble: &RanksError, other: usize) -> Result<(), RanksError> {
        let mut go = vec![0; self.size + 2];
        match trouble {
            RanksError::Apart { rank } => (go[0], go[1]) = (APART, *rank as u64),
            RanksError::Elsewhere { rank, why } => {
                (go[0], go[1], go[2]) = (FAIL, *rank as u64, cut(why).len() as u64);
            }
            other => (go[0], go[2]) = (FAIL, cut(&other.to_string()).len() as u64),
        }
        self.send(&go, other, GO)?;
        match trouble {
            RanksError::Apart { .. } => Ok(()),
            RanksError::Elsewhere { why, .. } => self.send_words(why, other),
            trouble => self.send_words(&trouble.to_string(), other),
        }
    }

    fn has_ended(&self, rank: usize) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)[rank] = true;
    }

    /// The last meeting, to which a rank that has failed brings why. Returns whether all have come to it, so that MPI
    /// can be ended, and what rank 0 hears of others there.
    fn end(&self, why: Option<&str>) -> (bool, Option<RanksError>) {
        let outcome = match self.rank {
            // There is no time to wait once more.
            _ if self.lost.load(Ordering::Relaxed) => return (false, None),
            0 => self.end_all(why),
            _ => self.end_one(why).map(|()| None),
        };
        match outcome {
            Ok(elsewhere) => (true, elsewhere),
            Err(e) => (false, Some(e)),
        }
    }

    fn end_one(&self, why: Option<&str>) -> Result<(), RanksError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match why {
            None => self.send(&[END, call, 0], 0, COME)?,
            Some(why) => {
                self.send(&[FAIL, call, cut(why).len() as u64], 0, COME)?;
                self.send_words(why, 0)?;
            }
        }
        // Rank 0 may save first.
        self.hear(Some(LONG_PATIENCE)).map(drop)
    }

    fn end_all(&self, why: Option<&str>) -> Result<Option<RanksError>, RanksError> {
        let own = RanksError::Elsewhere { rank: 0, why: why.unwrap_or("has ended").into() };
        // A run whose ranks all do their part may be long in it.
        let limit = why.map(|_| FAREWELL);
        let mut elsewhere = None;
        for other in 1..self.size {
            let mut told = false;
            while !self.ended.lock().unwrap_or_else(PoisonError::into_inner)[other] {
                let mut come = [0; 3];
                self.receive(&mut come, other, COME, limit)?;
                match come {
                    [END, ..] => self.has_ended(other),
                    [FAIL, _, length] => {
                        let words = self.words(other, length)?;
                        self.has_ended(other);
                        // One that was told says what it heard.
                        let news = (!told).then_some(RanksError::Elsewhere { rank: other, why: words });
                        elsewhere = elsewhere.or(news);
                    }
                    _ => {
                        self.tell_one(&own, other)?;
                        told = true;
                    }
                }
            }
        }
        let go = vec![END; self.size + 2];
        (1..self.size).try_for_each(|other| self.send(&go, other, GO))?;
        Ok(elsewhere)
    }
}

/// As much as is told of words.
fn cut(words: &str) -> &[u8] {
    &words.as_bytes()[..words.len().min(LONGEST)]
}

/// Where the bytes of each rank lie among those of all, as MPI counts them.
fn places(lengths: &[usize]) -> Result<(Vec<i32>, Vec<i32>), RanksError> {
    let total: usize = lengths.iter().sum();
    if i32::try_from(total).is_err() {
        return Err(RanksError::Engine(format!("MPI: {total} bytes are too many for one exchange")));
    }
    let counts: Vec<i32> = lengths.iter().map(|length| *length as i32).collect();
    let starts = (0..counts.len()).map(|rank| counts[..rank].iter().sum()).collect();
    Ok((counts, starts))
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        if self.size == 1 {
            return Ok(vec![own.to_vec()]);
        }
        let lengths = self.meet(GATHER, own.len())?;
        let (counts, starts) = places(&lengths)?;
        let mut all = vec![0; lengths.iter().sum()];
        if !all.is_empty() {
            self.world.allgatherv(own, &mut all, &counts, &starts).map_err(engine)?;
        }
        let mut rest = &all[..];
        let mut next = |length: &usize| {
            let (first, others) = rest.split_at(*length);
            rest = others;
            first.to_vec()
        };
        Ok(lengths.iter().map(&mut next).collect())
    }

    fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        if self.size == 1 {
            return Ok(own);
        }
        let lengths = self.meet(BROADCAST, if self.rank == 0 { own.len() } else { 0 })?;
        places(&lengths)?;
        let mut bytes = if self.rank == 0 { own } else { vec![0; lengths[0]] };
        if !bytes.is_empty() {
            self.world.broadcast(&mut bytes, 0).map_err(engine)?;
        }
        Ok(bytes)
    }

    fn fail(&self, why: &str) {
        self.end(Some(why));
    }

    fn give_up_when(&self, asked: Box<dyn Fn() -> bool + Send + Sync>) {
        // The first run of several has said it already.
        let _ = self.asked.set(asked);
    }
}
