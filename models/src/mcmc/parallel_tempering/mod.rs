//! Reference samples of hard targets: Hamiltonian Monte Carlo, tempered in parallel, with the checks
//! that tell whether to believe it.
//!
//! A ladder of densities joins a Gaussian to the target,
//!
//! p_k(x) ~ exp(-lambda_k E(x) - (1 - lambda_k) |x|^2 / 2 s^2),  1 = lambda_0 > ... > lambda_(R-1) = 0.
//!
//! lambda is an inverse temperature that a Gaussian fills up, so that hot states stay bounded whether or
//! not E confines them; for Lennard-Jones clusters in their trap and s = 1 only the pairs are tempered. The
//! last rung is drawn afresh in each sweep: a state that has come all the way from there owes nothing to
//! earlier ones, and log Z of the first rung is absolute, since that of the last is known.
//!
//! Each of many independent walkers holds a state on every rung. A sweep moves every state by one
//! trajectory of HMC (Duane, Kennedy, Pendleton and Roweth 1987) and then offers swaps between
//! neighbouring rungs, even and odd pairs in turn (Syed, Bouchard-Cote, Deligiannidis and Doucet 2022,
//! "Non-reversible parallel tempering"). Step sizes and the ladder adapt in the warm-up only; then they
//! are frozen, and recording begins. Particle systems move in their mean-free space, on which exp(-E)
//! is a density of dimension (n - 1) D, and log Z is the logarithm of its integral there.
//!
//! Random numbers are those of (seed, sweep, block of walkers): the same for any number of threads.

mod block;
mod config;
mod free_energy;
mod ladder;
mod method;
mod report;
mod resume;
mod sampler;

pub use config::{Config, ConfigError};
pub use free_energy::LogZ;
pub use method::Settings;
pub use report::Report;
pub use sampler::ParallelTempering;
