//! Parallel tempering by Hamiltonian Monte Carlo, with convergence checks and log Z.
//!
//! A ladder of densities connects the target with a Gaussian,
//!
//! p_k(x) ~ exp(-lambda_k E(x) - (1 - lambda_k) |x|^2 / 2 s^2),  1 = lambda_0 > ... > lambda_(R-1) = 0.
//!
//! lambda is an inverse temperature. The Gaussian bounds hot states whether or not E confines them; for
//! Lennard-Jones clusters in their trap and s = 1 only the pair energies are tempered. The last rung is sampled
//! independently in each sweep: a state that comes from there is independent of earlier ones, and log Z of the
//! first rung is absolute, because that of the last is known.
//!
//! A trained model of the target may move the states of the first rung as well ([`ModelMoves`]): paths of the model are
//! accepted by their weights, so that the target stays what is sampled, whatever the model is worth. The weights are in
//! single precision, as the model is: energies of 1e5 and more lose digits that matter there.
//!
//! Each of many independent walkers has a state on every rung. A sweep moves every state by one trajectory of
//! HMC (Duane, Kennedy, Pendleton and Roweth 1987), then proposes swaps between neighbouring rungs, even and odd
//! pairs in turn (Syed, Bouchard-Cote, Deligiannidis and Doucet 2022, "Non-reversible parallel tempering"). Step
//! sizes and ladder are adapted in the warm-up alone, before recording. Particle systems are sampled on their
//! mean-free states, of dimension (n - 1) D, and log Z is the logarithm of the integral of exp(-E) there.
//!
//! Random numbers are functions of (seed, sweep, block of walkers): results are the same for any number of
//! threads.

mod block;
mod config;
mod free_energy;
mod jumps;
mod ladder;
mod method;
mod report;
mod resume;
mod sampler;

pub use config::{Config, ConfigError};
pub use free_energy::LogZ;
pub use jumps::{Jumped, ModelMoves, Move};
pub use method::Settings;
pub use report::Report;
pub use sampler::ParallelTempering;
