//! The score network: embedding of the noise level, layers, scaling, projection.

use std::sync::Arc;

use engine::{Params, Real, Recording, Var};

use super::{Affine, Egnn, EgnnConfig};
use crate::score::centred::Center;
use crate::score::{ScoreNetwork, per_state, scaling, waves};
use crate::target::{Geometry, ParticleSystem};

/// Scales of the target, and the embedding of the noise level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Root mean square of a coordinate of the target.
    pub sigma_data: f64,
    /// Width of one mode; see [`ScoreMlp`](crate::score::ScoreMlp).
    pub mode_scale: f64,
    /// Least and largest noise level.
    pub sigma_range: (f64, f64),
    /// Sines (and cosines) of the noise level.
    pub time_features: usize,
}

/// An EGNN (Satorras, Hoogeboom and Welling 2021) as a score network, scaled as
/// [`ScoreMlp`](crate::score::ScoreMlp).
///
/// The noised state x, divided by sqrt(sigma^2 + sigma_data^2), is the input of L layers ([`Egnn`]); h_i
/// starts as a linear map of sines and cosines of log sigma. F is the displacement of the positions less its
/// mean: equivariant under rotations, reflections and permutations, invariant under translations.
pub struct ScoreEgnn<T> {
    scales: Scales,
    system: ParticleSystem,
    embedding: Affine,
    layers: Egnn<T>,
    center: Arc<Center>,
}

impl<T: Real> ScoreEgnn<T> {
    /// Adds the network's parameters to `params`.
    pub fn new(config: EgnnConfig, scales: Scales, params: &mut Params<T>, seed: u64) -> Self {
        let system = ParticleSystem { particles: config.pairs.particles, space: config.pairs.space };
        let sizes = (2 * scales.time_features, config.hidden);
        let embedding = Affine::new(params, "embedding", sizes, 1.0, seed);
        let layers = Egnn::new(config, params, seed);
        Self { scales, system, embedding, layers, center: Arc::new(Center(system)) }
    }
}

impl<T: Real> ScoreNetwork<T> for ScoreEgnn<T> {
    fn geometry(&self) -> Geometry {
        self.system.into()
    }

    fn record(&self, g: &mut Recording<T>, x: Var, sigma: &[T]) -> Var {
        let (d, n) = (self.dim(), sigma.len());
        let (particles, space) = (self.system.particles, self.system.space);
        let factors = per_state(g, sigma, |s| 1.0 / s.hypot(self.scales.sigma_data));
        let state = g.apply(self.center.clone(), &[x, factors]);
        let waves = waves(g, self.scales.time_features, self.scales.sigma_range, sigma, particles);
        let [w, b] = self.embedding.vars(g);
        let h = g.linear(w, waves, b);
        let x = g.reshape(state, space, n * particles);
        let moved = self.layers.record(g, h, x);
        let change = g.sub(moved, x);
        let change = g.reshape(change, d, n);
        let ones = g.constant_with(1, n, |ones| ones.fill(T::ONE));
        g.apply(self.center.clone(), &[change, ones])
    }

    fn scaling(&self, sigma: T) -> (T, T) {
        scaling(sigma, self.scales.sigma_data, self.scales.mode_scale)
    }
}
