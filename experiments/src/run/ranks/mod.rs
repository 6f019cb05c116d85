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

/// What launchers tell each process of their number.
const LAUNCHERS: [&str; 4] =
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"];

/// The number of processes by what a launcher says, with the name of the variable; none without a launcher.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<(usize, &'static str)> {
    let number = |name: &&'static str| Some((variable(name)?.trim().parse().ok()?, *name));
    LAUNCHERS.iter().filter_map(number).max_by_key(|(count, _)| *count)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An error if this is one of several processes of a launcher; `remedy` says what to do.
fn refuse_several(found: Option<(usize, &'static str)>, remedy: &str) -> Result<(), CliError> {
    match found {
        Some((count, name)) if count > 1 => {
            Err(CliError::usage(format!("started as one of {count} processes ({name}): {remedy}")))
        }
        _ => Ok(()),
    }
}

/// For programs that run as one process.
///
/// # Errors
/// A launcher has started several.
pub fn alone() -> Result<(), CliError> {
    refuse_several(
        launched(environment),
        "this program runs as one; start it without mpirun or srun, or with one task",
    )
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
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "1")]), Some((1, "OMPI_COMM_WORLD_SIZE")));
        assert_eq!(
            of(&[("PMI_SIZE", "x"), ("SLURM_STEP_NUM_TASKS", "3")]),
            Some((3, "SLURM_STEP_NUM_TASKS"))
        );
        assert!(refuse_several(of(&[("PMI_SIZE", "1")]), "").is_ok());
        let refused = refuse_several(of(&[("PMI_SIZE", "2")]), "start one").unwrap_err();
        assert_eq!(refused, CliError::usage("started as one of 2 processes (PMI_SIZE): start one"));
    }
}
