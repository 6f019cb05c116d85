//! A resume is the run that was begun.

use std::path::{Path, PathBuf};

use super::{TINY, graph, oversmoothing, read, refused, sample, stopped};
use crate::binary::{self, metrics, succeed};

/// States of a reference for two numbers, another one for each `shift`.
fn states(path: &Path, shift: f32) {
    let x: Vec<f32> = (0..400).map(|k| shift + (k % 37) as f32).collect();
    std::fs::write(path, experiments::npy::encode(2, &x)).unwrap();
}

fn sha256(path: &Path) -> String {
    experiments::run::sha256(&std::fs::read(path).unwrap())[..12].to_string()
}

#[test]
fn every_seed_is_measured_against_the_reference_that_the_run_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let own = at("own.npy");
    states(&own, 0.0);
    let args = [TINY, &["--seeds", "2", "--reference", own.to_str().unwrap()]].concat();
    succeed(sample(&args).arg("--out").arg(at("whole")));
    // Stopped in seed 0, which alone has begun with the reference.
    let broken = at("broken");
    stopped(&mut sample(&args), 30, &broken);
    let resume = || sample(&["--quiet", "--resume", broken.to_str().unwrap()]);
    let was = sha256(&own);
    states(&own, 0.5);
    let (own_text, now) = (own.display(), sha256(&own));
    let changed = format!(
        "{own_text}: is not the reference that the run began with (sha256 {now}..., it was {was}...); put that one back, or start a new run"
    );
    refused(&mut resume(), &changed);
    // Moved, it is still the same.
    let moved = at("moved.npy");
    states(&moved, 0.0);
    succeed(resume().arg("--reference").arg(&moved));
    assert_eq!(metrics(&at("whole")), metrics(&broken));
    refused(&mut sample(&["--quiet", "--eval-only", broken.to_str().unwrap()]), &changed);
    // A run without a reference of its own takes none later.
    let plain = at("plain");
    stopped(&mut sample(TINY), 30, &plain);
    let mut command = sample(&["--resume", plain.to_str().unwrap()]);
    refused(
        command.arg("--reference").arg(&moved),
        &format!(
            "{}: the run began without a reference of its own; leave it out, or start a new run",
            moved.display()
        ),
    );
}

#[test]
fn rows_of_a_target_are_those_that_the_run_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let (rows, out) = (dir.path().join("rows.csv"), dir.path().join("run"));
    let text: String = (0..40).map(|i| format!("{},{},{}\n", i % 7, i % 5, i % 2)).collect();
    std::fs::write(&rows, &text).unwrap();
    let was = sha256(&rows);
    // The name is a relative one, and the run is resumed elsewhere.
    let args = [TINY, &["--target", "logistic", "--data", "rows.csv", "--seeds", "2"]].concat();
    stopped(sample(&args).current_dir(dir.path()), 30, &out);
    let resume = || sample(&["--quiet", "--resume", out.to_str().unwrap()]);
    std::fs::write(&rows, text.replacen("3,3,1", "3,4,1", 1)).unwrap();
    let (path, now) = (rows.display(), sha256(&rows));
    assert_ne!(was, now);
    refused(
        &mut resume(),
        &format!(
            "{path}: is not the data file that the run began with (sha256 {now}..., it was {was}...); put that one back, or start a new run"
        ),
    );
    std::fs::write(&rows, &text).unwrap();
    succeed(&mut resume());
}

#[test]
fn the_description_of_a_target_is_the_one_that_the_run_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let [file, whole, out] = ["wells.toml", "whole", "run"].map(|name| dir.path().join(name));
    let text = "kind = \"formula\"\ndim = 2\nenergy = \"4*(x[0]^2 - 1)^2 - a*x[0] + 2*x[1]^2\"\nscales = [1.0, 0.3]\n[constants]\na = 0.5\n";
    std::fs::write(&file, text).unwrap();
    let was = sha256(&file);
    // The name is a relative one, and the run is resumed elsewhere.
    let args = [TINY, &["--target", "wells.toml"]].concat();
    succeed(sample(&args).current_dir(dir.path()).arg("--out").arg(&whole));
    stopped(sample(&args).current_dir(dir.path()), 60, &out);
    std::fs::write(&file, text.replace("a = 0.5", "a = 0.6")).unwrap();
    let line = format!(
        "{}: is not the description that the run began with (sha256 {}..., it was {was}...); put that one back, or start a new run",
        file.display(),
        sha256(&file)
    );
    for (flag, run) in [("--resume", &out), ("--eval-only", &whole)] {
        refused(&mut sample(&["--quiet", flag, run.to_str().unwrap()]), &line);
    }
    std::fs::write(&file, text).unwrap();
    succeed(&mut sample(&["--quiet", "--resume", out.to_str().unwrap()]));
    binary::assert_same_run(&whole, &out, &["samples.npy", "history.csv", "model.safetensors"]);
    let before = metrics(&whole);
    succeed(&mut sample(&["--quiet", "--eval-only", whole.to_str().unwrap()]));
    assert_eq!(metrics(&whole), before);
}

#[test]
fn a_changed_setting_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    stopped(&mut sample(&[TINY, &["--seeds", "2", "--seed", "3"]].concat()), 130, &out);
    let change = |file: &str, from: &str, to: &str, what: &str| {
        let path = out.join(file);
        let text = read(&path);
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        for flag in ["--resume", "--eval-only"] {
            let line = format!("{}: {what}; put that back, or start a new run", path.display());
            refused(&mut sample(&[flag, out.to_str().unwrap()]), &line);
        }
        std::fs::write(&path, text).unwrap();
    };
    change("config.toml", "seed = 3", "seed = 4", "seed = 4, but the run began with 3");
    change("config.toml", "steps = 120", "steps = 60", "train.steps = 60, but the run began with 120");
    change(
        "config.toml",
        "\"gmm40\"",
        "\"gmm60\"",
        "target.name = \"gmm60\", but the run began with \"gmm40\"",
    );
    change("config.toml", "batch = 16\n", "", "train.batch is missing; the run began with 16");
    change("config.toml", "[target]", "[target]\nmore = 1", "target.more was not there when the run began");
    change("seeds.toml", "count = 2", "count = 3", "count = 3, but the run began with 2");
    change("seeds.toml", "first = 3", "first = 2", "first = 2, but the run began with 3");
    // Of its parts, too.
    let path = out.join("seed3/config.toml");
    let text = read(&path);
    std::fs::write(&path, text.replace("steps = 120", "steps = 60")).unwrap();
    let line = "train.steps = 60, but the run began with 120; put that back, or start a new run";
    let said = binary::refusal(&mut sample(&["--resume", out.to_str().unwrap()]));
    assert!(said.contains("seed3/config.toml") && said.contains(line), "{said}");
    std::fs::write(&path, text).unwrap();
    // A checkpoint of another run.
    let other = dir.path().join("other");
    stopped(&mut sample(&[TINY, &["--seed", "9"]].concat()), 10, &other);
    let checkpoint = "seed4/checkpoint.safetensors";
    std::fs::copy(other.join("checkpoint.safetensors"), out.join(checkpoint)).unwrap();
    let said = binary::refusal(&mut sample(&["--resume", out.to_str().unwrap(), "--quiet"]));
    assert!(said.contains("belongs to a run that began otherwise; start a new run"), "{said}");
}

#[test]
fn measuring_a_run_that_is_not_finished_says_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let path = out.to_str().unwrap();
    stopped(&mut sample(TINY), 85, &out);
    succeed(&mut sample(&["--quiet", "--eval-only", path]));
    let text = read(out.join("metrics.json"));
    assert!(text.contains("\"steps\": 85") && !out.join("DONE").exists(), "{text}");
    succeed(&mut sample(&["--quiet", "--resume", path]));
    let text = read(out.join("metrics.json"));
    assert!(text.contains("\"steps\": 120") && out.join("DONE").exists(), "{text}");
    // A finished run that is resumed is measured once more.
    let before = metrics(&out);
    succeed(&mut sample(&["--quiet", "--resume", path]));
    assert_eq!(metrics(&out), before);
    // A Markov chain that is not finished has nothing to measure, nor has a run that lacks a seed.
    let chain = dir.path().join("chain");
    let path = chain.to_str().unwrap();
    stopped(&mut sample(&["--method", "hmc", "--quick", "--quiet"]), 5, &chain);
    let said = binary::refusal(&mut sample(&["--eval-only", path]));
    assert!(said.contains(&format!("{path}: is at step 5 of ")) && said.contains("first run: "), "{said}");
    let seeds = dir.path().join("seeds");
    let path = seeds.to_str().unwrap();
    stopped(&mut sample(&[TINY, &["--seeds", "2"]].concat()), 125, &seeds);
    let line = format!("{path}: seed 1 has not been finished; first run: sample --resume {path}");
    refused(&mut sample(&["--eval-only", path]), &line);
    assert!(!seeds.join("metrics.json").exists() && !seeds.join("seed1/DONE").exists());
}

#[test]
fn a_run_that_was_stopped_before_its_first_checkpoint_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| dir.path().join(name));
    succeed(sample(TINY).arg("--out").arg(&whole));
    stopped(&mut sample(TINY), 5, &broken);
    std::fs::remove_file(broken.join("checkpoint.safetensors")).unwrap();
    let said = binary::refusal(&mut sample(&["--eval-only", broken.to_str().unwrap()]));
    assert!(said.contains("is at step 0 of 120"), "{said}");
    succeed(&mut sample(&["--quiet", "--resume", broken.to_str().unwrap()]));
    binary::assert_same_run(&whole, &broken, &["samples.npy", "history.csv", "model.safetensors"]);
}

#[test]
fn the_rows_of_the_learning_curve_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    stopped(&mut sample(TINY), 100, &out);
    let history = out.join("history.csv");
    let text = read(&history);
    let hole: String = text.lines().filter(|l| !l.starts_with("60,")).map(|l| format!("{l}\n")).collect();
    assert_ne!(hole, text);
    std::fs::write(&history, hole).unwrap();
    refused(
        &mut sample(&["--resume", out.to_str().unwrap()]),
        &format!("{}: history.csv: the row of step 60 is not there; start a new run", out.display()),
    );
}

/// A data set in a folder of data: the karate club with its splits.
fn club(dir: &Path, features: bool) -> PathBuf {
    let mut data = models::gnn::data::synthetic::karate();
    if !features {
        data.labels.swap(0, 33);
    }
    let path = dir.join("club.npz");
    std::fs::write(&path, experiments::datasets::encode(&data).unwrap()).unwrap();
    path
}

#[test]
fn data_that_were_replaced_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = ["--data-dir", dir.path().to_str().unwrap(), "--quiet"];
    let club = |first: bool| club(dir.path(), first);
    let file = club(true);
    let new = ["--data", "club", "--no-ablation", "--set", "train.epochs=20", "--threads", "1"];
    let deep = ["--data", "club", "--models", "gcn", "--depths", "2,4", "--set", "train.epochs=20"];
    let at = |name: &str| dir.path().join(name);
    stopped(&mut graph(&[&new[..], &data_dir].concat()), 30, &at("run"));
    stopped(&mut graph(&[&new[..], &data_dir, &["--search", "2"]].concat()), 30, &at("search"));
    stopped(&mut oversmoothing(&[&deep[..], &data_dir, &["--threads", "1"]].concat()), 30, &at("deep"));
    let was = sha256(&file);
    club(false);
    let line = format!(
        "{}: is not the data set that the run began with (sha256 {}..., it was {was}...); put that one back, or start a new run",
        file.display(),
        sha256(&file)
    );
    let resume = |name: &str| {
        let path = at(name);
        let args = [&["--resume", path.to_str().unwrap()], &data_dir[..]].concat();
        if name == "deep" { oversmoothing(&args) } else { graph(&args) }
    };
    for name in ["run", "search", "deep"] {
        refused(&mut resume(name), &line);
    }
    club(true);
    for name in ["run", "search", "deep"] {
        succeed(&mut resume(name));
    }
}

#[test]
fn the_last_seed_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let seeds = ["--seed", "9223372036854775806", "--seeds", "3"];
    refused(
        sample(&[TINY, &seeds].concat()).arg("--out").arg(&out),
        "--seed 9223372036854775806 --seeds 3: the last seed may be 9223372036854775807; lower one of them",
    );
    assert!(!out.exists());
}

#[test]
fn a_network_that_comes_with_the_program_is_measured_and_not_trained() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let path = out.to_str().unwrap();
    let sets = ["sets=1", "set_size=50", "reverse_steps=5", "flow_samples=0", "correction_moves=0"];
    let sets: Vec<String> = sets.iter().map(|set| format!("evaluation.{set}")).collect();
    let reference = dir.path().join("own.npy");
    let x: Vec<f32> = (0..8 * 100).map(|k| (k * k % 17) as f32 / 5.0).collect();
    std::fs::write(&reference, experiments::npy::encode(8, &x)).unwrap();
    let mut command =
        sample(&["--target", "dw4", "--pretrained", "--quiet", "--samples", "50", "--out", path]);
    succeed(command.args(sets.iter().flat_map(|set| ["--set", set])).arg("--reference").arg(&reference));
    let before = metrics(&out);
    for flag in ["--resume", "--eval-only"] {
        let line = format!("{path}: holds a measurement of a trained network, not a run of sample");
        refused(&mut sample(&[flag, path]), &line);
    }
    assert_eq!(metrics(&out), before);
    assert!(!out.join("checkpoint.safetensors").exists());
}

#[test]
fn data_that_were_moved_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, out] = ["first", "second", "run"].map(|name| dir.path().join(name));
    std::fs::create_dir(&first).unwrap();
    std::fs::create_dir(&second).unwrap();
    let file = club(&first, true);
    let args = ["--data", "club", "--no-ablation", "--set", "train.epochs=20", "--threads", "1", "--quiet"];
    stopped(graph(&args).arg("--data-dir").arg(&first), 30, &out);
    let resume =
        || graph(&["--quiet", "--threads", "1", "--stop-after", "3", "--resume", out.to_str().unwrap()]);
    // Where it was, and then in the folder that is named.
    assert_eq!(resume().output().unwrap().status.code(), Some(130));
    std::fs::rename(&file, second.join("club.npz")).unwrap();
    assert!(binary::refusal(&mut resume()).contains("club"));
    assert_eq!(resume().arg("--data-dir").arg(&second).output().unwrap().status.code(), Some(130));
}
