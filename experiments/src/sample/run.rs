//! One run: sample, save, resume, measure, draw.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::checkpoint::{Checkpoint, CheckpointError};
use models::evaluate::Figure;
use models::sampler::{Sampler, SamplerError};
use models::target::AnyTarget;
use serde_json::json;

use super::SampleConfig;
use super::measure::Measurement;
use super::presets::preset;
use super::reference_source::{ReferenceSource, SOURCE};
use crate::config::{exact, load_exact, to_toml};
use crate::figures;
use crate::run::error::CliError;
use crate::run::folder::RunFolder;
use crate::run::interrupt::Interrupt;
use crate::run::{CHECKPOINT, Curve, Options, Start, Steps};

/// Where the reference comes from, and whether a network does.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Reference samples of the user's own.
    pub reference: Option<PathBuf>,
    /// Where made ones are kept.
    pub cache: Option<PathBuf>,
    /// A trained network to measure instead of training.
    pub pretrained: Option<PathBuf>,
}

/// A run in its folder.
pub struct Run {
    config: SampleConfig,
    folder: RunFolder,
    target: Arc<dyn AnyTarget>,
    options: Options,
    source: ReferenceSource,
    pretrained: Option<PathBuf>,
    measure_only: bool,
}

impl Run {
    /// Opens or creates the folder. `config` is used for a new run only.
    pub fn open(
        start: Start,
        config: SampleConfig,
        extras: Extras,
        options: Options,
    ) -> Result<Self, CliError> {
        let again = |path: &Path| {
            let folder = RunFolder::open(path, &["config.toml", CHECKPOINT])?;
            let config: SampleConfig = load_exact(&folder.file("config.toml"))?;
            let target = config.target()?;
            config.check(&*target)?;
            let source = ReferenceSource::new(&extras, Some(&folder), &config, &*target)?;
            Ok::<_, CliError>((folder, config, target, source))
        };
        let ((folder, config, target, source), measure_only) = match start {
            Start::New { out, force } => {
                let target = config.target()?;
                config.check(&*target)?;
                // What may be wrong with the reference is known before anything is written.
                let source = ReferenceSource::new(&extras, None, &config, &*target)?;
                let folder = RunFolder::create(&out, force)?;
                let defaults = preset(&config.target, Some(config.method.name()), false)?;
                folder.write("config.toml", to_toml(&config, &defaults)?.as_bytes())?;
                ((folder, config, target, source), extras.pretrained.is_some())
            }
            Start::Resume(path) => (again(&path)?, false),
            Start::Evaluate(path) => (again(&path)?, true),
        };
        folder.write_environment(options.threads)?;
        folder.write(SOURCE, source.to_toml()?.as_bytes())?;
        folder.mark_latest();
        Ok(Self { config, folder, target, options, source, pretrained: extras.pretrained, measure_only })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Samples to the end, unless only measurements are wanted, and measures; returns the figures and the checks that
    /// failed.
    pub fn execute(&self, interrupt: &Interrupt) -> Result<(Vec<Figure>, Vec<String>), CliError> {
        let (config, target) = (&self.config, &*self.target);
        let wanted = config.evaluation.drawn();
        let mut sampler =
            config.method.config().build(target, wanted, config.seed).map_err(sampler_failure)?;
        let learned = sampler.learned().is_some();
        let mut measurement = Measurement {
            config,
            target,
            folder: &self.folder,
            reference: None,
            learned,
            pretrained: self.pretrained.is_some(),
        };
        let steps = Steps {
            checkpoint: &self.folder.file(CHECKPOINT),
            advice: format!("resume with: sample --resume {}", self.folder.path().display()),
            subject: &config.target.name,
            options: self.options,
            interrupt,
            curve: Some(Curve {
                folder: &self.folder,
                rows: config.evaluation.snapshots,
                columns: measurement.columns(),
            }),
        };
        let mut past = steps.begin(&mut *sampler)?;
        if let Some(path) = &self.pretrained {
            load_model(path, &mut *sampler)?;
        }
        measurement.reference =
            self.source.reference(config, target, &interrupt.uncounted(), self.options)?;
        if !self.measure_only {
            steps.run(&mut *sampler, &mut past, |s| measurement.snapshot(s))?;
            if let Some(learned) = sampler.learned() {
                self.folder.write("model.safetensors", &self.model(learned.parameters())?)?;
            }
        }
        let figures = measurement.finish(&mut *sampler, &past)?;
        self.folder.write("metrics.json", metrics_json(config, &figures.0, &figures.1, 1).as_bytes())?;
        self.folder.write("DONE", b"")?;
        Ok(figures)
    }

    /// The parameters with the configuration: all that sampling needs.
    fn model(&self, parameters: &[f32]) -> Result<Vec<u8>, CliError> {
        let mut c = Checkpoint::new();
        c.put_vec("ema", parameters);
        c.note("config", to_toml(&self.config, &self.config)?);
        c.encode().map_err(|e| CliError::Failed(format!("model.safetensors: {e}")))
    }
}

/// metrics.json.
pub fn metrics_json(config: &SampleConfig, figures: &[Figure], failures: &[String], seeds: usize) -> String {
    let head = [
        ("target", json!(config.target.name)),
        ("method", json!(config.method.name())),
        ("dim", json!(config.target.build().map_or(0, |t| t.single().dim()))),
        ("steps", json!(config.method.config().steps(config.evaluation.drawn()))),
        ("seed", json!(config.seed)),
        ("seeds", json!(seeds)),
        ("failed_checks", json!(failures)),
    ];
    figures::metrics_json(&head, figures)
}

pub(super) fn sampler_failure(e: SamplerError) -> CliError {
    match e {
        SamplerError::Settings(what) => CliError::usage(what),
        SamplerError::Diverged(what) => CliError::Diverged(what),
        SamplerError::Target(e) => CliError::Failed(e.to_string()),
    }
}

/// The configuration that a trained network brings; evaluation settings may be changed afterwards.
pub fn model_config(path: &Path) -> Result<SampleConfig, CliError> {
    let wrong = |e: CheckpointError| CliError::usage(format!("{}: {e}", path.display()));
    let text: String = Checkpoint::load(path).and_then(|c| c.read_note("config")).map_err(wrong)?;
    exact(&text, &path.display().to_string())
}

fn load_model(path: &Path, sampler: &mut dyn Sampler) -> Result<(), CliError> {
    let wrong = |e: CheckpointError| CliError::usage(format!("{}: {e}", path.display()));
    let Some(learned) = sampler.learned() else { return Ok(()) };
    Checkpoint::load(path).and_then(|c| c.get("ema", learned.set_parameters())).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::sampler::Method;

    #[test]
    fn networks_that_ship_bring_their_own_settings() {
        for (name, steps) in [("dw4", 14_000), ("lj13", 6000), ("lj55", 8000)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/pretrained");
            let config = model_config(&folder.join(format!("{name}.safetensors"))).unwrap();
            let preset = preset(&config.target, None, false).unwrap();
            let (Method::Idem(mine), Method::Idem(theirs)) = (&config.method, &preset.method) else {
                panic!()
            };
            assert_eq!((config.target.name.as_str(), mine.0.train.steps), (name, steps));
            assert_eq!(mine.0.network, theirs.0.network);
            config.check(&*config.target().unwrap()).unwrap();
        }
    }
}
