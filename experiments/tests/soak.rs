//! A million steps of a tiny model in flat memory: `cargo test --release --test soak -- --ignored --nocapture`.
//!
//! Saving, the learning curve and progress are those of any run; only the sizes are small.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Growth that is no leak: the learning curve has 40 rows, the allocator keeps pages.
const ALLOWED_KIB: u64 = 2048;

const SETTINGS: &[&str] = &[
    "train.batch=4",
    "train.draws=2",
    "network.hidden=8",
    "network.layers=1",
    "replay.capacity=50",
    "evaluation.sets=1",
    "evaluation.set_size=50",
    "evaluation.flow_samples=0",
    "evaluation.reverse_steps=5",
    "evaluation.weight_samples=10",
];

/// The memory that a process has now, in KiB; none once it has ended.
fn resident(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "minutes"]
fn a_million_steps_take_no_more_memory_than_a_hundred_thousand() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample"));
    command.args(["--quick", "--quiet", "--steps", "1000000", "--save-every", "1", "--out"]).arg(&out);
    command.args(SETTINGS.iter().flat_map(|setting| ["--set", setting]));
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    // (rows of the learning curve, memory), a row for each 25 000 steps.
    let mut seen: Vec<(usize, u64)> = Vec::new();
    while child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(500));
        let rows = std::fs::read_to_string(out.join("history.csv")).map_or(0, |text| text.lines().count());
        if let Some(kib) = resident(&child).filter(|_| (5..40).contains(&rows)) {
            seen.push((rows, kib));
        }
    }
    assert!(child.wait().unwrap().success());
    let (first, last) = (seen[0].1, seen[seen.len() - 1].1);
    let most = seen.iter().map(|(_, kib)| *kib).max().unwrap();
    println!("{first} KiB after 100 000 steps, {last} KiB in the end, at most {most} KiB");
    assert!(most <= first + ALLOWED_KIB, "{seen:?}");
}
