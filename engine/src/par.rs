//! Deterministic parallelism: work is split by a fixed chunk size, never by the number of threads,
//! and partial results are combined in the order of the chunks. The same bits for 1 or 64 threads.

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
pub fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    rayon::join(a, b);
}

/// `f(0), f(1), ..., f(n - 1)` run in parallel, results in order.
pub fn map<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if n <= 1 { (0..n).map(f).collect() } else { (0..n).into_par_iter().map(f).collect() }
}

/// Sums `f(range)` over the ranges of `size` that tile `0..n`: in parallel, folded in order.
pub fn sum(n: usize, size: usize, f: impl Fn(std::ops::Range<usize>) -> f64 + Sync + Send) -> f64 {
    if n <= size {
        return f(0..n);
    }
    map(n.div_ceil(size), |i| f(i * size..((i + 1) * size).min(n))).into_iter().sum()
}

#[cfg(test)]
mod tests {
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
    fn chunks_cover_everything_once() {
        let mut x = vec![0; 1000];
        for_chunks(&mut x, 64, |i, c| c.iter_mut().for_each(|v| *v += i + 1));
        assert!(x.iter().enumerate().all(|(j, v)| *v == j / 64 + 1));
    }
}
