//! How many workers there are, and where they run.
//!
//! Some systems leave threads that begin or wake together on one core for seconds, and a program then runs as if it had
//! one core: the waiting worker yields so politely that the system sees no reason to move it. Where there is a worker for
//! every core, each therefore stays on a core of its own. Fewer workers begin apart and may be moved: other programs may
//! want the cores that they stand on.

mod topology;

pub use topology::{Cpu, Machine};

/// Workers and their CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Number of workers.
    pub workers: usize,
    /// Where worker k begins: CPU `cpus[k % cpus.len()]`.
    pub cpus: Vec<usize>,
    /// Whether each stays there.
    pub stay: bool,
}

/// Places `wanted` workers, or as many as there are cores for this process.
///
/// - A core has one worker, however many hardware threads it has: two on one core share its arithmetic units. Only who
///   wants more workers than cores gets the other hardware threads.
/// - Processes of one job that may all use the same CPUs share them out, each a part of neighbouring cores.
/// - A quota of CPU time, or this process's part of it, below the number of cores is the number of workers. They do not stay: the cores that the mask
///   shows are shared with processes in other containers, which would all choose the first ones.
pub fn place(machine: &Machine, wanted: Option<usize>) -> Placement {
    let cores = own(machine.cores(), if machine.shared { machine.local } else { (0, 1) });
    let each = |quota: f64| ((quota / machine.local.1.max(1) as f64).floor() as usize).max(1);
    let quota = machine.quota.map_or(usize::MAX, each);
    let workers = wanted.unwrap_or(cores.len().min(quota)).max(1);
    let firsts: Vec<usize> = cores.iter().filter_map(|core| core.first().copied()).collect();
    let all: Vec<usize> = if workers > cores.len() {
        // All first hardware threads, then all second ones.
        let most = cores.iter().map(Vec::len).max().unwrap_or(0);
        (0..most).flat_map(|k| cores.iter().filter_map(move |core| core.get(k).copied())).collect()
    } else {
        firsts.clone()
    };
    let full = workers == all.len() || workers == firsts.len();
    Placement { workers, stay: full && quota >= workers, cpus: all }
}

/// The part of a process that shares the cores with others; all where there are fewer cores than processes.
fn own(cores: Vec<Vec<usize>>, (rank, ranks): (usize, usize)) -> Vec<Vec<usize>> {
    if ranks <= 1 || cores.len() < ranks {
        return cores;
    }
    let begin = |rank: usize| rank * cores.len() / ranks;
    let rank = rank.min(ranks - 1);
    cores[begin(rank)..begin(rank + 1)].to_vec()
}

impl Placement {
    /// Of `wanted` workers on this machine.
    pub fn here(wanted: Option<usize>) -> Self {
        match Machine::here() {
            Some(machine) => place(&machine, wanted),
            // The system alone decides.
            None => {
                let workers =
                    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
                Self { workers, cpus: Vec::new(), stay: false }
            }
        }
    }

    /// Moves the calling thread, worker k, to its CPU.
    #[cfg(target_os = "linux")]
    pub fn take(&self, k: usize) {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let (Some(cpu), Ok(all)) = (self.cpus.get(k % self.cpus.len().max(1)), sched_getaffinity(None))
        else {
            return;
        };
        let mut one = CpuSet::new();
        one.set(*cpu);
        // An error does no harm: the thread stays where the system put it.
        if sched_setaffinity(None, &one).is_ok() && !self.stay {
            let _ = sched_setaffinity(None, &all);
        }
    }

    /// Elsewhere the system alone decides.
    #[cfg(not(target_os = "linux"))]
    pub fn take(&self, _: usize) {}
}

/// Runs `f`, which starts a process, on the cores of the whole process: a worker that is held on one core would pass that
/// on.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of so many packages, cores in each, and hardware threads of a core, numbered as Linux does: first all
    /// first threads.
    fn machine(packages: usize, cores: usize, threads: usize) -> Machine {
        let cpus = (0..threads).flat_map(|thread| {
            (0..packages * cores).map(move |core| Cpu {
                id: thread * packages * cores + core,
                package: core / cores,
                core,
            })
        });
        Machine { cpus: cpus.collect(), quota: None, local: (0, 1), shared: false }
    }

    #[test]
    fn a_worker_for_each_core_stays_there() {
        for threads in [1, 2] {
            let found = place(&machine(2, 64, threads), None);
            assert_eq!(found, Placement { workers: 128, cpus: (0..128).collect(), stay: true });
        }
    }

    #[test]
    fn hardware_threads_are_for_those_who_ask() {
        let smt = machine(1, 4, 2);
        assert_eq!(place(&smt, Some(8)), Placement { workers: 8, cpus: (0..8).collect(), stay: true });
        let some = place(&smt, Some(6));
        assert_eq!((some.workers, some.stay, some.cpus), (6, false, (0..8).collect()));
        // Fewer than cores begin on cores of their own.
        assert_eq!(place(&smt, Some(3)), Placement { workers: 3, cpus: (0..4).collect(), stay: false });
        assert_eq!(place(&smt, Some(4)), Placement { workers: 4, cpus: (0..4).collect(), stay: true });
    }

    #[test]
    fn hardware_threads_may_have_neighbouring_numbers() {
        // As on many desktop processors: CPUs 0 and 1 are core 0. A mask hides one thread of core 1.
        let cpus = [(0, 0), (1, 0), (3, 1), (4, 2), (5, 2)];
        let cpus = cpus.map(|(id, core)| Cpu { id, package: 0, core }).to_vec();
        let machine = Machine { cpus, quota: None, local: (0, 1), shared: false };
        assert_eq!(place(&machine, None), Placement { workers: 3, cpus: vec![0, 3, 4], stay: true });
        assert_eq!(place(&machine, Some(5)).cpus, [0, 3, 4, 1, 5]);
    }

    #[test]
    fn a_quota_is_the_number_of_workers_and_they_may_move() {
        // Four containers with a quota of 4 on 64 cores would all stay on cores 0 to 3.
        let of = |quota, wanted| place(&Machine { quota: Some(quota), ..machine(1, 64, 2) }, wanted);
        assert_eq!((of(4.0, None).workers, of(4.0, None).stay), (4, false));
        assert_eq!(of(2.5, None).workers, 2);
        assert_eq!(of(0.5, None).workers, 1);
        assert_eq!((of(64.0, None).workers, of(64.0, None).stay), (64, true));
        assert_eq!((of(4.0, Some(64)).workers, of(4.0, Some(64)).stay), (64, false));
        // Four processes of a job share the quota, whether or not they share the cores.
        for shared in [false, true] {
            let machine = Machine { quota: Some(8.0), local: (1, 4), shared, ..machine(1, 64, 1) };
            assert_eq!((place(&machine, None).workers, place(&machine, None).stay), (2, false));
        }
    }

    #[test]
    fn processes_of_a_job_share_the_cores_out() {
        let of = |rank, ranks, cores| {
            let machine = Machine { local: (rank, ranks), shared: true, ..machine(1, cores, 1) };
            place(&machine, None).cpus
        };
        assert_eq!(of(0, 2, 8), [0, 1, 2, 3]);
        assert_eq!(of(1, 2, 8), [4, 5, 6, 7]);
        // Each core belongs to one of them.
        let all: Vec<usize> = (0..3).flat_map(|rank| of(rank, 3, 8)).collect();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
        // More processes than cores: nothing is to be shared out.
        assert_eq!(of(3, 4, 2), [0, 1]);
    }

    #[test]
    fn some_machine_has_at_least_a_worker() {
        let none = Machine { cpus: Vec::new(), quota: None, local: (0, 1), shared: false };
        assert_eq!(place(&none, None), Placement { workers: 1, cpus: Vec::new(), stay: false });
        assert!(Placement::here(None).workers >= 1);
        Placement::here(Some(1)).take(0);
    }
}
