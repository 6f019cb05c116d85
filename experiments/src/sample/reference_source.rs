//! Where a run's reference comes from. It is kept with the run, so that a resumed one is measured against the
//! same.

use std::path::PathBuf;

use models::evaluate::exact_samples;
use models::sampler::Method;
use models::target::AnyTarget;
use serde::{Deserialize, Serialize};

use super::config::of_particles;
use super::reference_cache::{self, Reference};
use super::{Extras, SampleConfig};
use crate::config::load_exact;
use crate::run::error::CliError;
use crate::run::folder::RunFolder;
use crate::run::interrupt::Interrupt;
use crate::run::{MEASURE, Options};

/// The file in the run folder.
pub(super) const SOURCE: &str = "reference.toml";

/// Where reference samples are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferenceSource {
    /// The user's own.
    #[serde(default)]
    reference: Option<PathBuf>,
    /// The folder of those made here.
    cache: PathBuf,
}

impl ReferenceSource {
    /// What the flags say, else what the run in `folder` had, else the default; an error if the reference cannot be
    /// used.
    pub fn new(
        flags: &Extras,
        folder: Option<&RunFolder>,
        config: &SampleConfig,
        target: &dyn AnyTarget,
    ) -> Result<Self, CliError> {
        let kept = folder.map(|f| f.file(SOURCE)).filter(|path| path.is_file());
        let kept: Option<Self> = kept.map(|path| load_exact(&path)).transpose()?;
        let before = kept.unwrap_or(Self { reference: None, cache: "results/reference-cache".into() });
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|e| CliError::io(path, &e));
        let source = Self {
            reference: flags.reference.as_ref().map(absolute).transpose()?.or(before.reference),
            cache: flags.cache.as_ref().map(absolute).transpose()?.unwrap_or(before.cache),
        };
        source.check(config, target)?;
        Ok(source)
    }

    fn check(&self, config: &SampleConfig, target: &dyn AnyTarget) -> Result<(), CliError> {
        if let Some(path) = &self.reference {
            return reference_cache::read(path, target.double().geometry(), wanted(config)).map(drop);
        }
        if self.cache.exists() && !self.cache.is_dir() {
            let cache = self.cache.display();
            return Err(CliError::usage(format!("{cache}: not a folder; choose another --reference-cache")));
        }
        Ok(())
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
        if let Some(path) = &self.reference {
            return Reference::from_file(path, double.geometry(), wanted).map(Some);
        }
        let (half, key) = (wanted / 2, config.seed ^ MEASURE);
        if let (Some(first), Some(second)) =
            (exact_samples(double, half, key, 0), exact_samples(double, half, key, 1))
        {
            let states = [first, second].concat();
            return Ok(Some(Reference { states, log_z: None, failed_checks: None }));
        }
        match of_particles(double.geometry()) && !matches!(config.method, Method::Pt(_)) {
            true => Reference::cached(&config.target, wanted, &self.cache, interrupt, options).map(Some),
            false => Ok(None),
        }
    }

    pub fn to_toml(&self) -> Result<String, CliError> {
        toml::to_string(self).map_err(|e| CliError::Failed(format!("{SOURCE}: {e}")))
    }
}

/// Reference states that are needed: a set to compare with, and another for the floor.
fn wanted(config: &SampleConfig) -> usize {
    2 * config.evaluation.sets * config.evaluation.set_size
}
