//! Batches in blocks: columns are laid out coordinate by coordinate for a kernel, and its results back in columns. Each
//! thread keeps its working memory, so that an evaluation allocates nothing after the first.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use engine::Real;
use engine::parallel::Tasks;
use rayon::prelude::*;

use super::{BLOCK, Target, TargetError};

/// Working memory of a block.
#[derive(Default)]
struct Block<T> {
    x: Vec<T>,
    score: Vec<T>,
    /// The kernel's.
    scratch: Vec<T>,
}

thread_local! {
    /// Blocks of this thread that are not in use now, of any number type.
    static IDLE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with a block of this thread. A target that evaluates another one inside takes another block.
fn with_block<T: Real, R>(f: impl FnOnce(&mut Block<T>) -> R) -> R {
    let idle = IDLE.with_borrow_mut(|all| {
        let at = all.iter().position(|block| block.is::<Block<T>>())?;
        all.swap_remove(at).downcast::<Block<T>>().ok()
    });
    let mut block = idle.unwrap_or_default();
    let result = f(&mut block);
    IDLE.with_borrow_mut(|all| all.push(block));
    result
}

/// `log_density_batch` by `log_density_block`, blocks in parallel. The first block that fails is the error.
pub(super) fn in_blocks<T: Real, E: Target<T> + ?Sized>(
    target: &E,
    x: &[T],
    log_p: &mut [T],
    score: &mut [T],
) -> Result<(), TargetError> {
    let d = target.dim();
    assert_eq!(x.len(), d * log_p.len(), "x has dim numbers for each entry of log_p");
    if log_p.is_empty() {
        // A kernel has points.
        return Ok(());
    }
    if log_p.len() <= BLOCK {
        return with_block(|block| one(target, block, x, log_p, score));
    }
    let failed: Mutex<Option<(usize, TargetError)>> = Mutex::new(None);
    let run = |b: usize, x: &[T], log_p: &mut [T], score: &mut [T]| {
        if let Err(error) = with_block(|block| one(target, block, x, log_p, score)) {
            let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|(known, _)| b < *known) {
                *first = Some((b, error));
            }
        }
    };
    let blocks = (x.par_chunks(BLOCK * d), log_p.par_chunks_mut(BLOCK));
    if score.is_empty() {
        blocks.into_par_iter().each(|b, (x, log_p)| run(b, x, log_p, &mut []));
    } else {
        (blocks.0, blocks.1, score.par_chunks_mut(BLOCK * d))
            .into_par_iter()
            .each(|b, (x, log_p, score)| run(b, x, log_p, score));
    }
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// One block; `score` may be empty.
fn one<T: Real, E: Target<T> + ?Sized>(
    target: &E,
    block: &mut Block<T>,
    columns: &[T],
    log_p: &mut [T],
    score: &mut [T],
) -> Result<(), TargetError> {
    let (d, n) = (target.dim(), log_p.len());
    let Block { x, score: own, scratch } = block;
    // As a kernel finds them when it is called first.
    log_p.fill(T::ZERO);
    scratch.clear();
    own.clear();
    own.resize(n * d, T::ZERO);
    x.resize(n * d, T::ZERO);
    for l in 0..n {
        for a in 0..d {
            x[a * n + l] = columns[l * d + a];
        }
    }
    target.log_density_block(n, x, log_p, own, scratch)?;
    for (l, score) in score.chunks_exact_mut(d).enumerate() {
        for (a, score) in score.iter_mut().enumerate() {
            *score = own[a * n + l];
        }
    }
    Ok(())
}
