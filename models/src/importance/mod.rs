//! Importance weights: diagnostics, Pareto smoothing, estimates of log Z, resampling.

mod log_z;
mod psis;
mod resampling;
mod weights;

pub use log_z::{K_HAT, LogZ};
pub use psis::{pareto_k_hat, pareto_smooth};
pub use resampling::{exponent, raised, resampled, resampled_to, systematic, tempered};
pub(crate) use weights::normalised_ess_of;
pub use weights::{effective_share, log_mean_exp, log_sum_exp, log_z, normalised_ess};
