//! What the tests of the binaries share.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A binary with arguments, away from the user's terminal and data.
pub fn command(binary: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).env_remove("METASTABLE_DATA");
    // Whoever has started the tests.
    for launcher in ["OMPI_COMM_WORLD", "PMI", "MV2_COMM_WORLD"] {
        command.env_remove(format!("{launcher}_SIZE")).env_remove(format!("{launcher}_RANK"));
    }
    command.env_remove("SLURM_STEP_NUM_TASKS").env_remove("SLURM_PROCID");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it printed.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs it to a good end.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    output
}

/// Runs it to exit code 2, and gives its one line on stderr.
pub fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{command:?}: {error}");
    assert!(!error.contains("panicked") && !error.contains("backtrace"), "{command:?}: {error}");
    error
}

/// Exit code 2 and one line on stderr that holds `needle`.
pub fn refused(command: &mut Command, needle: &str) {
    let error = refusal(command);
    assert!(error.contains(needle), "{command:?}: {error}");
}

/// metrics.json without what the clock and the system decide.
pub fn metrics(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    text.lines().filter(|l| !l.contains("seconds") && !l.contains("peak_mib")).map(str::to_string).collect()
}

/// The same figures, and the same bytes in files.
pub fn assert_same_run(a: &Path, b: &Path, files: &[&str]) {
    assert_eq!(metrics(a), metrics(b));
    for name in files {
        assert_eq!(std::fs::read(a.join(name)).unwrap(), std::fs::read(b.join(name)).unwrap(), "{name}");
    }
}
