//! The methods that explore a target for a training, with settings that need no look at the target.

use super::{Config, Explore};
use crate::mcmc::parallel_tempering;
use crate::memory::Part;
use crate::sampler::{MethodConfig, Sampler, SamplerError, smc};
use crate::target::{AnyTarget, Held, TargetError};

/// Widths of the Gaussians that explorers begin with, in units of the target's width where that is measured. At a
/// Gaussian as wide as the target, modes far out have few particles: in 50 dimensions squares of distances differ much.
const WIDE_SMC: f64 = 3.0;
const WIDE_PT: f64 = 2.0;
/// Populations of smc.
const POPULATIONS: usize = 8;
/// Its temperatures at most. It takes 20 to 60.
const TEMPERATURES: usize = 400;
/// Rungs of pt, besides four for each square root of the dimension.
const RUNGS: usize = 6;
/// Sweeps of pt for one of `replay.explore_moves`.
const SWEEPS: usize = 5;

/// The name of the explorer.
pub(super) fn name(config: &Config) -> &'static str {
    if config.replay.explore == Explore::Pt { "pt" } else { "smc" }
}

fn wide(config: &Config, measured: f64) -> f64 {
    if config.network.measured() { measured } else { config.network.sigma_data }
}

fn populations(config: &Config) -> smc::Settings {
    let sampler = smc::Config {
        blocks: POPULATIONS,
        particles: config.replay.capacity.div_ceil(POPULATIONS).max(2),
        initial_scale: wide(config, WIDE_SMC),
        moves: config.replay.explore_moves,
        temperatures: TEMPERATURES,
        ..Default::default()
    };
    smc::Settings { sampler }
}

fn tempering(config: &Config, free_dim: usize) -> parallel_tempering::Settings {
    let sampler = parallel_tempering::Config {
        rungs: RUNGS + (4.0 * (free_dim as f64).sqrt()) as usize,
        scale: wide(config, WIDE_PT),
        thin: SWEEPS * config.replay.explore_moves,
        ..Default::default()
    };
    parallel_tempering::Settings { sampler }
}

/// Steps of the explorer; 0 if there is none.
pub(super) fn steps(config: &Config) -> u64 {
    let states = config.replay.capacity;
    match config.replay.explore {
        Explore::Smc => populations(config).steps(states),
        Explore::Pt => tempering(config, 1).steps(states),
        Explore::None | Explore::Annealed => 0,
    }
}

/// What grows with the explorer's settings.
pub(super) fn memory(config: &Config, target: &dyn AnyTarget) -> Vec<Part> {
    let (states, geometry) = (config.replay.capacity, target.single().geometry());
    match config.replay.explore {
        Explore::Smc => populations(config).memory(target, states),
        Explore::Pt => tempering(config, geometry.free_dim()).memory(target, states),
        Explore::None | Explore::Annealed => Vec::new(),
    }
}

/// The explorer on `target` before its first step.
pub(super) fn build<'t>(
    config: &Config,
    target: Held<'t, f64>,
    seed: u64,
) -> Result<Box<dyn Sampler + 't>, SamplerError> {
    let states = config.replay.capacity;
    let built = match config.replay.explore {
        Explore::Pt => tempering(config, target.geometry().free_dim()).on(target, states, seed),
        _ => populations(config).on(target, states, seed),
    };
    // Its remedies name settings of its own, which are none of a training.
    built.map_err(|e| match e {
        SamplerError::Target(TargetError::Outside(what)) => {
            let found = what.split(": ").next().unwrap_or_default();
            TargetError::Outside(format!(
                "{}: {found}: give network.sigma_data, or set replay.explore = annealed or none",
                name(config)
            ))
            .into()
        }
        SamplerError::Settings(what) => SamplerError::Settings(format!(
            "{}: {what}, and follows from network.sigma_data = {}",
            name(config),
            config.network.sigma_data
        )),
        other => other,
    })
}
