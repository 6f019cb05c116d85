//! One run: a network on every split of a data set, one training on each thread, with its ablation.

use std::time::Instant;

use engine::Params;
use models::gnn::training::confusion::majority;
use models::gnn::training::train::{TrainError, fit, states};
use models::gnn::{Dataset, Network, Split};

use super::config::Keep;
use super::jobs::Job;
use super::outputs::{Trained, confusion};
use super::sources::{inputs, load_again};
use super::{Context, GraphConfig, SplitKind, Summary, preset, splits};
use crate::config::{load_exact, to_toml};
use crate::datasets::Sourced;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::{Place, RunFolder, environment, jobs, rows};

/// What the folder of a run holds.
pub(super) const KIND: &str = "run of graph";

/// A run in its folder.
pub struct Classification {
    config: GraphConfig,
    folder: RunFolder,
    data: Dataset,
    splits: Vec<Split>,
    done: Vec<Job>,
    /// Seconds that earlier parts of the run took.
    before: f64,
}

impl Classification {
    /// A new run; nothing is written before data and settings are known to be sound.
    pub fn create(
        place: &Place,
        force: bool,
        config: GraphConfig,
        source: Sourced,
        threads: usize,
    ) -> Result<Self, CliError> {
        config.check()?;
        let Sourced { data, input } = source;
        let (data, splits) = splits(data, &config.data)?;
        config.model.check_data(&data, config.train.share()).map_err(CliError::usage)?;
        let split = (config.data.split == SplitKind::Random).then_some("random");
        let defaults = preset(&config.data.name, config.model.name(), split)?;
        let folder = RunFolder::create(place, force)?;
        environment::write(&folder, threads)?;
        folder.begin(KIND, &[("config.toml", &to_toml(&config, &defaults)?)], inputs(input))?;
        Self::on(folder, config, data, splits)
    }

    /// Resumes a run: trainings that are in jobs.csv are not done again.
    pub fn resume(folder: RunFolder, with: &Context<'_>) -> Result<Self, CliError> {
        let config: GraphConfig = load_exact(&folder.file("config.toml"))?;
        config.check()?;
        let data = load_again(&config.data.name, &folder, with.data_dir)?;
        let (data, splits) = splits(data, &config.data)?;
        Self::on(folder, config, data, splits)
    }

    fn on(
        folder: RunFolder,
        config: GraphConfig,
        data: Dataset,
        splits: Vec<Split>,
    ) -> Result<Self, CliError> {
        let done = super::jobs::read(&folder, &config, splits.len())?;
        let before = folder.seconds();
        Ok(Self { config, folder, data, splits, done, before })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Trains everything that is not done, measures and draws; nothing to measure comes of a share of the trainings.
    pub fn execute(&self, with: &Context<'_>) -> Result<Option<Summary>, CliError> {
        let began = Instant::now();
        let seconds = || self.before + began.elapsed().as_secs_f64();
        let inits = self.config.data.initialisations;
        let all = (0..self.splits.len()).flat_map(|s| (0..inits).map(move |i| (s, i)));
        let own: Vec<(usize, usize)> = self.folder.own(all);
        let work =
            |(split, initialisation): &(usize, usize)| self.train(*split, *initialisation, with.interrupt);
        let save = |done: &[Job]| {
            self.folder.write_seconds(seconds())?;
            rows::write(&self.folder, done)
        };
        let message = |done: &[Job]| {
            let validation = done.iter().map(|j| j.validation).sum::<f64>() / done.len() as f64;
            let (model, data) = (self.config.model.name(), &self.config.data.name);
            format!("{model} on {data}: validation {:.2} %", 100.0 * validation)
        };
        let (done, outcome) = jobs::run(&own, self.done.clone(), Job::key, with.quiet, work, save, message);
        outcome?;
        if self.folder.share().is_some() {
            return Ok(None);
        }
        let mut params = Params::<f32>::counting();
        self.config.model.build::<f32>(&self.data, &mut params, 0).map_err(CliError::usage)?;
        let majorities: Vec<f64> =
            self.splits.iter().map(|split| majority(&self.data.labels, &split.test)).collect();
        let count =
            |part: fn(&Split) -> &Vec<u32>| self.splits.iter().map(|s| part(s).len()).sum::<usize>() as f64;
        let tested = count(|s| &s.test) / count(|s| &s.train).max(1.0);
        let test_parts = (self.data.classes, &majorities[..], tested);
        let summary = Summary::new(&self.config, &done, test_parts, params.len(), seconds());
        self.folder.write("metrics.json", summary.to_json(&self.config).as_bytes())?;
        let kept = if self.config.data.keep == Keep::Every { self.splits.len() } else { 1 };
        self.folder.write("confusion.csv", &confusion(&self.folder, &self.data, kept)?)?;
        Ok(Some(summary))
    }

    fn train(&self, split: usize, initialisation: usize, interrupt: &Interrupt) -> Result<Job, CliError> {
        let seed = self.config.training_seed(split, initialisation);
        let fit = |network: &Network| {
            let stop = || interrupt.requested();
            let settings = (network, &self.config.train);
            fit(&self.data, &self.splits[split], settings, self.config.data.metric, seed, &stop)
                .map_err(|e| self.failure(e, split))
        };
        let outcome = fit(&self.config.model)?;
        let mut ablation = f64::NAN;
        if let Some(without) = self.config.model.ablation().filter(|_| self.config.data.ablation) {
            ablation = fit(&without)?.figures().test;
        }
        let states = states(&self.data, &self.config.model, &outcome.params, seed)
            .map_err(|e| self.failure(e, split))?;
        let trained = Trained {
            config: &self.config,
            data: &self.data,
            split: &self.splits[split],
            outcome: &outcome,
            seed,
            states: &states,
        };
        if initialisation == 0 && (split == 0 || self.config.data.keep == Keep::Every) {
            trained.write(&self.folder, split)?;
        }
        if (split, initialisation) == (0, 0) {
            trained.show(&self.folder)?;
        }
        let figures = outcome.figures();
        Ok(Job {
            split,
            initialisation,
            best: outcome.best,
            epochs: outcome.epochs.len(),
            validation: figures.validation,
            test: figures.test,
            macro_f1: trained.confusion().macro_f1(),
            ablation,
            seconds: outcome.seconds,
        })
    }

    fn failure(&self, e: TrainError, split: usize) -> CliError {
        match e {
            TrainError::Settings(what) => CliError::usage(what),
            TrainError::Diverged(_) => {
                CliError::Diverged(format!("{} on split {split}: {e}", self.config.data.name))
            }
            TrainError::Stopped => CliError::Interrupted(e.to_string()),
        }
    }
}
