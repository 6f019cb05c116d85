//! Science: energies, score networks, samplers, graph layers, metrics. Opens no file and prints nothing.

pub mod energy;
pub mod estimate;
pub mod evaluate;
pub mod graph;
pub mod iwsm;
pub mod metrics;
pub mod reference;
pub mod sampling;
pub mod score;

/// The README's example, compiled with the documentation tests; proptests/tests/properties/own_energy.rs runs the like
/// (documentation tests are built without optimisation, which takes minutes here).
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
