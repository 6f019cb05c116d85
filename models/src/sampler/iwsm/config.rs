//! Settings of a training run. Every field is a key of the configuration file.

use engine::Real;
use serde::{Deserialize, Serialize};

use super::symmetric;
use crate::memory;
use crate::range::{self, Range, Range::Between};
use crate::target::Target;

/// The weights of the score-matching loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// Importance weights p_t / proposal (Wang et al. 2025).
    #[default]
    Iwsm,
    /// No weights (Akhound-Sadegh et al. 2024).
    Idem,
}

/// The identity for the scores on which the network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// Target score identity: gradients of the energy. Where a draw meets an infinite energy, as `denoising`.
    Target,
    /// Denoising score identity: displacements of the draws.
    Denoising,
    /// The mixture of both with the least variance at each noise level. Where a draw meets an infinite energy, as
    /// `denoising`.
    Mixed,
    /// The same mixture for the stored state x_0 from which x_t was made, in place of draws:
    /// kappa (-grad E(x_0)) + (1 - kappa) (x_0 - x_t) / sigma^2. Unbiased if the buffer, weighted, is an
    /// equilibrium sample, and the energy finite wherever stored states are; costs one energy for each state.
    Stored,
}

/// The form of the importance weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Densities of the noised state: target over proposal, the proposal summed over the buffer.
    Marginal,
    /// Path measures: each stored state carries the weight of the reverse path that made it.
    Trajectory,
}

/// What fills the replay buffer before and beside the model's own samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Explore {
    /// Samples of a wide Gaussian.
    #[default]
    None,
    /// The same, and a target that goes from that Gaussian to exp(-E) as fast as the weights of the model's paths
    /// allow. Needs weights of stored states.
    Annealed,
}

/// The kind of the score network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A multilayer perceptron.
    Mlp,
    /// Radial functions of pairs of particles, equivariant.
    Pair,
    /// An equivariant graph network.
    Egnn,
}

/// The loop: batches, steps, optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Optimiser steps.
    pub steps: u64,
    /// Noised states in a step.
    pub batch: usize,
    /// Monte Carlo draws K for each of them.
    pub draws: usize,
    /// target, denoising, mixed or stored.
    pub identity: Identity,
    /// Adam's largest learning rate.
    pub learning_rate: f64,
    /// Steps of its linear rise from zero; then cosine decay to a hundredth.
    pub warm_up: u64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Decay of the moving average of the parameters, from which samples are drawn.
    pub ema: f64,
    /// Largest norm of a score that the network is trained on; 0 for none. Biased: for training only.
    pub score_clip: f64,
    /// Radius within which pairs of particles are softened; 0 for none. For training only.
    pub core: f64,
    /// Share of a batch with noise levels around `focus_sigma`; the rest is uniform in log sigma.
    #[serde(default)]
    pub focus_share: f64,
    /// The noise level where the score is hardest to learn.
    #[serde(default = "unit")]
    pub focus_sigma: f64,
}

/// The form of the importance weights w = p_t / proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// marginal or trajectory.
    pub form: Form,
    /// Pareto smoothing (marginal): replace the largest weights by quantiles of a Pareto distribution fitted to them.
    pub smooth: bool,
    /// Largest exponent on w (marginal): 1 is plain, 1/2 trains on the geometric mean of target and proposal. Weights
    /// of stored states have no exponent: another would be another law.
    pub power: f64,
    /// Effective share that the exponent is lowered for at each noise level (marginal); 0 for none.
    #[serde(default)]
    pub share: f64,
    /// Lower bound of the noise level at which the proposal's density is computed (0: none). A larger one smooths
    /// its peaks at single states of the buffer.
    pub bandwidth: f64,
    /// Number of buffer states that estimate the proposal's density; 0 for the exact sum over all.
    pub denominator_samples: usize,
    /// Largest weight, in units of their mean.
    pub clip: f64,
    /// Average the proposal's density over rotations, reflections and permutations of a few particles in the
    /// plane.
    #[serde(default)]
    pub symmetric: bool,
    /// Pick the batch with probability proportional to w instead of weighting the loss.
    pub resample: bool,
}

/// The replay buffer and its refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Number of states.
    pub capacity: usize,
    /// Steps between refreshes with samples of the current model.
    pub refresh_every: u64,
    /// Samples in a refresh.
    pub refresh_samples: usize,
    /// Reverse steps for each.
    pub refresh_steps: usize,
    /// Share rho of a wide Gaussian in the proposal (1 - rho) p_t^B + rho p_t^flat.
    pub defensive: f64,
    /// Monte Carlo draws that enter the buffer in each step, resampled by their weights.
    pub recycle: usize,
    /// Trajectories of Hamiltonian Monte Carlo of every stored state after a refresh.
    pub moves: usize,
    /// The same before the first step, so that the buffer starts with likely states.
    pub first_moves: usize,
    /// Leapfrog steps of a trajectory; 1 is the Metropolis-adjusted Langevin algorithm.
    pub leapfrog_steps: usize,
    /// none or annealed: how the buffer begins.
    #[serde(default)]
    pub explore: Explore,
    /// Effective share that the weights of a refresh's paths keep while the target is annealed.
    #[serde(default = "fifth")]
    pub share: f64,
    /// Resample fresh samples by the weights of their reverse paths before they are stored, so that modes between
    /// which no moves lead get their right shares. As many are stored as their effective sample size. Not with
    /// weights.form = trajectory, which keeps the weights with the states.
    #[serde(default)]
    pub resample: bool,
}

/// The score network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// mlp, pair or egnn.
    pub kind: Kind,
    /// Width of a hidden layer.
    pub hidden: usize,
    /// Number of hidden layers (mlp, egnn), or of rounds over the pairs in a pass (pair).
    pub layers: usize,
    /// Passes over the particles, each at the denoised state of the one before (pair).
    #[serde(default = "one")]
    pub passes: usize,
    /// Least distance of two particles of the target, for the hard core (pair); 0 for none.
    #[serde(default)]
    pub core: f64,
    /// Sines and cosines of the noise level.
    pub time_features: usize,
    /// Sines and cosines of the position (mlp).
    pub space_features: usize,
    /// Radial functions of the distance of two particles (pair).
    pub radial_features: usize,
    /// Root mean square of a coordinate of the target, roughly.
    pub sigma_data: f64,
    /// Width of one mode, roughly.
    pub mode_scale: f64,
    /// Least noise level, well below `mode_scale`.
    pub sigma_min: f64,
    /// Largest noise level, well above `sigma_data`.
    pub sigma_max: f64,
}

/// Default of files written before the key existed.
fn fifth() -> f64 {
    0.2
}

/// Default of files written before the key existed; its share is zero.
fn unit() -> f64 {
    1.0
}

/// Default of files written before the key existed.
fn one() -> usize {
    1
}

/// All settings of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The weights of the loss: set by the method's name, not by a key.
    #[serde(skip)]
    pub objective: Objective,
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
            objective: Objective::Iwsm,
            train: Train {
                steps: 4000,
                batch: 512,
                draws: 500,
                identity: Identity::Mixed,
                learning_rate: 2e-3,
                warm_up: 200,
                clip: 1.0,
                ema: 0.998,
                score_clip: 0.0,
                core: 0.0,
                focus_share: 0.0,
                focus_sigma: 1.0,
            },
            weights: Weights {
                form: Form::Marginal,
                smooth: false,
                power: 1.0,
                share: 0.5,
                bandwidth: 0.0,
                denominator_samples: 0,
                clip: 50.0,
                symmetric: false,
                resample: false,
            },
            replay: Replay {
                capacity: 10_000,
                refresh_every: 50,
                refresh_samples: 512,
                refresh_steps: 100,
                defensive: 0.0,
                recycle: 0,
                moves: 0,
                first_moves: 0,
                leapfrog_steps: 8,
                explore: Explore::None,
                share: fifth(),
                resample: false,
            },
            network: Network {
                kind: Kind::Mlp,
                hidden: 128,
                layers: 3,
                passes: 1,
                core: 0.0,
                time_features: 8,
                space_features: 64,
                radial_features: 32,
                sigma_data: 27.0,
                mode_scale: 1.3,
                sigma_min: 0.05,
                sigma_max: 80.0,
            },
        }
    }
}

impl Config {
    /// The first setting that does not fit the target, if any: [`problem`](Self::problem), settings for particles
    /// alone, and settings whose product takes more memory than there is.
    pub fn problem_on<T: Real>(&self, target: &dyn Target<T>) -> Option<String> {
        if let Some(problem) = self.problem().or_else(|| target.geometry().problem()) {
            return Some(problem);
        }
        let particles = target.geometry().particles();
        if self.train.core > 0.0 && target.softened(self.train.core).is_none() {
            return Some(
                "train.core softens pairs of particles within a radius at which their energy is finite: set it to 0"
                    .into(),
            );
        }
        if self.network.kind != Kind::Mlp && particles.is_none() {
            return Some("network.kind = pair and egnn are for particles: set it to mlp".into());
        }
        if self.weights.symmetric && !particles.is_some_and(symmetric::applies) {
            return Some(format!(
                "weights.symmetric sums over all renumberings and angles of at most {} particles in the plane: set it to false",
                symmetric::MOST
            ));
        }
        memory::check(&self.memory(target)).err()
    }

    /// Whether stored states carry weights, by which they are drawn.
    pub(super) fn weighs_states(&self) -> bool {
        self.objective == Objective::Iwsm && self.weights.form == Form::Trajectory
    }

    /// Whether the buffer keeps energies and gradients of its states: for their scores or for their weights.
    pub(super) fn keeps_energies(&self) -> bool {
        self.train.identity == Identity::Stored || self.weights.form == Form::Trajectory
    }

    /// The first setting that is out of range, if any: one line with its key and its range.
    pub fn problem(&self) -> Option<String> {
        let (t, w, r, n) = (&self.train, &self.weights, &self.replay, &self.network);
        let count = |v: usize, most: f64| (v as f64, Between(1.0, most));
        let size = |v: usize, most: f64| (v as f64, Between(0.0, most));
        let positive = |v: f64| (v, Range::Positive);
        let share = |v: f64| (v, Between(0.0, 1.0));
        // Squares of lengths and their inverses stay within single precision.
        let length = |v: f64| (v, Between(1e-9, 1e9));
        let steps = |v: u64, least: f64| (v as f64, Between(least, 1e12));
        let ranges = [
            ("train.steps", steps(t.steps, 1.0)),
            ("train.batch", count(t.batch, 1e6)),
            ("train.draws", count(t.draws, 1e7)),
            ("train.learning_rate", positive(t.learning_rate)),
            ("train.warm_up", steps(t.warm_up, 0.0)),
            ("train.clip", positive(t.clip)),
            // Samples are drawn from the average.
            ("train.ema", (t.ema, Range::Below(0.0, 1.0))),
            ("train.score_clip", (t.score_clip, Range::NotNegative)),
            ("train.core", (t.core, Range::NotNegative)),
            ("train.focus_share", share(t.focus_share)),
            ("train.focus_sigma", positive(t.focus_sigma)),
            ("weights.power", share(w.power)),
            ("weights.share", (w.share, Range::Below(0.0, 1.0))),
            ("weights.clip", positive(w.clip)),
            ("weights.bandwidth", (w.bandwidth, Range::NotNegative)),
            ("weights.denominator_samples", size(w.denominator_samples, r.capacity as f64)),
            ("replay.capacity", count(r.capacity, 6e7)),
            ("replay.refresh_every", steps(r.refresh_every, 1.0)),
            ("replay.refresh_samples", size(r.refresh_samples, 1e7)),
            ("replay.refresh_steps", count(r.refresh_steps, 1e6)),
            ("replay.defensive", share(r.defensive)),
            ("replay.share", (r.share, Between(1e-3, 0.99))),
            ("replay.recycle", size(r.recycle, 1e6)),
            ("replay.moves", size(r.moves, 1e6)),
            ("replay.first_moves", size(r.first_moves, 1e6)),
            ("replay.leapfrog_steps", count(r.leapfrog_steps, 65_536.0)),
            ("network.hidden", count(n.hidden, 16_384.0)),
            ("network.layers", count(n.layers, 1024.0)),
            ("network.passes", count(n.passes, 64.0)),
            ("network.core", (n.core, Range::NotNegative)),
            ("network.time_features", size(n.time_features, 24.0)),
            ("network.space_features", size(n.space_features, 16_384.0)),
            ("network.radial_features", count(n.radial_features, 4096.0)),
            ("network.sigma_data", length(n.sigma_data)),
            ("network.mode_scale", length(n.mode_scale)),
            ("network.sigma_min", length(n.sigma_min)),
            ("network.sigma_max", length(n.sigma_max)),
        ];
        if let Err(problem) = range::check(&ranges.map(|(key, (v, range))| (key, v, range))) {
            return Some(problem);
        }
        if w.form == Form::Trajectory && t.identity != Identity::Stored {
            return Some(
                "weights.form = trajectory belongs to stored states: set train.identity = stored".into(),
            );
        }
        if w.form == Form::Trajectory && self.objective != Objective::Iwsm {
            return Some("weights.form = trajectory weights the loss: use the method iwsm".into());
        }
        if w.form == Form::Trajectory && r.recycle > 0 {
            return Some(
                "replay.recycle needs the marginal weights: set it to 0, or weights.form = marginal".into(),
            );
        }
        if self.objective == Objective::Iwsm && w.form == Form::Marginal && t.identity == Identity::Stored {
            return Some(
                "weights.form = marginal weighs noised states, and cannot correct scores by stored ones: set it to trajectory, or train.identity = mixed".into(),
            );
        }
        if r.explore == Explore::Annealed && !self.weighs_states() {
            return Some(
                "replay.explore = annealed needs weights of the stored states: use the method iwsm with weights.form = trajectory and train.identity = stored".into(),
            );
        }
        if r.explore == Explore::Annealed && (r.moves > 0 || r.first_moves > 0) {
            return Some(
                "replay.explore = annealed takes no moves: set replay.moves and replay.first_moves to 0"
                    .into(),
            );
        }
        if w.bandwidth > 0.0 && r.recycle > 0 {
            return Some(
                "replay.recycle needs the proposal's own density: set weights.bandwidth to 0".into(),
            );
        }
        if w.symmetric && n.kind == Kind::Mlp {
            return Some(
                "weights.symmetric belongs to an equivariant network: set network.kind = pair or egnn".into(),
            );
        }
        if w.symmetric && r.defensive > 0.0 {
            return Some("weights.symmetric and replay.defensive do not go together: set one to 0".into());
        }
        if r.defensive > 0.0 && t.identity == Identity::Stored {
            return Some(
                "train.identity = stored has no state behind the broad part of replay.defensive: set it to 0"
                    .into(),
            );
        }
        if n.sigma_max <= n.sigma_min {
            return Some(format!(
                "network.sigma_max = {} must exceed network.sigma_min = {}",
                n.sigma_max, n.sigma_min
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::iwsm::Trainer;
    use crate::target::Mixture;

    #[test]
    fn the_default_is_sound_and_bad_values_are_named() {
        assert_eq!(Config::default().problem(), None);
        let mut c = Config::default();
        c.train.batch = 0;
        assert_eq!(c.problem().unwrap(), "train.batch = 0 must lie between 1 and 1000000");
        c = Config::default();
        c.network.sigma_min = f64::NAN;
        assert!(c.problem().unwrap().starts_with("network.sigma_min"));
        c = Config::default();
        c.weights.power = 1.5;
        assert!(c.problem().unwrap().contains("between 0 and 1"));
        c = Config::default();
        (c.weights.form, c.train.identity) = (Form::Trajectory, Identity::Stored);
        assert_eq!(c.problem(), None);
        c.replay.recycle = 4;
        assert!(c.problem().unwrap().starts_with("replay.recycle"));
        c.objective = Objective::Idem;
        assert!(c.problem().unwrap().contains("use the method iwsm"));
        c = Config::default();
        (c.weights.bandwidth, c.replay.recycle) = (0.1, 4);
        assert!(c.problem().unwrap().contains("weights.bandwidth"));
    }

    #[test]
    fn a_trainer_is_not_built_with_settings_that_cannot_work() {
        let target = Mixture::gmm40();
        let refused = |change: fn(&mut Config)| {
            let mut c = Config::default();
            change(&mut c);
            Trainer::<f32>::new(c, &target, 0).err().map_or(String::new(), |e| e.to_string())
        };
        assert_eq!(refused(|_| {}), "");
        for (said, change) in [
            ("train.batch = 0", (|c| c.train.batch = 0) as fn(&mut Config)),
            ("replay.capacity = 0", |c| c.replay.capacity = 0),
            ("train.ema = 2", |c| c.train.ema = 2.0),
            ("network.sigma_max", |c| c.network.sigma_max = 0.5 * c.network.sigma_min),
            ("train.core softens pairs", |c| c.train.core = 0.5),
            ("network.kind", |c| c.network.kind = Kind::Egnn),
            ("weights.symmetric", |c| c.weights.symmetric = true),
        ] {
            assert!(refused(change).starts_with(said), "{said}: {}", refused(change));
        }
    }
}
