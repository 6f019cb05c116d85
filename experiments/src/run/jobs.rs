//! The loop over the jobs of a run that do not depend on each other: those that are not done, several at a time, each
//! saved when it ends.

use std::sync::{Mutex, PoisonError};

use engine::parallel;
use rayon::prelude::*;

use crate::run::error::CliError;
use crate::run::progress::Progress;

/// Does what is `wanted` and not among the rows that are `done`, which are in the order of their keys, and gives all
/// rows in that order with the first failure. `save` is called after each job, and where none is left: rows that were
/// gathered stand in another order.
pub fn run<K: Ord + Sync, R: Send>(
    wanted: &[K],
    done: Vec<R>,
    key: impl Fn(&R) -> K + Sync,
    quiet: bool,
    work: impl Fn(&K) -> Result<R, CliError> + Sync,
    save: impl FnMut(&[R]) -> Result<(), CliError> + Send,
    message: impl Fn(&[R]) -> String + Sync,
) -> (Vec<R>, Result<(), CliError>) {
    let open = |job: &&K| done.binary_search_by(|row| key(row).cmp(job)).is_err();
    let left: Vec<&K> = wanted.iter().filter(open).collect();
    let count = (wanted.len() - left.len()) as u64;
    let progress = Progress::new(count, wanted.len() as u64, quiet);
    let shared = Mutex::new((done, progress, count, save));
    let one = |job: &&K| {
        let row = work(job)?;
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, progress, count, save) = &mut *shared;
        // In order: sums over rows must not depend on which job ended first.
        let at = done.partition_point(|other| key(other) < key(&row));
        done.insert(at, row);
        *count += 1;
        progress.set(*count, || message(done));
        save(done)
    };
    let outcome = match &left[..] {
        [last] => parallel::spin_workers(|| one(last)),
        several => several.par_iter().try_for_each(one),
    };
    let (done, progress, _, mut save) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress.finish();
    let outcome = if left.is_empty() { save(&done) } else { outcome };
    (done, outcome)
}
