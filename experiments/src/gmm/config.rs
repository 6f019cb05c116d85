//! Settings of the mixtures experiment.

use models::sampler::iwsm;
use models::target::{GMM_SCALE, Mixture};
use serde::{Deserialize, Serialize};

use crate::config::nearest;
use crate::failure::Failure;

/// Names of the targets.
pub const TARGETS: [&str; 7] = ["gmm40", "gmm60", "gmm80", "gmm100", "gmm120", "gmm-w", "gmm-d"];

/// The density to sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// One of [`TARGETS`].
    pub name: String,
    /// Dimension of gmm-d.
    pub dim: usize,
    /// Half the width of the box of the means, where they are random.
    pub spread: f64,
    /// Seed of random means and weights: a part of the target, not of the run.
    pub seed: u64,
}

/// What is measured at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Sets that figures are averaged over.
    pub sets: usize,
    /// Samples in a set.
    pub set_size: usize,
    /// Steps of the reverse SDE.
    pub reverse_steps: usize,
    /// Steps of the probability-flow ODE.
    pub flow_steps: usize,
    /// Exact samples whose likelihood is taken.
    pub nll_samples: usize,
    /// Samples of the flow behind log Z, ESS and k-hat.
    pub flow_samples: usize,
    /// Rows of history.csv with mode figures.
    pub snapshots: u64,
}

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GmmConfig {
    /// Seed of every random number of the run.
    pub seed: u64,
    /// The density.
    pub target: Target,
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

impl GmmConfig {
    /// The settings made for a target; an error that names the targets if there is none of that name.
    pub fn preset(name: &str, dim: Option<usize>, spread: Option<f64>) -> Result<Self, Failure> {
        if !TARGETS.contains(&name) {
            let hint = nearest(name, &TARGETS).map_or(String::new(), |n| format!(", did you mean {n}?"));
            return Err(Failure::usage(format!(
                "unknown target `{name}`{hint} (targets: {})",
                TARGETS.join(", ")
            )));
        }
        let general = name == "gmm-d";
        if dim.is_some_and(|d| d != 2) && !general {
            return Err(Failure::usage(format!(
                "{name} lives in 2 dimensions; use --target gmm-d with --dim"
            )));
        }
        if spread.is_some() && ["gmm40", "gmm-w"].contains(&name) {
            return Err(Failure::usage(format!(
                "{name} has fixed means; --spread is for gmm60 to gmm120 and gmm-d"
            )));
        }
        let iwsm::Config { train, weights, replay, mut network } = iwsm::Config::default();
        let spread = spread.unwrap_or(if general { 10.0 } else { 40.0 });
        // A coordinate uniform in the box has the root mean square spread / sqrt 3; somewhat wider.
        network.sigma_data = (spread / 1.5).clamp(1e-3, 1e6);
        network.sigma_max = 3.0 * network.sigma_data;
        network.mode_scale = GMM_SCALE;
        Ok(Self {
            seed: 0,
            target: Target {
                name: name.into(),
                dim: dim.unwrap_or(if general { 10 } else { 2 }),
                spread,
                seed: 0,
            },
            train,
            weights,
            replay,
            network,
            evaluation: Evaluation {
                sets: 5,
                set_size: 1000,
                reverse_steps: 400,
                flow_steps: 200,
                nll_samples: 2000,
                flow_samples: 2000,
                snapshots: 40,
            },
        })
    }

    /// Turns this into a run of seconds that goes through everything.
    pub fn make_quick(&mut self) {
        self.train.steps = 400;
        self.train.draws = 200;
        self.train.warm_up = 50;
        self.evaluation.sets = 2;
        self.evaluation.reverse_steps = 100;
        self.evaluation.flow_steps = 60;
        self.evaluation.nll_samples = 300;
        self.evaluation.flow_samples = 300;
        self.evaluation.snapshots = 8;
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

    /// The mixture; its seeds differ from target to target.
    pub fn mixture(&self) -> Mixture {
        let Target { name, dim, spread, seed } = &self.target;
        match name.as_str() {
            "gmm40" => Mixture::gmm40(),
            "gmm-w" => Mixture::gmm_w(*seed),
            "gmm-d" => Mixture::random(40, *dim, *spread, GMM_SCALE, true, *seed),
            other => {
                let components = other.trim_start_matches("gmm").parse().unwrap_or(40);
                Mixture::random(components, 2, *spread, GMM_SCALE, false, *seed)
            }
        }
    }

    /// An error if some value is outside its range.
    pub fn check(&self) -> Result<(), Failure> {
        Self::preset(&self.target.name, Some(self.target.dim), None)?;
        let e = &self.evaluation;
        let counts = [
            ("target.dim", self.target.dim, 1, 1000),
            ("evaluation.sets", e.sets, 1, 1000),
            ("evaluation.set_size", e.set_size, 2, 20_000),
            ("evaluation.reverse_steps", e.reverse_steps, 1, 1_000_000),
            ("evaluation.flow_steps", e.flow_steps, 1, 1_000_000),
            ("evaluation.nll_samples", e.nll_samples, 2, 10_000_000),
            ("evaluation.flow_samples", e.flow_samples, 10, 10_000_000),
            ("evaluation.snapshots", e.snapshots as usize, 1, 1_000_000),
        ];
        if let Some((key, v, low, high)) = counts.iter().find(|(_, v, low, high)| v < low || v > high) {
            return Err(Failure::usage(format!("{key} = {v} must lie between {low} and {high}")));
        }
        if !(self.target.spread > 0.0 && self.target.spread.is_finite()) {
            return Err(Failure::usage(format!(
                "target.spread = {} must be a positive number",
                self.target.spread
            )));
        }
        if self.train.core > 0.0 || self.network.kind != iwsm::Kind::Mlp {
            return Err(Failure::usage(
                "train.core and network.kind = pair are for particles; a mixture takes 0 and mlp",
            ));
        }
        self.iwsm().problem().map_or(Ok(()), |p| Err(Failure::usage(p)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_sound() {
        for name in TARGETS {
            let c = GmmConfig::preset(name, None, None).unwrap();
            c.check().unwrap();
            let wanted = match name {
                "gmm40" | "gmm-w" | "gmm-d" => 40,
                other => other[3..].parse().unwrap(),
            };
            assert_eq!(c.mixture().components(), wanted);
        }
    }

    #[test]
    fn wrong_targets_and_dimensions_are_named() {
        let error = |name, dim, spread| GmmConfig::preset(name, dim, spread).unwrap_err().to_string();
        assert!(error("gmm41", None, None).contains("did you mean gmm40"));
        assert!(error("gmm60", Some(3), None).contains("gmm-d"));
        assert!(error("gmm40", None, Some(3.0)).contains("fixed means"));
        let mut c = GmmConfig::preset("gmm-d", Some(0), None).unwrap();
        assert!(c.check().unwrap_err().to_string().contains("target.dim = 0"));
        c.target.dim = 3;
        c.evaluation.set_size = 1;
        assert!(c.check().is_err());
    }
}
