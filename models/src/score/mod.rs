//! Score networks: approximations of grad log p_t(x) for every noise level sigma.

mod egnn;
mod features;
mod mlp;

pub use egnn::{Egnn, EgnnConfig, Messages, Pairs, Scales, ScoreEgnn};
pub use mlp::{MlpConfig, ScoreMlp};

use engine::{Graph, Real, Var};

/// A network that gives scores of the noised target.
pub trait ScoreNetwork<T: Real>: Send + Sync {
    /// Dimension of a state.
    fn dim(&self) -> usize;

    /// Records the network's raw output F (d x n) for states `x` (d x n) at noise levels `sigma`.
    fn record(&self, graph: &mut Graph<T>, x: Var, sigma: &[T]) -> Var;

    /// The coefficients (a, b) of score = a x + b F at noise level sigma: chosen so that F has unit scale.
    fn scaling(&self, sigma: T) -> (T, T);
}
