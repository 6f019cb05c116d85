//! Where worker threads begin.
//!
//! Some systems leave threads that begin together on one core for seconds, and a short program then runs as if it
//! had one core. Each worker therefore begins on a core of its own; afterwards the system may move it as it likes.

/// Moves the calling thread to the k-th of the cores it may use, without holding it there.
#[cfg(target_os = "linux")]
pub fn begin_on(k: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(all) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let mut one = CpuSet::new();
    one.set(cores[k % cores.len()]);
    // Failure is no error: the thread stays where the system put it.
    if sched_setaffinity(None, &one).is_ok() {
        let _ = sched_setaffinity(None, &all);
    }
}

/// Elsewhere the system alone decides.
#[cfg(not(target_os = "linux"))]
pub fn begin_on(_: usize) {}
