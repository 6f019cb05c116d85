//! Several data sets, a task on each, in folders of their names within one folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folders::{begun, fresh};
use super::task::{self, Task};
use super::{Context, GraphConfig, Summary, search};
use crate::config::load_exact;
use crate::run::error::CliError;
use crate::run::folder::RunFolder;

/// The file by which a folder is known to hold a batch.
const FILE: &str = "batch.toml";

/// What there is to do.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchConfig {
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
    plan: BatchConfig,
}

impl Batch {
    /// A new batch of tasks with those settings. Where none of them can be done no file is touched.
    pub fn create(
        out: &Path,
        force: bool,
        settings: Vec<GraphConfig>,
        search: Option<u64>,
        with: &Context<'_>,
    ) -> Result<Self, CliError> {
        let mut checked = settings.iter().map(|config| task::check(config, search, with.data_dir));
        if let Some(Err(refused)) = checked.next()
            && !checked.any(|other| other.is_ok())
        {
            return Err(refused);
        }
        let folder = fresh(out, force)?;
        for own in settings.iter().map(|c| out.join(&c.data.name)).filter(|own| force && own.is_dir()) {
            fresh(&own, true)?;
        }
        let order = settings.iter().map(|c| c.data.name.clone()).collect();
        let settings = settings.into_iter().map(|c| (c.data.name.clone(), c)).collect();
        let plan = BatchConfig { order, search, settings };
        let text = toml::to_string(&plan).map_err(|e| CliError::Failed(e.to_string()))?;
        folder.write(FILE, text.as_bytes())?;
        Ok(Self { folder, plan })
    }

    /// The batch that a folder holds, if it holds one.
    pub fn open(path: &Path) -> Result<Option<Self>, CliError> {
        if !path.join(FILE).is_file() {
            return Ok(None);
        }
        let folder = RunFolder::open(path, &[FILE])?;
        let plan: BatchConfig = load_exact(&folder.file(FILE))?;
        if let Some(trials) = plan.search {
            search::check_trials(trials, &format!("{}: search", folder.file(FILE).display()))?;
        }
        match plan.order.iter().find(|name| !plan.settings.contains_key(*name)) {
            Some(name) => Err(CliError::usage(format!("{FILE} has no [settings.{name}]"))),
            None => Ok(Some(Self { folder, plan })),
        }
    }

    /// Does what is not done. A task that fails, because a network diverges or a split is missing, does not keep
    /// the others from being done: the figures of those come with the first failure.
    pub fn execute(&self, with: &Context<'_>) -> Result<(Vec<Summary>, Option<CliError>), CliError> {
        self.folder.mark_latest();
        let (mut rows, mut failure) = (Vec::new(), None);
        for name in &self.plan.order {
            let out = self.folder.file(name);
            let task = match begun(&out) {
                true => Task::open(&out, with),
                // What may be there was left by a task that was killed before it began.
                false => Task::create(&out, true, self.plan.settings[name].clone(), self.plan.search, with),
            };
            match task.and_then(Task::execute) {
                Ok(row) => rows.push(row),
                Err(e @ CliError::Interrupted(_)) => return Err(task::stopped_in(self.folder.path(), e)),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        Ok((rows, failure))
    }
}
