//! Science: targets, score networks, samplers, graph layers, metrics. Opens no file (but asks the system how much
//! memory there is) and prints nothing.

#![deny(unsafe_code)]

pub mod audit;
#[cfg(test)]
mod bad_settings;
pub mod diffusion;
pub mod evaluate;
pub mod gnn;
pub mod importance;
pub mod mcmc;
pub mod memory;
pub mod metrics;
pub mod range;
pub mod sampler;
pub mod score;
pub mod target;
pub mod words;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
