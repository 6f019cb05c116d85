//! Particles that interact in pairs: states that physics does not change when it turns, mirrors,
//! shifts or renumbers them.
//!
//! E(x) = sum over i < j of u(|x_i - x_j|) + (k / 2) sum_i |x_i - mean|^2.
//!
//! A state of n particles in D dimensions is a column of n D numbers, particle by particle. The energy
//! does not see where the mean is, so exp(-E) is a density on the mean-free states, of dimension
//! (n - 1) D; [`ParticleSystem`] projects onto them.
//!
//! No state gives a NaN: for coordinates up to a quarter of the largest number MAX of the type,
//!
//! - an energy above MAX, and that of particles on the same spot where u diverges, is MAX;
//! - what one pair adds to one component of the gradient is held within +-MAX / (4 n), so that the
//!   gradient is finite;
//! - particles nearer than 1e-19 (f32; 1e-154 in f64) count as coinciding: the pair then has no direction
//!   and, where u is finite, no gradient.
//!
//! Everything else is as exact as the arithmetic: nothing is smoothed. Only [`Smoothed`] does that, for
//! training; measurements use the energies themselves.

mod double_well;
mod lennard_jones;
mod pairs;
mod smoothed;
mod system;

pub use double_well::DoubleWell;
pub use lennard_jones::LennardJones;
pub use pairs::{Pair, PairEnergy};
pub use smoothed::Smoothed;
pub use system::ParticleSystem;
