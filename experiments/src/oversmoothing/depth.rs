//! Trained networks of several depths: accuracy, and how alike the states are after the integration and before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use models::gnn::Dataset;
use models::gnn::oversmoothing::clusters::{against_classes, clusters};
use models::gnn::oversmoothing::rank::numerical_rank;
use models::gnn::oversmoothing::smoothing::smoothness;
use models::gnn::oversmoothing::units::diffusion_units;
use models::gnn::training::train::{TrainError, fit, states};
use serde::{Deserialize, Serialize};

use super::along::{Along, along};
use super::config::Job;
use super::{OversmoothingConfig, summary};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::jobs;
use crate::run::rows::{self, Row};
use crate::run::{RunFolder, console, program};
use crate::table::number;

macro_rules! figures {
    ($($(#[$meta:meta])* $name:ident,)+) => {
        /// A finished training; its figures are no numbers where it diverged.
        #[derive(Clone, Serialize, Deserialize)]
        pub(super) struct Trained {
            pub model: String,
            pub depth: usize,
            pub split: usize,
            pub seed: u64,
            $($(#[$meta])* #[serde(serialize_with = "number")] pub $name: f64,)+
        }

        impl Row for Trained {
            const FILE: &'static str = "depth.csv";
            const COLUMNS: &'static str =
                concat!("model,depth,split,seed", $(",", stringify!($name)),+);
        }

        impl Trained {
            fn diverged(job: Job<'_>) -> Self {
                let Job { arm, depth, split, seed } = job;
                Self { model: arm.into(), depth, split, seed, $($name: f64::NAN),+ }
            }
        }
    };
}

figures! {
    /// Units of diffusion: see `models::gnn::oversmoothing::units`.
    diffusion_units,
    validation,
    test,
    /// By degree.
    energy_before,
    energy_after,
    plain_energy_before,
    plain_energy_after,
    /// Over the variance of the states.
    relative_energy_before,
    relative_energy_after,
    rank_before,
    rank_after,
    /// Of the states after the integration, against the classes.
    clusters,
    nmi,
    ari,
    /// Of the epoch that counts.
    epoch,
    seconds,
}

/// A finished training with the states on its way, where these are wanted.
struct Done {
    row: Trained,
    along: Vec<Along>,
}

/// Trains what depth.csv does not hold yet, a row for each training, and draws the pictures.
pub(super) fn trained(
    plan: &OversmoothingConfig,
    data: &Dataset,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<String, CliError> {
    let all: Vec<Job<'_>> = plan.jobs().collect();
    // Rows stand in the order of the plan.
    let at =
        |arm: &str, depth, split, seed| all.iter().position(|job| *job == Job { arm, depth, split, seed });
    let place = |row: &Trained| at(&row.model, row.depth, row.split, row.seed);
    let place_along = |row: &Along| (at(&row.model, row.depth, row.split, row.seed), row.time);
    let trained: Vec<Trained> = rows::read(folder, |row| place(row).is_some(), place)?;
    let mut on_the_way: Vec<Along> = match plan.along {
        true => rows::read(folder, |row| place_along(row).0.is_some(), place_along)?,
        false => Vec::new(),
    };
    let with_states = |row: Trained| {
        let own = |other: &mut Along| place_along(other).0 == place(&row);
        let along = on_the_way.extract_if(.., own).collect();
        Done { row, along }
    };
    let done: Vec<Done> = trained.into_iter().map(with_states).collect();
    let wanted: Vec<Option<usize>> = folder.own((0..all.len()).map(Some));
    let diverged = Mutex::new(BTreeMap::new());
    let work = |job: &Option<usize>| {
        let place = job.unwrap_or(0);
        let note = |why: String| {
            diverged.lock().unwrap_or_else(PoisonError::into_inner).insert(place, why);
        };
        train(plan, data, all[place], interrupt, &note)
    };
    let save = |done: &[Done]| {
        // A state without its training is left out when a run is resumed, a training without its states would stay.
        if plan.along {
            rows::write(folder, &done.iter().flat_map(|d| d.along.clone()).collect::<Vec<_>>())?;
        }
        rows::write(folder, &done.iter().map(|d| d.row.clone()).collect::<Vec<_>>())
    };
    let message = |done: &[Done]| format!("{} of {} trainings", done.len(), wanted.len());
    let (done, outcome) = jobs::run(&wanted, done, |d| place(&d.row), quiet, work, save, message);
    let mut diverged: Vec<_> =
        diverged.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    // One for each depth of an arm says enough.
    diverged.dedup_by_key(|(place, _)| (all[*place].arm, all[*place].depth));
    for (place, why) in diverged.iter().filter(|_| !quiet) {
        let Job { arm, depth, split, seed } = all[*place];
        console::note(format_args!("{arm} at depth {depth}, split {split}, seed {seed}: {why}"));
    }
    outcome.map_err(|e| match e {
        CliError::Interrupted(_) => {
            let at = folder.path().display();
            let resume = program::line(format_args!("oversmoothing --resume {at}"));
            CliError::Interrupted(format!("stopped; finished depths are in {at}; resume with: {resume}"))
        }
        other => other,
    })?;
    if let Some(said) = folder.end_task("oversmoothing")? {
        return Ok(said);
    }
    if plan.along {
        super::along::picture(plan, data, folder, &done.iter().flat_map(|d| &d.along).collect::<Vec<_>>())?;
    }
    summary::write(plan, data, folder, &done.into_iter().map(|d| d.row).collect::<Vec<_>>())
}

fn train(
    plan: &OversmoothingConfig,
    data: &Dataset,
    job: Job<'_>,
    interrupt: &Interrupt,
    diverged: &dyn Fn(String),
) -> Result<Done, CliError> {
    let config = &plan.settings[job.arm];
    let network = plan.model(job.arm, job.depth);
    let stop = || interrupt.requested();
    let settings = (&network, &config.train);
    let trained = fit(data, &data.splits[job.split], settings, config.data.metric, job.seed, &stop);
    let measured = trained.and_then(|o| {
        let s = states(data, &network, &o.params, job.seed)?;
        let ends = [&s[0][..], &s[1][..]];
        let way = if plan.along { along(plan, data, job, &o.params, ends)? } else { Vec::new() };
        Ok((o, s, way))
    });
    match measured {
        Ok((outcome, [first, last, _], along)) => {
            let [before, after] = [&first, &last].map(|x| smoothness(data, x));
            let parts = against_classes(data, &clusters(data, &last).0);
            let figures = outcome.figures();
            let row = Trained {
                diffusion_units: diffusion_units(data, &network, &outcome.params)
                    .map_err(CliError::Failed)?,
                validation: figures.validation,
                test: figures.test,
                energy_before: before.energy,
                energy_after: after.energy,
                plain_energy_before: before.plain_energy,
                plain_energy_after: after.plain_energy,
                relative_energy_before: before.relative_energy,
                relative_energy_after: after.relative_energy,
                rank_before: numerical_rank(&first, data.nodes()),
                rank_after: numerical_rank(&last, data.nodes()),
                clusters: after.clusters as f64,
                nmi: parts.nmi,
                ari: parts.ari,
                epoch: outcome.best as f64,
                seconds: (outcome.seconds * 100.0).round() / 100.0,
                ..Trained::diverged(job)
            };
            Ok(Done { row, along })
        }
        // A depth at which training blows up is a result, not an end.
        Err(TrainError::Diverged(why)) => {
            diverged(why);
            Ok(Done { row: Trained::diverged(job), along: Vec::new() })
        }
        Err(e @ TrainError::Stopped) => Err(CliError::Interrupted(e.to_string())),
        Err(e) => Err(CliError::usage(e)),
    }
}
