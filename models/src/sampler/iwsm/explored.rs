//! A training that finds its scales, and the states that it begins with, by itself.
//!
//! Up to three stages, each with steps of its own:
//!
//! 1. where `network.sigma_data` is 0, short chains that find where the target lies ([`Pilot`]). Everything after them
//!    happens in coordinates that whiten what they found;
//! 2. with `replay.explore = pt` or `smc`, a whole run of that method from the Gaussian of those coordinates (two to
//!    four times as wide as the target) to it. Its states fill the buffer, with weights of one in units of its own Z,
//!    and their covariance gives the coordinates of the training;
//! 3. the training, with the scales of its network measured on the states of the stages before ([`scales`](super::scales)).
//!
//! Paths of the model are weighted by the target as ever, so that what a stage missed or got wrong biases no weighted
//! figure as long as the model reaches it.

use std::sync::Arc;

use engine::ranks::{Ranks, Solo};

use super::{Config, Network, Trainer, explorers, scales};
use crate::mcmc::pilot::{Pilot, ROUNDS};
use crate::memory;
use crate::sampler::{Sampler, SamplerError};
use crate::target::{Affine, AnyTarget, Held, Whitened};

/// Steps of the stages.
pub(super) fn stages(config: &Config) -> [u64; 3] {
    let pilot = if config.network.measured() { ROUNDS } else { 0 };
    [pilot, explorers::steps(config), config.train.steps]
}

/// See the module.
pub(super) struct Explored<'t> {
    pub(super) config: Config,
    pub(super) target: &'t dyn AnyTarget,
    seed: u64,
    /// Who shares the work of the stages.
    ranks: Arc<dyn Ranks>,
    pub(super) stage: Stage<'t>,
    /// Steps of the stages.
    pub(super) totals: [u64; 3],
    /// Coordinates of the stage, where they are measured.
    pub(super) affine: Option<Affine>,
    /// Numbers of the network as measured.
    pub(super) network: Network,
    /// What is subtracted from log p in the coordinates of the stage.
    pub(super) offset: f64,
    /// Energies of the stages before this one.
    pub(super) spent: [u64; 2],
    /// Checks of the explorer that failed.
    pub(super) failures: Vec<String>,
}

/// What runs now.
pub(super) enum Stage<'t> {
    Pilot(Box<Pilot>),
    Explorer(Box<dyn Sampler + 't>),
    Training(Box<Trainer<'t, f32>>),
}

impl<'t> Explored<'t> {
    /// At the first stage.
    pub fn new(config: Config, target: &'t dyn AnyTarget, seed: u64) -> Result<Self, SamplerError> {
        if let Some(problem) = config.problem_on(target.single()) {
            return Err(SamplerError::Settings(problem));
        }
        memory::check(&explorers::memory(&config, target)).map_err(SamplerError::Settings)?;
        let stage = match config.network.measured() {
            true => Stage::Pilot(Box::new(Pilot::start(target.double(), seed)?)),
            false => Stage::Explorer(explorers::build(&config, target.double().into(), seed)?),
        };
        Ok(Self {
            totals: stages(&config),
            stage,
            affine: None,
            network: config.network.clone(),
            offset: 0.0,
            spent: [0; 2],
            failures: Vec::new(),
            ranks: Arc::new(Solo),
            config,
            target,
            seed,
        })
    }

    /// Shares the work of this stage and of those after it.
    pub(super) fn share(&mut self, ranks: Arc<dyn Ranks>) {
        match &mut self.stage {
            Stage::Pilot(_) => {}
            Stage::Explorer(explorer) => explorer.share(ranks.clone()),
            Stage::Training(trainer) => trainer.share(ranks.clone()),
        }
        self.ranks = ranks;
    }

    fn double(&self) -> Held<'t, f64> {
        match &self.affine {
            None => self.target.double().into(),
            Some(affine) => Held::Owned(Box::new(self.whitened(affine))),
        }
    }

    fn whitened(&self, affine: &Affine) -> Whitened<'t> {
        Whitened::new(self.target.double(), affine.clone(), self.offset)
    }

    /// The explorer before its first step.
    pub(super) fn explorer(&self) -> Result<Stage<'t>, SamplerError> {
        let mut explorer = explorers::build(&self.config, self.double(), self.seed)?;
        explorer.share(self.ranks.clone());
        Ok(Stage::Explorer(explorer))
    }

    /// The training before its first step, on `states` (columns, in the coordinates) with one log weight for all, or on
    /// a wide Gaussian.
    pub(super) fn training(&self, states: Option<(&[f64], f64)>) -> Result<Stage<'t>, SamplerError> {
        let target: Held<'t, f32> = match &self.affine {
            None => self.target.single().into(),
            Some(affine) => Held::Owned(Box::new(self.whitened(affine))),
        };
        let config = Config { network: self.network.clone(), ..self.config.clone() };
        let mut trainer = Trainer::on(config, target, self.seed)?;
        trainer.share(self.ranks.clone());
        let buffer = &mut trainer.state.proposal.buffer;
        if let Some((states, log_w)) = states {
            let single: Vec<f32> = states.iter().map(|v| *v as f32).collect();
            buffer.replace(&single);
            buffer.reweigh(|_| log_w);
        }
        if self.config.replay.explore.by_chains() {
            // What is stored later comes from the model, which may have lost a mode of which there are few states.
            buffer.keep(buffer.capacity() / 2);
        }
        Ok(Stage::Training(Box::new(trainer)))
    }

    /// Goes to the next stage if this one is at its end.
    pub(super) fn proceed(&mut self) -> Result<(), SamplerError> {
        match &self.stage {
            Stage::Pilot(pilot) if pilot.done() == pilot.total() => {
                self.spent[0] = pilot.evaluations;
                let lost = || {
                    let what = "chains do not find how wide the target is: give network.sigma_data";
                    SamplerError::Settings(what.into())
                };
                if self.config.replay.explore.by_chains() {
                    self.affine = Some(pilot.surroundings().ok_or_else(lost)?);
                    self.stage = self.explorer()?;
                    return Ok(());
                }
                let log_p = pilot.log_p();
                let (x, affine) = pilot.arrived().ok_or_else(lost)?;
                let finite = log_p.into_iter().filter(|l| l.is_finite());
                self.offset = finite.fold(f64::NEG_INFINITY, f64::max);
                let z = affine.inverse(&x);
                self.affine = Some(affine);
                let target = self.double();
                self.spent[0] += scales::measure(&mut self.network, &*target, &z, self.seed)?;
                self.stage = self.training(None)?;
            }
            Stage::Explorer(explorer) if explorer.done() == explorer.total() => {
                self.spent[1] = explorer.evaluations();
                let found = explorer.diagnostics();
                let mut states = explorer.draw(self.config.replay.capacity, 0, (self.seed, 0))?;
                self.failures = found
                    .failures
                    .iter()
                    .map(|f| format!("{}: {f}", explorers::name(&self.config)))
                    .collect();
                // States of a target with Z = 1 have weights of one.
                let mut log_z = found.log_z.map_or(0.0, |z| z.value);
                if let Some(outer) = &self.affine {
                    // From the target's own coordinates: those of the pilot are skewed by the noise of few chains.
                    let (x, d) = (outer.forward(&states), outer.dim());
                    let whitened = match Affine::knows_correlations(states.len() / d, d) {
                        true => Affine::whitening(&x, d),
                        false => Affine::whitening(&states, d).map(|inner| outer.of(&inner)),
                    };
                    let whole = whitened.ok_or_else(|| {
                        SamplerError::Diverged(format!(
                            "{}: a coordinate has one value in all states; raise replay.explore_moves",
                            explorers::name(&self.config)
                        ))
                    })?;
                    states = whole.inverse(&x);
                    self.affine = Some(whole);
                    self.offset += std::mem::take(&mut log_z);
                    let target = self.double();
                    self.spent[1] += scales::measure(&mut self.network, &*target, &states, self.seed)?;
                }
                self.stage = self.training(Some((&states, log_z)))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// States of the stage (columns) in the target's own coordinates.
    pub(super) fn outside(&self, z: Vec<f64>) -> Vec<f64> {
        match &self.affine {
            None => z,
            Some(affine) => affine.forward(&z),
        }
    }

    /// The training, once it is there.
    pub(super) fn trainer(&self) -> Option<&Trainer<'t, f32>> {
        match &self.stage {
            Stage::Training(trainer) => Some(trainer),
            _ => None,
        }
    }

    /// The training.
    pub(super) fn trained(&self) -> &Trainer<'t, f32> {
        self.trainer().expect("a model is there only in the training")
    }

    /// The same, to be changed.
    pub(super) fn trained_mut(&mut self) -> &mut Trainer<'t, f32> {
        match &mut self.stage {
            Stage::Training(trainer) => trainer,
            _ => panic!("a model is there only in the training"),
        }
    }
}
