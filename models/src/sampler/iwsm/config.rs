//! Settings of a training run. Every field is a key of the configuration file.

use serde::{Deserialize, Serialize};

/// The weights of the score-matching loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// Importance weights p_t / proposal (Wang et al. 2025).
    #[default]
    Iwsm,
    /// No weights (Akhound-Sadegh et al. 2024).
    Idem,
    /// Not scores but paths of the model, whose weights are to be even (Richter and Berner 2024): see
    /// [`dds`](crate::sampler::dds). Of the settings of `replay`, `refresh_steps` is the number of their steps.
    LogVariance,
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
    /// The same with kappa = sigma_data^2 / (sigma_data^2 + sigma^2), that of a Gaussian as wide as the target: see
    /// [`adjoint`](crate::sampler::adjoint), which has it.
    #[serde(skip)]
    Adjoint,
}

impl Identity {
    /// Whether scores come from stored states, without draws.
    pub(super) fn stored(self) -> bool {
        matches!(self, Self::Stored | Self::Adjoint)
    }
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
    /// States of parallel tempering.
    Pt,
    /// Particles of sequential Monte Carlo.
    Smc,
}

impl Explore {
    /// Whether Markov chains on the energy explore.
    pub fn by_chains(self) -> bool {
        matches!(self, Self::Pt | Self::Smc)
    }
}

/// The kind of the score network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A multilayer perceptron.
    Mlp,
    /// Residual blocks.
    Residual,
    /// Radial functions of pairs of particles, equivariant.
    Pair,
    /// An equivariant graph network.
    Egnn,
}

impl Kind {
    /// Whether the network is made for particles, and commutes with their symmetries.
    pub fn equivariant(self) -> bool {
        matches!(self, Self::Pair | Self::Egnn)
    }
}

/// The loop: batches, steps, optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Optimiser steps.
    pub steps: u64,
    /// Noised states in a step.
    pub batch: usize,
    /// States whose gradient one task computes; gradients are summed in a tree over them. 0: about 64 tasks a step.
    #[serde(default)]
    pub shard: usize,
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
    /// The noise level where the score is hardest to learn. 0: as dense as the levels of reverse steps, which follow from
    /// the denoiser's measured errors; uniform until the first refresh, where these are measured.
    #[serde(default = "unit")]
    pub focus_sigma: f64,
}

impl Train {
    /// Whether a share of the noise levels follows the measured errors of the denoiser.
    pub(super) fn focuses_where_measured(&self) -> bool {
        self.focus_share > 0.0 && self.focus_sigma == 0.0
    }
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
    /// none, annealed, pt or smc: how the buffer begins.
    #[serde(default)]
    pub explore: Explore,
    /// Trajectories at each temperature of the explorer smc; of pt, five sweeps between states for each.
    #[serde(default = "four")]
    pub explore_moves: usize,
    /// Effective share that the weights of a refresh's paths keep while the target is annealed, or must have before paths
    /// are stored beside the states of pt or smc.
    #[serde(default = "fifth")]
    pub share: f64,
    /// Offer the ends of a refresh's paths to the states that pt or smc has left in the buffer, by the weights of both
    /// paths, so that modes get their right shares; after a fourth of the training. Needs weights.form = trajectory and
    /// moves. Without pt and smc there is nothing to offer them to.
    #[serde(default)]
    pub jumps: bool,
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
    /// mlp, residual, pair or egnn.
    pub kind: Kind,
    /// Width of a hidden layer.
    pub hidden: usize,
    /// Number of hidden layers (mlp, egnn), of blocks of two (residual), or of rounds over the pairs in a pass (pair).
    pub layers: usize,
    /// Passes over the particles, each at the denoised state of the one before (pair).
    #[serde(default = "one")]
    pub passes: usize,
    /// Least distance of two particles of the target, for the hard core (pair); 0 for none.
    #[serde(default)]
    pub core: f64,
    /// Sines and cosines of the noise level.
    pub time_features: usize,
    /// Sines and cosines of the position (mlp, residual).
    pub space_features: usize,
    /// Radial functions of the distance of two particles (pair).
    pub radial_features: usize,
    /// Root mean square of a coordinate of the target, roughly. 0: short chains find where the target in R^d lies, the
    /// training happens in coordinates in which its covariance is I, and those of the three numbers below that are 0
    /// are measured. What is given is in units of those coordinates, as are `weights.bandwidth`, `train.score_clip` and
    /// `train.focus_sigma`.
    pub sigma_data: f64,
    /// Width of one mode, roughly.
    pub mode_scale: f64,
    /// Least noise level, well below `mode_scale`.
    pub sigma_min: f64,
    /// Largest noise level, well above `sigma_data`.
    pub sigma_max: f64,
}

impl Network {
    /// Whether the scales of the target are to be measured.
    pub fn measured(&self) -> bool {
        self.sigma_data == 0.0
    }
}

/// Default of files written before the key existed.
fn four() -> usize {
    4
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
                shard: 0,
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
                explore_moves: four(),
                share: fifth(),
                jumps: false,
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
