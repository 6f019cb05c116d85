//! A multilayer perceptron for scores in R^d.

use std::sync::Arc;

use engine::{ParamId, Params, Real, Recording, Var};

use super::features::Features;
use super::{ScoreNetwork, scaling};
use crate::target::Geometry;

/// Size and scales of a score network in R^d.
#[derive(Clone, Debug)]
pub struct MlpConfig {
    /// Dimension of a state.
    pub dim: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Number of hidden layers.
    pub layers: usize,
    /// Sines (and cosines) of the noise level.
    pub time_features: usize,
    /// Sines (and cosines) of the position; 0 for none.
    pub space_features: usize,
    /// Root mean square of a coordinate of the target.
    pub sigma_data: f64,
    /// Width s of one mode.
    pub mode_scale: f64,
    /// Least and largest noise level.
    pub sigma_range: (f64, f64),
}

/// SiLU layers on features of state, noise level and position:
///
/// score(x, sigma) = -x / (sigma^2 + sigma_data^2) + F(x, sigma) / g(sigma),
/// g = sqrt(sigma^2 + s^2) sqrt(sigma^2 + sigma_data^2) / sigma_data.
///
/// The first term is the score of a Gaussian as wide as the target, and the rest has the scale 1 / g. With
/// s = 0 this is the preconditioning of Karras et al. (2022, "Elucidating the design space of
/// diffusion-based generative models"); s, the width of one mode, keeps F of unit scale where sigma < s.
///
/// Features, for state x in R^d and noise level sigma, T `time_features` and S `space_features`:
/// - c x, c = 1 / sqrt(sigma^2 + sigma_data^2) (d rows; Karras et al. 2022, table 1);
/// - sin and cos of 2^(k/2 - 1) pi tau, tau = log(sigma / sigma_min) / log(sigma_max / sigma_min), k < T
///   (2 T rows);
/// - sqrt(2) exp(-(|w_j| sigma)^2 / 8) times sin and cos of w_j . x, j < S (2 S rows). With random
///   frequencies w_j (Rahimi and Recht 2007) a small network resolves modes much narrower than the density
///   (Tancik et al. 2020). The damping removes frequencies that noise of scale sigma has blurred in the
///   score.
pub struct ScoreMlp<T> {
    config: MlpConfig,
    features: Arc<Features<T>>,
    layers: Vec<(ParamId, ParamId)>,
}

impl<T: Real> ScoreMlp<T> {
    /// Adds the network's parameters to `params`.
    pub fn new(config: MlpConfig, params: &mut Params<T>, seed: u64) -> Self {
        let features = Features::of(&config, seed);
        let mut layers = Vec::new();
        let mut width = features.rows();
        for l in 0..config.layers {
            // SiLU about halves the scale of its input.
            let w = params.add_weight(format!("layer{l}.weight"), config.hidden, width, 1.5, seed);
            layers.push((w, params.add_zeros(format!("layer{l}.bias"), config.hidden, 1)));
            width = config.hidden;
        }
        // With a last layer of zeros, training starts at the Gaussian score.
        let w = params.add_zeros("out.weight", config.dim, width);
        layers.push((w, params.add_zeros("out.bias", config.dim, 1)));
        Self { config, features: Arc::new(features), layers }
    }

    /// The configuration.
    pub fn config(&self) -> &MlpConfig {
        &self.config
    }
}

impl<T: Real> ScoreNetwork<T> for ScoreMlp<T> {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.config.dim)
    }

    fn record(&self, rec: &mut Recording<T>, x: Var, sigma: &[T]) -> Var {
        let sigma = rec.constant(1, sigma.len(), sigma);
        let mut h = rec.apply(self.features.clone(), &[x, sigma]);
        let last = self.layers.len() - 1;
        for (l, (w, b)) in self.layers.iter().enumerate() {
            let (w, b) = (rec.param(*w), rec.param(*b));
            h = if l < last { rec.linear_silu(w, h, b) } else { rec.linear(w, h, b) };
        }
        h
    }

    fn scaling(&self, sigma: T) -> (T, T) {
        scaling(sigma, self.config.sigma_data, self.config.mode_scale)
    }
}
