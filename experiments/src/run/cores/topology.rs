//! What the system says of the CPUs that this process may use.

use std::path::Path;

/// A logical CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub id: usize,
    /// Its package (socket).
    pub package: usize,
    /// Its core: a number that it shares with the other hardware threads of the core alone.
    pub core: usize,
}

/// The CPUs of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Those of its mask.
    pub cpus: Vec<Cpu>,
    /// CPUs' worth of time that its control group may use.
    pub quota: Option<f64>,
    /// Its number among the processes of one job on this machine, and their number.
    pub local: (usize, usize),
    /// Whether they all have these CPUs, not each its own.
    pub shared: bool,
}

impl Machine {
    /// The hardware threads of each core, cores of a package next to each other.
    pub fn cores(&self) -> Vec<Vec<usize>> {
        let mut cpus = self.cpus.clone();
        cpus.sort_by_key(|cpu| (cpu.package, cpu.core, cpu.id));
        let cores = cpus.chunk_by(|a, b| (a.package, a.core) == (b.package, b.core));
        cores.map(|core| core.iter().map(|cpu| cpu.id).collect()).collect()
    }

    /// This machine; none where the system is not Linux or does not tell.
    #[cfg(target_os = "linux")]
    pub fn here() -> Option<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity};
        let mask = sched_getaffinity(None).ok()?;
        let mask: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect();
        Some(Self::read(&mask, Path::new("/"), |name| std::env::var(name).ok()))
    }

    /// Elsewhere the system alone decides.
    #[cfg(not(target_os = "linux"))]
    pub fn here() -> Option<Self> {
        None
    }

    /// What the files below `root` and the variables of the environment say of the CPUs of `mask`.
    pub fn read(mask: &[usize], root: &Path, variable: impl Fn(&str) -> Option<String>) -> Self {
        let all = root.join("sys/devices/system/cpu");
        let number = |id: usize, name: &str| -> Option<usize> {
            let text = std::fs::read_to_string(all.join(format!("cpu{id}/topology/{name}"))).ok()?;
            text.trim().parse().ok()
        };
        let first = |name: &str, id: usize| -> Option<usize> {
            let text = std::fs::read_to_string(all.join(format!("cpu{id}/topology/{name}"))).ok()?;
            text.trim().split([',', '-']).next()?.parse().ok()
        };
        let cpu = |id: &usize| Cpu {
            id: *id,
            package: number(*id, "physical_package_id").unwrap_or(0),
            // `core_id` is not unique on packages of several dies. Where nothing is said each is a core.
            core: first("core_cpus_list", *id).or_else(|| first("thread_siblings_list", *id)).unwrap_or(*id),
        };
        let online = std::fs::read_to_string(all.join("online")).ok().map_or(0, |text| count(&text));
        let (local, shared) = local(mask.len(), online, variable);
        Self { cpus: mask.iter().map(cpu).collect(), quota: quota(root), local, shared }
    }
}

/// How many numbers a list of the kernel has, as `0-3,8`.
fn count(list: &str) -> usize {
    let range = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some((last + 1).saturating_sub(first))
    };
    list.trim().split(',').filter_map(range).sum()
}

/// The least quota on the way from this process's control group to the root, by version 2 or 1.
fn quota(root: &Path) -> Option<f64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let at = |folder: &Path| -> Option<f64> {
        let (quota, period) = match read(&folder.join("cpu.max")) {
            Some(text) => text.trim().split_once(' ').map(|(q, p)| (q.to_string(), p.to_string()))?,
            None => (read(&folder.join("cpu.cfs_quota_us"))?, read(&folder.join("cpu.cfs_period_us"))?),
        };
        let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    };
    let mut least = None::<f64>;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mount = match controllers {
            "" => "sys/fs/cgroup",
            _ if controllers.split(',').any(|c| c == "cpu") => "sys/fs/cgroup/cpu",
            _ => continue,
        };
        let top = root.join(mount);
        let mut folder = top.join(path.trim_start_matches('/'));
        while folder.starts_with(&top) {
            least = at(&folder).map(|q| least.map_or(q, |l| l.min(q))).or(least);
            if !folder.pop() {
                break;
            }
        }
    }
    least
}

/// The number of this process among those of its job on this machine, by what launchers of MPI and batch systems say, and
/// whether they have the same mask. A launcher that binds gives each its own, and then there is nothing to share out.
fn local(mask: usize, online: usize, variable: impl Fn(&str) -> Option<String>) -> ((usize, usize), bool) {
    let number = |name: &str| variable(name).and_then(|v| v.parse::<usize>().ok());
    let shared = mask == online || number("SLURM_CPUS_ON_NODE") == Some(mask);
    let open_mpi = number("OMPI_COMM_WORLD_LOCAL_RANK").zip(number("OMPI_COMM_WORLD_LOCAL_SIZE"));
    let hydra = number("MPI_LOCALRANKID").zip(number("MPI_LOCALNRANKS"));
    // Of a step of srun: a batch script has variables of its own. `4(x2)` on each of two nodes: the first number is right
    // where all have the same.
    let tasks = variable("SLURM_STEP_TASKS_PER_NODE").and_then(|t| t.split(['(', ',']).next()?.parse().ok());
    let slurm = number("SLURM_LOCALID").zip(tasks);
    match open_mpi.or(hydra).or(slurm) {
        Some((rank, ranks)) if ranks > 1 && rank < ranks => ((rank, ranks), shared),
        _ => ((0, 1), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn topology_and_quota_are_read_from_files() {
        let root = tempfile::tempdir().unwrap();
        let cpu = "sys/devices/system/cpu";
        for (id, package, siblings) in [(0, 0, "0,2"), (1, 1, "1,3"), (2, 0, "0,2"), (3, 1, "1,3")] {
            write(
                root.path(),
                &[
                    (&format!("{cpu}/cpu{id}/topology/physical_package_id"), &format!("{package}\n")),
                    (&format!("{cpu}/cpu{id}/topology/thread_siblings_list"), &format!("{siblings}\n")),
                    // Dies count anew.
                    (&format!("{cpu}/cpu{id}/topology/core_id"), "0\n"),
                ],
            );
        }
        write(
            root.path(),
            &[
                (&format!("{cpu}/online"), "0-3\n"),
                ("proc/self/cgroup", "0::/job/step\n"),
                ("sys/fs/cgroup/job/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/job/step/cpu.max", "max 100000\n"),
            ],
        );
        let machine = Machine::read(&[0, 1, 2, 3], root.path(), none);
        assert_eq!(machine.quota, Some(1.5));
        assert_eq!(machine.cores(), [vec![0, 2], vec![1, 3]]);
        // Version 1 of control groups.
        write(
            root.path(),
            &[
                ("proc/self/cgroup", "3:cpuset:/\n2:cpu,cpuacct:/job\n0::/\n"),
                ("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "400000\n"),
                ("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(Machine::read(&[0], root.path(), none).quota, Some(4.0));
    }

    #[test]
    fn a_system_that_says_nothing_has_a_core_for_each_cpu() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::read(&[3, 5], root.path(), none);
        assert_eq!((machine.cores(), machine.quota), (vec![vec![3], vec![5]], None));
        assert_eq!((machine.local, machine.shared), ((0, 1), false));
    }

    #[test]
    fn launchers_tell_which_process_this_is() {
        let with = |mask, pairs: &[(&str, &str)]| {
            local(mask, 8, |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
        };
        let open_mpi = [("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "2")];
        assert_eq!(with(8, &open_mpi), ((1, 2), true));
        // Bound by the launcher.
        assert_eq!(with(4, &open_mpi), ((1, 2), false));
        let slurm =
            [("SLURM_LOCALID", "3"), ("SLURM_STEP_TASKS_PER_NODE", "4(x2)"), ("SLURM_CPUS_ON_NODE", "6")];
        assert_eq!(with(6, &slurm), ((3, 4), true));
        assert_eq!(with(2, &slurm), ((3, 4), false));
        let alone = ((0, 1), false);
        assert_eq!(with(8, &[("SLURM_LOCALID", "0"), ("SLURM_STEP_TASKS_PER_NODE", "1")]), alone);
        // A batch script, not a task of srun.
        assert_eq!(with(8, &[("SLURM_LOCALID", "0"), ("SLURM_TASKS_PER_NODE", "4")]), alone);
        assert_eq!(with(8, &[("MPI_LOCALRANKID", "x"), ("MPI_LOCALNRANKS", "2")]), alone);
    }

    #[test]
    fn lists_of_the_kernel_are_counted() {
        for (list, n) in [("0-3\n", 4), ("0", 1), ("0-1,4-5,7", 5), ("", 0), ("x", 0)] {
            assert_eq!(count(list), n, "{list}");
        }
    }
}
