//! The memory that a recording takes while it grows: alone in its process, whose peak others would raise.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use engine::Tape;

/// The most memory that this process has held, in bytes.
fn most() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// A copy would take the memory of both for a while, and the most that was ever taken would rise by one of them.
#[test]
fn a_large_recording_grows_without_a_copy() {
    let numbers = vec![1.0_f32; 16 << 20];
    let mut tape = Tape::new();
    let mut g = tape.record(&[]);
    let first = g.constant(1, numbers.len(), &numbers);
    let before = most();
    let second = g.constant(1, numbers.len(), &numbers);
    let grown = most() - before;
    assert!(g.value(first).data[0] == 1.0 && g.value(second).data[numbers.len() - 1] == 1.0);
    // 64 MiB are new; with a copy it would be 128.
    assert!(grown < 96 << 20, "{} MiB", grown >> 20);
}
