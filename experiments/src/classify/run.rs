//! One run: a network on every split of a data set, one training on each thread, with its ablation.

use std::time::Instant;

use engine::Params;
use engine::checkpoint::Checkpoint;
use models::gnn::training::classification::predicted;
use models::gnn::training::train::{Outcome, TrainError, fit, states};
use models::gnn::{Dataset, Network, Split};

use super::jobs::Job;
use super::sources::{inputs, load_again};
use super::{Context, GraphConfig, SplitKind, Summary, picture, preset, splits};
use crate::config::{load_exact, to_toml};
use crate::datasets::Sourced;
use crate::npy;
use crate::plot::{Panel, Series, panels};
use crate::run::error::CliError;
use crate::run::history::History;
use crate::run::interrupt::Interrupt;
use crate::run::{Place, RunFolder, environment, jobs, rows};

/// What the folder of a run holds.
pub(super) const KIND: &str = "run of graph";

/// Columns of history.csv: the first training's epochs.
const HISTORY: [&str; 5] = ["epoch", "loss", "validation_loss", "validation", "test"];

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
        config.model.check_data(&data).map_err(CliError::usage)?;
        let split = (config.data.split == SplitKind::Random).then_some("random");
        let defaults = preset(&config.data.name, config.model.name(), split)?;
        let folder = RunFolder::create(place, force)?;
        environment::write(&folder, threads)?;
        folder.begin(KIND, &[("config.toml", &to_toml(&config, &defaults)?)], inputs(input))?;
        Ok(Self { config, folder, data, splits, done: Vec::new(), before: 0.0 })
    }

    /// Resumes a run: trainings that are in jobs.csv are not done again.
    pub fn resume(folder: RunFolder, with: &Context<'_>) -> Result<Self, CliError> {
        let config: GraphConfig = load_exact(&folder.file("config.toml"))?;
        config.check()?;
        let data = load_again(&config.data.name, &folder, with.data_dir)?;
        let (data, splits) = splits(data, &config.data)?;
        let done = super::jobs::read(&folder, &config, splits.len())?;
        let before = folder.seconds();
        Ok(Self { config, folder, data, splits, done, before })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Trains everything that is not done, measures and draws.
    pub fn execute(&self, with: &Context<'_>) -> Result<Summary, CliError> {
        let began = Instant::now();
        let seconds = || self.before + began.elapsed().as_secs_f64();
        let inits = self.config.data.initialisations;
        let all: Vec<(usize, usize)> =
            (0..self.splits.len()).flat_map(|s| (0..inits).map(move |i| (s, i))).collect();
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
        let (done, outcome) = jobs::run(&all, self.done.clone(), Job::key, with.quiet, work, save, message);
        outcome?;
        let mut params = Params::<f32>::new();
        self.config.model.build::<f32>(&self.data, &mut params, 0).map_err(CliError::usage)?;
        let summary = Summary::new(&self.config, &done, params.len(), seconds());
        self.folder.write("metrics.json", summary.to_json(&self.config).as_bytes())?;
        Ok(summary)
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
        if (split, initialisation) == (0, 0) {
            self.show(&outcome, seed)?;
        }
        let Outcome { best, epochs, seconds, .. } = &outcome;
        let figures = outcome.figures();
        Ok(Job {
            split,
            initialisation,
            best: *best,
            epochs: epochs.len(),
            validation: figures.validation,
            test: figures.test,
            ablation,
            seconds: *seconds,
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

    /// Files of the first training: its curve, its network, what it says of every node.
    fn show(&self, outcome: &Outcome, seed: u64) -> Result<(), CliError> {
        let mut history = History::new(&HISTORY);
        for (k, e) in outcome.epochs.iter().enumerate() {
            history.push(&[k as f64, e.loss, e.validation_loss, e.validation, e.test]);
        }
        self.folder.write("history.csv", history.to_csv().as_bytes())?;
        let curve = |name: &str, column: &str| Series {
            name: name.into(),
            points: history.series(column),
            floor: false,
        };
        let label = format!("{} on {}, split 0", self.config.model.name(), self.config.data.name);
        let parts = [
            Panel {
                label: "cross-entropy".into(),
                log: true,
                series: vec![curve("training", "loss"), curve("validation", "validation_loss")],
            },
            Panel {
                label: self.config.data.metric.name().into(),
                log: false,
                series: vec![curve("validation", "validation"), curve("test", "test")],
            },
        ];
        self.folder.write("training.png", &panels(&label, "epoch", &parts)?)?;

        let mut checkpoint = Checkpoint::new();
        for (name, id) in outcome.params.entries() {
            // Column-major rows x cols is row-major cols x rows.
            checkpoint.put(name, &[id.shape.cols, id.shape.rows], outcome.params.view(id).data);
        }
        checkpoint.note("seed", seed);
        checkpoint.note("epoch", outcome.best);
        let bytes = checkpoint.encode().map_err(|e| CliError::Failed(e.to_string()))?;
        self.folder.write("checkpoint.safetensors", &bytes)?;

        let [first, last, logits] = states(&self.data, &self.config.model, &outcome.params, seed)
            .map_err(|e| CliError::Failed(e.to_string()))?;
        let n = self.data.nodes().max(1);
        self.folder.write("embeddings.npy", &npy::encode(last.len() / n, &last))?;
        let lines: String = (logits.chunks_exact(self.data.classes).zip(&self.data.labels).enumerate())
            .map(|(i, (scores, label))| format!("{i},{label},{}\n", predicted(scores)))
            .collect();
        self.folder.write("predictions.csv", format!("node,class,predicted\n{lines}").as_bytes())?;
        if let Some(png) = picture::draw(&self.data, self.config.model.name(), &first, &last)? {
            self.folder.write("graph.png", &png)?;
        }
        Ok(())
    }
}
