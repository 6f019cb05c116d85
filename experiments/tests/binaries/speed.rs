//! `speed --peers` with interpreters that are shell scripts.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use crate::binary::{command, stderr, stdout, succeed};

#[test]
fn peers_that_are_none_are_left_out_with_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let python = dir.path().join("python");
    // Called as `python FILE VARIANT WORK THREADS FOLDER`.
    let script = r#"#!/bin/sh
case "$2" in
    eager) test -s "$5/x.npy" && test "$OMP_NUM_THREADS" = "$4" && echo "none it is $3 on $4" ;;
    jit) echo 'ready {"name": "x", "results": {"loss": [1, 2, 3, 4]}}' ;;
    omp) echo "no compiler" >&2; exit 1 ;;
    *) test -s "$1" && echo "none it has no $2" ;;
esac
"#;
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["--only", "mlp", "--reps", "5", "--threads", "2", "--peers", python.to_str().unwrap()];
    let output = succeed(&mut command(env!("CARGO_BIN_EXE_speed"), &args));
    let notes = stderr(&output);
    for note in [
        "mlp: PyTorch (eager) is left out: it is mlp on 2",
        "mlp: PyTorch (compiled) is left out: it has no compiled",
        "mlp: JAX (jit) is left out: it computes something else: results differ by",
        "mlp: C (omp) is left out: it ended (no compiler)",
    ] {
        assert!(notes.contains(note), "{notes}");
    }
    let text = stdout(&output);
    let lines: Vec<serde_json::Value> =
        text.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!((&lines[0]["work"], &lines[1]["work"]), (&"peak".into(), &"mlp".into()));
    assert!(lines[0]["gflops"].as_f64().unwrap() > 0.0 && lines[1]["median_ms"].as_f64().unwrap() > 0.0);
    assert!(lines[1]["ratio"].is_null(), "{text}");
    assert!(text.contains("\nms   metastable  best peer  ratio"), "{text}");
}
