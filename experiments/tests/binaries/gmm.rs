//! The binary `gmm` as a user meets it: interruptions, threads, bad input.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::binary::{self, metrics, stderr};

fn gmm(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_gmm"), args)
}

fn run(args: &[&str]) {
    binary::succeed(&mut gmm(args));
}

/// Runs to the end and gives the folder back.
fn succeed(args: &[&str], out: &Path) -> PathBuf {
    run(&[args, &["--out", out.to_str().unwrap()]].concat());
    out.to_path_buf()
}

fn refused(args: &[&str], needle: &str) {
    binary::refused(&mut gmm(args), needle);
}

const SMALL: &[&str] = &[
    "--quick",
    "--quiet",
    "--steps",
    "160",
    "--set",
    "train.batch=64",
    "--set",
    "evaluation.snapshots=16",
    "--seed",
    "5",
];

fn assert_same_run(a: &Path, b: &Path) {
    binary::assert_same_run(a, b, &["samples.npy", "checkpoint.safetensors", "history.csv", "weights.csv"]);
}

/// Starts a run that saves at every row, and waits for its first checkpoint.
fn start_and_wait_for_checkpoint(out: &Path, steps: &str) -> Child {
    let tail = ["--save-every", "0", "--out", out.to_str().unwrap(), "--steps", steps];
    let args: Vec<&str> =
        SMALL.iter().filter(|a| !["--steps", "160"].contains(a)).chain(&tail).copied().collect();
    binary::start_and_wait_for(&out.join("checkpoint.safetensors"), 60, &mut gmm(&args))
}

#[test]
fn a_run_killed_and_resumed_equals_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = succeed(SMALL, &dir.path().join("whole"));
    let broken = dir.path().join("broken");
    let mut child = start_and_wait_for_checkpoint(&broken, "160");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!broken.join("DONE").exists(), "the run ended before it could be killed");
    run(&["--quiet", "--resume", broken.to_str().unwrap()]);
    assert_same_run(&whole, &broken);
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let one = succeed(&[SMALL, &["--threads", "1"]].concat(), &dir.path().join("one"));
    let two = succeed(&[SMALL, &["--threads", "2"]].concat(), &dir.path().join("two"));
    assert_same_run(&one, &two);
}

#[test]
fn a_run_over_several_seeds_goes_on_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    // Four runs and two measurements: short ones.
    let short = ["reverse_steps=20", "flow_steps=10", "flow_samples=50", "nll_samples=50", "set_size=100"];
    let short: Vec<String> = short.iter().map(|s| format!("evaluation.{s}")).collect();
    let short = short.iter().flat_map(|s| ["--set", s.as_str()]);
    let two: Vec<&str> = SMALL.iter().copied().chain(["--seeds", "2"]).chain(short).collect();
    let whole = succeed(&two, &dir.path().join("whole"));
    let broken = dir.path().join("broken");
    let args = [&two[..], &["--save-every", "0", "--out", broken.to_str().unwrap()]].concat();
    let first = broken.join("seed5/checkpoint.safetensors");
    let mut child = binary::start_and_wait_for(&first, 60, &mut gmm(&args));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!broken.join("metrics.json").exists(), "the run ended before it could be killed");
    run(&["--quiet", "--resume", broken.to_str().unwrap()]);
    assert_eq!(metrics(&whole), metrics(&broken));
    for seed in ["seed5", "seed6"] {
        assert_same_run(&whole.join(seed), &broken.join(seed));
    }
    let before = metrics(&whole);
    run(&["--quiet", "--eval-only", whole.to_str().unwrap()]);
    assert_eq!(metrics(&whole), before);
}

#[test]
fn a_target_named_in_a_file_brings_its_scales() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "[target]\nname = \"gmm-d\"\ndim = 3\nspread = 6\n").unwrap();
    let args =
        ["--quick", "--quiet", "--steps", "1", "--set", "train.batch=8", "--set", "replay.capacity=50"];
    let file = ["--config", file.to_str().unwrap()];
    let out = succeed(&[&args[..], &file].concat(), &dir.path().join("run"));
    let text = std::fs::read_to_string(out.join("config.toml")).unwrap();
    for line in ["dim = 3", "spread = 6.0", "sigma_data = 4.0", "sigma_max = 12.0"] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}: {text}");
    }
    let flags = ["--dim", "4"];
    let out = succeed(&[&args[..], &file, &flags].concat(), &dir.path().join("flag"));
    let text = std::fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(text.lines().any(|l| l.starts_with("dim = 4")), "a flag wins over the file: {text}");
}

#[test]
fn measuring_again_gives_the_same_figures() {
    let dir = tempfile::tempdir().unwrap();
    let folder = succeed(SMALL, &dir.path().join("run"));
    let before = metrics(&folder);
    run(&["--quiet", "--eval-only", folder.to_str().unwrap()]);
    assert_eq!(metrics(&folder), before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_says_how_to_go_on_and_exits_with_130() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let child = start_and_wait_for_checkpoint(&out, "100000");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(stderr(&output).contains("go on with: gmm --resume"));
}

#[test]
fn bad_arguments_are_refused_in_one_line_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    let with = |more: &[&'static str]| [more, &["--out", out]].concat();
    refused(&with(&["--target", "gmm41"]), "did you mean gmm40");
    refused(&with(&["--target", "gmm40", "--dim", "3"]), "gmm-d");
    refused(&with(&["--target", "gmm-d", "--dim", "0"]), "target.dim = 0");
    refused(&with(&["--steps", "-1"]), "invalid value");
    refused(&with(&["--steps", "0"]), "train.steps must be at least 1");
    refused(&with(&["--threads", "0"]), "not in 1..");
    refused(&with(&["--objective", "magic"]), "possible values");
    refused(&with(&["--set", "train.bach=3"]), "did you mean `train.batch`");
    refused(&with(&["--set", "network.sigma_min=nan"]), "finite number");
    refused(&with(&["--set", "train.batch=-5"]), "must not be negative");
    refused(&with(&["--config", "/nonexistent.toml"]), "no such file");
    assert!(!Path::new(out).exists());
}

#[test]
fn a_folder_in_use_and_a_file_in_the_way_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.txt"), "x").unwrap();
    refused(&["--quick", "--out", dir.path().to_str().unwrap()], "--force");
    refused(&["--quick", "--out", dir.path().join("mine.txt").to_str().unwrap()], "a file is in the way");
    refused(&["--resume", dir.path().to_str().unwrap()], "config.toml is missing");
    refused(&["--eval-only", "/nonexistent"], "no such run folder");
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = succeed(SMALL, &dir.path().join("run"));
    let path = folder.join("checkpoint.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let resume = ["--resume", folder.to_str().unwrap()];
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(&resume, "truncated");
    std::fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    refused(&resume, "not a checkpoint of this program");
    std::fs::write(&path, &bytes).unwrap();
    let config = folder.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("hidden = 128", "hidden = 64");
    std::fs::write(&config, text).unwrap();
    refused(&resume, "another configuration");
    std::fs::write(&config, "seed = 0\nnonsense = 1\n").unwrap();
    refused(&resume, "config.toml");
}
