//! Several tasks in folders of their names within one folder: one for each data set, or one for each split of a data set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::task::{self, Task};
use super::{Context, GraphConfig, SearchRequest, Summary, search, splits};
use crate::config::load_exact;
use crate::datasets::{Sourced, load_sourced};
use crate::run::error::CliError;
use crate::run::progress::Stages;
use crate::run::{Inputs, Place, RunFolder, Share};

/// What the folder of a batch holds.
pub(super) const KIND: &str = "batch of graph";
/// Its tasks and their settings.
const FILE: &str = "batch.toml";

/// What there is to do.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchConfig {
    /// Names of the tasks in their order: those of their data sets, or split-0, split-1, ...
    order: Vec<String>,
    /// Whether the tasks are the splits of one data set, with settings of their own each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    nested: bool,
    /// Trials of a search on each of them.
    search: Option<u64>,
    /// What no trial of a search changes.
    #[serde(default)]
    fixed: Vec<String>,
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
        place: &Place,
        force: bool,
        settings: Vec<GraphConfig>,
        search: Option<&SearchRequest>,
        with: &Context<'_>,
    ) -> Result<Self, CliError> {
        let (mut inputs, mut refused) = (Inputs::new(), Vec::new());
        let _reading = Stages::only("graph", task::READING, with.quiet);
        for config in &settings {
            match task::check(config, search, with.data_dir) {
                Ok(input) => inputs.extend(input.map(|input| (named(&config.data.name), input))),
                Err(e) => refused.push(e),
            }
        }
        if refused.len() == settings.len() {
            return Err(refused.swap_remove(0));
        }
        let order = settings.iter().map(|c| c.data.name.clone()).collect();
        let settings = settings.into_iter().map(|c| (c.data.name.clone(), c)).collect();
        let (search, fixed) = search.map_or((None, Vec::new()), |s| (Some(s.trials), s.fixed.clone()));
        Self::begin(place, force, BatchConfig { order, nested: false, search, fixed, settings }, inputs)
    }

    /// A search for each split of a data set, which sees its training and its validation nodes alone.
    pub fn nested(
        place: &Place,
        force: bool,
        config: &GraphConfig,
        search: &SearchRequest,
        with: &Context<'_>,
    ) -> Result<Self, CliError> {
        config.check()?;
        let reading = Stages::only("graph", task::READING, with.quiet);
        let Sourced { data, input } = load_sourced(&config.data.name, with.data_dir)?;
        let one = |k: usize| {
            let mut own = config.clone();
            (own.data.first, own.data.splits) = (config.data.first + k, 1);
            (format!("split-{}", own.data.first), own)
        };
        let parts: Vec<(String, GraphConfig)> =
            (0..splits(data.clone(), &config.data)?.1.len()).map(one).collect();
        parts.iter().try_for_each(|(_, own)| search::check(own, search, &data))?;
        drop(reading);
        let plan = BatchConfig {
            order: parts.iter().map(|(name, _)| name.clone()).collect(),
            nested: true,
            search: Some(search.trials),
            fixed: search.fixed.clone(),
            settings: parts.into_iter().collect(),
        };
        let inputs = input.map(|input| (named(&config.data.name), input)).into_iter().collect();
        Self::begin(place, force, plan, inputs)
    }

    fn begin(place: &Place, force: bool, plan: BatchConfig, inputs: Inputs) -> Result<Self, CliError> {
        let text = toml::to_string(&plan).map_err(|e| CliError::Failed(e.to_string()))?;
        RunFolder::check_parts(place, plan.order.iter().cloned())?;
        let folder = RunFolder::create(place, force)?;
        folder.begin(KIND, &[(FILE, &text)], inputs)?;
        Ok(Self { folder, plan })
    }

    /// The batch that a folder holds.
    pub fn resume(folder: RunFolder) -> Result<Self, CliError> {
        let plan: BatchConfig = load_exact(&folder.file(FILE))?;
        if let Some(trials) = plan.search {
            search::check_trials(trials, &format!("{}: search", folder.file(FILE).display()))?;
        }
        match plan.order.iter().find(|name| !plan.settings.contains_key(*name)) {
            Some(name) => Err(CliError::usage(format!("{FILE} has no [settings.{name}]"))),
            None => Ok(Self { folder, plan }),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Does what is not done. A task that fails, because a network diverges or a split is missing, does not keep
    /// the others from being done: the figures of those come with the first failure. There are none where the batch is
    /// a share of one.
    pub fn execute(&self, with: &Context<'_>) -> Result<(Vec<Summary>, Option<CliError>), CliError> {
        self.folder.mark_latest();
        with.interrupt.advise(task::advice(self.folder.path()));
        let (mut rows, mut failure) = (Vec::new(), None);
        for (name, share) in self.parts() {
            let task = match self.folder.has_begun(name)? {
                true => {
                    RunFolder::open_any(&self.folder.file(name)).and_then(|part| Task::resume(part, with))
                }
                false => self.task(name, share, with),
            };
            match task.and_then(Task::execute) {
                Ok(row) => rows.extend(row),
                Err(e @ CliError::Interrupted(_)) => return Err(task::stopped_in(self.folder.path(), e)),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        // Of the splits that are left when one fails nothing is said: they are not the data set.
        if self.folder.share().is_none()
            && self.plan.nested
            && failure.is_none()
            && let Some(all) = Summary::nested(&rows)
        {
            let seed = self.plan.settings.values().next().map_or(0, |config| config.seed);
            self.folder.write("metrics.json", all.nested_json(seed).as_bytes())?;
            // One split has no scatter to judge a difference by, and takes no part in the correction of p.
            rows.iter_mut().for_each(|row| (row.ablation_p, row.ablation_p_sign_flip) = (None, None));
            rows.push(all);
        }
        // One task of a sweep has no mean over the splits of others.
        if self.folder.share().is_some() {
            rows.clear();
        }
        Ok((rows, failure))
    }

    /// What is to be done here: of the share of a batch each search that is one of its jobs, whole; else each data set,
    /// with the share that is left of its trainings. They are numbered as if every data set had all splits asked for.
    fn parts(&self) -> Vec<(&str, Option<Share>)> {
        let names = self.plan.order.iter().map(String::as_str);
        match (self.folder.share(), self.plan.search) {
            (Some(share), None) => {
                let mut passed = 0;
                let one = |name| {
                    let own = share.after(passed);
                    let data = &self.plan.settings[name].data;
                    let trainings = data.splits * data.initialisations;
                    passed += trainings;
                    (0..trainings).any(|k| own.has(k)).then_some((name, Some(own)))
                };
                names.filter_map(one).collect()
            }
            _ => self.folder.own(names.map(|name| (name, None))),
        }
    }

    /// A new task, on the data that the batch began with.
    fn task<'a>(&self, name: &str, share: Option<Share>, with: &Context<'a>) -> Result<Task<'a>, CliError> {
        let reading = Stages::only(name, task::READING, with.quiet);
        let config = &self.plan.settings[name];
        let data = &config.data.name;
        let source = load_sourced(data, with.data_dir)?;
        drop(reading);
        if let Some(input) = &source.input {
            let path = input.path().unwrap_or_else(|| data.into());
            self.folder.check_input(&named(data), &path, input)?;
        }
        // What may be there was left by a task that was killed before it began.
        let place = match share {
            Some(share) => Place::Shared(self.folder.clone(), name.into(), share),
            None => Place::Within(self.folder.clone(), name.into()),
        };
        let request = self.plan.search.map(|trials| SearchRequest { trials, fixed: self.plan.fixed.clone() });
        Task::of(source, &place, true, config.clone(), request.as_ref(), with)
    }
}

/// What a file of data is to a batch.
fn named(name: &str) -> String {
    format!("data set {name}")
}
