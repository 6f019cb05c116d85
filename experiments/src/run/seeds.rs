//! What a binary runs: a run to resume or to measure, a new one, or one for each of several seeds.

use std::path::Path;

use models::evaluate::Figure;
use serde::{Deserialize, Serialize};

use crate::config::load_exact;
use crate::figures::{FIGURES, over_seeds, table};
use crate::run::cli::Common;
use crate::run::error::CliError;
use crate::run::folder::{RunFolder, SEEDS};
use crate::run::interrupt::Interrupt;
use crate::run::{Inputs, Place, Share, Start, console, program};

/// What was asked for.
pub struct Plan<'a> {
    /// The binary, for the default folder and for advice.
    pub binary: &'static str,
    /// Folder, force and quiet.
    pub common: &'a Common,
    /// Told how to resume.
    pub interrupt: &'a Interrupt,
    /// What is resumed or measured; none for a new run.
    pub given: Option<Given>,
    /// Only measure it.
    pub measure: bool,
    /// Only sum it up: it was gathered, and all its runs are finished.
    pub gathered: bool,
    /// The share of the seeds that a new run has, if not all.
    pub task: Option<Share>,
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub seeds: u64,
    /// The settings as TOML.
    pub config: String,
}

/// A folder that --resume or --eval-only names.
pub enum Given {
    /// A run.
    One(RunFolder),
    /// One for each of several seeds.
    Several(Several),
}

/// A run over several seeds in its folder: seeds.toml, config.toml, and a run for each seed.
pub struct Several {
    folder: RunFolder,
    seeds: Seeds,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeds {
    first: u64,
    count: u64,
}

impl Given {
    /// What the folder holds: of `kind`, or several of that kind.
    pub fn open(path: &Path, kind: &str) -> Result<Self, CliError> {
        Self::of(RunFolder::open_any(path)?, kind)
    }

    /// The same of a folder that is open.
    pub fn of(folder: RunFolder, kind: &str) -> Result<Self, CliError> {
        let found = folder.kind()?;
        if found == kind {
            return Ok(Self::One(folder));
        }
        if found == several(kind) {
            let seeds = load_exact(&folder.file(SEEDS))?;
            return Ok(Self::Several(Several { folder, seeds }));
        }
        Err(CliError::usage(format!("{}: holds a {found}, not a {kind}", folder.path().display())))
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        match self {
            Self::One(folder) | Self::Several(Several { folder, .. }) => folder,
        }
    }
}

/// What the folder of several runs holds.
fn several(kind: &str) -> String {
    format!("{kind} over several seeds")
}

impl Several {
    fn create(plan: &Plan<'_>, kind: &str, inputs: Inputs) -> Result<Self, CliError> {
        let Plan { binary, common, seed, seeds, config, task, .. } = plan;
        let place = Place::new(common.out.as_ref(), binary, *seed).of(*task);
        let seeds = Seeds { first: *seed, count: *seeds };
        RunFolder::check_parts(&place, seeds.all().map(|seed| format!("seed{seed}")))?;
        let folder = RunFolder::create(&place, common.force)?;
        let text = format!("first = {}\ncount = {}\n", seeds.first, seeds.count);
        folder.begin(&several(kind), &[("config.toml", config), (SEEDS, &text)], inputs)?;
        folder.mark_latest();
        Ok(Self { folder, seeds })
    }

    /// How the run of a seed starts: from its folder, or in a new one.
    fn start(&self, seed: u64, kind: &str, plan: &Plan<'_>) -> Result<Start, CliError> {
        let name = format!("seed{seed}");
        Ok(match self.folder.open_part(&name, kind)? {
            Some(folder) if plan.measure => Start::Evaluate(folder),
            Some(folder) if self.has_figures(&folder, plan.gathered) => Start::Read(folder),
            Some(folder) => Start::Resume(folder),
            None => Start::New { place: Place::Within(self.folder.clone(), name), force: false },
        })
    }

    /// Whether a seed's figures are read: of a run that was gathered, and of a task that is begun again, which does not
    /// measure once more what it has measured.
    fn has_figures(&self, seed: &RunFolder, gathered: bool) -> bool {
        let done = gathered || self.folder.share().is_some() && seed.file("DONE").is_file();
        done && seed.file(FIGURES).is_file()
    }

    /// The command that goes on with it.
    fn resume(&self, binary: &str) -> String {
        program::line(format_args!("{binary} --resume {}", self.folder.path().display()))
    }

    /// The seeds that are run here.
    fn own(&self) -> Vec<u64> {
        self.folder.own(self.seeds.all())
    }

    /// An error if a seed has not been run to its end.
    fn check_measurable(&self, binary: &str) -> Result<(), CliError> {
        let is_missing = |seed: &u64| !self.folder.file(&format!("seed{seed}")).join("DONE").is_file();
        match self.own().iter().find(|seed| is_missing(seed)) {
            Some(seed) => Err(CliError::usage(format!(
                "{}: seed {seed} has not been finished; first run: {}",
                self.folder.path().display(),
                self.resume(binary)
            ))),
            None => Ok(()),
        }
    }
}

impl Seeds {
    fn all(self) -> std::ops::Range<u64> {
        self.first..self.first.saturating_add(self.count)
    }
}

/// The last seed that a configuration can hold: TOML has no greater integers.
pub const LAST_SEED: u64 = i64::MAX.unsigned_abs();

/// Figures and failed checks of a run, in its folder.
pub type Outcome = (Vec<Figure>, Vec<String>, RunFolder);

impl Plan<'_> {
    /// Runs it: `run(start, seed)` runs one, `report(figures, failures, runs)` gives the metrics.json over several seeds
    /// and a text to show, from means, failed checks and the figures of each run. `kind` is what the folder of a run
    /// holds, `inputs` are the files that new runs read. Returns the failed checks.
    pub fn execute(
        mut self,
        kind: &str,
        inputs: Inputs,
        run: impl Fn(Start, u64) -> Result<Outcome, CliError>,
        report: impl Fn(&[Figure], &[String], &[Vec<Figure>]) -> (String, String),
    ) -> Result<Vec<String>, CliError> {
        let (seed, seeds, given) = (self.seed, self.seeds, self.given.take());
        if seed.checked_add(seeds - 1).is_none_or(|last| last > LAST_SEED) {
            let text =
                format!("--seed {seed} --seeds {seeds}: the last seed may be {LAST_SEED}; lower one of them");
            return Err(CliError::usage(text));
        }
        let (figures, failures, folder) = match given {
            Some(Given::Several(several)) => self.over(&several, kind, run, report)?,
            Some(Given::One(folder)) if self.measure => run(Start::Evaluate(folder), seed)?,
            Some(Given::One(folder)) => run(Start::Resume(folder), seed)?,
            None if seeds > 1 => self.over(&Several::create(&self, kind, inputs)?, kind, run, report)?,
            None => {
                let place = Place::new(self.common.out.as_ref(), self.binary, seed);
                run(Start::New { place, force: self.common.force }, seed)?
            }
        };
        if !self.common.quiet {
            console::show(format_args!("{}{}\n", table(&figures), folder.path().display()));
        }
        Ok(failures)
    }

    fn over(
        &self,
        several: &Several,
        kind: &str,
        run: impl Fn(Start, u64) -> Result<Outcome, CliError>,
        report: impl Fn(&[Figure], &[String], &[Vec<Figure>]) -> (String, String),
    ) -> Result<Outcome, CliError> {
        let Several { folder, seeds } = several;
        let own = several.own();
        if self.measure {
            several.check_measurable(self.binary)?;
        }
        self.interrupt.advise(format!("resume with: {}", several.resume(self.binary)));
        let one = |seed| match run(several.start(seed, kind, self)?, seed) {
            Err(CliError::Interrupted(_)) => {
                let advice = self.interrupt.advice();
                Err(CliError::Interrupted(format!("stopped at seed {seed}, saved; {advice}")))
            }
            outcome => outcome.map(|(figures, failures, _)| (figures, failures)),
        };
        let runs: Vec<(Vec<Figure>, Vec<String>)> = own.iter().copied().map(one).collect::<Result<_, _>>()?;
        let (runs, failures): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        let of_seed = |(seed, failures): (u64, Vec<String>)| {
            failures.into_iter().map(move |what| format!("seed {seed}: {what}"))
        };
        let failures: Vec<String> = own.iter().copied().zip(failures).flat_map(of_seed).collect();
        let figures = over_seeds(&runs);
        if let Some(said) = folder.end_task(self.binary)? {
            if !self.common.quiet {
                console::show(format_args!("{said}"));
            }
            return Ok((figures, failures, folder.clone()));
        }
        let (json, text) = report(&figures, &failures, &runs);
        folder.write("metrics.json", json.as_bytes())?;
        if !self.common.quiet {
            let count = seeds.count;
            console::show(format_args!("{text}{count} seeds, mean +- standard deviation over seeds\n"));
        }
        Ok((figures, failures, folder.clone()))
    }
}
