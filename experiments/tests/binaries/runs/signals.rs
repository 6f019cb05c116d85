//! Signals save and stop, however often they come.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use experiments::run::interrupt;

use super::{TINY, read, sample};
use crate::binary;

fn signal(name: &str, child: &Child) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for a file, as long as the process lives.
fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn what_batch_systems_send_saves_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    // Under nohup, which may run these tests too, a run does not listen to HUP.
    let names = [("TERM", 15), ("HUP", 1), ("USR1", 10), ("USR2", 12), ("XCPU", 24), ("INT", 2)];
    for (name, _) in names.into_iter().filter(|(_, number)| !interrupt::ignored(*number)) {
        let out = dir.path().join(name);
        // So many steps that none of these runs ends by itself.
        let args: Vec<&str> = TINY.iter().map(|arg| if *arg == "120" { "10000000" } else { arg }).collect();
        let mut child = sample(&args).args(["--save-every", "0", "--out"]).arg(&out).spawn().unwrap();
        wait_for(&out.join("checkpoint.safetensors"), &mut child);
        // Sent again and again, at once; Slurm wakes what may be stopped before it sends TERM.
        for _ in 0..5 {
            signal("CONT", &child);
            signal(name, &child);
        }
        let output = child.wait_with_output().unwrap();
        let said = binary::stderr(&output);
        assert_eq!(output.status.code(), Some(130), "{name}: {said}");
        assert!(said.starts_with("stopped at step ") && said.contains("saved; resume with"), "{said}");
        assert!(read(out.join("manifest.toml")).contains("checkpoint.safetensors"));
        let leftovers =
            std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let leftovers: Vec<String> = leftovers.filter(|name| name.starts_with(".metastable-")).collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_is_heard_while_samples_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| dir.path().join(name));
    // An hour of measuring.
    let long = [TINY, &["--set", "evaluation.reverse_steps=1000000", "--samples", "20000"]].concat();
    let mut child = sample(&long).arg("--out").arg(&broken).spawn().unwrap();
    wait_for(&broken.join("model.safetensors"), &mut child);
    let began = Instant::now();
    signal("TERM", &child);
    let output = child.wait_with_output().unwrap();
    // Two seconds are promised; a test machine may be busy.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(130));
    let path = broken.display();
    assert_eq!(binary::stderr(&output), format!("stopped; resume with: sample --resume {path}\n"));
    // The training is that of a run that only measures less.
    binary::succeed(sample(TINY).arg("--out").arg(&whole));
    let history = |folder: &Path| read(folder.join("history.csv"));
    assert_eq!(history(&whole), history(&broken));
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_a_long_step_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    // A step of a minute.
    let sizes = ["train.batch=8192", "replay.capacity=1000", "train.draws=500", "network.hidden=64"];
    let mut command = sample(&["--target", "gmm-d", "--dim", "300"]);
    command.args(sizes.iter().flat_map(|size| ["--set", size])).arg("--out").arg(&out);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for(&out.join("reference.toml"), &mut child);
    signal("INT", &child);
    if let Some(said) = lines.find(|line| line.starts_with("s")) {
        // Before the loop there is nothing to save, and one is enough.
        if said.starts_with("saving after this step") {
            // The first one sent twice is one.
            signal("INT", &child);
            std::thread::sleep(Duration::from_millis(1100));
            signal("INT", &child);
        }
    }
    let began = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn under_nohup_a_terminal_that_goes_away_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sample")]);
    let mut child = command.args(TINY).args(["--save-every", "0", "--out"]).arg(&out).spawn().unwrap();
    wait_for(&out.join("checkpoint.safetensors"), &mut child);
    signal("HUP", &child);
    assert!(child.wait().unwrap().success());
    assert!(out.join("DONE").exists());
}
