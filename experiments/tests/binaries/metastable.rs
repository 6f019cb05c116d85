//! The program that has all others as its sub-commands.

use std::path::Path;
use std::process::Command;

use crate::binary::{command, refusal, stderr, stdout, succeed};

fn metastable(args: &[&str]) -> Command {
    command(env!("CARGO_BIN_EXE_metastable"), args)
}

/// Commands of `text` that begin with the plain program.
fn plain<'a>(text: &'a str, program: &str) -> Vec<&'a str> {
    let line = format!("  {program} ");
    text.lines().filter(|l| l.starts_with(&line)).collect()
}

#[test]
fn help_and_version_are_those_of_the_whole() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stdout(&succeed(&mut metastable(&["--version"]))), format!("metastable {version}\n"));
    let of_a_part = stdout(&succeed(&mut metastable(&["sample", "--version"])));
    assert_eq!(of_a_part, format!("metastable sample {version}\n"));
    let help = stdout(&succeed(&mut metastable(&["--help"])));
    for name in ["sample", "graph", "dimension", "oversmoothing", "data", "compare", "speed"] {
        assert_eq!(plain(&help, name).len(), 1, "{help}");
        let part = stdout(&succeed(&mut metastable(&[name, "--help"])));
        assert!(part.contains(&format!("Usage: metastable {name} ")), "{part}");
        assert_eq!(plain(&part, name), Vec::<&str>::new(), "examples are typed otherwise");
    }
    let alone = stdout(&succeed(&mut command(env!("CARGO_BIN_EXE_sample"), &["--help"])));
    let part = stdout(&succeed(&mut metastable(&["sample", "--help"])));
    assert_eq!(part.replace("metastable sample", "sample"), alone);
}

#[test]
fn advice_and_the_recorded_command_are_as_typed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let at = out.to_str().unwrap();
    let new = ["graph", "--data", "karate", "--set", "train.epochs=30", "--no-ablation", "--quiet"];
    let stopped = metastable(&new).args(["--stop-after", "1", "--out", at]).output().unwrap();
    assert_eq!(stopped.status.code(), Some(130));
    let advice = format!("resume with: metastable graph --resume {at}");
    assert!(stderr(&stopped).trim_end().ends_with(&advice), "{}", stderr(&stopped));
    let environment = std::fs::read_to_string(out.join("env.json")).unwrap();
    let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
    assert_eq!(environment["command"][1], "graph");
    // A plain program and the whole are one: each resumes what the other began.
    succeed(&mut command(env!("CARGO_BIN_EXE_graph"), &["--resume", at, "--quiet"]));
    assert!(out.join("metrics.json").is_file());
}

#[test]
fn a_remedy_is_a_command_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edges.csv");
    std::fs::write(&file, "0,1\n").unwrap();
    let refused = |command: &mut Command| refusal(command.current_dir(dir.path()));
    let said = refused(&mut metastable(&["graph", "--data", "edges.csv"]));
    assert!(said.contains("import it by `metastable data import csv`"), "{said}");
    let said = refused(&mut command(env!("CARGO_BIN_EXE_graph"), &["--data", "edges.csv"]));
    assert!(said.contains("import it by `data import csv`"), "{said}");
    assert!(!Path::new(&dir.path().join("results")).exists());
}
