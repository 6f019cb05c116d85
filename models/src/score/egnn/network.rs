//! The score network around the layers: scaling, embedding of the noise level, centring.

use std::sync::Arc;

use engine::{Graph, Params, Real, Var};

use super::nodes::{Centre, Repeat};
use super::{Affine, Egnn, EgnnConfig};
use crate::score::ScoreNetwork;
use crate::score::features::Features;
use crate::score::mlp::unit_scaling;

/// What a score network knows of its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Root mean square of a coordinate of the target.
    pub sigma_data: f64,
    /// Width of one mode.
    pub mode_scale: f64,
    /// Least and largest noise level.
    pub sigma_range: (f64, f64),
    /// Sines (and cosines) of the noise level.
    pub time_features: usize,
}

/// An EGNN as a score network; see the [module](super).
pub struct ScoreEgnn<T> {
    scales: Scales,
    features: Arc<Features<T>>,
    embedding: Affine,
    layers: Egnn<T>,
    repeat: Arc<Repeat>,
    centre: Arc<Centre>,
}

impl<T: Real> ScoreEgnn<T> {
    /// Adds the network's parameters to `params`.
    pub fn new(config: EgnnConfig, scales: Scales, params: &mut Params<T>, seed: u64) -> Self {
        let n = config.pairs.particles;
        let sizes = (n * config.pairs.space, scales.time_features, 0);
        let features = Features::new(sizes, scales.sigma_data, scales.sigma_range, (1.0, 1.0), seed);
        let embedding =
            Affine::new(params, "embedding", (2 * scales.time_features, config.hidden), 1.0, seed);
        Self {
            scales,
            features: Arc::new(features),
            embedding,
            layers: Egnn::new(config, params, seed),
            repeat: Arc::new(Repeat(n)),
            centre: Arc::new(Centre(n)),
        }
    }
}

impl<T: Real> ScoreNetwork<T> for ScoreEgnn<T> {
    fn dim(&self) -> usize {
        self.layers.config.pairs.particles * self.layers.config.pairs.space
    }

    fn record(&self, g: &mut Graph<T>, x: Var, sigma: &[T]) -> Var {
        let (d, n, space) = (self.dim(), sigma.len(), self.layers.config.pairs.space);
        let sigma = g.constant(1, n, sigma);
        let features = g.apply(self.features.clone(), &[x, sigma]);
        let state = g.slice_rows(features, 0..d);
        let waves = g.slice_rows(features, d..d + 2 * self.scales.time_features);
        let [w, b] = self.embedding.vars(g);
        let h = g.linear(w, waves, b);
        let h = g.apply(self.repeat.clone(), &[h]);
        let x = g.reshape(state, space, n * d / space);
        let moved = self.layers.record(g, h, x);
        let change = g.sub(moved, x);
        let change = g.apply(self.centre.clone(), &[change]);
        g.reshape(change, d, n)
    }

    fn scaling(&self, sigma: T) -> (T, T) {
        unit_scaling(sigma, self.scales.sigma_data, self.scales.mode_scale)
    }
}
