//! Moves of parallel tempering by the model of a finished training.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use engine::checkpoint::{Checkpoint, CheckpointError};
use models::mcmc::parallel_tempering::ModelMoves;
use models::sampler::Sampler;
use models::target::AnyTarget;

use super::SampleConfig;
use super::measure::{TUNED, broken};
use super::run::sampler_failure;
use crate::config::load_exact;
use crate::run::CHECKPOINT;
use crate::run::error::CliError;

/// What a model is to a run that reads it.
pub(super) const MODEL: &str = "model";

/// The file of the model in a run's folder.
pub(super) fn file(folder: &str) -> PathBuf {
    Path::new(folder).join(CHECKPOINT)
}

/// The moves of the model in `folder`, a finished training of this run's target.
pub(super) fn moves<'t>(
    folder: &str,
    config: &SampleConfig,
    target: &'t dyn AnyTarget,
) -> Result<ModelMoves<'t>, CliError> {
    let refused = |why: String| CliError::usage(format!("sampler.model = {folder}: {why}"));
    let trained: SampleConfig = load_exact(&Path::new(folder).join("config.toml"))?;
    if trained.target != config.target {
        return Err(refused(format!(
            "is of {}, whose settings are not those of this run's target, {}",
            trained.target.name, config.target.name
        )));
    }
    let method = trained.method.config();
    if !method.learns() {
        return Err(refused(format!("{} has no model; name a training", trained.method.name())));
    }
    let (drawn, steps, seed) = (trained.evaluation.drawn(), trained.evaluation.reverse_steps, trained.seed);
    let mut sampler = method.build(target, drawn, seed).map_err(sampler_failure)?;
    let wrong = |e: CheckpointError| refused(format!("{CHECKPOINT}: {e}"));
    sampler.restore(&Checkpoint::load(&file(folder)).map_err(wrong)?).map_err(wrong)?;
    let (done, total) = (sampler.done(), sampler.total());
    if done < total {
        return Err(refused(format!("is at step {done} of {total}; first run: sample --resume {folder}")));
    }
    let before = match sampler.learned() {
        Some(learned) => learned.tune(TUNED, steps, config.seed).map_err(broken)?,
        None => return Err(refused("has no model".into())),
    };
    // The jumps are made one after another; what is random in them follows from their keys.
    let sampler: Mutex<Box<dyn Sampler + 't>> = Mutex::new(sampler);
    let jump = move |x: &mut [f64], key: (u64, u64)| {
        let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(learned) = sampler.learned() else { return Ok(0.0) };
        match learned.coordinates() {
            None => learned.jump(x, steps, key),
            Some(own) => {
                let mut z = own.affine.inverse(x);
                let before = z.clone();
                let acceptance = learned.jump(&mut z, steps, key)?;
                let d = own.affine.parts().0.len();
                let moved = own.affine.forward(&z);
                for (k, (z, before)) in z.chunks_exact(d).zip(before.chunks_exact(d)).enumerate() {
                    // What stays keeps its digits.
                    if z != before {
                        x[k * d..(k + 1) * d].copy_from_slice(&moved[k * d..(k + 1) * d]);
                    }
                }
                Ok(acceptance)
            }
        }
    };
    Ok(ModelMoves { jump: Box::new(jump), each: 2, before })
}
