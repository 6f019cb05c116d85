//! Markov chain Monte Carlo: Hamiltonian Monte Carlo, the No-U-Turn Sampler, parallel tempering, and the exact correction of a sampler's
//! states.

pub(crate) mod chains;
mod convergence;
mod correction;
mod hmc;
mod normal;
pub(crate) mod nuts;
pub mod parallel_tempering;
pub(crate) mod pilot;
pub(crate) mod recorded;
pub(crate) mod smc;

pub use convergence::{Convergence, convergence};
pub use correction::{Corrected, Correction, Jump};
pub(crate) use hmc::adapted;
pub use hmc::{hmc, hmc_over};
