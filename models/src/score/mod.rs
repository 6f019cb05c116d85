//! Score networks: approximations of grad log p_t(x) at every noise level sigma.

mod centred;
mod egnn;
mod exact;
mod features;
mod hard_core;
mod mlp;
mod pair;
mod pair_ops;
mod residual;

pub use centred::Centred;
pub use egnn::{Egnn, EgnnConfig, Messages, Pairs, Scales, ScoreEgnn, Update};
pub use exact::MixtureScore;
pub use mlp::{MlpConfig, ScoreMlp};
pub use pair::{PairConfig, ScorePair};
pub use residual::ScoreResidual;

use engine::{Real, Recording, Var};

use crate::target::Geometry;

/// A network for the score of the noised target, grad log p_t(x).
pub trait ScoreNetwork<T: Real>: Send + Sync {
    /// The space of the states. For mean-free particles F is mean-free too, and invariant under translations.
    fn geometry(&self) -> Geometry;

    /// The length of a state.
    fn dim(&self) -> usize {
        self.geometry().dim()
    }

    /// Records the network's raw output F (d x n) for states `x` (d x n) at noise levels `sigma`.
    fn record(&self, rec: &mut Recording<T>, x: Var, sigma: &[T]) -> Var;

    /// The coefficients (a, b) of score = a x + b F at noise level sigma, chosen so that F has unit scale.
    fn scaling(&self, sigma: T) -> (T, T);
}

/// (a, b) of score = a x + b F: a = -1 / (sigma^2 + sigma_data^2), b = 1 / g; see [`ScoreMlp`].
fn scaling<T: Real>(sigma: T, sigma_data: f64, mode_scale: f64) -> (T, T) {
    let (s2, data2, mode2) = (sigma.f64().powi(2), sigma_data.powi(2), mode_scale.powi(2));
    (T::of(-1.0 / (s2 + data2)), T::of((data2 / ((s2 + mode2) * (s2 + data2))).sqrt()))
}

/// Features of the noise level: sin and cos of 2^(k/2 - 1) pi tau, tau = log(sigma / low) / log(high / low),
/// k < `count`. Columns of 2 `count` rows, each repeated `copies` times.
fn waves<T: Real>(
    rec: &mut Recording<T>,
    count: usize,
    (low, high): (f64, f64),
    sigma: &[T],
    copies: usize,
) -> Var {
    let rows = 2 * count;
    rec.constant_with(rows, copies * sigma.len(), |out| {
        for (s, out) in sigma.iter().zip(out.chunks_exact_mut((rows * copies).max(1))) {
            let (column, others) = out.split_at_mut(rows);
            let tau = (s.f64() / low).ln() / (high / low).ln();
            for k in 0..count {
                let phase = T::of(std::f64::consts::PI * 2f64.powf(0.5 * k as f64 - 1.0) * tau);
                (column[k], column[count + k]) = phase.sin_cos();
            }
            others.chunks_exact_mut(rows).for_each(|other| other.copy_from_slice(column));
        }
    })
}

/// A row with f(sigma) for each state.
fn per_state<T: Real>(rec: &mut Recording<T>, sigma: &[T], f: impl Fn(f64) -> f64) -> Var {
    rec.constant_with(1, sigma.len(), |out| {
        out.iter_mut().zip(sigma).for_each(|(out, s)| *out = T::of(f(s.f64())));
    })
}
