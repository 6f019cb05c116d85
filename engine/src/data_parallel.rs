//! Data-parallel gradients: a batch is split into shards of a fixed number of columns, whose gradients are summed in a
//! binary tree over the shards, so that the result does not depend on the number of threads. Whoever ends the second of
//! two neighbours adds them while they are in its cache: a thread that takes nothing from others holds one gradient for
//! each level of the tree, however many shards there are. A shard takes the tape that was returned last, whose contents are still in that core's
//! cache too.

use crate::buffer_pool::BufferPool;
use crate::simd::add;
use crate::{Real, Recording, Tape, parallel};

/// Tapes and gradient buffers of the shards of a batch, reused from step to step.
pub struct DataParallel<T: Real> {
    columns: usize,
    tapes: BufferPool<Tape<T>>,
    gradients: BufferPool<Vec<T>>,
    gradient: Vec<T>,
}

/// Numbers of a gradient that one task adds.
const PART: usize = parallel::CHUNK / 4;

impl<T: Real> DataParallel<T> {
    /// Shards of `columns` columns: a constant of the experiment, because it fixes the order of sums.
    ///
    /// # Panics
    /// If `columns` is 0.
    pub fn new(columns: usize) -> Self {
        assert!(columns > 0, "a shard has columns");
        let (tapes, gradients) = (BufferPool::default(), BufferPool::default());
        Self { columns, tapes, gradients, gradient: Vec::new() }
    }

    /// The sum over the shards of `n` columns of loss and parameter gradient. `f` records the part of its columns,
    /// back-propagates into the gradient slice, and returns its part of the loss.
    pub fn gradient(
        &mut self,
        params: &[T],
        n: usize,
        f: impl Fn(&mut Recording<T>, std::ops::Range<usize>, &mut [T]) -> f64 + Sync,
    ) -> (f64, &mut [T]) {
        let shard = |i: usize| {
            let (mut tape, mut gradient) = (self.tapes.take(), self.gradients.take());
            gradient.clear();
            gradient.resize(params.len(), T::ZERO);
            let mut rec = tape.record(params);
            let loss = f(&mut rec, i * self.columns..((i + 1) * self.columns).min(n), &mut gradient);
            self.tapes.give_back(tape);
            (loss, gradient)
        };
        let last = std::mem::take(&mut self.gradient);
        self.gradients.give_back(last);
        let (loss, gradient) = match n.div_ceil(self.columns) {
            0 => (0.0, vec![T::ZERO; params.len()]),
            count => self.sum(0, count, &shard),
        };
        self.gradient = gradient;
        (loss, &mut self.gradient)
    }

    /// The sum over `count` shards from `first` on: of the left part, a power of two, and of the right one.
    fn sum(
        &self,
        first: usize,
        count: usize,
        shard: &(impl Fn(usize) -> (f64, Vec<T>) + Sync),
    ) -> (f64, Vec<T>) {
        if count == 1 {
            return shard(first);
        }
        let left = count.next_power_of_two() / 2;
        let ((loss, mut sum), (other, right)) =
            parallel::join(|| self.sum(first, left, shard), || self.sum(first + left, count - left, shard));
        parallel::for_chunks(&mut sum, PART, |i, sum| add(&right[i * PART..i * PART + sum.len()], sum));
        self.gradients.give_back(right);
        (loss + other, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_in_a_tree_of_a_fixed_shape() {
        let values: Vec<f64> = (0..999).map(|i| (f64::from(i)).sin() * 1e3).collect();
        let sum = |threads: usize, columns: usize, n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut shards = DataParallel::new(columns);
            let mut run = || {
                let (loss, gradient) = shards.gradient(&[0.0; 3], n, |_, range, gradient| {
                    gradient[1] += values[range.clone()].iter().sum::<f64>();
                    range.len() as f64
                });
                (loss, gradient.to_vec())
            };
            pool.install(|| {
                let first = run();
                assert_eq!(run(), first, "buffers that are used again");
                first
            })
        };
        // ((0 + 1) + (2 + 3)) + 4
        let part = |k: usize| values[10 * k..10 * k + 10].iter().sum::<f64>();
        let by_hand = ((part(0) + part(1)) + (part(2) + part(3))) + values[40..47].iter().sum::<f64>();
        assert_eq!(sum(1, 10, 47), (47.0, vec![0.0, by_hand, 0.0]));
        for n in [0, 1, 9, 10, 11, 640, 999] {
            let one = sum(1, 10, n);
            assert_eq!(one.0, n as f64);
            for threads in [2, 3, 7] {
                assert_eq!(sum(threads, 10, n), one, "{n} columns, {threads} threads");
            }
        }
    }
}
