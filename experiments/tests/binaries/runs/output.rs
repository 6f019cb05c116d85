//! Output that goes away does not end or falsify a run.

use std::fs::File;
use std::process::Stdio;

use super::{TINY, sample};
use crate::binary;

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A device on which there is never any space.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_goes_on_when_nobody_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let loud: Vec<&str> = TINY.iter().copied().filter(|arg| *arg != "--quiet").collect();
    for (name, sink) in [("closed", closed as fn() -> Stdio), ("full", full)] {
        let out = dir.path().join(name);
        let status = sample(&loud).arg("--out").arg(&out).stdout(sink()).stderr(sink()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(out.join("DONE").exists() && out.join("metrics.json").exists(), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_exit_code_tells_the_truth_when_nobody_reads_it() {
    for sink in [closed as fn() -> Stdio, full] {
        let code = |args: &[&str]| sample(args).stdout(sink()).stderr(sink()).status().unwrap().code();
        assert_eq!(code(&["--target", "gmm41"]), Some(2));
        assert_eq!(code(&["--no-such-flag"]), Some(2));
    }
    // A list is for reading: one that cannot be written is a failure, one that nobody wants to the end is none.
    let list = |sink: Stdio| sample(&["--target", "list"]).stdout(sink).output().unwrap();
    assert_eq!(list(closed()).status.code(), Some(0));
    let output = list(full());
    assert_eq!(output.status.code(), Some(1));
    assert!(binary::stderr(&output).starts_with("error: stdout cannot be written to: No space left"));
}
