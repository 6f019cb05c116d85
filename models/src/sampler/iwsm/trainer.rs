//! The training loop.

use std::sync::Arc;

use engine::data_parallel::DataParallel;
use engine::optim::{Adam, Ema, Schedule as LearningRate, clip_by_norm};
use engine::parallel::{self, trace::within};
use engine::ranks::{Ranks, Solo};
use engine::rng::Stream;
use engine::{Params, Real};

use super::buffer::Buffer;
use super::levels::Levels;
use super::path_loss::Paths;
use super::stored_score::Stored;
use super::{Config, Explore, Form, Objective, Proposal, Train, network};
use crate::diffusion::{DenoisingError, Schedule, ScoreModel};
use crate::sampler::SamplerError;
use crate::sampler::iwsm::noised_score::Estimates;
use crate::score::ScoreNetwork;
use crate::target::{Held, Target, TargetError};

/// States of a batch that one task prepares.
pub(super) const STATES: usize = 16;
/// Quantile bins of the noise level for which the covariances of the identities are tracked.
pub(super) const LEVELS: usize = 32;

/// What to do where noised states find no state of finite energy.
pub(super) const BEYOND: &str =
    "bring network.sigma_data and network.sigma_max to the scale of the target, or check the energy";

/// Figures of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepReport {
    /// The weighted loss.
    pub loss: f64,
    /// Effective share of the weights of the loss.
    pub ess: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// Why training stopped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A score of the target that is not finite.
    #[error(
        "the target's score is not finite at step {step} (noise level {sigma:.4}, sample {sample} of the batch): check the energy there, or set train.score_clip"
    )]
    Score {
        /// Step number.
        step: u64,
        /// Noise level of the state.
        sigma: f64,
        /// Its index in the batch.
        sample: usize,
    },
    /// A loss or gradient that is not finite, while all scores of the target are.
    #[error(
        "the loss is not finite at step {step}, though all scores of the target are: lower train.learning_rate, or set train.score_clip"
    )]
    Diverged {
        /// Step number.
        step: u64,
    },
    /// Weights of paths, or a loss of them, that are not finite.
    #[error("the loss of the paths is not finite at step {step}: lower train.learning_rate")]
    Paths {
        /// Step number.
        step: u64,
    },
    /// The target could not be evaluated.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// The state of a training, which a checkpoint stores.
pub struct State<T: Real> {
    /// Optimiser steps done.
    pub step: u64,
    /// Parameters.
    pub params: Params<T>,
    /// Their moving average.
    pub ema: Ema<T>,
    /// The optimiser's moments.
    pub adam: Adam<T>,
    /// The proposal's buffer.
    pub proposal: Proposal<T>,
    /// The exponent b of the target exp(-b E) N^(1 - b) that is trained on; 1 but for an annealed start.
    pub exponent: f64,
    /// The errors of the denoiser, for the variances of reverse steps.
    pub error: DenoisingError,
    /// Whether a weighted state has been outside the support: scores are then by denoising alone.
    pub wall: bool,
    /// Effective share of the stored states' weights.
    pub buffer_share: f64,
    /// Running V_aa, V_ab, V_bb for each of the noise levels.
    pub covariances: Vec<f64>,
    /// Step size of the stored states' moves.
    pub move_step: f64,
    /// Mean probability of acceptance of the last moves; 0 before there were any.
    pub acceptance: f64,
    /// The same of the last jumps of stored states; NaN before there were any.
    pub jumped: f64,
    /// Energy evaluations so far, each with its gradient.
    pub energy_evaluations: u64,
}

pub(super) struct Batch<T> {
    pub sigma: Vec<T>,
    pub x: Vec<T>,
    /// Indices of the stored states from which x was made.
    pub from: Vec<usize>,
    pub log_w: Vec<T>,
    pub w: Vec<f64>,
    pub target: Vec<T>,
    /// The states that the loss is taken over, and their noise levels.
    pub picked: Vec<usize>,
    pub picked_sigma: Vec<T>,
}

/// Clips a gradient and takes a step of Adam with it, unless it or the loss is not finite; returns the gradient's norm.
pub(super) fn descend<T: Real>(state: &mut State<T>, train: &Train, loss: f64, gradient: &mut [T]) -> f64 {
    let norm = clip_by_norm(gradient, train.clip);
    if norm.is_finite() && loss.is_finite() {
        let rates = LearningRate::WarmUpCosine { warm_up: train.warm_up, floor: 0.01 };
        let rate = train.learning_rate * rates.factor(state.step, train.steps);
        state.adam.step(state.params.values_mut(), gradient, rate);
        state.ema.update(state.params.values());
    }
    norm
}

/// Training of a score network on a target, without samples of it (Wang et al. 2025, arXiv 2505.19431).
///
/// Each step draws noised states x_i at noise levels sigma_i from the [`Proposal`], estimates density and score of
/// the noised target there ([`noised_score`](super::noised_score)), and minimises
///
/// L = (1/n) sum_i w_i |F(x_i, sigma_i) - F*_i|^2,  w_i = (p_t(x_i) / proposal(x_i))^power / mean,
///
/// with F* the estimated score in the network's scaling, score = a x + b F, so that lambda(t) is the inverse square
/// of the score's scale. With w_i = 1 this is iDEM (Akhound-Sadegh et al. 2024, arXiv 2402.06121). Every
/// `refresh_every` steps samples of the current model enter the replay buffer. Two other methods are losses of the
/// same trainer: [`dds`](crate::sampler::dds) and [`adjoint`](crate::sampler::adjoint).
///
/// A step is a function of (state, seed, step number): a resumed run is bit-identical to an uninterrupted one.
pub struct Trainer<'e, T: Real> {
    pub(super) config: Config,
    pub(super) seed: u64,
    /// Who shares the energies and the paths; every rank repeats the update.
    pub(super) ranks: Arc<dyn Ranks>,
    pub(super) target: Held<'e, T>,
    /// The target itself, where pairs of the one that is trained on are softened (`train.core`).
    exact: Option<Held<'e, T>>,
    pub(super) network: Box<dyn ScoreNetwork<T>>,
    /// The state that a checkpoint stores.
    pub state: State<T>,
    pub(super) estimates: Estimates<T>,
    pub(super) shards: DataParallel<T>,
    pub(super) batch: Batch<T>,
    pub(super) stored: Stored<T>,
    /// Those of the log-variance loss.
    pub(super) paths: Option<Paths<T>>,
    /// Figures of the last step.
    pub(super) last: StepReport,
}

impl<'e, T: Real> Trainer<'e, T> {
    /// A trainer before its first step. The buffer starts with samples of a wide Gaussian: only the scale of the
    /// target is used.
    ///
    /// # Errors
    /// [`SamplerError::Settings`] for a setting that is out of range or does not fit the target; see
    /// [`Config::problem_on`].
    pub fn new(config: Config, target: &'e dyn Target<T>, seed: u64) -> Result<Self, SamplerError> {
        if config.replay.explore.by_chains() {
            return Err(SamplerError::Settings(
                "replay.explore = pt and smc run before a training, by the method's build: set it to annealed or none for a Trainer".into(),
            ));
        }
        Self::on(config, target.into(), seed)
    }

    /// The same on a target that may be the trainer's own.
    pub(super) fn on(config: Config, target: Held<'e, T>, seed: u64) -> Result<Self, SamplerError> {
        if let Some(problem) = config.problem_on(&*target) {
            return Err(SamplerError::Settings(problem));
        }
        if config.network.measured() {
            return Err(SamplerError::Settings(
                "network.sigma_data = 0 has it measured, by the method's build: give its number to a Trainer"
                    .into(),
            ));
        }
        let geometry = target.geometry();
        let (target, exact) = match config.train.core {
            0.0 => (target, None),
            core => {
                let softened = target.softened(core).ok_or_else(|| {
                    SamplerError::Settings(format!(
                        "train.core = {core} does not fit the target: set it to 0"
                    ))
                })?;
                (Held::Owned(softened), Some(target))
            }
        };
        let (d, n, net, replay) = (geometry.dim(), config.train.batch, &config.network, &config.replay);
        let mut params = Params::new();
        let network = network::build(net, geometry, &mut params, seed);
        // A training on paths of a reference begins with its states.
        let flat = if config.of_reference() { net.sigma_data } else { 1.2 * net.sigma_data };
        let schedule = Schedule { sigma_min: net.sigma_min, sigma_max: net.sigma_max };
        let buffer = Buffer::new(d, replay.capacity, config.keeps_energies());
        let proposal = Proposal::new(geometry, buffer, (flat, replay.defensive), seed);
        let state = State {
            step: 0,
            ema: Ema::new(params.values(), config.train.ema),
            adam: Adam::new(params.len()),
            params,
            proposal,
            exponent: if replay.explore == Explore::Annealed { 0.0 } else { 1.0 },
            error: DenoisingError::gaussian(geometry, schedule, net.sigma_data),
            wall: false,
            buffer_share: 1.0,
            covariances: vec![0.0; 3 * LEVELS],
            move_step: 0.05 * net.mode_scale,
            acceptance: 0.0,
            jumped: f64::NAN,
            energy_evaluations: 0,
        };
        let batch = Batch {
            sigma: vec![T::ZERO; n],
            x: vec![T::ZERO; n * d],
            from: Vec::with_capacity(n),
            log_w: vec![T::ZERO; n],
            w: vec![1.0; n],
            target: vec![T::ZERO; n * d],
            picked: Vec::with_capacity(n),
            picked_sigma: Vec::with_capacity(n),
        };
        let shards = DataParallel::new(network::shard(&config, geometry));
        Ok(Self {
            config,
            seed,
            ranks: Arc::new(Solo),
            target,
            exact,
            network,
            state,
            estimates: Estimates::new(geometry),
            shards,
            batch,
            stored: Stored::new(d, n),
            paths: None,
            last: StepReport::default(),
        })
    }

    /// Shares energies and paths with other ranks from here on. Steps, samples and measurements are then collective: all
    /// ranks make the same calls on trainers of the same state, and have the same state after them.
    pub fn share(&mut self, ranks: Arc<dyn Ranks>) {
        self.ranks = ranks;
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The target, not softened.
    pub(super) fn exact(&self) -> &dyn Target<T> {
        self.exact.as_deref().unwrap_or(&*self.target)
    }

    /// The noise schedule.
    pub fn schedule(&self) -> Schedule {
        Schedule { sigma_min: self.config.network.sigma_min, sigma_max: self.config.network.sigma_max }
    }

    /// The trained score: the network with its averaged parameters.
    pub fn model(&self) -> ScoreModel<'_, T> {
        ScoreModel { network: &*self.network, params: self.state.ema.values() }
    }

    /// Standard deviation of the Gaussian from which reverse paths start.
    pub fn prior_scale(&self) -> f64 {
        self.config.network.sigma_max.hypot(self.config.network.sigma_data)
    }

    /// One step: refresh if due, batch, estimates, weights, gradient, update.
    ///
    /// # Errors
    /// If the loss or the gradient is not finite, or the target cannot be evaluated, is broken at a point, or has not
    /// one state of finite energy in the batch.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let step = self.state.step;
        if self.config.objective == Objective::LogVariance {
            return self.path_step();
        }
        if step == 0 {
            self.prepare_buffer()?;
        } else if step.is_multiple_of(self.config.replay.refresh_every) {
            let fresh = self.config.replay.refresh_samples > 0;
            if (fresh || self.config.train.focuses_where_measured()) && !self.config.of_reference() {
                self.fit_error();
            }
            // The network has learnt the stored states: moves come between that and their jumps.
            let (jumps, moves) = (self.config.jumps(), self.config.replay.moves);
            if jumps {
                self.move_buffer(moves)?;
            }
            if fresh {
                self.refresh_buffer()?;
            }
            if !jumps {
                self.move_buffer(moves)?;
            }
        }
        if self.config.weighs_states() && step.is_multiple_of(self.config.replay.refresh_every) {
            self.state.buffer_share = self.weigh_buffer()?;
        }
        let mut stream = Stream::new(self.seed, "batch", step, 0);
        within("batch", || self.draw_batch(&mut stream));
        if self.draws_needed() {
            let draws = self.config.train.draws;
            let (x, sigma, key) = (&self.batch.x, &self.batch.sigma, (self.seed, step));
            let (estimates, ranks, target) = (&mut self.estimates, &*self.ranks, &*self.target);
            within("estimates", || estimates.run_over(ranks, target, x, sigma, draws, key))?;
            self.state.energy_evaluations += (draws * self.batch.sigma.len()) as u64;
        }
        if self.config.train.identity.stored() {
            self.stored_scores()?;
        }
        let ess = within("weights", || self.weigh(&mut stream))?;
        within("targets", || self.score_targets());
        let (loss, gradient_norm) = within("update", || self.update());
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(self.diverged());
        }
        self.state.step += 1;
        Ok(StepReport { loss, ess, gradient_norm })
    }

    /// Whether a step needs Monte Carlo draws: for its scores or for its weights.
    pub(super) fn draws_needed(&self) -> bool {
        let c = &self.config;
        let marginal = c.objective == Objective::Iwsm && c.weights.form == Form::Marginal;
        !c.train.identity.stored() || marginal || c.replay.recycle > 0
    }

    /// States x_t at stratified noise levels.
    fn draw_batch(&mut self, stream: &mut Stream) {
        let t = &self.config.train;
        let spacing = self.state.error.spacing();
        let (n, levels) = (t.batch, Levels::new(self.schedule(), t.focus_share, t.focus_sigma, spacing));
        let offset = stream.uniform();
        // A quantile is the root of an equation, and takes some microseconds.
        const QUANTILES: usize = 4;
        parallel::for_chunks(&mut self.batch.sigma, QUANTILES, |c, sigma| {
            for (k, sigma) in sigma.iter_mut().enumerate() {
                *sigma = T::of(levels.quantile(((c * QUANTILES + k) as f64 + offset) / n as f64));
            }
        });
        let Batch { sigma, x, from, .. } = &mut self.batch;
        self.state.proposal.draw(sigma, stream, x, from);
    }
}
