//! How a step would speed up on more cores than there are, from what its tasks take on one thread.

mod report;
pub mod schedule;
mod steps;

use std::time::Instant;

use engine::parallel;
use engine::parallel::trace::{Work, record};
use rayon::ThreadPool;
use serde::Serialize;

use crate::run::error::CliError;
use crate::workloads::Step;
use crate::workloads::levels::median;
pub use report::{chains, panels, table};
use schedule::makespan;
pub use steps::{Timed, steps};

/// Numbers of workers of the table.
pub const WORKERS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// Untimed steps at the beginning.
const WARM_UP: usize = 2;
/// Rounds of two empty tasks in a measurement of what a round costs.
const ROUNDS: u32 = 2000;

/// What is found for one step.
#[derive(Clone, Debug, Serialize)]
pub struct Scaling {
    /// Name of the step.
    pub work: String,
    /// Milliseconds of a step on one thread: the least of each of its stretches.
    pub ms: f64,
    /// Rounds of tasks in a step.
    pub rounds: usize,
    /// Seconds in tasks over the longest chain of them: the most that any number of workers can gain.
    pub parallelism: f64,
    /// The ops of that chain with their shares of its time, the longest first; what is outside of ops has no name.
    pub chain: Vec<(String, f64)>,
    /// Speed-up on each of [`WORKERS`].
    pub speedup: Vec<f64>,
    /// Speed-up that was measured on two threads of this machine; none where it has one.
    pub measured: Option<f64>,
}

impl Scaling {
    /// Speed-up over the number of workers.
    pub fn efficiency(&self, workers: usize) -> f64 {
        let at = WORKERS.iter().position(|w| *w == workers);
        at.map_or(f64::NAN, |k| self.speedup[k] / workers as f64)
    }
}

/// The seconds that the way to another worker takes: half of a round of two empty tasks on two threads.
///
/// # Errors
/// The threads cannot be started.
pub fn hop() -> Result<f64, CliError> {
    let rounds = || {
        parallel::spin_workers(|| {
            let start = Instant::now();
            let mut marks = [0_u8; 2];
            for _ in 0..ROUNDS {
                // Both must have been on a worker, or the round would measure one thread: the first waits for the second.
                let second = std::sync::atomic::AtomicBool::new(false);
                parallel::for_chunks(&mut marks, 1, |k, _| {
                    use std::sync::atomic::Ordering::{Acquire, Release};
                    if k == 1 {
                        second.store(true, Release);
                    }
                    while k == 0 && !second.load(Acquire) {
                        std::hint::spin_loop();
                    }
                });
            }
            start.elapsed().as_secs_f64() / f64::from(ROUNDS)
        })
    };
    let pool = pool(2)?;
    let times = (0..9).map(|_| pool.install(rounds));
    Ok(0.5 * times.fold(f64::INFINITY, f64::min))
}

fn pool(threads: usize) -> Result<ThreadPool, CliError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| CliError::Failed(format!("cannot start {threads} threads: {e}")))
}

fn seconds(pool: &ThreadPool, step: &mut Step) -> f64 {
    pool.install(|| {
        parallel::spin_workers(|| {
            let start = Instant::now();
            step();
            start.elapsed().as_secs_f64()
        })
    })
}

/// Records `reps` steps and plays them on more workers; times as many on one and on two threads, in turns.
///
/// # Errors
/// The step cannot be made, or threads not started.
pub fn measure(timed: &Timed, reps: usize, hop: f64) -> Result<Scaling, CliError> {
    let two = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    let (one, pair) = (pool(1)?, pool(2)?);
    let mut step = one.install(|| timed.build())?;
    (0..WARM_UP).for_each(|_| one.install(&mut *step));
    let works: Vec<Work> = (0..reps).map(|_| one.install(|| record(&mut *step)).1).collect();
    let mut gain = || seconds(&one, &mut step) / seconds(&pair, &mut step);
    let measured = two.then(|| median((0..reps).map(|_| gain()).collect()));
    // Steps that do not do the same, as where chains are of random lengths, are told by the median, and the chain by
    // the first of them.
    let works = Work::least(&works).map_or(works, |least| vec![least]);
    let of = |f: &dyn Fn(&Work) -> f64| median(works.iter().map(f).collect());
    let share = |(op, seconds): (&str, f64)| (op.to_owned(), seconds / works[0].span());
    Ok(Scaling {
        work: timed.name.into(),
        ms: 1e3 * of(&Work::seconds),
        rounds: of(&|w| w.rounds() as f64) as usize,
        parallelism: of(&|w| w.seconds() / w.span()),
        chain: works[0].chain().into_iter().map(share).collect(),
        speedup: WORKERS.map(|p| of(&|w| w.seconds() / makespan(w, p, hop))).to_vec(),
        measured,
    })
}
