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
    // A finished run is measured again without its model.
    let moved = dir.path().join("moved");
    std::fs::rename(dir.path().join("training"), &moved).unwrap();
    ended(&["--quiet", "--eval-only", &whole]);
    std::fs::rename(&moved, dir.path().join("training")).unwrap();
    let unfinished = at("unfinished");
    stopped(&[&args[..], &["--stop-after", "30", "--out", &unfinished]].concat());
    // A model that is trained on is another one.
    let file = dir.path().join("training/checkpoint.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    refused(&["--resume", &unfinished], "is not the model that the run began with");
}

#[test]
fn what_has_no_model_of_the_target_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (out, training) = (at("never"), at("training"));
    stopped(&[TRAINING, &["--save-every", "0", "--stop-after", "9", "--out", &training]].concat());
    let with = |model: &str, more: &[&str], said: &str| {
        let model = format!("sampler.model={model}");
        let args = [CHAINS, more, &["--set", &model]].concat();
        let args = if more.contains(&"--out") { args } else { [&args[..], &["--out", &out]].concat() };
        refused(&args, said);
        assert!(!dir.path().join("never").exists(), "{said}");
    };
    let mw: &[&str] = &["--target", "mw"];
    with(&training, mw, "is not finished; first run: sample --resume");
    with(&training, &["--target", "mw", "--seeds", "2"], "is not finished; first run: sample --resume");
    with(&training, &["--target", "mw", "--dim", "6"], "is of mw, whose settings are not those");
    with(&at("nowhere"), mw, "sampler.model = ");
    with(&training, &["--target", "mw", "--out", &training, "--force"], "lies in --out");
    let (chains, seeds) = (at("chains"), at("seeds"));
    ended(&[mw, CHAINS, &["--out", &chains]].concat());
    with(&chains, mw, "pt has no model; name a training");
    ended(&[TRAINING, &["--seeds", "2", "--out", &seeds]].concat());
    with(&seeds, mw, "name the folder of one seed");
    std::fs::create_dir(at("empty")).unwrap();
    with(&at("empty"), mw, "sampler.model = ");
}

/// Runs to the end; so short a run may fail its checks, which its exit code says.
fn ended(args: &[&str]) {
    let output = sample(args).output().unwrap();
    assert!([Some(0), Some(1)].contains(&output.status.code()), "{}", stderr(&output));
}

fn stopped(args: &[&str]) {
    assert_eq!(sample(args).output().unwrap().status.code(), Some(130));
}
