//! The score network of a configuration.

use engine::{Params, Real};

use super::{Config, Kind, Network};
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

/// States of a shard: `train.shard`, or as many as make [`SHARDS`] of a batch, but no fewer than the products of
/// matrices are fast for, and no more than whose activations stay in cache. A function of the settings alone, because it
/// fixes the order of sums.
pub(super) fn shard(config: &Config, geometry: Geometry) -> usize {
    /// Tasks for as many cores.
    const SHARDS: usize = 64;
    /// Columns of a product. With 32 a network of 128 hidden units takes 1.15 times as long on one thread as with 128,
    /// with 16 1.3 times, with 8 1.6 times: matrices of parameters are read and their gradients written for each shard.
    const COLUMNS: usize = 32;
    /// Columns whose stored values fit a core's cache.
    const MOST: usize = 64;
    /// Edges whose stored values fit the last-level cache (egnn).
    const EDGES: usize = 1280;
    if config.train.shard > 0 {
        return config.train.shard;
    }
    let nodes = match geometry.particles() {
        Some(s) if config.network.kind.equivariant() => s.particles.max(1),
        _ => 1,
    };
    let most = match config.network.kind {
        Kind::Egnn => (EDGES / (nodes * (nodes - 1)).max(1)).clamp(1, MOST),
        _ => MOST,
    };
    config.train.batch.div_ceil(SHARDS).max(COLUMNS.div_ceil(nodes)).min(most)
}
