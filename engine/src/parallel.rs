//! Deterministic parallelism: work is split by a fixed chunk size, never by the number of threads,
//! and partial results are combined in the order of the chunks. The same bits for 1 or 64 threads.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

/// Numbers that an elementwise kernel handles as one task: large against the cost of a task
/// (about a microsecond), small against a core's cache.
pub const CHUNK: usize = 16 * 1024;

/// Runs `f(chunk_index, chunk)` over chunks of `size` elements; the last may be shorter.
pub fn for_chunks<T: Send>(data: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if data.len() <= size {
        if !data.is_empty() {
            f(0, data);
        }
    } else {
        data.par_chunks_mut(size).enumerate().for_each(|(i, chunk)| f(i, chunk));
    }
}

/// Runs both, possibly at the same time.
pub(crate) fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    rayon::join(a, b);
}

/// Runs `f` while the pool's other workers look for work without a pause, as threads of OpenMP do.
///
/// A worker that finds nothing to do falls asleep within some ten microseconds, about as long as a kernel works
/// on a small matrix, and waking it takes as long again. For a loop of short kernels that has the pool to itself;
/// where several such loops share the pool, they would wait for each other.
pub fn spin_workers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    /// Lets the workers rest, however `f` ends.
    struct Rest<'a>(&'a AtomicBool);
    impl Drop for Rest<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let caller = rayon::current_thread_index();
        let done = &done;
        let _rest = Rest(done);
        scope.spawn_broadcast(move |_, worker| {
            // The caller's own worker may come here while it waits for a part of `f`.
            while caller != Some(worker.index()) && !done.load(Ordering::Relaxed) {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    std::thread::yield_now();
                }
            }
        });
        f()
    })
}

/// `f(0), f(1), ..., f(n - 1)` run in parallel, results in order.
pub fn map<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if n <= 1 { (0..n).map(f).collect() } else { (0..n).into_par_iter().map(f).collect() }
}

/// Sums `f(range)` over the ranges of `size` that tile `0..n`: in parallel, folded in order. Allocates nothing.
pub fn sum(n: usize, size: usize, f: impl Fn(std::ops::Range<usize>) -> f64 + Sync + Send) -> f64 {
    /// Parts that are computed side by side; they lie on the stack.
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

    #[test]
    fn chunks_cover_everything_once() {
        let mut x = vec![0; 1000];
        for_chunks(&mut x, 64, |i, c| c.iter_mut().for_each(|v| *v += i + 1));
        assert!(x.iter().enumerate().all(|(j, v)| *v == j / 64 + 1));
    }
}
