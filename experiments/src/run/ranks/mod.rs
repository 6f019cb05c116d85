//! Several processes that are one run: `mpirun -n 4 sample ...` of a build with the feature `mpi`.
//!
//! Rank 0 is the program as it is without others: it reads the command line, has the run folder and speaks. The other
//! ranks are silent, have no folder, and do as it tells them. Without the feature, and in programs that know no ranks, a
//! start by a launcher of several processes is refused: each of them would write the same folder.

#[cfg(feature = "mpi")]
mod mpi;

#[cfg(not(feature = "mpi"))]
use std::sync::Arc;

#[cfg(not(feature = "mpi"))]
use engine::ranks::Solo;
use engine::ranks::{Ranks, RanksError};

use crate::run::error::CliError;

/// What launchers tell each process of their number, and of its own.
const LAUNCHERS: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
];

/// What a launcher says to a process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Launched {
    /// How many processes it has started, and the name of the variable that says so.
    count: u64,
    by: &'static str,
    /// Which of them this is, from 0, if it says so, and the name of that variable.
    rank: Option<u64>,
    rank_by: &'static str,
}

/// What the launcher of this process says; none without a launcher. Of several the first in the list that has started
/// more than one: `mpirun` may start its own processes by `srun`, whose variables ours then have too.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let number = |name: &str| variable(name)?.trim().parse::<u64>().ok();
    let of = |(by, rank_by): &(&'static str, &'static str)| {
        Some(Launched { count: number(by)?, by, rank: number(rank_by), rank_by })
    };
    let found = || LAUNCHERS.iter().filter_map(of);
    found().find(|launched| launched.count > 1).or_else(|| found().next())
}

/// The number of this process among those that a launcher has started, from 0, and how many they are; none without a
/// launcher.
///
/// # Errors
/// The launcher says how many, and not which one this is.
pub fn place(variable: impl Fn(&str) -> Option<String>) -> Result<Option<(u64, u64)>, String> {
    let Some(Launched { count, rank, rank_by, .. }) = launched(variable) else { return Ok(None) };
    let rank = rank.ok_or_else(|| format!("{rank_by} should say which of {count} processes this is"))?;
    Ok(Some((rank, count)))
}

/// A variable of the environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An error if this is one of several processes of a launcher; `remedy` says what to do.
fn refuse_several(found: Option<Launched>, remedy: &str) -> Result<(), CliError> {
    match found {
        Some(Launched { count, by, .. }) if count > 1 => {
            Err(CliError::usage(format!("started as one of {count} processes ({by}): {remedy}")))
        }
        _ => Ok(()),
    }
}

/// For programs that run as one process.
///
/// # Errors
/// A launcher has started several.
pub fn alone() -> Result<(), CliError> {
    let remedy =
        "this program runs as one; start it without mpirun or srun, or share out its work by --task launcher";
    refuse_several(launched(environment), remedy)
}

/// Runs `body` with the ranks that a launcher has started. Rank 0 ends as `body` says, the others in silence.
///
/// # Errors
/// Those of `body`; and ranks that cannot begin, or of which one has failed.
#[cfg(not(feature = "mpi"))]
pub fn start(body: impl FnOnce(&Arc<dyn Ranks>) -> Result<(), CliError>) -> Result<(), CliError> {
    let remedy = "this build knows no MPI; build it with --features mpi, or start one process";
    refuse_several(launched(environment), remedy)?;
    let ranks: Arc<dyn Ranks> = Arc::new(Solo);
    body(&ranks)
}

#[cfg(feature = "mpi")]
pub use mpi::start;

impl From<RanksError> for CliError {
    fn from(e: RanksError) -> Self {
        Self::Failed(e.to_string())
    }
}

/// Whether this is the rank that writes and speaks.
pub fn is_first(ranks: &dyn Ranks) -> bool {
    ranks.rank() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_what_they_say() {
        let of = |known: &[(&str, &str)]| {
            launched(|name| known.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
        };
        assert_eq!(of(&[("SLURM_NTASKS", "4")]), None, "a batch script, not a task of srun");
        let said = |known: &[(&str, &str)]| of(known).map(|l| (l.count, l.by));
        assert_eq!(said(&[("OMPI_COMM_WORLD_SIZE", "1")]), Some((1, "OMPI_COMM_WORLD_SIZE")));
        let garbled = [("PMI_SIZE", "x"), ("SLURM_STEP_NUM_TASKS", "3")];
        assert_eq!(said(&garbled), Some((3, "SLURM_STEP_NUM_TASKS")));
        let place_by = |known: &[(&str, &str)]| {
            place(|name| known.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
        };
        assert_eq!(place_by(&[]), Ok(None));
        assert!(place_by(&[("PMI_SIZE", "4")]).unwrap_err().contains("PMI_RANK"));
        assert_eq!(place_by(&[("PMI_SIZE", "4"), ("PMI_RANK", "3")]), Ok(Some((3, 4))));
        let srun = [("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_PROCID", "1")];
        for (size, want) in [("1", (1, 4)), ("2", (0, 2))] {
            let mpirun = [("OMPI_COMM_WORLD_SIZE", size), ("OMPI_COMM_WORLD_RANK", "0")];
            assert_eq!(place_by(&[srun, mpirun].concat()), Ok(Some(want)));
        }
        assert!(refuse_several(of(&[("PMI_SIZE", "1")]), "").is_ok());
        let refused = refuse_several(of(&[("PMI_SIZE", "2")]), "start one").unwrap_err();
        assert_eq!(refused, CliError::usage("started as one of 2 processes (PMI_SIZE): start one"));
    }
}
