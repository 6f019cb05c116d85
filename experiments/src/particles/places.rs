//! Where a run's reference comes from. It is kept with the run, so that one that goes on is measured against the
//! same.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cached::read;
use super::{Extras, ParticlesConfig};
use crate::config::load_exact;
use crate::failure::Failure;
use crate::run_folder::RunFolder;

/// The file in the run folder.
pub(super) const PLACES: &str = "places.toml";

/// Where reference samples are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Places {
    /// The user's own.
    #[serde(default)]
    reference: Option<PathBuf>,
    /// The folder of those made here.
    cache: PathBuf,
}

impl Places {
    /// What the flags say, else what the run in `folder` had, else the default; an error if the reference cannot be
    /// used.
    pub fn new(
        flags: &Extras,
        folder: Option<&RunFolder>,
        config: &ParticlesConfig,
    ) -> Result<Self, Failure> {
        let kept = folder.map(|f| f.file(PLACES)).filter(|path| path.is_file());
        let kept: Option<Self> = kept.map(|path| load_exact(&path)).transpose()?;
        let before = kept.unwrap_or(Self { reference: None, cache: "results/reference-cache".into() });
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|e| Failure::io(path, &e));
        let places = Self {
            reference: flags.reference.as_ref().map(absolute).transpose()?.or(before.reference),
            cache: flags.cache.as_ref().map(absolute).transpose()?.unwrap_or(before.cache),
        };
        places.check(config)?;
        Ok(places)
    }

    fn check(&self, config: &ParticlesConfig) -> Result<(), Failure> {
        if let Some(path) = &self.reference {
            return read(path, config.energies().system, config.sizes().reference()).map(|_| ());
        }
        if self.cache.exists() && !self.cache.is_dir() {
            let cache = self.cache.display();
            return Err(Failure::usage(format!("{cache}: not a folder; choose another --reference-cache")));
        }
        Ok(())
    }

    pub fn as_paths(&self) -> (Option<&Path>, &Path) {
        (self.reference.as_deref(), &self.cache)
    }

    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self).map_err(|e| Failure::Failed(format!("{PLACES}: {e}")))
    }
}
