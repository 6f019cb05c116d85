//! Importance weights: diagnostics, Pareto smoothing, estimates of log Z, resampling.

mod psis;
mod resampling;
mod weights;

pub use psis::{pareto_k_hat, pareto_smooth};
pub use resampling::{effective_share, resampled, systematic, tempered};
pub use weights::{log_mean_exp, log_sum_exp, log_z, normalised_ess};
