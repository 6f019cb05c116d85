//! Parallel tempering as a [`Sampler`].

use std::sync::Arc;

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::ranks::Ranks;
use serde::{Deserialize, Serialize};

use super::{Config, ModelMoves, ParallelTempering};
use crate::mcmc::recorded;
use crate::memory::{self, Part};
use crate::sampler::{Diagnostics, LogZEstimate, MethodConfig, Named, Sampler, SamplerError, consistent};
use crate::target::{AnyTarget, Held};

/// The method's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Walkers, ladder and moves.
    pub sampler: Config,
}

impl Settings {
    /// The sampler on a target that may be its own.
    pub(crate) fn on<'t>(
        &self,
        target: Held<'t, f64>,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        let sampler = ParallelTempering::on(self.sampler.clone(), target, seed)?;
        Ok(Box::new(Run { total: self.steps(samples), sampler }))
    }

    fn check(&self, target: &dyn AnyTarget, samples: usize) -> Result<(), SamplerError> {
        if let Some(problem) = self.problem(target) {
            return Err(SamplerError::Settings(problem));
        }
        memory::check(&self.memory(target, samples)).map_err(SamplerError::Settings)
    }
}

impl MethodConfig for Settings {
    fn begin(scales: Option<[f64; 2]>) -> Self {
        let mut settings = Self::default();
        if let Some([data, _]) = scales {
            settings.sampler.scale = data;
        }
        settings
    }

    fn learns(&self) -> bool {
        false
    }

    fn problem(&self, target: &dyn AnyTarget) -> Option<String> {
        let own = self.sampler.check().err().map(|e| format!("sampler.{e}"));
        own.or_else(|| target.double().geometry().problem())
    }

    fn memory(&self, target: &dyn AnyTarget, samples: usize) -> Vec<Part> {
        let (Config { walkers, rungs, thin, .. }, d) = (&self.sampler, target.double().dim());
        let (number, each) = (size_of::<f64>() as f64, samples.div_ceil((*walkers).max(1)) as f64);
        let (walkers, rungs, thin) = (*walkers as f64, *rungs as f64, *thin as f64);
        vec![
            (
                format!("sampler.walkers = {walkers}, sampler.rungs = {rungs} in {d} dimensions"),
                4.0 * number * walkers * rungs * d as f64,
            ),
            (
                format!("sampler.walkers = {walkers}, sampler.rungs = {rungs}, {samples} samples"),
                number * each * walkers * (rungs + d as f64),
            ),
            (
                format!("sampler.thin = {thin} for {samples} samples: their energies"),
                2.0 * number * each * walkers * thin,
            ),
        ]
    }

    fn steps(&self, samples: usize) -> u64 {
        self.sampler.sweeps_for(samples) as u64
    }

    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        if let Some(model) = self.model() {
            return Err(SamplerError::Settings(format!(
                "sampler.model = {model}: a sampler with a model is built by build_with"
            )));
        }
        self.check(target, samples)?;
        self.on(target.double().into(), samples, seed)
    }

    fn model(&self) -> Option<&str> {
        Some(&*self.sampler.model).filter(|model| !model.is_empty())
    }

    fn build_with<'t>(
        &self,
        target: &'t dyn AnyTarget,
        samples: usize,
        seed: u64,
        moves: ModelMoves<'t>,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        self.check(target, samples)?;
        let sampler = ParallelTempering::on(self.sampler.clone(), target.double().into(), seed)?;
        Ok(Box::new(Run { total: self.steps(samples), sampler: sampler.with_moves(moves) }))
    }
}

/// A sampler that stops when the wanted samples are recorded.
struct Run<'t> {
    sampler: ParallelTempering<'t>,
    total: u64,
}

impl Sampler for Run<'_> {
    fn done(&self) -> u64 {
        self.sampler.sweeps() as u64
    }

    fn total(&self) -> u64 {
        self.total
    }

    fn share(&mut self, ranks: Arc<dyn Ranks>) {
        self.sampler.share(ranks);
    }

    fn step(&mut self) -> Result<(), SamplerError> {
        Ok(self.sampler.sweep()?)
    }

    fn step_figures(&self) -> Vec<Named> {
        vec![("acceptance", self.sampler.acceptance()), ("energy", self.sampler.energy())]
    }

    fn note(&self) -> String {
        recorded::note(self.sampler.recorded())
    }

    fn draw(&self, n: usize, _: usize, _: (u64, u64)) -> Result<Vec<f64>, SamplerError> {
        recorded::first(self.sampler.states(), self.sampler.dim(), n)
    }

    fn chains(&self) -> Option<usize> {
        Some(self.sampler.walkers())
    }

    fn checkpoint(&self) -> Checkpoint {
        self.sampler.checkpoint()
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.sampler.restore(checkpoint)?;
        let (done, total) = (self.done(), self.total);
        consistent(&[(done <= total, format!("it is at sweep {done} of {total}"))])
    }

    fn diagnostics(&self) -> Diagnostics {
        let r = self.sampler.report();
        let (energy, spread) = (r.energy, r.spread);
        let jumps = self.sampler.jump_acceptance().map(|a| ("jump_acceptance", a, None));
        Diagnostics {
            figures: vec![
                ("energy_mean", r.energy_mean, Some(r.energy_error)),
                ("energy_sd", r.energy_sd, None),
                ("spread_mean", r.spread_mean, Some(r.spread_error)),
                ("energy_r_hat", energy.r_hat, None),
                ("energy_bulk_ess", energy.bulk_ess, None),
                ("energy_tail_ess", energy.tail_ess, None),
                ("spread_r_hat", spread.r_hat, None),
                ("spread_bulk_ess", spread.bulk_ess, None),
                ("spread_tail_ess", spread.tail_ess, None),
                ("start_energy_z", r.start_energy_z, None),
                ("start_spread_z", r.start_spread_z, None),
                ("least_swap_rate", r.swap_rates.iter().copied().fold(f64::INFINITY, f64::min), None),
                ("round_trips", r.round_trips as f64, None),
                ("walkers", r.walkers as f64, None),
                ("recorded_sweeps", r.sweeps as f64, None),
            ]
            .into_iter()
            .chain(jumps)
            .collect(),
            log_z: Some(LogZEstimate { value: r.log_z.value, scatter: r.log_z.error, drift: 0.0 }),
            chains: recorded::by_starts(self.sampler.energies()),
            failures: r.failures(),
            remedy: recorded::remedy(self.sampler.thin()),
            lists: vec![
                ("rungs", r.rungs),
                ("swap_rates", r.swap_rates),
                ("acceptances", r.acceptances),
                ("step_sizes", r.steps),
            ],
        }
    }

    fn evaluations(&self) -> u64 {
        self.sampler.evaluations()
    }
}
