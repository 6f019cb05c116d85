//! Run folders, configurations, progress, pictures: what the binaries are made of.

#![deny(unsafe_code)]

pub mod classify;
pub mod commands;
pub mod config;
pub mod datasets;
pub mod dimension;
pub mod figures;
pub mod metastability;
pub mod npy;
pub mod oversmoothing;
pub mod peers;
pub mod plot;
pub mod read;
pub mod run;
pub mod sample;
pub mod scaling;
pub mod table;
pub mod workloads;

/// The most memory that this process has held, in MiB; NaN where the system does not tell.
pub fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}
