//! A training that finds its scales, and the states that it begins with, by itself.
//!
//! Up to three stages, each with steps of its own:
//!
//! 1. where `network.sigma_data` is 0, short chains that find where the target lies ([`Pilot`]). Everything after them
//!    happens in coordinates that whiten what they found;
//! 2. with `replay.explore = pt` or `smc`, a whole run of that method from the Gaussian of those coordinates (twice as
//!    wide as the target) to it. Its states fill the buffer, with weights of one in units of its own Z, and their
//!    covariance gives the coordinates of the training;
//! 3. the training, with the scales of its network measured on the states of the stages before ([`scales`](super::scales)).
//!
//! Paths of the model are weighted by the target as ever, so that what a stage missed or got wrong biases no weighted
//! figure as long as the model reaches it.

use super::{Config, Explore, Network, Trainer, scales};
use crate::mcmc::parallel_tempering;
use crate::mcmc::pilot::Pilot;
use crate::sampler::{MethodConfig, Sampler, SamplerError, smc};
use crate::target::{Affine, AnyTarget, Held, Whitened};

/// Width of the Gaussian that an explorer begins with, in units of the target's width.
const WIDE: f64 = 2.0;
/// Populations of the explorer smc.
const POPULATIONS: usize = 8;
/// Rungs of the explorer pt, besides four for each square root of the dimension.
const RUNGS: usize = 6;

/// Sweeps of pt for one of `replay.explore_moves`.
const SWEEPS: usize = 5;

/// See the module.
pub(super) struct Explored<'t> {
    pub(super) config: Config,
    pub(super) target: &'t dyn AnyTarget,
    seed: u64,
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
        let measured = config.network.measured();
        let mut this = Self {
            totals: [0, 0, config.train.steps],
            // Replaced below.
            stage: Stage::Pilot(Box::new(Pilot::start(target.double(), seed)?)),
            affine: None,
            network: config.network.clone(),
            offset: 0.0,
            spent: [0; 2],
            failures: Vec::new(),
            config,
            target,
            seed,
        };
        if let Some(steps) = this.explorer_steps() {
            this.totals[1] = steps;
        }
        match &this.stage {
            Stage::Pilot(pilot) if measured => this.totals[0] = pilot.total(),
            _ => this.stage = this.explorer()?,
        }
        Ok(this)
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

    /// Width of the Gaussian that an explorer begins with.
    fn wide(&self) -> f64 {
        if self.config.network.measured() { WIDE } else { self.config.network.sigma_data }
    }

    fn smc(&self) -> smc::Settings {
        let particles = self.config.replay.capacity.div_ceil(POPULATIONS).max(2);
        let sampler = smc::Config {
            blocks: POPULATIONS,
            particles,
            initial_scale: self.wide(),
            moves: self.config.replay.explore_moves,
            ..Default::default()
        };
        smc::Settings { sampler }
    }

    fn tempering(&self) -> parallel_tempering::Settings {
        let rungs = RUNGS + (4.0 * (self.target.double().geometry().free_dim() as f64).sqrt()) as usize;
        let sampler = parallel_tempering::Config {
            rungs,
            scale: self.wide(),
            thin: SWEEPS * self.config.replay.explore_moves,
            ..Default::default()
        };
        parallel_tempering::Settings { sampler }
    }

    fn explorer_steps(&self) -> Option<u64> {
        let states = self.config.replay.capacity;
        match self.config.replay.explore {
            Explore::Smc => Some(self.smc().steps(states)),
            Explore::Pt => Some(self.tempering().steps(states)),
            Explore::None | Explore::Annealed => None,
        }
    }

    /// The explorer before its first step.
    pub(super) fn explorer(&self) -> Result<Stage<'t>, SamplerError> {
        let (target, states, seed) = (self.double(), self.config.replay.capacity, self.seed);
        Ok(Stage::Explorer(match self.config.replay.explore {
            Explore::Pt => self.tempering().on(target, states, seed)?,
            _ => self.smc().on(target, states, seed)?,
        }))
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
        if let Some((states, log_w)) = states {
            let single: Vec<f32> = states.iter().map(|v| *v as f32).collect();
            let buffer = &mut trainer.state.proposal.buffer;
            buffer.replace(&single);
            buffer.reweigh(|_| log_w);
        }
        Ok(Stage::Training(Box::new(trainer)))
    }

    /// Goes to the next stage if this one is at its end.
    pub(super) fn proceed(&mut self) -> Result<(), SamplerError> {
        match &self.stage {
            Stage::Pilot(pilot) if pilot.done() == pilot.total() => {
                self.spent[0] = pilot.evaluations;
                let log_p = pilot.states().1;
                let (x, affine) = pilot.arrived().ok_or_else(|| {
                    SamplerError::Settings(
                        "chains do not find how wide the target is: give network.sigma_data".into(),
                    )
                })?;
                if self.config.replay.explore.by_chains() {
                    self.affine = Some(affine);
                    self.stage = self.explorer()?;
                    return Ok(());
                }
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
                self.failures =
                    found.failures.iter().map(|f| format!("{}: {f}", self.explorer_name())).collect();
                // States of a target with Z = 1 have weights of one.
                let mut log_z = found.log_z.map_or(0.0, |(z, _)| z);
                if let Some(outer) = &self.affine {
                    let inner = Affine::whitening(&states, outer.dim()).ok_or_else(|| {
                        SamplerError::Diverged("all states of the exploration are the same".into())
                    })?;
                    states = inner.inverse(&states);
                    self.affine = Some(outer.of(&inner));
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

    /// The explorer's name.
    pub(super) fn explorer_name(&self) -> &'static str {
        if self.config.replay.explore == Explore::Pt { "pt" } else { "smc" }
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
