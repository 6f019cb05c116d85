//! Deterministic parallelism: work is divided into chunks of a fixed size, and partial results are combined in the
//! order of the chunks, so that results are bit-identical for any number of threads.

mod crowd;
mod tasks;
pub mod trace;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crowd::Waiting;
pub use crowd::sit_out;
use rayon::prelude::*;
pub use tasks::Tasks;

use crate::Real;
use crate::simd::add;

/// Entries per task of an elementwise kernel: large compared with the cost of a task (about a microsecond), small
/// compared with a core's cache.
pub const CHUNK: usize = 16 * 1024;

/// Rows of a matrix in one task of a sum over columns, or of a column that is broadcast: a few cache lines of each
/// column.
pub const ROWS: usize = 64;

/// Runs `f(chunk_index, chunk)` over chunks of `size` elements; the last may be shorter.
pub fn for_chunks<T: Send>(data: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if data.len() <= size {
        if !data.is_empty() {
            f(0, data);
        }
    } else {
        data.par_chunks_mut(size).each(f);
    }
}

/// Copies `from`, of the same length, to `to`, in parallel: a copy keeps up with what the cores compute elsewhere.
pub(crate) fn copy<T: Copy + Send + Sync>(from: &[T], to: &mut [T]) {
    assert_eq!(from.len(), to.len(), "a copy is as long as what is copied");
    for_chunks(to, CHUNK, |c, to| to.copy_from_slice(&from[c * CHUNK..c * CHUNK + to.len()]));
}

/// Fills `data` with one value, in parallel.
pub(crate) fn fill<T: Copy + Send + Sync>(value: T, data: &mut [T]) {
    for_chunks(data, CHUNK, |_, part| part.fill(value));
}

/// Runs `f(j, column j)` on columns of `rows` numbers, a fixed number of them in a task.
pub(crate) fn for_columns<T: Send>(data: &mut [T], rows: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if rows == 0 {
        return;
    }
    let columns = columns(rows);
    for_chunks(data, columns * rows, |task, part| {
        part.chunks_exact_mut(rows).enumerate().for_each(|(k, own)| f(task * columns + k, own));
    });
}

/// Columns of `rows` numbers that one task of [`for_columns`] has.
pub(crate) fn columns(rows: usize) -> usize {
    (CHUNK / rows.max(1)).max(1)
}

/// Adds some arrays to `sum`, each entry in their order; parts of all arrays in a task.
pub(crate) fn add_all<'a, T: Real>(arrays: impl Iterator<Item = &'a [T]> + Clone + Sync, sum: &mut [T]) {
    /// Entries of a part: a few microseconds for a hundred arrays.
    const PART: usize = 512;
    for_chunks(sum, PART, |k, sum| {
        arrays.clone().for_each(|array| add(&array[k * PART..k * PART + sum.len()], sum));
    });
}

/// Both results, possibly computed in parallel.
pub fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if !trace::recording() {
        return rayon::join(a, b);
    }
    let mut round = trace::Round::begin();
    let both = (round.task(a), round.task(b));
    round.end();
    both
}

/// How long [`spin_workers`] waits for the others before its work begins: some times what waking a thread takes.
const ARRIVAL: Duration = Duration::from_micros(200);

/// Runs `f` while the other workers of the pool wait actively for work, as threads of OpenMP do.
///
/// An idle worker falls asleep within some ten microseconds, about the time of a kernel on a small matrix, and waking
/// it takes as long again. For a loop of short kernels that has the pool to itself: several such loops on one pool
/// would wait for each other.
///
/// A worker waits actively only if it is there before `f` begins. One that comes later may come from inside a part of
/// `f` that it has stolen, and would keep that part from its end while it waits for the end of `f`. With [`sit_out`] it
/// sleeps where another program has its core.
pub fn spin_workers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    /// Ends the active waiting, also if `f` panics.
    struct End<'a>(&'a AtomicBool, crowd::Call);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
            self.1.end();
        }
    }
    let (arrived, begun, done) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
    rayon::scope(|scope| {
        let caller = rayon::current_thread_index();
        let (arrived, begun, done, clock) = (&arrived, &begun, &done, Waiting::own());
        let _end = End(done, crowd::Call::begin());
        scope.spawn_broadcast(move |_, worker| {
            // Relaxed is enough: whoever stole a part of `f` has synchronised with its beginning. The caller's own
            // worker may come here while it waits for a part.
            if caller == Some(worker.index()) || begun.load(Ordering::Relaxed) {
                return;
            }
            arrived.fetch_add(1, Ordering::Relaxed);
            // Looking for work reads what all other workers write to, so that many workers would slow each other down
            // by looking: the more there are, the longer each waits between two looks that find nothing.
            let (mut pauses, most) = (1, rayon::current_num_threads());
            let next = caller.is_none_or(|caller| (caller + 1) % most == worker.index());
            let clock = clock.as_ref().filter(|_| next);
            while !done.load(Ordering::Relaxed) {
                if rayon::yield_now() == Some(rayon::Yield::Executed) {
                    pauses = 1;
                    continue;
                }
                crowd::rest_if_crowded(clock, done);
                (0..pauses).for_each(|_| std::hint::spin_loop());
                pauses = (2 * pauses).min(most);
                std::thread::yield_now();
            }
        });
        let (others, began) = (rayon::current_num_threads() - 1, Instant::now());
        let wait = |limit: Duration| {
            while arrived.load(Ordering::Relaxed) < others && began.elapsed() < limit {
                std::thread::yield_now();
            }
            arrived.load(Ordering::Relaxed) < others
        };
        if wait(ARRIVAL) {
            wait(ARRIVAL + crowd::patience());
        }
        begun.store(true, Ordering::Relaxed);
        f()
    })
}

/// `f(0), f(1), ..., f(n - 1)` run in parallel, results in order.
pub fn map<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if n <= 1 { (0..n).map(f).collect() } else { (0..n).into_par_iter().tasks(|_, i| f(i)) }
}

/// Sums `f(range)` over the ranges of `size` that tile `0..n`: in parallel, folded in order. Allocates nothing.
pub fn sum(n: usize, size: usize, f: impl Fn(std::ops::Range<usize>) -> f64 + Sync + Send) -> f64 {
    /// Parts that are computed in parallel; their results are on the stack.
    const ROUND: usize = 128;
    if n <= size {
        return f(0..n);
    }
    let (count, mut parts) = (n.div_ceil(size), [0.0; ROUND]);
    (0..count).step_by(ROUND).fold(-0.0, |total, first| {
        let parts = &mut parts[..ROUND.min(count - first)];
        for_chunks(parts, 1, |k, part| {
            let start = (first + k) * size;
            part.fill(f(start..(start + size).min(n)));
        });
        parts.iter().fold(total, |total, part| total + part)
    })
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;

    #[test]
    fn a_sum_has_the_same_bits_for_any_number_of_threads() {
        let x: Vec<f64> = (0..100_000).map(|i| (i as f64).sin() * 1e3).collect();
        let total = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum(x.len(), 4096, |r| x[r].iter().sum()))
        };
        assert_eq!(total(1).to_bits(), total(2).to_bits());
        assert_eq!(total(1).to_bits(), total(5).to_bits());
    }

    #[test]
    fn a_sum_adds_its_parts_in_their_order() {
        let x: Vec<f64> = (0..100_000).map(|i| (i as f64).sin() * 1e3).collect();
        // One part, some, as many as are summed at once and one more, and many.
        for (n, size) in [(10, 10), (100, 30), (1280, 10), (1281, 10), (100_000, 64)] {
            let x = &x[..n];
            let got = sum(n, size, |r| x[r].iter().sum());
            let want: f64 = x.chunks(size).map(|part| part.iter().sum::<f64>()).sum();
            assert_eq!(got.to_bits(), want.to_bits(), "{n} by {size}");
        }
    }

    #[test]
    fn awake_workers_do_the_work_and_rest_afterwards() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let work = || {
                spin_workers(|| (0..50).map(|k| map(20, |i| i * k).into_iter().sum::<usize>()).sum::<usize>())
            };
            assert_eq!(pool.install(work), 190 * 1225);
            // Called from beside the pool's workers, and one in the other.
            assert_eq!(pool.install(|| spin_workers(work)), 190 * 1225);
            let unlucky = AssertUnwindSafe(|| pool.install(|| spin_workers(|| panic!("no luck"))));
            assert!(std::panic::catch_unwind(unlucky).is_err());
            assert_eq!(pool.install(work), 190 * 1225);
        }
        assert_eq!(spin_workers(|| map(20, |i| i).len()), 20);
    }

    /// A worker may steal a part of the work before it finds that it is asked to stay awake. Staying awake inside
    /// that part would keep the part from its end, and the work with it: so it hung in 2 of 4 trials of 20 000 calls.
    #[test]
    fn a_worker_that_is_late_never_waits_for_the_work_that_it_does() {
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            for k in 0..100_000 {
                let sum = pool.install(|| spin_workers(|| map(8, |i| map(8, |j| i * j * k).len()).len()));
                assert_eq!(sum, 8);
            }
            ended.send(()).unwrap();
        });
        // Seconds at most; a bound only so that a deadlock is a failure.
        end.recv_timeout(Duration::from_secs(300)).expect("no deadlock");
    }

    #[test]
    fn copies_and_fills_are_whole() {
        for n in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let from: Vec<usize> = (0..n).collect();
            let mut to = vec![0; n];
            copy(&from, &mut to);
            assert_eq!(from, to);
            fill(3, &mut to);
            assert!(to.iter().all(|v| *v == 3));
        }
    }

    #[test]
    fn chunks_cover_everything_once() {
        let mut x = vec![0; 1000];
        for_chunks(&mut x, 64, |i, c| c.iter_mut().for_each(|v| *v += i + 1));
        assert!(x.iter().enumerate().all(|(j, v)| *v == j / 64 + 1));
    }
}
