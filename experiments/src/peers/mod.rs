//! The workloads in other frameworks, in turns with ours: `speed --peers`.

mod files;
mod peak;
mod process;
mod report;
#[cfg(all(test, unix))]
mod tests;
mod turns;

use std::path::{Path, PathBuf};

use crate::run::console;
use crate::run::error::CliError;
use crate::workloads::Workload;
use process::Peer;
use report::Row;

/// Runs the workloads with whatever peers the interpreters have; prints a JSON line for each framework and setting,
/// and a table at the end.
///
/// # Errors
/// An interpreter cannot be started, or stdout not be written to.
pub fn run<'a>(
    workloads: impl Iterator<Item = &'a Workload>,
    interpreters: &[PathBuf],
    threads: usize,
    reps: u32,
) -> Result<(), CliError> {
    interpreters.iter().try_for_each(|python| check(python))?;
    let folder = tempfile::tempdir().map_err(|e| CliError::Failed(format!("no temporary folder: {e}")))?;
    files::write(folder.path()).map_err(|e| CliError::io(folder.path(), &e))?;
    let peak = peak::measure();
    console::print(report::peak_line(peak, threads))?;
    let mut rows = Vec::new();
    for workload in workloads {
        let peers = start(workload, interpreters, threads, folder.path())?;
        let (ours, peers) = turns::take((workload.build)(), peers, reps, |peer, reason| {
            left_out(workload, &peer.name, reason);
        });
        let row = Row { work: workload.name, cost: (workload.cost)(), ours, peers };
        console::print(row.lines(threads, peak))?;
        rows.push(row);
    }
    console::print(report::table(&rows, peak))
}

fn left_out(workload: &Workload, peer: &str, reason: &str) {
    console::note(format_args!("{}: {peer} is left out: {reason}", workload.name));
}

/// An interpreter that cannot be started is a slip, not a missing peer.
fn check(python: &Path) -> Result<(), CliError> {
    let mut command = process::command(python);
    command.arg("--version");
    match process::spawn(&mut command) {
        Ok(mut child) => {
            let _ = child.wait();
            Ok(())
        }
        Err(e) => Err(CliError::usage(format!(
            "--peers {}: cannot be started ({e}); name a Python interpreter",
            python.display()
        ))),
    }
}

/// Starts each peer by the first interpreter that has it, and keeps those that compute the same as we do.
fn start(
    workload: &Workload,
    interpreters: &[PathBuf],
    threads: usize,
    folder: &Path,
) -> Result<Vec<Peer>, CliError> {
    let inputs = folder.join(workload.name);
    let given = (workload.given)();
    std::fs::create_dir_all(&inputs)
        .and_then(|()| given.write(&inputs))
        .map_err(|e| CliError::io(&inputs, &e))?;
    let mut peers = Vec::new();
    for kind in files::KINDS {
        let mut refusal = String::new();
        let started = interpreters.iter().find_map(|python| {
            let mut command = process::command(python);
            command.arg(folder.join(kind.file)).args([kind.variant, workload.name]);
            command.arg(threads.to_string()).arg(&inputs);
            process::limit_threads(&mut command, threads);
            // Read when a peer dies, long after the inputs are gone.
            let errors = folder.join(format!("{}-{}-{}.err", workload.name, kind.framework, kind.variant));
            let started = Peer::start(&mut command, kind, &errors, &given, process::BUILD);
            started.map_err(|reason| refusal = reason).ok()
        });
        match started {
            Some(peer) => peers.push(peer),
            None => left_out(workload, &format!("{} ({})", kind.framework, kind.variant), &refusal),
        }
    }
    let _ = std::fs::remove_dir_all(&inputs);
    Ok(peers)
}
