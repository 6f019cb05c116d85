//! Settings of the particles experiment.

use models::evaluate::particles::Sizes;
use models::sampler::iwsm::{self, Identity, Kind, Objective, symmetric};
use models::target::{DoubleWell, Energy, LennardJones, ParticleSystem};
use models::target::{PairEnergy, Smoothed};
use serde::{Deserialize, Serialize};

use crate::config::nearest;
use crate::failure::Failure;

/// Names of the targets.
pub const TARGETS: [&str; 3] = ["dw4", "lj13", "lj55"];

/// What is measured at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Samples to draw and keep, at least sets * set_size.
    pub samples: usize,
    /// Sets that figures are averaged over.
    pub sets: usize,
    /// Samples in a set.
    pub set_size: usize,
    /// Sets on which eq-W2 is taken.
    pub eq_sets: usize,
    /// Steps of the reverse SDE.
    pub reverse_steps: usize,
    /// Steps of the probability-flow ODE.
    pub flow_steps: usize,
    /// Samples of the flow behind log Z, ESS and k-hat; 0 leaves them out.
    pub flow_samples: usize,
    /// Trajectories of HMC in the exact correction of the samples; 0 leaves the correction out.
    #[serde(default = "correction_moves")]
    pub correction_moves: usize,
    /// Rows of history.csv.
    pub snapshots: u64,
}

fn correction_moves() -> usize {
    100
}

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticlesConfig {
    /// Seed of every random number of the run.
    pub seed: u64,
    /// One of [`TARGETS`].
    pub target: String,
    /// The loop.
    pub train: iwsm::Train,
    /// The weights.
    pub weights: iwsm::Weights,
    /// The buffer.
    pub replay: iwsm::Replay,
    /// The network.
    pub network: iwsm::Network,
    /// The measurements.
    pub evaluation: Evaluation,
}

/// A target as training and measurements want it.
pub struct Target {
    /// In single precision, softened within train.core.
    pub training: Box<dyn Energy<f32>>,
    /// In single precision, exact.
    pub single: Box<dyn Energy<f32>>,
    /// In double precision, exact.
    pub exact: Box<dyn Energy<f64>>,
    /// The shape of its states.
    pub system: ParticleSystem,
}

impl ParticlesConfig {
    /// The settings made for a target; an error that names the targets if there is none of that name.
    pub fn preset(name: &str) -> Result<Self, Failure> {
        let iwsm::Config { mut train, mut weights, mut replay, mut network } = iwsm::Config::default();
        let mut evaluation = Evaluation {
            samples: 5000,
            sets: 5,
            set_size: 1000,
            eq_sets: 1,
            reverse_steps: 400,
            flow_steps: 100,
            flow_samples: 2000,
            correction_moves: correction_moves(),
            snapshots: 20,
        };
        train.identity = Identity::Stored;
        train.objective = Objective::Idem;
        train.draws = 200;
        train.learning_rate = 2e-3;
        weights.smooth = true;
        (replay.moves, replay.first_moves) = (4, 300);
        (network.kind, network.layers) = (Kind::Pair, 2);
        match name {
            "dw4" => {
                train.steps = 14_000;
                replay.resample = true;
                (train.focus_share, train.focus_sigma) = (0.5, 0.5);
                (network.hidden, network.radial_features, network.layers) = (96, 48, 3);
                (network.sigma_data, network.mode_scale) = (1.8, 0.3);
                (network.sigma_min, network.sigma_max) = (0.02, 8.0);
            }
            "lj13" => {
                (train.steps, train.batch) = (6000, 256);
                (train.core, train.score_clip) = (0.7, 1000.0);
                (train.focus_share, train.focus_sigma) = (0.5, 0.15);
                // Resampled, because samples with overlapping particles are stuck for the moves and spoil the loss.
                replay.resample = true;
                (network.hidden, network.radial_features, network.layers) = (96, 48, 2);
                (network.passes, network.core) = (2, 0.8);
                (network.sigma_data, network.mode_scale) = (0.6, 0.06);
                (network.sigma_min, network.sigma_max) = (0.004, 4.0);
                (evaluation.flow_samples, evaluation.flow_steps) = (200, 60);
                (evaluation.reverse_steps, evaluation.snapshots) = (200, 10);
            }
            "lj55" => {
                (train.steps, train.batch) = (8000, 64);
                (train.core, train.score_clip) = (0.7, 3000.0);
                (train.focus_share, train.focus_sigma) = (0.5, 0.15);
                // Chains alone: the weights of paths single out two samples in a thousand here.
                (replay.capacity, replay.refresh_samples) = (2000, 0);
                (replay.moves, replay.first_moves) = (20, 1000);
                (network.hidden, network.radial_features, network.layers) = (96, 48, 2);
                (network.passes, network.core) = (3, 0.8);
                (network.sigma_data, network.mode_scale) = (0.9, 0.05);
                (network.sigma_min, network.sigma_max) = (0.004, 5.0);
                (evaluation.samples, evaluation.sets, evaluation.flow_samples) = (1000, 1, 0);
                (evaluation.reverse_steps, evaluation.snapshots) = (200, 4);
            }
            _ => {
                let hint = nearest(name, &TARGETS).map_or(String::new(), |n| format!(", did you mean {n}?"));
                return Err(Failure::usage(format!(
                    "unknown target `{name}`{hint} (targets: {})",
                    TARGETS.join(", ")
                )));
            }
        }
        Ok(Self { seed: 0, target: name.into(), train, weights, replay, network, evaluation })
    }

    /// Turns this into a run of a minute or two that goes through everything.
    pub fn make_quick(&mut self) {
        self.train.steps = 2000;
        self.evaluation.samples = 2000;
        self.evaluation.sets = self.evaluation.sets.min(2);
        self.evaluation.reverse_steps = 200;
        self.evaluation.flow_steps = 40;
        self.evaluation.flow_samples = self.evaluation.flow_samples.min(200);
        self.evaluation.snapshots = 8;
    }

    /// Draws `n` samples, and measures as many of them as make whole sets.
    pub fn set_samples(&mut self, n: usize) {
        let e = &mut self.evaluation;
        e.samples = n;
        e.set_size = e.set_size.min(n);
        e.sets = e.sets.min(n / e.set_size.max(1));
    }

    /// The settings of the training loop.
    pub fn iwsm(&self) -> iwsm::Config {
        iwsm::Config {
            train: self.train.clone(),
            weights: self.weights.clone(),
            replay: self.replay.clone(),
            network: self.network.clone(),
        }
    }

    /// Sizes of the comparison with the reference.
    pub fn sizes(&self) -> Sizes {
        let e = &self.evaluation;
        Sizes { sets: e.sets, set_size: e.set_size, eq_sets: e.eq_sets }
    }

    /// The energies and the shape of the states.
    pub fn energies(&self) -> Target {
        fn with<E>(energy: E, core: f64) -> Target
        where
            E: Energy<f32> + Energy<f64> + PairEnergy + Copy + 'static,
        {
            let training: Box<dyn Energy<f32>> =
                if core > 0.0 { Box::new(Smoothed::new(energy, core)) } else { Box::new(energy) };
            Target { training, single: Box::new(energy), exact: Box::new(energy), system: energy.system() }
        }
        match self.target.as_str() {
            "lj13" => with(LennardJones::new(13), self.train.core),
            "lj55" => with(LennardJones::new(55), self.train.core),
            _ => with(DoubleWell::dw4(), self.train.core),
        }
    }

    /// An error if some value is outside its range.
    pub fn check(&self) -> Result<(), Failure> {
        Self::preset(&self.target)?;
        let e = &self.evaluation;
        let counts = [
            ("evaluation.sets", e.sets, 1, 1000),
            ("evaluation.set_size", e.set_size, 2, 20_000),
            ("evaluation.eq_sets", e.eq_sets, 1, 1000),
            ("evaluation.samples", e.samples, e.sets.saturating_mul(e.set_size), 10_000_000),
            ("evaluation.reverse_steps", e.reverse_steps, 1, 1_000_000),
            ("evaluation.flow_steps", e.flow_steps, 1, 1_000_000),
            ("evaluation.flow_samples", e.flow_samples, 0, 10_000_000),
            ("evaluation.correction_moves", e.correction_moves, 0, 1_000_000),
            ("evaluation.snapshots", e.snapshots as usize, 1, 1_000_000),
        ];
        if let Some((key, v, low, high)) = counts.iter().find(|(_, v, low, high)| v < low || v > high) {
            return Err(Failure::usage(format!("{key} = {v} must lie between {low} and {high}")));
        }
        if self.weights.symmetric && !symmetric::applies(self.energies().system) {
            return Err(Failure::usage(format!(
                "weights.symmetric sums over all renumberings and angles of at most {} particles in the plane: {} is too large",
                symmetric::MOST,
                self.target
            )));
        }
        self.iwsm().problem().map_or(Ok(()), |p| Err(Failure::usage(p)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_sound() {
        for (name, dim) in TARGETS.iter().zip([8, 39, 165]) {
            let mut c = ParticlesConfig::preset(name).unwrap();
            c.check().unwrap();
            c.make_quick();
            c.check().unwrap();
            let target = c.energies();
            assert_eq!((target.system.dim(), target.training.dim()), (dim, dim));
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        let error = ParticlesConfig::preset("lj12").unwrap_err().to_string();
        assert!(error.contains("did you mean lj13"), "{error}");
        let mut c = ParticlesConfig::preset("dw4").unwrap();
        c.set_samples(300);
        assert_eq!((c.evaluation.sets, c.evaluation.set_size), (1, 300));
        c.check().unwrap();
        c.set_samples(1);
        assert!(c.check().unwrap_err().to_string().contains("evaluation.set_size = 1"));
    }
}
