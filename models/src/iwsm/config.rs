//! Settings of a training run. Every field is a key of the configuration file.

use serde::{Deserialize, Serialize};

/// What the score-matching loss is weighted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Importance weights towards the target (Wang et al. 2025).
    Iwsm,
    /// Weights of one (Akhound-Sadegh et al. 2024).
    Idem,
}

/// Which identity gives the score that the network is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// Gradients of the energy.
    Target,
    /// Displacements of the draws.
    Denoising,
    /// The mixture of both with the least variance at each noise level.
    Mixed,
}

/// The loop: objective, batches, steps, optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// iwsm or idem.
    pub objective: Objective,
    /// Optimiser steps.
    pub steps: u64,
    /// Noised states in a step.
    pub batch: usize,
    /// Monte Carlo draws K for each of them.
    pub draws: usize,
    /// target, denoising or mixed.
    pub identity: Identity,
    /// Adam's largest learning rate.
    pub learning_rate: f64,
    /// Steps over which it rises from zero; then it falls as a cosine to a hundredth.
    pub warm_up: u64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Decay of the moving average of the parameters, from which samples are drawn.
    pub ema: f64,
}

/// The form of the importance weights w = p_t / proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Exponent on w: 1 is plain, 1/2 trains on the geometric mean of target and proposal.
    pub power: f64,
    /// Least noise level at which the proposal's density is taken (0: its own). A wider one smooths
    /// the spikes that single states of the buffer leave in it.
    pub bandwidth: f64,
    /// States of the buffer that estimate the proposal's density; 0 takes all of them, exactly.
    pub denominator_samples: usize,
    /// Largest weight, in units of their mean.
    pub clip: f64,
    /// Pick the batch with probability proportional to w instead of weighting the loss.
    pub resample: bool,
}

/// The replay buffer and what fills it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// States it holds.
    pub capacity: usize,
    /// Steps between refreshes with the sampler's own samples.
    pub refresh_every: u64,
    /// Samples in a refresh.
    pub refresh_samples: usize,
    /// Reverse steps for each.
    pub refresh_steps: usize,
    /// Share rho of a wide Gaussian in the proposal (1 - rho) p_t^B + rho p_t^flat.
    pub defensive: f64,
    /// Monte Carlo draws that enter the buffer in each step, resampled by their weights.
    pub recycle: usize,
}

/// The score network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Width of a hidden layer.
    pub hidden: usize,
    /// Number of hidden layers.
    pub layers: usize,
    /// Sines and cosines of the noise level.
    pub time_features: usize,
    /// Sines and cosines of the position.
    pub space_features: usize,
    /// Root mean square of a coordinate of the target, roughly.
    pub sigma_data: f64,
    /// Width of one mode, roughly.
    pub mode_scale: f64,
    /// Least noise level: well below `mode_scale`.
    pub sigma_min: f64,
    /// Largest noise level: well above `sigma_data`.
    pub sigma_max: f64,
}

/// All settings of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The loop.
    pub train: Train,
    /// The weights.
    pub weights: Weights,
    /// The buffer.
    pub replay: Replay,
    /// The network.
    pub network: Network,
}

impl Default for Config {
    /// Settings for a mixture in the plane.
    fn default() -> Self {
        Self {
            train: Train {
                objective: Objective::Iwsm,
                steps: 4000,
                batch: 512,
                draws: 500,
                identity: Identity::Mixed,
                learning_rate: 2e-3,
                warm_up: 200,
                clip: 1.0,
                ema: 0.998,
            },
            weights: Weights {
                power: 0.5,
                bandwidth: 0.0,
                denominator_samples: 0,
                clip: 50.0,
                resample: false,
            },
            replay: Replay {
                capacity: 10_000,
                refresh_every: 50,
                refresh_samples: 512,
                refresh_steps: 100,
                defensive: 0.0,
                recycle: 0,
            },
            network: Network {
                hidden: 128,
                layers: 3,
                time_features: 8,
                space_features: 64,
                sigma_data: 27.0,
                mode_scale: 1.3,
                sigma_min: 0.05,
                sigma_max: 80.0,
            },
        }
    }
}

impl Config {
    /// What is wrong with these settings, if anything: one line that names the key and its range.
    pub fn problem(&self) -> Option<String> {
        let (t, w, r, n) = (&self.train, &self.weights, &self.replay, &self.network);
        let counts = [
            ("train.steps", t.steps as usize),
            ("train.batch", t.batch),
            ("train.draws", t.draws),
            ("replay.capacity", r.capacity),
            ("replay.refresh_every", r.refresh_every as usize),
            ("replay.refresh_steps", r.refresh_steps),
            ("network.hidden", n.hidden),
            ("network.layers", n.layers),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, v)| *v == 0) {
            return Some(format!("{key} must be at least 1"));
        }
        let sizes = [
            ("train.batch", t.batch, 1 << 20),
            ("train.draws", t.draws, 1 << 24),
            ("replay.capacity", r.capacity, 1 << 26),
            ("replay.refresh_samples", r.refresh_samples, 1 << 24),
            ("network.hidden", n.hidden, 1 << 14),
            ("network.layers", n.layers, 1 << 10),
            ("network.time_features", n.time_features, 24),
            ("network.space_features", n.space_features, 1 << 14),
        ];
        if let Some((key, _, most)) = sizes.iter().find(|(_, v, most)| v > most) {
            return Some(format!("{key} must be at most {most}"));
        }
        let positive = [
            ("train.learning_rate", t.learning_rate),
            ("train.clip", t.clip),
            ("weights.clip", w.clip),
            ("network.sigma_data", n.sigma_data),
            ("network.mode_scale", n.mode_scale),
            ("network.sigma_min", n.sigma_min),
        ];
        if let Some((key, v)) = positive.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
            return Some(format!("{key} = {v} must be a positive number"));
        }
        let shares = [("train.ema", t.ema), ("weights.power", w.power), ("replay.defensive", r.defensive)];
        if let Some((key, v)) = shares.iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Some(format!("{key} = {v} must lie between 0 and 1"));
        }
        if t.ema == 1.0 {
            return Some("train.ema must be below 1: samples are drawn from the average".into());
        }
        if !(w.bandwidth >= 0.0 && w.bandwidth.is_finite()) {
            return Some(format!("weights.bandwidth = {} must be 0 or a positive number", w.bandwidth));
        }
        if !(n.sigma_max > n.sigma_min && n.sigma_max.is_finite()) {
            return Some(format!(
                "network.sigma_max = {} must exceed network.sigma_min = {}",
                n.sigma_max, n.sigma_min
            ));
        }
        if w.denominator_samples > r.capacity {
            return Some("weights.denominator_samples must not exceed replay.capacity".into());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_bad_values_are_named() {
        assert_eq!(Config::default().problem(), None);
        let mut c = Config::default();
        c.train.batch = 0;
        assert_eq!(c.problem().unwrap(), "train.batch must be at least 1");
        c = Config::default();
        c.network.sigma_min = f64::NAN;
        assert!(c.problem().unwrap().starts_with("network.sigma_min"));
        c = Config::default();
        c.weights.power = 1.5;
        assert!(c.problem().unwrap().contains("between 0 and 1"));
    }
}
