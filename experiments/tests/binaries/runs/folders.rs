//! One run, one folder; and in it the program's own files only.

use std::fs::File;
use std::path::Path;

use super::{TINY, graph, oversmoothing, read, refused, sample, stopped};
use crate::binary::{self, succeed};

/// A run of the grid in a tenth of a second.
const GRID: &[&str] = &["--layers", "2", "--models", "gcn", "--quiet"];

#[test]
fn a_folder_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let path = out.to_str().unwrap();
    stopped(&mut sample(&[TINY, &["--seeds", "2"]].concat()), 30, &out);
    let before = read(out.join("seed0/history.csv"));
    // As a live run does.
    let live = |folder: &Path, commands: &[&[&str]]| {
        let lock = File::options().write(true).open(folder.join(".metastable.lock")).unwrap();
        lock.lock().unwrap();
        std::fs::write(folder.join(".metastable.lock"), "4711").unwrap();
        let line = format!(
            "{}: in use by another run (process 4711); wait for it or stop it, or choose another folder",
            folder.display()
        );
        for args in commands {
            refused(&mut sample(args), &line);
        }
    };
    let force = [TINY, &["--force", "--out", path]].concat();
    let commands = [&["--resume", path][..], &["--eval-only", path], &force];
    live(&out, &commands);
    // A part that lives keeps the whole from being removed.
    live(&out.join("seed0"), &[&["--resume", path], &force]);
    assert_eq!(read(out.join("seed0/history.csv")), before);
    // The lock of a process that is gone holds nobody up.
    succeed(&mut sample(&["--quiet", "--resume", path]));
}

#[test]
fn simultaneous_starts_have_folders_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let start = |seed: &str| {
        let mut command =
            oversmoothing(&[GRID, &["--threads", "1", "--set", &format!("seed={seed}")]].concat());
        command.current_dir(dir.path()).spawn().unwrap()
    };
    // The folder's name has the seed of --seed, which is none of these.
    let children: Vec<_> = ["1", "2", "3", "4", "5", "6"].map(start).into_iter().collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", binary::stderr(&output));
    }
    let runs = std::fs::read_dir(dir.path().join("results/oversmoothing")).unwrap();
    let runs: Vec<_> = runs.map(|e| e.unwrap().path()).collect();
    assert_eq!(runs.len(), 6);
    assert!(runs.iter().all(|run| run.join("DONE").exists() && run.join("energy.csv").exists()));
    assert!(dir.path().join("results/latest/DONE").exists());
    assert_eq!(std::fs::read_dir(dir.path().join("results")).unwrap().count(), 2, "nothing is left beside");
}

#[cfg(unix)]
#[test]
fn nothing_outside_of_the_folder_is_touched() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let args = ["--data", "karate", "--quick", "--no-ablation", "--quiet"];
    succeed(graph(&args).arg("--out").arg(at("evil2")));
    succeed(graph(&args[2..]).arg("--out").arg(at("batch")));
    let before = read(at("evil2/jobs.csv"));
    let batch = at("batch/batch.toml");
    let text = read(&batch);
    // A batch that names a folder elsewhere, with the record of its beginning changed to match.
    for file in ["batch.toml", "begun.toml"] {
        let path = at("batch").join(file);
        let text = read(&path).replace("\"karate\"", "\"../evil2\"").replace(".karate", ".\"../evil2\"");
        std::fs::write(path, text).unwrap();
    }
    let said = binary::refusal(&mut graph(&["--resume", at("batch").to_str().unwrap()]));
    assert!(said.contains("../evil2"), "{said}");
    assert_ne!(read(&batch), text);
    assert_eq!(read(at("evil2/jobs.csv")), before);
    // A seed that leads elsewhere.
    let seeds = at("seeds");
    stopped(&mut sample(&[TINY, &["--seeds", "2"]].concat()), 30, &seeds);
    symlink(at("evil2"), seeds.join("seed1")).unwrap();
    let said = binary::refusal(&mut sample(&["--quiet", "--resume", seeds.to_str().unwrap()]));
    assert!(said.contains("seed1: is a link; nothing is written through it"), "{said}");
    succeed(sample(TINY).arg("--force").arg("--out").arg(&seeds));
    assert!(seeds.join("seed1").is_symlink());
    assert_eq!(read(at("evil2/jobs.csv")), before);
}

#[test]
fn a_file_of_the_users_own_stays_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let path = out.to_str().unwrap();
    stopped(&mut sample(TINY), 30, &out);
    std::fs::write(out.join("samples.npy"), "mine").unwrap();
    let said = binary::refusal(&mut sample(&["--quiet", "--resume", path]));
    assert!(said.contains("samples.npy: was not written by this program and stays; move it away"), "{said}");
    succeed(oversmoothing(GRID).arg("--force").arg("--out").arg(&out));
    assert_eq!(read(out.join("samples.npy")), "mine");
    assert!(!out.join("history.csv").exists());
    // results/latest
    let latest = dir.path().join("results/latest");
    std::fs::create_dir(dir.path().join("results")).unwrap();
    std::fs::write(&latest, "mine").unwrap();
    succeed(oversmoothing(GRID).current_dir(dir.path()));
    assert_eq!(read(&latest), "mine");
}

#[test]
fn states_of_the_users_own_in_the_cache_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, out) = (dir.path().join("cache"), dir.path().join("run"));
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join("dw4-200.npy"), "mine").unwrap();
    let small = ["--target", "dw4", "--quick", "--quiet", "--steps", "1", "--samples", "100"];
    let sets = ["replay.first_moves=0", "replay.capacity=50", "train.batch=8", "evaluation.flow_samples=0"];
    let args: Vec<&str> = small.into_iter().chain(sets.into_iter().flat_map(|s| ["--set", s])).collect();
    succeed(sample(&args).arg("--reference-cache").arg(&cache).arg("--out").arg(&out));
    assert_eq!(read(cache.join("dw4-200.npy")), "mine");
    let made: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect();
    let made = made.iter().find(|path| path.is_dir()).unwrap();
    let states = made.join("states.npy");
    let mut bytes = std::fs::read(&states).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&states, &bytes).unwrap();
    let mut command = sample(&["--eval-only", out.to_str().unwrap(), "--quiet"]);
    refused(
        &mut command,
        &format!(
            "{}: is not what was made here; move {} away, or give the states with --reference",
            states.display(),
            made.display()
        ),
    );
    assert_eq!(std::fs::read(&states).unwrap(), bytes);
}

/// Names that are no UTF-8, and a foreign repository with a program that `git` would run.
#[cfg(target_os = "linux")]
#[test]
fn the_folder_that_a_command_is_run_in_is_asked_nothing() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    std::fs::create_dir(&odd).unwrap();
    let git = odd.join("git");
    std::fs::write(&git, "#!/bin/sh\ntouch ran\n").unwrap();
    std::fs::set_permissions(&git, PermissionsExt::from_mode(0o755)).unwrap();
    let mut paths = vec![odd.clone()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let here = |mut command: std::process::Command| {
        command.current_dir(&odd).env("PATH", std::env::join_paths(&paths).unwrap());
        succeed(&mut command);
    };
    here(oversmoothing(GRID));
    let mut command = sample(TINY);
    let own = odd.join(std::ffi::OsStr::from_bytes(b"own-\xff.npy"));
    std::fs::write(&own, experiments::npy::encode(2, &[0.5_f32; 400])).unwrap();
    command.arg("--reference").arg(&own).arg("--out").arg(odd.join("run"));
    here(command);
    assert!(!odd.join("ran").exists(), "git was run");
    // TOML cannot hold the name: it is given once more.
    let mut command = sample(&["--quiet"]);
    command.arg("--eval-only").arg(odd.join("run"));
    let said = binary::refusal(&mut command);
    assert!(said.contains("give it once more with --reference"), "{said}");
    command.arg("--reference").arg(&own);
    succeed(&mut command);
}
