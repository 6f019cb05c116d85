//! An energy in a program of any language, asked through a socket that is its standard input and output.
//!
//! All numbers are little-endian. The program first writes the line `metastable energy 1`; then, until its input ends:
//!
//! | from | bytes |
//! |---|---|
//! | us | u32 n, u32 d, u32 g (1 if gradients are wanted, else 0), n rows of d f64 |
//! | the program | `good`, u32 n, n energies as f64 and, if g = 1, n rows of d f64, grad E |
//! | or | `fail`, u32 length, a text of that length: why it cannot be computed |
//!
//! Batches are cut into pieces of a fixed size, which any of several equal programs may get. One that ends, or gives no
//! answer in time, is started anew and asked again, a few times in all.

mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::worker::{Failure, Worker};
use super::batch_energy::{self, BatchEnergy, Elsewhere};
use super::pieces::in_pieces;
use super::{Built, Description, Keys, seconds};
use crate::target::{BLOCK, Double, TargetError};

/// Builds the energy of the kind `program`.
pub(super) fn build(description: &Description, mut keys: Keys<'_>) -> Built {
    let command = keys.need("command", "command = [\"python3\", \"energy.py\"]")?;
    let mut count = |key, default, [least, most]: [usize; 2]| {
        keys.take(key).map_or(Ok(default), |v| v.count(least, most))
    };
    let config = ProgramConfig {
        command: command.texts()?,
        folder: description.path("."),
        workers: count("workers", 1, [1, 1000])?,
        restarts: count("restarts", 3, [0, 1_000_000])?,
        piece: count("piece", BLOCK, [1, 1_000_000])?,
        timeout: seconds(keys.take("timeout"), 120.0)?,
    };
    let offset = batch_energy::offset(&mut keys)?;
    keys.finish()?;
    if config.command.first().is_none_or(String::is_empty) {
        return Err(command.error("names no program; write [\"python3\", \"energy.py\"]"));
    }
    let energy = Program::start(config).map_err(|what| command.error(format!("= {what}")))?;
    Ok(Arc::new(Double(Elsewhere { energy, geometry: description.geometry, offset })))
}

/// A program, and how it is run.
#[derive(Clone, Debug, PartialEq)]
struct ProgramConfig {
    /// Its name or file, then its arguments.
    command: Vec<String>,
    /// The folder in which it runs.
    folder: PathBuf,
    /// How many of it run at the same time, at most.
    workers: usize,
    /// How often one may be started anew, in all.
    restarts: usize,
    /// How long one may take to start, and to answer.
    timeout: Duration,
    /// Rows that one gets at a time.
    piece: usize,
}

/// Programs that compute one energy, started as they are needed.
struct Program {
    config: ProgramConfig,
    pool: Mutex<Pool>,
    changed: Condvar,
}

struct Pool {
    idle: Vec<Worker>,
    /// Those that run, idle or not.
    running: usize,
    restarts: usize,
}

impl Program {
    /// Starts the first one.
    ///
    /// # Errors
    /// [`TargetError::Parameter`] if it cannot be started, or does not speak the protocol.
    fn start(config: ProgramConfig) -> Result<Self, TargetError> {
        let first = Worker::start(&config)
            .map_err(|why| TargetError::Parameter(format!("{}: {why}", worker::shown(&config.command))))?;
        let pool = Pool { idle: vec![first], running: 1, restarts: 0 };
        Ok(Self { config, pool: Mutex::new(pool), changed: Condvar::new() })
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle worker, once there is one, or a new one.
    fn take(&self) -> Result<Worker, String> {
        let mut pool = self.pool();
        loop {
            if let Some(worker) = pool.idle.pop() {
                return Ok(worker);
            }
            if pool.running < self.config.workers {
                pool.running += 1;
                drop(pool);
                return Worker::start(&self.config).inspect_err(|_| self.lost());
            }
            pool = self.changed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, worker: Worker) {
        self.pool().idle.push(worker);
        self.changed.notify_one();
    }

    /// One less runs.
    fn lost(&self) {
        self.pool().running -= 1;
        self.changed.notify_one();
    }

    /// Whether one more may be started in place of a lost one.
    fn may_restart(&self) -> bool {
        let mut pool = self.pool();
        let may = pool.restarts < self.config.restarts;
        pool.restarts += usize::from(may);
        may
    }

    fn answer(&self, d: usize, x: &[f64], energy: &mut [f64], gradient: &mut [f64]) -> Result<(), String> {
        loop {
            let mut worker = self.take()?;
            match worker.answer(d, x, energy, gradient, self.config.timeout) {
                Ok(()) => {
                    self.give_back(worker);
                    return Ok(());
                }
                Err(Failure::Refused(why)) => {
                    self.give_back(worker);
                    return Err(why);
                }
                Err(Failure::Confused(why)) => {
                    drop(worker);
                    self.lost();
                    return Err(why);
                }
                Err(Failure::Lost(why)) => {
                    drop(worker);
                    self.lost();
                    if !self.may_restart() {
                        return Err(format!("{why} (started anew {} times: restarts)", self.config.restarts));
                    }
                }
            }
        }
    }
}

impl BatchEnergy for Program {
    fn energies(
        &self,
        d: usize,
        x: &[f64],
        energy: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), TargetError> {
        let (workers, piece) = (self.config.workers, self.config.piece);
        in_pieces(workers, piece, d, (x, energy, gradient), |x, energy, gradient| {
            self.answer(d, x, energy, gradient).map_err(|why| {
                TargetError::Evaluation(format!("{}: {why}", worker::shown(&self.config.command)))
            })
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // All of them hear of the end before any is waited for.
        self.pool().idle.iter().for_each(Worker::hang_up);
    }
}

#[cfg(test)]
mod tests;
