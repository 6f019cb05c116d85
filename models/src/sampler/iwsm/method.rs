//! The trainer as a [`Sampler`], with and without importance weights.

use std::sync::Arc;

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::ranks::Ranks;
use serde::{Deserialize, Serialize};

use super::weight_report::WeightLevel;
use super::{Config, Explore, Form, Identity, Kind, Objective, TrainError, Trainer, explorers, training};
use crate::diffusion::{DenoisingError, Flow, Populations};
use crate::memory::Part;
use crate::sampler::{Diagnostics, Learned, MethodConfig, Named, Sampler, SamplerError};
use crate::target::{AnyTarget, TargetError};

/// Score matching on noised states of the replay buffer, with or without importance weights; see [`Trainer`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScoreMatching<const WEIGHTED: bool>(pub Config);

/// Importance weighted score matching (Wang et al. 2025, arXiv 2505.19431).
pub type Iwsm = ScoreMatching<true>;

/// iDEM (Akhound-Sadegh et al. 2024, arXiv 2402.06121): the same training without weights.
pub type Idem = ScoreMatching<false>;

/// The learning rate where scales are measured, and residual networks trained: with that of the plane the weights of
/// paths are far less even after as many steps.
const RESIDUAL_RATE: f64 = 8e-3;

impl<const WEIGHTED: bool> ScoreMatching<WEIGHTED> {
    fn config(&self) -> Config {
        let objective = if WEIGHTED { Objective::Iwsm } else { Objective::Idem };
        Config { objective, ..self.0.clone() }
    }
}

impl<const WEIGHTED: bool> MethodConfig for ScoreMatching<WEIGHTED> {
    fn begin(scales: Option<[f64; 2]>) -> Self {
        let mut config = Config::default();
        let network = &mut config.network;
        match scales {
            Some([data, mode]) => {
                (network.sigma_data, network.sigma_max, network.mode_scale) = (data, 3.0 * data, mode);
            }
            None => {
                (network.sigma_data, network.mode_scale) = (0.0, 0.0);
                (network.sigma_min, network.sigma_max) = (0.0, 0.0);
                (network.kind, network.layers) = (Kind::Residual, 2);
                config.train.learning_rate = RESIDUAL_RATE;
                (config.train.identity, config.weights.form) = (Identity::Stored, Form::Trajectory);
                (config.replay.explore, config.replay.moves) = (Explore::Smc, 2);
                config.replay.jumps = WEIGHTED;
                if !WEIGHTED {
                    config.weights.form = Form::Marginal;
                }
            }
        }
        Self(config)
    }

    fn learns(&self) -> bool {
        true
    }

    fn matches_scores(&self) -> bool {
        true
    }

    fn distils(&self) -> bool {
        let replay = &self.0.replay;
        replay.moves > 0 || replay.first_moves > 0 || replay.explore.by_chains()
    }

    fn problem(&self, target: &dyn AnyTarget) -> Option<String> {
        self.config().problem_on(target.single())
    }

    fn memory(&self, target: &dyn AnyTarget, _: usize) -> Vec<Part> {
        let config = self.config();
        [config.memory(target.single()), explorers::memory(&config, target)].concat()
    }

    fn steps(&self, _: usize) -> u64 {
        training::steps(&self.0)
    }

    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        _: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        training::build(self.config(), target, seed)
    }
}

impl From<TrainError> for SamplerError {
    fn from(e: TrainError) -> Self {
        match e {
            TrainError::Target(e) => Self::Target(e),
            diverged => Self::Diverged(diverged.to_string()),
        }
    }
}

impl Sampler for Trainer<'_, f32> {
    fn done(&self) -> u64 {
        self.state.step
    }

    fn total(&self) -> u64 {
        self.config.train.steps
    }

    fn share(&mut self, ranks: Arc<dyn Ranks>) {
        Trainer::share(self, ranks);
    }

    fn step(&mut self) -> Result<(), SamplerError> {
        self.last = Trainer::step(self)?;
        Ok(())
    }

    fn step_figures(&self) -> Vec<Named> {
        vec![("loss", self.last.loss), ("ess", self.last.ess), ("gradient_norm", self.last.gradient_norm)]
    }

    fn state_figures(&self) -> Vec<Named> {
        let mut figures = Vec::new();
        if self.config.shows_moves(self.target.geometry()) {
            figures.extend([("move_step", self.state.move_step), ("acceptance", self.state.acceptance)]);
        }
        if self.config.jumps() {
            figures.push(("jumps_accepted", self.state.jumped));
        }
        figures
    }

    fn draw(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, SamplerError> {
        let (x, _) = self.walked(n, steps, key).map_err(TargetError::from)?;
        Ok(x.into_iter().map(f64::from).collect())
    }

    fn checkpoint(&self) -> Checkpoint {
        Trainer::checkpoint(self)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        Trainer::restore(self, checkpoint)
    }

    fn diagnostics(&self) -> Diagnostics {
        let (b, annealed) = (self.state.exponent, self.config.replay.explore == Explore::Annealed);
        let failures = if b < 1.0 {
            vec![format!("the annealed target is at exp(-b E) with b = {b:.3}, and was to be at 1")]
        } else {
            Vec::new()
        };
        Diagnostics {
            figures: if annealed { vec![("annealing", b, None)] } else { Vec::new() },
            failures,
            remedy: match self.config.of_reference() {
                true => "raise train.steps, or lower train.share".into(),
                false => "raise train.steps, or lower replay.share".into(),
            },
            ..Diagnostics::default()
        }
    }

    fn note(&self) -> String {
        let b = self.state.exponent;
        if b < 1.0 { format!(" annealed to {b:.3}") } else { String::new() }
    }

    fn evaluations(&self) -> u64 {
        self.state.energy_evaluations
    }

    fn gradients(&self) -> u64 {
        match self.config.objective {
            Objective::LogVariance => 0,
            _ => self.state.energy_evaluations,
        }
    }

    fn learned(&mut self) -> Option<&mut dyn Learned> {
        Some(self)
    }
}

/// What to do where a model's samples all lie outside the support.
pub(super) const UNTRAINED: &str = "train longer, or check the energy where samples should lie";

/// Paths from which is learnt what states foretell of their weights.
const FORETOLD: usize = 1000;

impl Learned for Trainer<'_, f32> {
    fn flow(&self, steps: usize) -> Flow<'_, f32> {
        let (schedule, prior_scale) = (self.schedule(), self.prior_scale());
        Flow { model: self.model(), schedule, prior_scale, steps, ranks: &*self.ranks }
    }

    fn weighted(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<(Vec<f64>, Vec<f64>), TargetError> {
        let (x, log_w) = self.sample_weighted(self.exact(), n, steps, key)?;
        TargetError::unless_inside(log_w.iter().copied(), "samples of the model", UNTRAINED)?;
        Ok((x.into_iter().map(f64::from).collect(), log_w))
    }

    fn of_least_variance(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, TargetError> {
        let least = self.state.error.least();
        let (x, _) = self.walked_by(&least, n, steps, key).map_err(TargetError::from)?;
        Ok(x.into_iter().map(f64::from).collect())
    }

    fn populations(
        &self,
        (count, size): (usize, usize),
        steps: usize,
        (seed, step): (u64, u64),
    ) -> Result<Populations<f64>, TargetError> {
        let (reverse, target) = (self.reverse(), self.exact());
        let (lookahead, evaluations) = reverse.lookahead(target, steps, FORETOLD, (seed, step))?;
        let found = reverse.populations(target, &lookahead, steps, (count, size), (seed, step))?;
        TargetError::unless_inside(found.log_w.iter().copied(), "samples of the model", UNTRAINED)?;
        Ok(Populations {
            states: found.states.into_iter().map(f64::from).collect(),
            log_w: found.log_w,
            log_z: found.log_z,
            evaluations: found.evaluations + evaluations,
        })
    }

    fn jump(&self, x: &mut [f64], steps: usize, key: (u64, u64)) -> Result<f64, TargetError> {
        let mut single: Vec<f32> = x.iter().map(|v| *v as f32).collect();
        let before = single.clone();
        let acceptance = self.reverse().jump(self.exact(), steps, key, &mut single)?;
        // What stays keeps its digits.
        let moved = x.iter_mut().zip(single.iter().zip(&before)).filter(|(_, (new, old))| new != old);
        moved.for_each(|(x, (new, _))| *x = f64::from(*new));
        Ok(acceptance)
    }

    fn tune(&mut self, n: usize, steps: usize, seed: u64) -> Result<u64, TargetError> {
        self.tune_exactly(n, steps, seed)
    }

    fn weight_levels(&mut self, levels: usize, n: usize) -> Result<Vec<WeightLevel>, TargetError> {
        if self.config.of_reference() {
            return Ok(Vec::new());
        }
        self.weight_report(levels, n)
    }

    fn mode_scale(&self) -> f64 {
        self.config.network.mode_scale
    }

    fn move_acceptance(&self) -> Option<f64> {
        (self.config.replay.moves > 0).then_some(self.state.acceptance)
    }

    fn parameters(&self) -> &[f32] {
        self.state.ema.values()
    }

    fn set_parameters(&mut self) -> &mut [f32] {
        self.state.ema.values_mut()
    }

    fn denoising_error(&self) -> &DenoisingError {
        &self.state.error
    }
}
