//! Where a run's reference comes from. It is kept with the run, so that a resumed one is measured against the
//! same.

use std::path::{Path, PathBuf};

use models::evaluate::exact_samples;
use models::sampler::Method;
use models::target::own::{self, MadeOf};
use models::target::{AnyTarget, TargetConfig};
use serde::{Deserialize, Serialize};

use super::config::of_particles;
use super::guide;
use super::reference_cache::{self, Reference};
use super::run::DONE;
use super::{Extras, SampleConfig};
use crate::config::load_exact;
use crate::read;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::{Input, Inputs, MEASURE, Options, RunFolder, console};

/// The file in the run folder.
pub(super) const SOURCE: &str = "reference.toml";
/// What files of the user's own are to a run.
const REFERENCE: &str = "reference";
const DATA: &str = "data file";

/// Where reference samples are.
#[derive(Clone, Debug)]
pub(super) struct ReferenceSource {
    /// The user's own, if there is one.
    own: Option<Own>,
    /// The files that the target is made of, by what they are.
    data: Inputs,
    /// What is kept with the run.
    kept: Kept,
    /// The folder of those made here.
    cache: PathBuf,
}

/// A reference of the user's own.
#[derive(Clone, Debug)]
struct Own {
    input: Input,
    states: Vec<f64>,
}

/// The file in the run folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The folder of references made here; none if TOML cannot hold its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache: Option<String>,
    /// The sha256 of the states that the run was measured against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    states: Option<String>,
}

impl ReferenceSource {
    /// What the flags say, else what the run in `folder` (this one, or the whole that it is a part of) had, else the
    /// default; an error if the reference cannot be used, or is not the one that the run began with.
    pub fn new(
        flags: &Extras,
        folder: Option<&RunFolder>,
        config: &SampleConfig,
        target: &dyn AnyTarget,
    ) -> Result<Self, CliError> {
        let before = folder.map(|f| f.file(SOURCE)).filter(|path| path.is_file());
        let mut kept: Kept = before.map(|path| load_exact(&path)).transpose()?.unwrap_or_default();
        let cache = match &flags.cache {
            Some(given) => std::path::absolute(given).map_err(|e| CliError::io(given, &e))?,
            None => kept.cache.map_or("results/reference-cache".into(), PathBuf::from),
        };
        kept.cache = cache.to_str().map(String::from);
        let data = data_of(config, folder)?;
        let source = Self { own: Own::find(flags, folder, config, target)?, data, kept, cache };
        if source.own.is_none() && source.cache.exists() && !source.cache.is_dir() {
            let cache = source.cache.display();
            return Err(CliError::usage(format!("{cache}: not a folder; choose another --reference-cache")));
        }
        Ok(source)
    }

    /// The files that the run reads.
    pub fn inputs(&self) -> Inputs {
        let own = self.own.iter().map(|own| (REFERENCE.to_string(), own.input.clone()));
        own.chain(self.data.clone()).collect()
    }

    /// The same with the sha256 of the states; the one of before if that was another.
    pub fn with_states(&self, sum: String) -> Result<Self, String> {
        match &self.kept.states {
            Some(before) if *before != sum => Err(before.clone()),
            _ => Ok(Self { kept: Kept { states: Some(sum), ..self.kept.clone() }, ..self.clone() }),
        }
    }

    /// The reference of a run: the user's own; exact samples; of particles, samples made once by parallel tempering.
    /// Parallel tempering is not compared with what it makes itself.
    pub fn reference(
        &self,
        config: &SampleConfig,
        target: &dyn AnyTarget,
        interrupt: &Interrupt,
        options: Options,
    ) -> Result<Option<Reference>, CliError> {
        let (wanted, double) = (wanted(config), target.double());
        if let Some(own) = &self.own {
            return Ok(Some(Reference::new(&own.states, double.geometry(), None, wanted)));
        }
        let (half, key) = (wanted / 2, config.seed ^ MEASURE);
        if let (Some(first), Some(second)) =
            (exact_samples(double, half, key, 0), exact_samples(double, half, key, 1))
        {
            let states = [first, second].concat();
            return Ok(Some(Reference { states, log_z: None, failed_checks: None, evaluations: None }));
        }
        match of_particles(double.geometry()) && !matches!(config.method, Method::Pt(_)) {
            true => Reference::cached(&config.target, wanted, &self.cache, interrupt, options).map(Some),
            false => Ok(None),
        }
    }

    /// The file in the run folder.
    pub fn to_toml(&self) -> Result<String, CliError> {
        toml::to_string(&self.kept).map_err(|e| CliError::Failed(format!("{SOURCE}: {e}")))
    }
}

/// The target's files and the model's, which must be those that the run in `folder` began with.
fn data_of(config: &SampleConfig, folder: Option<&RunFolder>) -> Result<Inputs, CliError> {
    let mut inputs = Inputs::new();
    let mut files = files_of(&config.target)?;
    // A finished run needs its model no more.
    let done = folder.is_some_and(|folder| folder.file(DONE).is_file());
    if let Some(model) = config.method.config().model().filter(|_| !done) {
        if folder.is_none() {
            guide::trained(model, config)?;
        }
        files.push(MadeOf { what: guide::MODEL.into(), path: guide::file(model), fixed: true });
    }
    for MadeOf { what, path, fixed } in files {
        let input = Input::new(&path, &read::bytes(&path, read::DATA)?);
        if let Some(folder) = folder {
            match folder.check_input(&what, &path, &input) {
                Err(_) if !fixed => console::note(format_args!(
                    "note: {}: is not the {what} that the run began with; the run goes on if it computes the same",
                    path.display()
                )),
                checked => checked?,
            }
        }
        inputs.insert(what, input);
    }
    Ok(inputs)
}

/// The files that a target is made of, with what they are to a run.
pub(super) fn files_of(target: &TargetConfig) -> Result<Vec<MadeOf>, CliError> {
    match (target.text("data"), target.text("file")) {
        ("", "") => Ok(Vec::new()),
        ("", file) => own::files(Path::new(file)).map_err(CliError::usage),
        (data, _) => Ok(vec![MadeOf { what: DATA.into(), path: data.into(), fixed: true }]),
    }
}

impl Own {
    /// The file that the flags name, or that the run in `folder` began with.
    fn find(
        flags: &Extras,
        folder: Option<&RunFolder>,
        config: &SampleConfig,
        target: &dyn AnyTarget,
    ) -> Result<Option<Self>, CliError> {
        let began =
            folder.map(RunFolder::inputs).transpose()?.and_then(|mut inputs| inputs.remove(REFERENCE));
        let path = match (&flags.reference, began) {
            (Some(given), _) => given.clone(),
            (None, None) => return Ok(None),
            (None, Some(began)) => began.path().ok_or_else(|| {
                CliError::usage(
                    "the run has a reference whose name is no text; give it once more with --reference",
                )
            })?,
        };
        let bytes = read::bytes(&path, read::DATA)?;
        let input = Input::new(&path, &bytes);
        if let Some(folder) = folder {
            folder.check_input(REFERENCE, &path, &input)?;
        }
        let geometry = target.double().geometry();
        let states = reference_cache::decode(&path, &bytes, geometry, wanted(config))?;
        Ok(Some(Self { input, states }))
    }
}

/// Reference states that are needed: a set to compare with, and another for the floor.
fn wanted(config: &SampleConfig) -> usize {
    2 * config.evaluation.sets * config.evaluation.set_size
}
