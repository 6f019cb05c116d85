//! The binary `sample` on mixtures, as a user meets it: interruptions, threads, bad input.

use std::path::Path;

use experiments::datasets::npz::Npz;

use super::{refused, run, sample, succeed};
use crate::binary::{self, metrics, stderr, stdout};

/// Runs `args` up to a step, as if Ctrl-C had been pressed there, with a checkpoint after each step.
fn stop_after(steps: &str, args: &[&str], out: &Path) -> String {
    let tail = ["--save-every", "0", "--stop-after", steps, "--out", out.to_str().unwrap()];
    let output = sample(&[args, &tail].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    stderr(&output)
}

/// What makes measuring short.
const MEASURED: &[&str] = &[
    "--set",
    "evaluation.reverse_steps=20",
    "--set",
    "evaluation.set_size=200",
    "--set",
    "evaluation.floor_pairs=2",
    "--set",
    "evaluation.audit=64",
    "--set",
    "evaluation.modes=100",
];

const TRAINED: &[&str] = &[
    "--quick",
    "--quiet",
    "--steps",
    "160",
    "--set",
    "train.batch=64",
    "--set",
    "network.hidden=16",
    "--set",
    "evaluation.snapshots=16",
    "--seed",
    "5",
];

fn small() -> Vec<&'static str> {
    [TRAINED, MEASURED].concat()
}

fn assert_same_run(a: &Path, b: &Path) {
    let files = ["samples.npy", "history.csv", "weights.csv", "model.safetensors"];
    let shown = ["samples.npz", "modes.csv", "samples.png", "samples.svg", "energies.svg", "training.svg"];
    binary::assert_same_run(a, b, &[&files[..], &shown].concat());
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = succeed(&small(), &dir.path().join("whole"));
    let broken = dir.path().join("broken");
    let said = stop_after("75", &small(), &broken);
    assert!(
        said.contains("stopped at step 75 of 160") && said.contains("resume with: sample --resume"),
        "{said}"
    );
    // A run that was killed may have written rows beyond its checkpoint: they are redone.
    let history = broken.join("history.csv");
    let text = std::fs::read_to_string(&history).unwrap();
    let last = text.lines().last().unwrap();
    let ahead = last.replacen("70,", "80,", 1);
    assert_ne!(last, ahead);
    std::fs::write(&history, format!("{text}{ahead}\n")).unwrap();
    run(&["--quiet", "--resume", broken.to_str().unwrap()]);
    assert_same_run(&whole, &broken);
    // Measuring once more gives the same figures, and the report again.
    let before = metrics(&whole);
    std::fs::remove_file(whole.join("report.html")).unwrap();
    run(&["--quiet", "--eval-only", whole.to_str().unwrap()]);
    assert_eq!(metrics(&whole), before);
    let report = std::fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(report.contains("<svg ") && report.contains("What may be believed"));
    assert!(!report.contains(dir.path().to_str().unwrap()), "a folder of this machine");
}

#[test]
fn modes_and_their_weights_are_found_or_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let wells = ["--target", "two-wells", "--dim", "4", "--method", "smc", "--quick", "--quiet"];
    let out = dir.path().join("run");
    let run = |more: &[&str]| {
        let output = sample(&[&wells, more, &["--out", out.to_str().unwrap()]].concat()).output().unwrap();
        // So short a run may fail its checks, which its exit code says.
        assert!([Some(0), Some(1)].contains(&output.status.code()), "{}", stderr(&output));
        let text = std::fs::read_to_string(out.join("metrics.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let found = run(&["--set", "evaluation.modes=300"]);
    let modes = &found["modes"];
    assert_eq!((modes["found"].as_u64(), found["basins"].as_f64()), (Some(2), Some(2.0)), "{modes}");
    assert_eq!(modes["descents"].as_u64(), Some(300));
    let weight = |k: usize| modes["list"][k]["weight"].as_f64().unwrap();
    assert!((weight(0) + weight(1) - 1.0).abs() < 1e-9 && weight(0) > 0.6, "{modes}");
    let known = (0.875_f64 / 0.125).ln();
    assert!((modes["list"][1]["free_energy"].as_f64().unwrap() - known).abs() < 1.0, "{modes}");
    let table = std::fs::read_to_string(out.join("modes.csv")).unwrap();
    assert!(table.starts_with("mode,weight,weight_se,") && table.lines().count() == 3, "{table}");
    assert!(table.lines().next().unwrap().ends_with(",x3,sd0,sd1,sd2,sd3"), "{table}");
    let without = run(&["--set", "evaluation.modes=0", "--force"]);
    assert_eq!(without["modes"]["skipped"].as_str(), Some("evaluation.modes = 0"));
    assert!(!out.join("modes.csv").exists() && without["basins"].is_null());
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let run =
        |threads: &str| succeed(&[&small()[..], &["--threads", threads]].concat(), &dir.path().join(threads));
    let one = run("1");
    for threads in ["2", "128"] {
        assert_same_run(&one, &run(threads));
    }
}

#[test]
fn a_run_over_several_seeds_is_resumed_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    // Four runs and two measurements: short ones.
    let short = ["reverse_steps=20", "flow_steps=10", "flow_samples=50", "nll_samples=50", "set_size=100"];
    let short: Vec<String> = short.iter().map(|s| format!("evaluation.{s}")).collect();
    let short = short.iter().flat_map(|s| ["--set", s.as_str()]);
    let two: Vec<&str> = small().into_iter().chain(["--seeds", "2"]).chain(short).collect();
    let whole = succeed(&two, &dir.path().join("whole"));
    let broken = dir.path().join("broken");
    assert!(stop_after("30", &two, &broken).contains("stopped at seed 5"));
    assert!(!broken.join("metrics.json").exists());
    let said = std::fs::read_to_string(whole.join("metrics.json")).unwrap();
    assert!(said.contains("\"seeds_agree\"") && said.contains("log_z of "), "{said}");
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
        ["--quick", "--quiet", "--steps", "1", "--set", "train.batch=8", "--set", "replay.capacity=100"];
    let args = [&args[..], MEASURED].concat();
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
fn targets_are_listed() {
    let text = stdout(&binary::succeed(&mut sample(&["--target", "list"])));
    let has = |begin: &str, parts: &[&str]| {
        let fits = |l: &str| l.starts_with(begin) && parts.iter().all(|part| l.contains(part));
        assert!(text.lines().any(fits), "{begin} {parts:?}: {text}");
    };
    has("gmm-d ", &["  10  ", "dim, spread, seed"]);
    has("lj13 ", &["  39  ", "59.86"]);
    has("phi4: ", &["Nicoli et al. 2021", "log Z: independent runs"]);
    has("  mind: ", &["public test samples are off"]);
}

#[test]
fn parallel_tempering_samples_a_mixture_and_is_measured_against_exact_samples() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let args = ["--method", "pt", "--quick", "--quiet", "--samples", "500", "--out", out.to_str().unwrap()];
    // So short a run may fail its checks, which its exit code says.
    let code = sample(&args).output().unwrap().status.code();
    assert!([Some(0), Some(1)].contains(&code), "{code:?}");
    let text = metrics(&out).join("\n");
    for name in ["x_w2", "modes_found", "log_z", "energy_r_hat", "energy_evaluations"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name}: {text}");
    }
    assert!(
        ["samples.png", "energies.png", "history.csv", "diagnostics.csv", "samples.npz", "report.html"]
            .iter()
            .all(|f| out.join(f).exists())
    );
    let npz = Npz::read(&out.join("samples.npz")).unwrap();
    let (chains, draws) = (npz.integers("chain").unwrap().1, npz.integers("draw").unwrap().1);
    let walkers = *chains.iter().max().unwrap() + 1;
    assert!(walkers > 1 && chains.len() == 500, "{walkers}");
    assert!((0..500).all(|k| draws[k as usize] * walkers + chains[k as usize] == k));
}

#[test]
fn bad_arguments_are_refused_in_one_line_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    let with = |more: &[&'static str]| [more, &["--out", out]].concat();
    refused(&with(&["--target", "gmm41"]), "did you mean gmm40");
    refused(&with(&["--target", "gmm40", "--dim", "3"]), "gmm40 has no parameters; dim is for gmm-d, funnel");
    refused(&with(&["--target", "gmm40", "--spread", "3"]), "spread is for gmm60");
    refused(&with(&["--target", "gmm-d", "--dim", "0"]), "target.dim = 0");
    refused(&with(&["--steps", "-1"]), "invalid value");
    refused(&with(&["--set", "train.steps=0"]), "train.steps = 0 must");
    refused(&with(&["--threads", "0"]), "not in 1..");
    refused(&with(&["--method", "magic"]), "methods: iwsm, idem, ");
    refused(&with(&["--network", "pair"]), "set it to mlp");
    refused(&with(&["--method", "pt", "--steps", "3"]), "--steps belongs to a training");
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
    refused(&["--quick", "--force", "--out", dir.path().to_str().unwrap()], "has no manifest.toml");
    refused(&["--resume", dir.path().to_str().unwrap()], "manifest.toml is missing");
    refused(&["--eval-only", "/nonexistent"], "no such run folder");
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = succeed(&small(), &dir.path().join("run"));
    let path = folder.join("checkpoint.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let resume = ["--resume", folder.to_str().unwrap()];
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(&resume, "truncated");
    std::fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    refused(&resume, "not a checkpoint of this program");
    std::fs::write(&path, &bytes).unwrap();
}
