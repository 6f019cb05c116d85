//! The binary `sample` on particles, as a user meets it: training, references, parallel tempering, bad input.

use std::path::Path;

use super::{refused, run, sample, succeed};
use crate::binary::{self, metrics, stderr};

/// Ends with exit code 130 and one line, as after Ctrl-C.
fn interrupted(args: &[&str]) -> String {
    let output = sample(args).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

const SMALL: &[&str] = &[
    "--target",
    "dw4",
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

const TEMPERED: &[&str] = &[
    "--target",
    "dw4",
    "--method",
    "pt",
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

fn assert_same_run(a: &Path, b: &Path) {
    let files = ["samples.npy", "model.safetensors", "history.csv", "weights.csv"];
    let shown = ["samples.npz", "samples.extxyz", "modes.csv", "distances.svg", "structures.svg"];
    binary::assert_same_run(a, b, &[&files[..], &shown].concat());
}

/// A figure of metrics.json.
fn figure(folder: &Path, name: &str) -> f64 {
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value[name].as_f64().unwrap_or_else(|| panic!("{name}: {text}"))
}

#[test]
fn a_run_writes_what_it_promises_and_any_number_of_threads_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let one = succeed(&[SMALL, &["--threads", "1"]].concat(), &dir.path().join("one"));
    let two = succeed(&[SMALL, &["--threads", "64"]].concat(), &dir.path().join("two"));
    assert_same_run(&one, &two);
    for name in ["energies.png", "distances.png", "structures.png", "training.png", "config.toml", "DONE"] {
        assert!(one.join(name).exists(), "{name}");
    }
    assert!(one.join("report.html").exists());
    let states = std::fs::read_to_string(one.join("samples.extxyz")).unwrap();
    assert_eq!(states.lines().count(), 100 * 6);
    assert!(states.starts_with("4\nProperties=species:S:1:pos:R:3 energy="), "{states}");
    let text = metrics(&one).join("\n");
    for name in ["x_w2", "e_w2", "eq_w2", "d_tv", "x_w2_floor", "eq_w2_floor", "log_z", "ess", "khat"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name}");
    }
    // What the reference cost is told, also where it was found in the cache.
    let cost = figure(&one, "reference_evaluations");
    assert!(cost > 1e6 && figure(&two, "reference_evaluations") == cost, "{cost}");
    assert!(figure(&one, "flow_step_error") >= 0.0);
}

#[test]
fn the_network_of_a_run_is_measured_with_other_settings_in_a_folder_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let trained = succeed(SMALL, &dir.path().join("trained"));
    let path = trained.to_str().unwrap();
    let before = metrics(&trained);
    let again = ["--quiet", "--pretrained", path, "--set", "evaluation.least_variance=true"];
    let out = succeed(&[&again, CACHE].concat(), &dir.path().join("again"));
    assert_eq!(metrics(&trained), before);
    for name in ["e_w2", "d_tv", "energy_mean", "energy_sd"] {
        let [raw, least] =
            [name.to_string(), format!("least_variance_{name}")].map(|name| figure(&out, &name));
        assert!(least.is_finite() && least != raw, "{name}: {least}");
    }
    let states = |name: &str| std::fs::read(out.join(name)).unwrap();
    assert_eq!(states("samples.npy"), std::fs::read(trained.join("samples.npy")).unwrap());
    assert_eq!(states("samples-least-variance.npy").len(), states("samples.npy").len());
    assert_ne!(states("samples-least-variance.npy"), states("samples.npy"));
    assert!(std::fs::read_to_string(out.join("begun.toml")).unwrap().contains("checkpoint.safetensors"));
    // The model is whole: nothing is said of a target that was not reached, and energies are those of its training.
    for name in ["energy_evaluations", "trajectory_ess", "trajectory_log_z"] {
        assert_eq!(figure(&out, name), figure(&trained, name), "{name}");
    }
    refused(&["--pretrained", path, "--out", path, "--force"], "lies in --out");
    let elsewhere = dir.path().join("elsewhere");
    let out = ["--out", elsewhere.to_str().unwrap()];
    let wrong = |args: &[&str], why: &str| refused(&[args, &out[..]].concat(), why);
    wrong(&["--target", "dw4", "--pretrained", path], "has its own; leave it out");
    wrong(&["--pretrained", path, "--set", "seed=3"], "only evaluation.* can be set");
    wrong(&["--pretrained", dir.path().to_str().unwrap()], "begun.toml");
    let measured = dir.path().join("again");
    wrong(&["--pretrained", measured.to_str().unwrap()], "a measurement without a training");
    let chains = ["--method", "hmc", "--set", "evaluation.least_variance=true"];
    wrong(&chains, "hmc has no steps whose variance is chosen");
    assert!(!elsewhere.exists());
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = succeed(SMALL, &dir.path().join("whole"));
    let broken = dir.path().join("broken");
    interrupted(&[SMALL, &["--stop-after", "55", "--out", broken.to_str().unwrap()]].concat());
    assert!(!broken.join("DONE").exists());
    run(&[&["--quiet", "--resume", broken.to_str().unwrap()], CACHE].concat());
    assert_same_run(&whole, &broken);
    let before = metrics(&whole);
    run(&[&["--quiet", "--eval-only", whole.to_str().unwrap()], CACHE].concat());
    assert_eq!(metrics(&whole), before, "measuring again gives the same figures");
}

#[test]
fn every_network_and_form_of_the_weights_runs() {
    let dir = tempfile::tempdir().unwrap();
    let iwsm = ["--method", "iwsm", "--set", "replay.explore=none"];
    succeed(&[SMALL, &iwsm].concat(), &dir.path().join("path"));
    let form = ["--set", "weights.form=marginal", "--set", "train.identity=mixed"];
    let marginal = [&form[..], &["--network", "mlp", "--set", "train.draws=20"]].concat();
    succeed(&[SMALL, &iwsm, &marginal].concat(), &dir.path().join("marginal"));
    // The density of the proposal averaged over rotations and renumberings, for an equivariant network.
    let egnn = ["--network", "egnn", "--set", "network.hidden=8", "--set", "network.layers=1"];
    let symmetric = ["--set", "weights.symmetric=true", "--set", "weights.denominator_samples=50"];
    let draws = [&form[..], &["--set", "train.draws=20", "--steps", "20"]].concat();
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
fn a_target_named_in_a_file_brings_its_preset_and_a_resumed_run_keeps_its_reference() {
    let dir = tempfile::tempdir().unwrap();
    let (file, states) = (dir.path().join("c.toml"), dir.path().join("states.npy"));
    std::fs::write(&file, "[target]\nname = \"lj13\"\n[train]\nsteps = 1\nbatch = 8\n").unwrap();
    lattice(&states);
    let reference = ["--config", file.to_str().unwrap(), "--reference", states.to_str().unwrap()];
    let small =
        ["replay.capacity=16", "replay.first_moves=0", "network.hidden=4", "evaluation.correction_moves=2"];
    let small = small.iter().flat_map(|s| ["--set", *s]);
    let tail = ["--set", "evaluation.flow_samples=0", "--samples", "10", "--quick", "--quiet"];
    let args: Vec<&str> = reference.into_iter().chain(small).chain(tail).collect();
    let out = succeed(&args, &dir.path().join("run"));
    let text = std::fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(text.contains("name = \"lj13\"  # default"), "{text}");
    let core = text.lines().find(|l| l.starts_with("core = ")).unwrap();
    assert!(core.ends_with("# default"), "the softened core is that of lj13: {core}");
    let before = metrics(&out);
    assert!(before.iter().any(|l| l.contains("correction_evaluations")));
    run(&["--quiet", "--resume", out.to_str().unwrap()]);
    assert_eq!(metrics(&out), before, "measured against the same reference");
}

#[test]
fn a_small_tempered_run_passes_its_checks_whatever_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let folder =
        |threads: &str| succeed(&[TEMPERED, &["--threads", threads]].concat(), &dir.path().join(threads));
    let (one, two) = (folder("1"), folder("2"));
    binary::assert_same_run(&one, &two, &["samples.npy", "history.csv", "diagnostics.csv"]);
    let bytes = std::fs::read(one.join("samples.npy")).unwrap();
    let (n, d, x) = experiments::npy::decode(&bytes).unwrap();
    assert_eq!((n, d), (2000, 8));
    assert!(x.chunks(8).all(|x| (x[0] + x[2] + x[4] + x[6]).abs() < 1e-5), "mean-free");
    // Two independent samplers of ours agree on -22.54; the error of 2000 states is about 0.03.
    let energy = figure(&one, "energy_mean");
    assert!((energy + 22.54).abs() < 0.15, "{energy}");
    assert!(["config.toml", "energies.png", "env.json", "DONE"].iter().all(|f| one.join(f).exists()));
}

#[test]
fn a_tempered_run_that_is_too_short_fails_in_one_line_and_leaves_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let short = ["--set", "sampler.warm_up=1", "--set", "sampler.thin=1", "--samples", "100", "--quiet"];
    let target = ["--target", "dw4", "--method", "pt", "--out", out.to_str().unwrap()];
    let output = sample(&[&short[..], &target].concat()).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: the samples cannot be trusted") && said.lines().count() == 1, "{said}");
    assert!(figure(&out, "energy_r_hat") > 1.0);
}

#[test]
fn a_resumed_tempered_run_repeats_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (broken, whole) = (folder("broken"), folder("whole"));
    let small = ["--target", "lj13", "--method", "pt", "--samples", "200", "--quiet"];
    let sets =
        ["sampler.walkers=8", "sampler.thin=5", "sampler.warm_up=80"].into_iter().flat_map(|s| ["--set", s]);
    let args: Vec<&str> = small.into_iter().chain(sets).collect();
    let said = interrupted(&[&args[..], &["--stop-after", "50", "--out", &broken]].concat());
    assert!(said.contains("resume with: sample --resume"), "{said}");
    // Runs this short may fail their checks, which their exit codes say; their states are compared.
    let again = sample(&["--resume", &broken, "--quiet"]).output().unwrap();
    let unbroken = sample(&[&args[..], &["--out", &whole]].concat()).output().unwrap();
    assert_eq!(again.status.code(), unbroken.status.code());
    binary::assert_same_run(
        Path::new(&broken),
        Path::new(&whole),
        &["samples.npy", "history.csv", "diagnostics.csv"],
    );
    std::fs::write(Path::new(&broken).join("checkpoint.safetensors"), "x").unwrap();
    refused(&["--resume", &broken], "start a new run");
}

#[test]
fn bad_arguments_are_refused_in_one_line_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    let with = |more: &[&'static str]| [&["--target", "dw4"], more, &["--out", out]].concat();
    let pt =
        |more: &[&'static str]| [&["--target", "lj13", "--method", "pt"], more, &["--out", out]].concat();
    refused(&["--target", "lj12", "--out", out], "did you mean lj13");
    refused(&with(&["--network", "magic"]), "possible values");
    refused(&with(&["--samples", "1"]), "1 is not in 2..=10000000");
    refused(&with(&["--set", "train.core=-1"]), "train.core = -1");
    refused(
        &with(&["--method", "iwsm", "--set", "weights.form=trajectory", "--set", "train.identity=mixed"]),
        "identity = stored",
    );
    refused(&with(&["--set", "replay.mvoes=3"]), "did you mean `replay.moves`");
    refused(&["--target", "lj13", "--set", "weights.symmetric=true", "--out", out], "at most 5 particles");
    refused(&with(&["--pretrained", "--set", "train.steps=3"]), "only evaluation.* can be set");
    refused(&pt(&["--samples", "-3"]), "invalid value");
    refused(&pt(&["--set", "sampler.rungs=1"]), "sampler.rungs = 1");
    refused(&pt(&["--set", "sampler.walkers=7"]), "must be even");
    refused(&pt(&["--set", "sampler.scale=0"]), "sampler.scale = 0");
    refused(&pt(&["--set", "sampler.rung=9"]), "did you mean `sampler.rungs`");
    refused(&pt(&["--save-every", "-3"]), "--save-every");
    refused(&["--resume", out, "--samples", "5"], "cannot be used with");
    refused(&["--target", "gmm40", "--pretrained", "--out", out], "there are dw4, lj13, lj55");
    assert!(!Path::new(out).exists());
    refused(&with(&["--quick", "--reference", "/nonexistent.npy"]), "no such file");
    let cache = dir.path().join("file");
    std::fs::write(&cache, "mine").unwrap();
    let folder = ["--target", "dw4", "--quick", "--reference-cache", cache.to_str().unwrap(), "--out", out];
    refused(&folder, "not a folder");
    assert!(!Path::new(out).exists());
    refused(&["--resume", "/nonexistent"], "no such run folder");
}
