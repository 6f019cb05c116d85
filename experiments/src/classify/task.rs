//! What a command asks for on one data set: a run, or a search and the run of what it found.

use std::path::Path;

use super::folders::PARTS;
use super::{Classification, Context, GraphConfig, Search, Summary, search, splits};
use crate::datasets::load;
use crate::run::error::CliError;
use crate::run::folder::{RunFolder, resolved};

/// A task in its folder.
pub struct Task<'a> {
    folder: RunFolder,
    stage: Stage,
    with: Context<'a>,
}

/// How far a task is.
enum Stage {
    /// What it found is run afterwards.
    Search(Search),
    /// The run, or the run of what a search found.
    Run(Classification),
}

impl<'a> Task<'a> {
    /// A task to train with the settings of `config` in the folder `out`, or to search `trials` settings in its
    /// folder search and train with the best in its folder best. What is refused touches no file.
    pub fn create(
        out: &Path,
        force: bool,
        config: GraphConfig,
        trials: Option<u64>,
        with: &Context<'a>,
    ) -> Result<Self, CliError> {
        let data = load(&config.data.name, with.data_dir)?;
        let stage = match trials {
            Some(trials) => Stage::Search(Search::create(out, force, config, trials, data)?),
            None => Stage::Run(Classification::create(out, force, config, data, with.threads)?),
        };
        Ok(Self { folder: RunFolder::open(out, &[])?, stage, with: *with })
    }

    /// The task that a folder holds, to be resumed.
    pub fn open(path: &Path, with: &Context<'a>) -> Result<Self, CliError> {
        let folder = RunFolder::open(path, &[])?;
        if folder.file("plan.toml").exists() {
            // Named in full: in the folder itself its parent has no name.
            let path = path.canonicalize().map_err(|e| CliError::io(path, &e))?;
            return Err(CliError::usage(format!(
                "{} is a part of a search; resume with: graph --resume {}",
                path.display(),
                resolved(path.parent().unwrap_or(&path)).display()
            )));
        }
        let [search, best] = PARTS.map(|part| folder.file(part));
        let run = |path: &Path| Classification::resume(path, with.data_dir).map(Stage::Run);
        let stage = match [&search, &best].map(|part| part.join("config.toml").exists()) {
            [false, _] => run(folder.path())?,
            [true, true] => run(&best)?,
            [true, false] => Stage::Search(Search::resume(&search, with.data_dir)?),
        };
        Ok(Self { folder, stage, with: *with })
    }

    /// Points `results/latest` at the task's folder.
    pub fn mark_latest(&self) {
        self.folder.mark_latest();
    }

    /// Does what is not done.
    pub fn execute(self) -> Result<Summary, CliError> {
        let run = match self.stage {
            Stage::Run(run) => Ok(run),
            Stage::Search(search) => search.execute(&self.with).and_then(|(best, data)| {
                Classification::create(&self.folder.file(PARTS[1]), true, best, data, self.with.threads)
            }),
        };
        run.and_then(|run| run.execute(&self.with)).map_err(|e| stopped_in(self.folder.path(), e))
    }
}

/// The same failure; one by Ctrl-C says how to resume what is in `path`.
pub(super) fn stopped_in(path: &Path, failure: CliError) -> CliError {
    match failure {
        CliError::Interrupted(_) => CliError::Interrupted(format!(
            "stopped; finished trainings are saved, resume with: graph --resume {}",
            path.display()
        )),
        other => other,
    }
}

/// An error where [`Task::create`] would refuse such settings.
pub(super) fn check(
    config: &GraphConfig,
    trials: Option<u64>,
    data_dir: Option<&Path>,
) -> Result<(), CliError> {
    config.check()?;
    let data = load(&config.data.name, data_dir)?;
    match trials {
        Some(trials) => search::check(config, trials, &data),
        None => splits(data, &config.data).map(drop),
    }
}
