//! Science: energies, score networks, samplers, graph layers, metrics. Opens no file and prints nothing.

pub mod energy;
pub mod estimate;
