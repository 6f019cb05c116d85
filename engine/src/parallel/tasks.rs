//! The items of a parallel iterator as the tasks of a round.

use rayon::iter::plumbing::{Producer, ProducerCallback};
use rayon::prelude::*;

use super::trace::{Round, recording};

/// Rounds of tasks. [`super::trace`] sees them, which it cannot where rayon's own `for_each` and `map` are called.
pub trait Tasks: IndexedParallelIterator {
    /// Runs `f(i, item i)` for all items.
    fn each(self, f: impl Fn(usize, Self::Item) + Sync) {
        if recording() {
            in_order(self, f);
        } else {
            let f = &f;
            self.enumerate().for_each(move |(i, item)| f(i, item));
        }
    }

    /// The results in the order of the items.
    fn tasks<R: Send>(self, f: impl Fn(usize, Self::Item) -> R + Sync) -> Vec<R> {
        if recording() {
            let mut results = Vec::with_capacity(self.len());
            in_order(self, |i, item| results.push(f(i, item)));
            results
        } else {
            let f = &f;
            self.enumerate().map(move |(i, item)| f(i, item)).collect()
        }
    }

    /// Runs all items; the error of the first one that has one, for any number of threads.
    ///
    /// # Errors
    /// Those of `f`.
    fn try_each<E: Send>(
        self,
        f: impl Fn(usize, Self::Item) -> Result<(), E> + Sync + Send,
    ) -> Result<(), E> {
        if recording() {
            let mut result = Ok(());
            in_order(self, |i, item| {
                let own = f(i, item);
                result = std::mem::replace(&mut result, Ok(())).and(own);
            });
            result
        } else {
            let f = &f;
            self.enumerate().map(move |(i, item)| f(i, item)).reduce(|| Ok(()), Result::and)
        }
    }
}

impl<I: IndexedParallelIterator> Tasks for I {}

/// Runs the items as a round that is recorded, on this thread.
fn in_order<I: IndexedParallelIterator>(items: I, f: impl FnMut(usize, I::Item)) {
    struct InOrder<F>(F);
    impl<T, F: FnMut(usize, T)> ProducerCallback<T> for InOrder<F> {
        type Output = ();
        fn callback<P: Producer<Item = T>>(mut self, producer: P) {
            let mut round = Round::begin();
            for (i, item) in producer.into_iter().enumerate() {
                round.task(|| (self.0)(i, item));
            }
            round.end();
        }
    }
    items.with_producer(InOrder(f));
}
