//! What a command asks for on one data set: a run, or a search and the run of what it found.

use std::path::Path;

use super::search::TRIALS;
use super::{Classification, Context, GraphConfig, Search, SearchRequest, Summary, run, search, splits};
use crate::datasets::{Sourced, load_sourced};
use crate::run::error::CliError;
use crate::run::folder::resolved;
use crate::run::progress::Stages;
use crate::run::{Input, Inputs, Place, RunFolder, program};

/// What the folder of a search and of the run of what it found holds.
pub(super) const KIND: &str = "search of graph";
/// Their folders within.
const SEARCH: &str = "search";
pub(super) const BEST: &str = "best";

/// What is done before the first training.
pub(super) const READING: &str = "reading data";

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
    /// A task to train with the settings of `config`, or to search settings in a folder search within and train with
    /// the best in a folder best. What is refused touches no file.
    pub fn create(
        place: &Place,
        force: bool,
        config: GraphConfig,
        request: Option<&SearchRequest>,
        with: &Context<'a>,
    ) -> Result<Self, CliError> {
        let reading = Stages::only(&config.data.name, READING, with.quiet);
        let source = load_sourced(&config.data.name, with.data_dir)?;
        drop(reading);
        Self::of(source, place, force, config, request, with)
    }

    /// The same on data that have been read.
    pub(super) fn of(
        source: Sourced,
        place: &Place,
        force: bool,
        config: GraphConfig,
        request: Option<&SearchRequest>,
        with: &Context<'a>,
    ) -> Result<Self, CliError> {
        let Some(request) = request else {
            let run = Classification::create(place, force, config, source, with.threads)?;
            return Ok(Self { folder: run.folder().clone(), stage: Stage::Run(run), with: *with });
        };
        search::check(&config, request, &source.data)?;
        let folder = RunFolder::create(place, force)?;
        let within = Place::Within(folder.clone(), SEARCH.into());
        let search = Search::create(&within, config, request.clone(), source)?;
        folder.begin(KIND, &[], Inputs::new())?;
        Ok(Self { folder, stage: Stage::Search(search), with: *with })
    }

    /// The task that a folder holds, to be resumed.
    pub fn resume(folder: RunFolder, with: &Context<'a>) -> Result<Self, CliError> {
        let _reading = Stages::only("graph", READING, with.quiet);
        let kind = folder.kind()?;
        let part = |name: &str, kind: &str| folder.open_part(name, kind);
        let stage = match kind.as_str() {
            run::KIND => Stage::Run(Classification::resume(folder.clone(), with)?),
            KIND => match (part(BEST, run::KIND)?, part(SEARCH, TRIALS)?) {
                (Some(best), _) => Stage::Run(Classification::resume(best, with)?),
                (None, Some(search)) => Stage::Search(Search::resume(search, with)?),
                (None, None) => {
                    let path = folder.path().display();
                    return Err(CliError::usage(format!("{path}: its search is gone; start a new run")));
                }
            },
            TRIALS => {
                // Named in full: in the folder itself its parent has no name.
                let path = folder.path().canonicalize().map_err(|e| CliError::io(folder.path(), &e))?;
                return Err(CliError::usage(format!(
                    "{} is a part of a search; {}",
                    path.display(),
                    resume_with(&resolved(path.parent().unwrap_or(&path)))
                )));
            }
            other => {
                let path = folder.path().display();
                return Err(CliError::usage(format!("{path}: holds a {other}, not a {}", run::KIND)));
            }
        };
        Ok(Self { folder, stage, with: *with })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Does what is not done; of a share of the trainings there are no figures.
    pub fn execute(self) -> Result<Option<Summary>, CliError> {
        self.with.interrupt.advise(advice(self.folder.path()));
        let run = match self.stage {
            Stage::Run(run) => Ok(run),
            Stage::Search(search) => search.execute(&self.with).and_then(|(best, source)| {
                let place = Place::Within(self.folder.clone(), BEST.into());
                Classification::create(&place, true, best, source, self.with.threads)
            }),
        };
        run.and_then(|run| run.execute(&self.with)).map_err(|e| stopped_in(self.folder.path(), e))
    }
}

/// How to resume what is in `path`.
pub(super) fn advice(path: &Path) -> String {
    format!("finished trainings are saved, {}", resume_with(path))
}

fn resume_with(path: &Path) -> String {
    format!("resume with: {}", program::line(format_args!("graph --resume {}", path.display())))
}

/// The same failure; one by Ctrl-C says how to resume what is in `path`.
pub(super) fn stopped_in(path: &Path, failure: CliError) -> CliError {
    match failure {
        CliError::Interrupted(_) => CliError::Interrupted(format!("stopped; {}", advice(path))),
        other => other,
    }
}

/// The file that a task of such settings reads, if it reads one; an error where [`Task::create`] would refuse them.
pub(super) fn check(
    config: &GraphConfig,
    request: Option<&SearchRequest>,
    data_dir: Option<&Path>,
) -> Result<Option<Input>, CliError> {
    config.check()?;
    let Sourced { data, input } = load_sourced(&config.data.name, data_dir)?;
    match request {
        Some(request) => search::check(config, request, &data)?,
        None => {
            let data = splits(data, &config.data)?.0;
            config.model.check_data(&data, config.train.share()).map_err(CliError::usage)?;
        }
    }
    Ok(input)
}
