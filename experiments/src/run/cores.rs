//! Where worker threads run.
//!
//! Some systems leave threads that begin or wake together on one core for seconds, and a program then runs as if
//! it had one core: the waiting worker yields so politely that the system sees no reason to move it. Where there
//! is a worker for every core, each therefore stays on a core of its own. Fewer workers begin apart and may be
//! moved: other programs may want the cores that they stand on.

/// Moves the calling thread, the k-th of `workers` (0: one for each core), to the k-th of the cores it may use,
/// and holds it there if there is a worker for every core.
#[cfg(target_os = "linux")]
pub fn pin_worker(k: usize, workers: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(all) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let mut one = CpuSet::new();
    one.set(cores[k % cores.len()]);
    // An error does no harm: the thread stays where the system put it.
    if sched_setaffinity(None, &one).is_ok() && workers != 0 && workers != cores.len() {
        let _ = sched_setaffinity(None, &all);
    }
}

/// Runs `f`, which starts a process, on the cores of the whole process: a worker that is held on one core would pass
/// that on.
#[cfg(target_os = "linux")]
pub fn unpinned<R>(f: impl FnOnce() -> R) -> R {
    use rustix::thread::{sched_getaffinity, sched_setaffinity};
    // The first thread is no worker.
    let first = rustix::process::getpid();
    let (Ok(own), Ok(all)) = (sched_getaffinity(None), sched_getaffinity(Some(first))) else { return f() };
    let _ = sched_setaffinity(None, &all);
    let result = f();
    let _ = sched_setaffinity(None, &own);
    result
}

/// Elsewhere no worker is held.
#[cfg(not(target_os = "linux"))]
pub fn unpinned<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Elsewhere the system alone decides.
#[cfg(not(target_os = "linux"))]
pub fn pin_worker(_: usize, _: usize) {}
