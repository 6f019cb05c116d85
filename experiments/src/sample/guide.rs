//! Moves of parallel tempering by the model of a finished training.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use engine::checkpoint::Checkpoint;
use models::mcmc::parallel_tempering::{Jumped, ModelMoves};
use models::sampler::{Coordinates, Learned, Sampler};
use models::target::{AnyTarget, TargetError};

use super::SampleConfig;
use super::measure::{TUNED, TUNING};
use super::run::{DONE, KIND, MEASURED};
use crate::config::load_exact;
use crate::run::error::CliError;
use crate::run::{CHECKPOINT, RunFolder, program};

/// What a model is to a run that reads it.
pub(super) const MODEL: &str = "model";

/// The file of the model in a run's folder.
pub(super) fn file(folder: &str) -> PathBuf {
    Path::new(folder).join(CHECKPOINT)
}

fn refused(folder: &str, why: impl std::fmt::Display) -> String {
    format!("sampler.model = {folder}: {why}")
}

/// The settings of the training in a folder; what else it holds, and what to do.
fn training(path: &Path) -> Result<SampleConfig, String> {
    let kind = RunFolder::kind_at(path).map_err(|e| e.to_string())?;
    if kind != KIND {
        let which = if kind.starts_with(KIND) { "name the folder of one seed" } else { "name a training" };
        let kind = if kind == MEASURED { "measurement without a training" } else { &kind };
        return Err(format!("holds a {kind}; {which}"));
    }
    let trained: SampleConfig = load_exact(&path.join("config.toml")).map_err(|e| e.to_string())?;
    match trained.method.config().learns() {
        true => Ok(trained),
        false => Err(format!("{} has no model; name a training", trained.method.name())),
    }
}

/// What to do with a training that is not finished.
fn unfinished(path: &Path) -> Option<String> {
    let resume = || program::line(format_args!("sample --resume {}", path.display()));
    (!path.join(DONE).is_file()).then(|| format!("is not finished; first run: {}", resume()))
}

/// The settings of the finished training in a folder; what else it holds, and what to do.
pub(super) fn finished(path: &Path) -> Result<SampleConfig, String> {
    let trained = training(path)?;
    unfinished(path).map_or(Ok(trained), Err)
}

/// The settings of the training in `folder`; an error unless it is a finished one of this run's target.
pub(super) fn trained(folder: &str, config: &SampleConfig) -> Result<SampleConfig, CliError> {
    let wrong = |why: String| CliError::usage(refused(folder, why));
    let trained = training(Path::new(folder)).map_err(wrong)?;
    if trained.target != config.target {
        return Err(wrong(format!(
            "is of {}, whose settings are not those of this run's target, {}",
            trained.target.name, config.target.name
        )));
    }
    // To finish one of another target would be of no use.
    unfinished(Path::new(folder)).map_or(Ok(trained), |why| Err(wrong(why)))
}

/// The moves of the model in `folder`, which is read when the first one is made: a finished run that is measured again
/// makes none.
pub(super) fn moves<'t>(folder: &str, config: &SampleConfig, target: &'t dyn AnyTarget) -> ModelMoves<'t> {
    let (folder, config) = (folder.to_string(), config.clone());
    // Moves are made one after another; what is random in them follows from their keys.
    let model: Mutex<Option<Model<'t>>> = Mutex::new(None);
    let jump = move |x: &mut [f64], key: (u64, u64)| {
        let mut held = model.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tuning = 0;
        if held.is_none() {
            let (read, energies) = Model::read(&folder, &config, target)
                .map_err(|why| TargetError::Evaluation(refused(&folder, why)))?;
            (*held, tuning) = (Some(read), energies);
        }
        let acceptance = held.as_mut().map_or(Ok(0.0), |model| model.jump(x, key))?;
        Ok(Jumped { acceptance, tuning })
    };
    ModelMoves { jump: Box::new(jump), each: 2 }
}

/// A trained sampler.
struct Model<'t> {
    sampler: Box<dyn Sampler + 't>,
    /// Steps of its reverse process.
    steps: usize,
}

impl<'t> Model<'t> {
    /// Reads and tunes it; the number of energies that the tuning took.
    fn read(
        folder: &str,
        config: &SampleConfig,
        target: &'t dyn AnyTarget,
    ) -> Result<(Self, u64), Box<dyn std::error::Error>> {
        let trained = trained(folder, config)?;
        let (drawn, steps) = (trained.evaluation.drawn(), trained.evaluation.reverse_steps);
        let mut sampler = trained.method.config().build(target, drawn, trained.seed)?;
        sampler.restore(&Checkpoint::load(&file(folder))?)?;
        let learned = sampler.learned().ok_or("has no model")?;
        let energies = learned.tune(TUNED, steps, config.seed ^ TUNING)?;
        Ok((Self { sampler, steps }, energies))
    }

    fn jump(&mut self, x: &mut [f64], key: (u64, u64)) -> Result<f64, TargetError> {
        let Some(learned) = self.sampler.learned() else {
            return Err(TargetError::Evaluation("the model is gone".into()));
        };
        match learned.coordinates() {
            None => learned.jump(x, self.steps, key),
            Some(own) => jump_within(learned, own, self.steps, key, x),
        }
    }
}

/// A jump in the model's own coordinates.
fn jump_within(
    learned: &dyn Learned,
    own: Coordinates<'_>,
    steps: usize,
    key: (u64, u64),
    x: &mut [f64],
) -> Result<f64, TargetError> {
    let mut z = own.affine.inverse(x);
    let before = z.clone();
    let acceptance = learned.jump(&mut z, steps, key)?;
    let d = own.affine.dim();
    let moved = own.affine.forward(&z);
    let states = x.chunks_exact_mut(d).zip(moved.chunks_exact(d));
    for ((x, moved), (z, before)) in states.zip(z.chunks_exact(d).zip(before.chunks_exact(d))) {
        // What stays keeps its digits.
        if z != before {
            x.copy_from_slice(moved);
        }
    }
    Ok(acceptance)
}
