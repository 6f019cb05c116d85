//! What holds for runs of every binary: a resumed run is the one that was begun, one process has a folder, only our
//! own files are replaced, output may go away, signals save and stop.

mod begun;
mod elsewhere;
mod folders;
mod output;
mod signals;

use std::path::Path;
use std::process::Command;

use crate::binary;

fn sample(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_sample"), args)
}

fn graph(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_graph"), args)
}

fn oversmoothing(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_oversmoothing"), args)
}

/// A training of a mixture in a second.
const TINY: &[&str] = &[
    "--quick",
    "--quiet",
    "--steps",
    "120",
    "--set",
    "train.batch=16",
    "--set",
    "train.draws=10",
    "--set",
    "network.hidden=16",
    "--set",
    "replay.capacity=100",
    "--set",
    "evaluation.sets=1",
    "--set",
    "evaluation.set_size=100",
    "--set",
    "evaluation.reverse_steps=10",
    "--set",
    "evaluation.flow_samples=0",
    "--set",
    "evaluation.weight_samples=10",
    "--set",
    "evaluation.snapshots=4",
];

/// Runs to Ctrl-C after so many steps, epochs or layers.
fn stopped(command: &mut Command, after: u64, out: &Path) {
    let output = command.args(["--stop-after", &after.to_string(), "--out"]).arg(out).output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", binary::stderr(&output));
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Exit code 2 and exactly this line on stderr.
fn refused(command: &mut Command, line: &str) {
    let said = binary::refusal(command);
    assert_eq!(said, format!("error: {line}\n"), "{command:?}");
}
