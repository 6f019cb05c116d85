//! The binary `dimension` as a user meets it.

use std::path::Path;
use std::process::Command;

use crate::binary;

fn dimension(args: &[&str]) -> Command {
    let mut command = binary::command(env!("CARGO_BIN_EXE_dimension"), args);
    command.args(["--quiet", "--threads", "1"]);
    command
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let begin = |name: &str, more: &[&str]| {
        let out = at(name);
        let args = ["--quick", "--dims", "2,3,5", "--out", out.to_str().unwrap()];
        dimension(&[&args[..], more].concat())
    };
    binary::succeed(&mut begin("whole", &[]));
    let stopped = begin("parts", &["--stop-after", "2"]).status().unwrap();
    assert_eq!(stopped.code(), Some(130));
    assert!(!at("parts").join("DONE").exists());
    let rows = text(&at("parts").join("dimension.csv"));
    assert!((1..3).contains(&(rows.lines().count() - 1)), "{rows}");
    binary::succeed(&mut dimension(&["--resume", at("parts").to_str().unwrap()]));
    let [whole, parts] = ["whole", "parts"].map(|name| text(&at(name).join("dimension.csv")));
    assert_eq!(whole, parts);
    // Shares, but for log Z of 0 and the k-hat.
    for row in whole.lines().skip(1) {
        let cells: Vec<f64> = row.split(',').map(|v| v.parse().unwrap()).collect();
        let shares = [1, 2, 3, 4, 5, 6, 7, 11].map(|k: usize| cells[k]);
        assert!(shares.iter().all(|s| *s > 0.0 && *s <= 1.0), "{row}");
    }
    assert!(at("parts").join("dimension.png").exists());
}
