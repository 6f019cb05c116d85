//! Practice: run folders, configurations, progress, pictures. One plain binary for each experiment.

#![deny(unsafe_code)]

pub mod cli;
pub mod failure;
pub mod workloads;
