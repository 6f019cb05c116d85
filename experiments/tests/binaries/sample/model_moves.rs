//! Parallel tempering with moves by a trained model.

use super::{refused, sample};
use crate::binary::{assert_same_run, stderr};

const TRAINING: &[&str] = &[
    "--target",
    "mw",
    "--method",
    "dds",
    "--quick",
    "--quiet",
    "--steps",
    "60",
    "--samples",
    "200",
    "--set",
    "evaluation.flow_samples=0",
];

/// Parallel tempering, as a test can afford it; its checks may fail.
const CHAINS: &[&str] = &[
    "--method",
    "pt",
    "--quick",
    "--quiet",
    "--samples",
    "200",
    "--set",
    "sampler.warm_up=40",
    "--save-every",
    "0",
];

#[test]
fn a_trained_model_moves_states_and_a_resumed_run_repeats_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let training = at("training");
    ended(&[TRAINING, &["--out", &training]].concat());
    let model = format!("sampler.model={training}");
    let args = [&["--target", "mw", "--set", &model], CHAINS].concat();
    let (whole, broken) = (at("whole"), at("broken"));
    ended(&[&args[..], &["--out", &whole]].concat());
    stopped(&[&args[..], &["--stop-after", "55", "--out", &broken]].concat());
    ended(&["--quiet", "--resume", &broken]);
    assert_same_run(whole.as_ref(), broken.as_ref(), &["samples.npy", "history.csv"]);
    let text = std::fs::read_to_string(dir.path().join("whole/metrics.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let acceptance = found["jump_acceptance"].as_f64().unwrap();
    assert!(acceptance > 0.0 && acceptance <= 1.0, "{acceptance}");
    // A model that is trained on is another one.
    let file = dir.path().join("training/checkpoint.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    refused(&["--resume", &broken], "is not the model that the run began with");
}

#[test]
fn what_has_no_model_of_the_target_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let unfinished = at("unfinished");
    let out = unfinished.display().to_string();
    stopped(&[TRAINING, &["--save-every", "0", "--stop-after", "9", "--out", &out]].concat());
    let model = format!("sampler.model={out}");
    let args = [&["--target", "mw", "--set", &model], CHAINS].concat();
    refused(&args, "is at step 9 of 60; first run: sample --resume");
    refused(&[&args[..], &["--dim", "6"]].concat(), "is of mw, whose settings are not those");
    let nowhere = format!("sampler.model={}", at("nowhere").display());
    refused(&[&["--target", "mw", "--set", &nowhere], CHAINS].concat(), "nowhere");
}

/// Runs to the end; so short a run may fail its checks, which its exit code says.
fn ended(args: &[&str]) {
    let output = sample(args).output().unwrap();
    assert!([Some(0), Some(1)].contains(&output.status.code()), "{}", stderr(&output));
}

fn stopped(args: &[&str]) {
    assert_eq!(sample(args).output().unwrap().status.code(), Some(130));
}
