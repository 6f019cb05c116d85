//! Data-parallel gradients: a batch is split into shards of a fixed number of columns, run in parallel and
//! summed in shard order, so that the result does not depend on the number of threads. A shard takes the tape that
//! was returned last: there is one for each thread, and its contents are still in that core's cache.

use rayon::prelude::*;

use crate::buffer_pool::BufferPool;
use crate::parallel::Tasks;
use crate::simd::add;
use crate::{Real, Recording, Tape, parallel};

/// Tapes and gradient buffers of the shards of a batch, reused from step to step.
pub struct DataParallel<T: Real> {
    columns: usize,
    tapes: BufferPool<Tape<T>>,
    shards: Vec<Shard<T>>,
    gradient: Vec<T>,
}

struct Shard<T> {
    gradient: Vec<T>,
    loss: f64,
}

impl<T: Real> DataParallel<T> {
    /// Shards of `columns` columns: a constant of the experiment, because it fixes the order of sums.
    ///
    /// # Panics
    /// If `columns` is 0.
    pub fn new(columns: usize) -> Self {
        assert!(columns > 0, "a shard has columns");
        Self { columns, tapes: BufferPool::default(), shards: Vec::new(), gradient: Vec::new() }
    }

    /// The sum over the shards of `n` columns of loss and parameter gradient. `f` records the part of its columns,
    /// back-propagates into the gradient slice, and returns its part of the loss.
    pub fn gradient(
        &mut self,
        params: &[T],
        n: usize,
        f: impl Fn(&mut Recording<T>, std::ops::Range<usize>, &mut [T]) -> f64 + Sync,
    ) -> (f64, &mut [T]) {
        let count = n.div_ceil(self.columns);
        while self.shards.len() < count {
            self.shards.push(Shard { gradient: Vec::new(), loss: 0.0 });
        }
        let (columns, tapes) = (self.columns, &self.tapes);
        let work = |(i, shard): (usize, &mut Shard<T>)| {
            let mut tape = tapes.take();
            shard.gradient.clear();
            shard.gradient.resize(params.len(), T::ZERO);
            let mut rec = tape.record(params);
            shard.loss = f(&mut rec, i * columns..((i + 1) * columns).min(n), &mut shard.gradient);
            tapes.give_back(tape);
        };
        let shards = &mut self.shards[..count];
        if count == 1 {
            shards.iter_mut().enumerate().for_each(work);
        } else {
            shards.par_iter_mut().each(|i, shard| work((i, shard)));
        }
        self.gradient.resize(params.len(), T::ZERO);
        let shards = &self.shards[..count];
        parallel::for_chunks(&mut self.gradient, parallel::CHUNK / 4, |i, sum| {
            let at = i * (parallel::CHUNK / 4);
            sum.fill(T::ZERO);
            for shard in shards {
                add(&shard.gradient[at..at + sum.len()], sum);
            }
        });
        (shards.iter().map(|s| s.loss).sum(), &mut self.gradient)
    }
}
