//! Trained networks of several depths: accuracy, and Dirichlet energy after the integration over that before.

use models::gnn::Dataset;
use models::gnn::oversmoothing::smoothing::smoothness;
use models::gnn::training::train::{TrainError, fit, states};
use serde::{Deserialize, Serialize, Serializer};

use super::{OversmoothingConfig, line};
use crate::plot::{Panel, panels};
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::jobs;
use crate::run::rows::{self, Row};
use crate::table::shortest;

/// A finished training; its figures are no numbers where it diverged.
#[derive(Serialize, Deserialize)]
struct Trained {
    model: String,
    depth: usize,
    #[serde(serialize_with = "number")]
    validation: f64,
    #[serde(serialize_with = "number")]
    test: f64,
    #[serde(serialize_with = "number")]
    energy_before: f64,
    #[serde(serialize_with = "number")]
    energy_after: f64,
    #[serde(serialize_with = "number")]
    seconds: f64,
}

impl Row for Trained {
    const FILE: &'static str = "depth.csv";
    const COLUMNS: &'static str = "model,depth,validation,test,energy_before,energy_after,seconds";
}

fn number<S: Serializer>(v: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let text = if v.is_nan() { "nan".into() } else { shortest(*v) };
    serializer.serialize_str(&text)
}

/// Trains what depth.csv does not hold yet, a row for each training, and draws depth.png.
pub(super) fn trained(
    plan: &OversmoothingConfig,
    data: &Dataset,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<String, CliError> {
    let all: Vec<(&str, usize)> = plan.jobs().collect();
    // Rows stand in the order of the plan.
    let place = |row: &Trained| all.iter().position(|job| *job == (row.model.as_str(), row.depth));
    let done = rows::read(folder, |row| place(row).is_some(), place)?;
    let wanted: Vec<Option<usize>> = (0..all.len()).map(Some).collect();
    let work = |job: &Option<usize>| train(plan, data, all[job.unwrap_or(0)], interrupt);
    let save = |done: &[Trained]| rows::write(folder, done);
    let message = |done: &[Trained]| format!("{} of {} trainings", done.len(), all.len());
    let (rows, outcome) = jobs::run(&wanted, done, place, quiet, work, save, message);
    outcome.map_err(|e| match e {
        CliError::Interrupted(_) => {
            let at = folder.path().display();
            CliError::Interrupted(format!(
                "stopped; finished depths are in {at}; resume with: oversmoothing --resume {at}"
            ))
        }
        other => other,
    })?;
    folder.write("depth.png", &picture(plan, data, &rows)?)?;
    Ok(String::from_utf8_lossy(&folder.read(Trained::FILE)?).into_owned())
}

fn train(
    plan: &OversmoothingConfig,
    data: &Dataset,
    (name, depth): (&str, usize),
    interrupt: &Interrupt,
) -> Result<Trained, CliError> {
    let config = &plan.settings[name];
    let network = plan.model(name, depth);
    let stop = || interrupt.requested();
    let settings = (&network, &config.train);
    let row = |[validation, test, energy_before, energy_after, seconds]: [f64; 5]| Trained {
        model: name.into(),
        depth,
        validation,
        test,
        energy_before,
        energy_after,
        seconds,
    };
    let trained = fit(data, &data.splits[0], settings, config.data.metric, plan.seed, &stop);
    let measured = trained.and_then(|o| states(data, &network, &o.params, plan.seed).map(|s| (o, s)));
    match measured {
        Ok((outcome, [first, last, _])) => {
            let [before, after] = [first, last].map(|x| smoothness(data, &x).energy);
            let (f, seconds) = (outcome.figures(), (outcome.seconds * 100.0).round() / 100.0);
            Ok(row([f.validation, f.test, before, after, seconds]))
        }
        // A depth at which training blows up is a result, not an end.
        Err(TrainError::Diverged(_)) => Ok(row([f64::NAN; 5])),
        Err(e @ TrainError::Stopped) => Err(CliError::Interrupted(e.to_string())),
        Err(e) => Err(CliError::usage(e)),
    }
}

/// What the rows of depth.csv show.
fn picture(plan: &OversmoothingConfig, data: &Dataset, rows: &[Trained]) -> Result<Vec<u8>, CliError> {
    let (mut accuracies, mut energies) = (Vec::new(), Vec::new());
    for name in &plan.networks {
        let of = |figure: fn(&Trained) -> f64| {
            let own = rows.iter().filter(|row| row.model == *name && row.validation.is_finite());
            // A logarithmic axis of depths.
            own.map(|row| ((row.depth as f64).log2(), figure(row))).collect()
        };
        accuracies.push(line(name, of(|row| row.test)));
        energies.push(line(name, of(|row| (row.energy_after / row.energy_before).max(1e-30))));
    }
    let parts = [
        Panel { label: "test accuracy".into(), log: false, series: accuracies },
        Panel { label: "Dirichlet energy, end / start".into(), log: true, series: energies },
    ];
    panels(&format!("{}: trained networks, split 0", data.name), "log2 of the depth", &parts)
}
