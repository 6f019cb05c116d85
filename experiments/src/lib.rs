//! Practice: run folders, configurations, progress, pictures. One plain binary for each experiment.

#![deny(unsafe_code)]

pub mod classify;
pub mod cli;
pub mod config;
pub mod cores;
pub mod datasets;
pub mod failure;
pub mod figures;
pub mod interrupt;
pub mod jobs;
pub mod npy;
pub mod oversmoothing;
pub mod plot;
pub mod progress;
pub mod rows;
pub mod run;
pub mod run_folder;
pub mod sample;
pub mod table;
pub mod workloads;

/// The most memory that this process has held, in MiB; NaN where the system does not tell.
pub fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}
