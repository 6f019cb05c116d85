//! The binary `particles` as a user meets it: interruptions, threads, bad input.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::binary::{self, metrics};

fn particles(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_particles"), args)
}

fn run(args: &[&str]) {
    binary::succeed(&mut particles(args));
}

/// Runs to the end and gives the folder back.
fn succeed(args: &[&str], out: &Path) -> PathBuf {
    run(&[args, &["--out", out.to_str().unwrap()]].concat());
    out.to_path_buf()
}

fn refused(args: &[&str], needle: &str) {
    binary::refused(&mut particles(args), needle);
}

const SMALL: &[&str] = &[
    "--quick",
    "--quiet",
    "--steps",
    "120",
    "--set",
    "train.batch=64",
    "--set",
    "replay.capacity=500",
    "--set",
    "replay.first_moves=20",
    "--set",
    "evaluation.snapshots=12",
    "--set",
    "evaluation.flow_samples=20",
    "--samples",
    "100",
    "--reference-cache",
    concat!(env!("CARGO_TARGET_TMPDIR"), "/reference-cache"),
    "--seed",
    "5",
];

const CACHE: &[&str] = &["--reference-cache", concat!(env!("CARGO_TARGET_TMPDIR"), "/reference-cache")];

fn assert_same_run(a: &Path, b: &Path) {
    binary::assert_same_run(
        a,
        b,
        &["samples.npy", "checkpoint.safetensors", "model.safetensors", "history.csv", "weights.csv"],
    );
}

/// Starts a run that saves at every row, and waits for its first checkpoint.
fn start_and_wait_for_checkpoint(out: &Path, steps: &str) -> Child {
    let tail = ["--save-every", "0", "--out", out.to_str().unwrap(), "--steps", steps];
    let args: Vec<&str> =
        SMALL.iter().filter(|a| !["--steps", "120"].contains(a)).chain(&tail).copied().collect();
    binary::start_and_wait_for(&out.join("checkpoint.safetensors"), 120, &mut particles(&args))
}

#[test]
fn a_run_writes_what_it_promises_and_one_and_two_threads_give_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let one = succeed(&[SMALL, &["--threads", "1"]].concat(), &dir.path().join("one"));
    let two = succeed(&[SMALL, &["--threads", "2"]].concat(), &dir.path().join("two"));
    assert_same_run(&one, &two);
    for name in ["energies.png", "distances.png", "structures.png", "training.png", "config.toml", "DONE"] {
        assert!(one.join(name).exists(), "{name}");
    }
    let text = metrics(&one).join("\n");
    for name in ["x_w2", "e_w2", "eq_w2", "d_tv", "x_w2_floor", "eq_w2_floor", "log_z", "ess", "khat"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn a_run_killed_and_resumed_equals_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = succeed(SMALL, &dir.path().join("whole"));
    let broken = dir.path().join("broken");
    let mut child = start_and_wait_for_checkpoint(&broken, "120");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!broken.join("DONE").exists(), "the run ended before it could be killed");
    run(&[&["--quiet", "--resume", broken.to_str().unwrap()], CACHE].concat());
    assert_same_run(&whole, &broken);
    let before = metrics(&whole);
    run(&[&["--quiet", "--eval-only", whole.to_str().unwrap()], CACHE].concat());
    assert_eq!(metrics(&whole), before, "measuring again gives the same figures");
}

#[test]
fn every_network_and_form_of_the_weights_runs() {
    let dir = tempfile::tempdir().unwrap();
    let iwsm = ["--objective", "iwsm"];
    succeed(&[SMALL, &iwsm, &["--set", "weights.form=trajectory"]].concat(), &dir.path().join("path"));
    let marginal = ["--network", "mlp", "--set", "train.identity=mixed", "--set", "train.draws=20"];
    succeed(&[SMALL, &iwsm, &marginal].concat(), &dir.path().join("marginal"));
    // The density of the proposal averaged over rotations and renumberings, for an equivariant network.
    let egnn = ["--network", "egnn", "--set", "network.hidden=8", "--set", "network.layers=1"];
    let symmetric = ["--set", "weights.symmetric=true", "--set", "weights.denominator_samples=50"];
    let draws = ["--set", "train.identity=mixed", "--set", "train.draws=20", "--steps", "20"];
    let few: Vec<&str> = SMALL.iter().filter(|a| !["--steps", "120"].contains(a)).copied().collect();
    succeed(&[&few, &iwsm[..], &egnn, &symmetric, &draws].concat(), &dir.path().join("symmetric"));
}

/// 300 states of 13 particles on a jittered lattice.
fn lattice(path: &Path) {
    let mut stream = engine::rng::Stream::new(0, "lattice", 0, 0);
    let site = |a: usize| (a / 3 / 3usize.pow((a % 3) as u32) % 3) as f32;
    let x: Vec<f32> = (0..300 * 39).map(|at| 1.1 * site(at % 39) + 0.05 * stream.uniform() as f32).collect();
    std::fs::write(path, experiments::npy::encode(39, &x)).unwrap();
}

#[test]
fn a_target_named_in_a_file_brings_its_preset_and_a_run_that_goes_on_keeps_its_reference() {
    let dir = tempfile::tempdir().unwrap();
    let (file, states) = (dir.path().join("c.toml"), dir.path().join("states.npy"));
    std::fs::write(&file, "target = \"lj13\"\n[train]\nsteps = 1\nbatch = 8\n").unwrap();
    lattice(&states);
    let reference = ["--config", file.to_str().unwrap(), "--reference", states.to_str().unwrap()];
    let small =
        ["replay.capacity=16", "replay.first_moves=0", "network.hidden=4", "evaluation.correction_moves=2"];
    let small = small.iter().flat_map(|s| ["--set", *s]);
    let tail = ["--set", "evaluation.flow_samples=0", "--samples", "10", "--quick", "--quiet"];
    let args: Vec<&str> = reference.into_iter().chain(small).chain(tail).collect();
    let out = succeed(&args, &dir.path().join("run"));
    let text = std::fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(text.contains("target = \"lj13\"  # default"), "{text}");
    let core = text.lines().find(|l| l.starts_with("core = ")).unwrap();
    assert!(core.ends_with("# default"), "the softened core is that of lj13: {core}");
    let before = metrics(&out);
    assert!(before.iter().any(|l| l.contains("correction_evaluations")));
    run(&["--quiet", "--resume", out.to_str().unwrap()]);
    assert_eq!(metrics(&out), before, "measured against the same reference");
}

#[test]
fn bad_arguments_are_refused_in_one_line_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    let with = |more: &[&'static str]| [more, &["--out", out]].concat();
    refused(&with(&["--target", "lj12"]), "did you mean lj13");
    refused(&with(&["--network", "magic"]), "possible values");
    refused(&with(&["--samples", "1"]), "evaluation.set_size = 1");
    refused(&with(&["--set", "train.core=-1"]), "train.core = -1");
    refused(
        &with(&["--set", "weights.form=trajectory", "--set", "train.identity=mixed"]),
        "identity = stored",
    );
    refused(&with(&["--set", "replay.mvoes=3"]), "did you mean `replay.moves`");
    refused(&with(&["--target", "lj13", "--set", "weights.symmetric=true"]), "lj13 is too large");
    refused(&with(&["--pretrained", "--set", "train.steps=3"]), "only evaluation.* can be set");
    // Far from the project there is no shipped network.
    let alone = dir.path().join("particles");
    std::fs::copy(env!("CARGO_BIN_EXE_particles"), &alone).unwrap();
    let mut command = Command::new(alone);
    command.current_dir(dir.path()).args(["--target", "lj55", "--pretrained", "--out", out]);
    binary::refused(&mut command, "no trained network for lj55");
    assert!(!Path::new(out).exists());
    refused(&["--quick", "--reference", "/nonexistent.npy", "--out", out], "no such file");
    let cache = dir.path().join("particles");
    refused(&["--quick", "--reference-cache", cache.to_str().unwrap(), "--out", out], "not a folder");
    assert!(!Path::new(out).exists());
    refused(&["--resume", "/nonexistent"], "no such run folder");
}
