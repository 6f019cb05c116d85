//! The binary `reference` as a user meets it.

use std::path::Path;
use std::process::{Command, Output};

use crate::binary::{self, stderr};

fn reference(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_reference"), args)
}

fn run(args: &[&str]) -> Output {
    reference(args).output().unwrap()
}

fn refused(args: &[&str], needle: &str) {
    binary::refused(&mut reference(args), needle);
}

const SMALL: &[&str] = &[
    "--quiet",
    "--samples",
    "2000",
    "--seed",
    "7",
    "--set",
    "sampler.warm_up=800",
    "--set",
    "sampler.thin=40",
];

/// summary.json without what the clock decides.
fn summary(folder: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("summary.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value.as_object_mut().unwrap().remove("seconds");
    value
}

#[test]
fn a_small_run_passes_its_checks_whatever_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |threads: &str| {
        let out = dir.path().join(threads);
        let args = [SMALL, &["--threads", threads, "--out", out.to_str().unwrap()]].concat();
        binary::succeed(&mut reference(&args));
        out
    };
    let (one, two) = (folder("1"), folder("2"));
    assert_eq!(summary(&one), summary(&two));
    let bytes = std::fs::read(one.join("samples.npy")).unwrap();
    assert_eq!(bytes, std::fs::read(two.join("samples.npy")).unwrap());
    let (n, d, x) = experiments::npy::decode(&bytes).unwrap();
    assert_eq!((n, d), (2000, 8));
    assert!(x.chunks(8).all(|x| (x[0] + x[2] + x[4] + x[6]).abs() < 1e-5), "mean-free");
    let s = summary(&one);
    assert_eq!(s["passed"], true);
    let energy = s["energy"]["mean"].as_f64().unwrap();
    // Two independent samplers of ours agree on -22.54; the error of 2000 states is about 0.03.
    assert!((energy + 22.54).abs() < 0.15, "{energy}");
    assert!(["config.toml", "energies.png", "env.json", "DONE"].iter().all(|f| one.join(f).exists()));
}

#[test]
fn a_run_that_is_too_short_fails_in_one_line_and_leaves_its_summary() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let short = ["--set", "sampler.warm_up=1", "--set", "sampler.thin=1", "--samples", "100", "--quiet"];
    let output = run(&[&short[..], &["--out", out.to_str().unwrap()]].concat());
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error: the samples cannot be trusted") && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert_eq!(summary(&out)["passed"], false);
}

#[cfg(unix)]
#[test]
fn after_ctrl_c_a_run_goes_on_and_repeats_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (broken, whole) = (folder("broken"), folder("whole"));
    let args = |out| {
        [SMALL, &["--target", "lj13", "--set", "sampler.walkers=8", "--set", "sampler.thin=5", "--out", out]]
            .concat()
    };
    // Saved after every sweep, so that there is a state to stop at.
    let mut command = reference(&[&args(&broken)[..], &["--save-every", "0"]].concat());
    let child =
        binary::start_and_wait_for(&Path::new(&broken).join("checkpoint.safetensors"), 120, &mut command);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("go on with: reference --resume") && stderr.lines().count() == 1, "{stderr}");
    let mut names: Vec<_> =
        std::fs::read_dir(&broken).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["checkpoint.safetensors", "config.toml", "env.json"]);
    // Runs this short may fail their checks, which their exit codes say; their states are compared.
    let again = run(&["--resume", &broken, "--quiet"]);
    assert_eq!(again.status.code(), run(&args(&whole)).status.code());
    let bytes = |folder: &str| std::fs::read(Path::new(folder).join("samples.npy")).unwrap();
    assert_eq!(bytes(&broken), bytes(&whole));
    assert_eq!(summary(Path::new(&broken)), summary(Path::new(&whole)));
    // It is finished now, and a damaged state is named.
    refused(&["--resume", &broken], "checkpoint.safetensors is missing");
    std::fs::write(Path::new(&broken).join("checkpoint.safetensors"), "x").unwrap();
    refused(&["--resume", &broken], "remove it to start again");
}

#[test]
fn bad_arguments_are_refused_in_one_line_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    let with = |more: &[&'static str]| [more, &["--out", out]].concat();
    refused(&with(&["--target", "lj14"]), "did you mean lj13");
    refused(&with(&["--samples", "0"]), "samples = 0");
    refused(&with(&["--samples", "-3"]), "invalid value");
    refused(&with(&["--set", "sampler.rungs=1"]), "sampler.rungs = 1");
    refused(&with(&["--set", "sampler.walkers=7"]), "must be even");
    refused(&with(&["--set", "sampler.scale=0"]), "sampler.scale = 0");
    refused(&with(&["--set", "sampler.rung=9"]), "did you mean `sampler.rungs`");
    refused(&with(&["--config", "/nonexistent.toml"]), "no such file");
    refused(&with(&["--save-every", "-3"]), "--save-every");
    refused(&["--resume", out, "--samples", "5"], "cannot be used with");
    refused(&["--resume", out], "no such run folder");
    assert!(!Path::new(out).exists());
    std::fs::write(dir.path().join("mine.txt"), "x").unwrap();
    refused(&["--out", dir.path().to_str().unwrap()], "--force");
}
