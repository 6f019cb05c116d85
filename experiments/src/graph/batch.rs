//! Several data sets, a task on each, in folders of their names within one folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::task::{self, Surroundings};
use super::{GraphConfig, Summary};
use crate::config::load_exact;
use crate::failure::Failure;
use crate::run_folder::RunFolder;

/// The file by which a folder is known to hold a batch.
const FILE: &str = "batch.toml";

/// What there is to do.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// Data sets in the order of their tasks.
    order: Vec<String>,
    /// Trials of a search on each of them.
    search: Option<u64>,
    /// The settings for each.
    settings: BTreeMap<String, GraphConfig>,
}

/// A batch in its folder.
pub struct Batch {
    folder: RunFolder,
    plan: Plan,
}

impl Batch {
    /// A new batch of tasks with those settings.
    pub fn create(
        out: &Path,
        force: bool,
        settings: Vec<GraphConfig>,
        search: Option<u64>,
    ) -> Result<Self, Failure> {
        let folder = RunFolder::create(out, force)?;
        for config in settings.iter().filter(|_| force) {
            task::discard(&out.join(&config.data.name))?;
        }
        let order = settings.iter().map(|c| c.data.name.clone()).collect();
        let settings = settings.into_iter().map(|c| (c.data.name.clone(), c)).collect();
        let plan = Plan { order, search, settings };
        let text = toml::to_string(&plan).map_err(|e| Failure::Failed(e.to_string()))?;
        folder.write(FILE, text.as_bytes())?;
        Ok(Self { folder, plan })
    }

    /// The batch that a folder holds, if it holds one.
    pub fn open(path: &Path) -> Result<Option<Self>, Failure> {
        if !path.join(FILE).is_file() {
            return Ok(None);
        }
        let folder = RunFolder::open(path, &[FILE])?;
        let plan: Plan = load_exact(&folder.file(FILE))?;
        match plan.order.iter().find(|name| !plan.settings.contains_key(*name)) {
            Some(name) => Err(Failure::usage(format!("{FILE} has no [settings.{name}]"))),
            None => Ok(Some(Self { folder, plan })),
        }
    }

    /// Does what is not done. A task that fails, because a network diverges or a split is missing, does not keep
    /// the others from being done: the figures of those come with the first failure.
    pub fn execute(
        &self,
        force: bool,
        with: &Surroundings<'_>,
    ) -> Result<(Vec<Summary>, Option<Failure>), Failure> {
        let (mut rows, mut failure) = (Vec::new(), None);
        for name in &self.plan.order {
            let out = self.folder.path().join(name);
            let done = match task::begun(&out) {
                true => task::resume(&out, with),
                false => task::start(&out, force, self.plan.settings[name].clone(), self.plan.search, with),
            };
            self.folder.mark_latest();
            match done {
                Ok(row) => rows.push(row),
                Err(Failure::Interrupted(_)) => {
                    return Err(Failure::Interrupted(format!(
                        "stopped; finished trainings are saved, go on with: graph --resume {}",
                        self.folder.path().display()
                    )));
                }
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        if rows.is_empty() && !self.plan.order.iter().any(|n| task::begun(&self.folder.path().join(n))) {
            // Nothing was begun, so nothing is left behind.
            self.folder.remove(FILE)?;
            let _ = std::fs::remove_dir(self.folder.path());
        }
        Ok((rows, failure))
    }
}
