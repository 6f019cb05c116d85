//! The score network of a configuration.

use engine::{Params, Real};

use super::{Kind, Network};
use crate::score::{
    Centred, EgnnConfig, MlpConfig, PairConfig, Pairs, Scales, ScoreEgnn, ScoreMlp, ScoreNetwork, ScorePair,
    ScoreResidual,
};
use crate::target::Geometry;

/// Adds the network's parameters to `params`. For particles, a network in R^d is projected onto mean-free states.
///
/// # Panics
/// If the network is for particles and the geometry is R^d.
pub fn build<T: Real>(
    net: &Network,
    geometry: Geometry,
    params: &mut Params<T>,
    seed: u64,
) -> Box<dyn ScoreNetwork<T>> {
    let sigma_range = (net.sigma_min, net.sigma_max);
    match net.kind {
        Kind::Mlp | Kind::Residual => {
            let config = MlpConfig {
                dim: geometry.dim(),
                hidden: net.hidden,
                layers: net.layers,
                time_features: net.time_features,
                space_features: net.space_features,
                sigma_data: net.sigma_data,
                mode_scale: net.mode_scale,
                sigma_range,
            };
            let plain: Box<dyn ScoreNetwork<T>> = match net.kind {
                Kind::Residual => Box::new(ScoreResidual::new(config, params, seed)),
                _ => Box::new(ScoreMlp::new(config, params, seed)),
            };
            match geometry {
                Geometry::Particles(system) => Box::new(Centred::new(plain, system)),
                Geometry::Euclidean(_) => plain,
            }
        }
        Kind::Pair => {
            let pair = PairConfig {
                system: geometry.particles().expect("network.kind = pair needs particles"),
                hidden: net.hidden,
                rounds: net.layers,
                passes: net.passes,
                core: net.core,
                time_features: net.time_features,
                radial_features: net.radial_features,
                sigma_data: net.sigma_data,
                mode_scale: net.mode_scale,
                sigma_range,
            };
            Box::new(ScorePair::new(pair, params, seed))
        }
        Kind::Egnn => {
            let system = geometry.particles().expect("network.kind = egnn needs particles");
            let pairs = Pairs { particles: system.particles, space: system.space, cutoff: f64::INFINITY };
            let scales = Scales {
                sigma_data: net.sigma_data,
                mode_scale: net.mode_scale,
                sigma_range,
                time_features: net.time_features,
            };
            let config = EgnnConfig { pairs, hidden: net.hidden, layers: net.layers };
            Box::new(ScoreEgnn::new(config, scales, params, seed))
        }
    }
}

/// States of a shard, few enough for its activations to stay in cache: a constant of the network, because it fixes
/// the order of sums.
pub(super) fn shard(kind: Kind, geometry: Geometry) -> usize {
    const STATES: usize = 64;
    /// Edges whose stored values fit the last-level cache (egnn).
    const EDGES: usize = 1280;
    match (kind, geometry) {
        (Kind::Egnn, Geometry::Particles(s)) => {
            (EDGES / (s.particles * (s.particles - 1)).max(1)).clamp(1, STATES)
        }
        _ => STATES,
    }
}
