//! Practice: run folders, configurations, progress, pictures. One plain binary for each experiment.

#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod failure;
pub mod gmm;
pub mod interrupt;
pub mod npy;
pub mod plot;
pub mod progress;
pub mod reference;
pub mod run_folder;
pub mod table;
pub mod workloads;
