//! What a binary runs: a run to resume or to measure, a new one, or one for each of several seeds.

use std::path::{Path, PathBuf};

use models::evaluate::Figure;
use serde::{Deserialize, Serialize};

use crate::config::load_exact;
use crate::figures::{over_seeds, table};
use crate::run::Start;
use crate::run::cli::Common;
use crate::run::error::CliError;
use crate::run::folder::{RunFolder, SEEDS};

/// What was asked for.
pub struct Plan<'a> {
    /// The binary, for the default folder and for advice.
    pub binary: &'static str,
    /// Folder, force and quiet.
    pub common: &'a Common,
    /// A run to resume.
    pub resume: Option<PathBuf>,
    /// A run to measure once more.
    pub eval_only: Option<PathBuf>,
    /// A run over several seeds to resume or to measure; `resume` or `eval_only` names its folder.
    pub several: Option<Several>,
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub seeds: u64,
    /// The settings as TOML.
    pub config: String,
}

/// A run over several seeds in its folder: seeds.toml, config.toml, and a run for each seed.
pub struct Several {
    folder: RunFolder,
    seeds: Seeds,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeds {
    first: u64,
    count: u64,
}

impl Several {
    /// The one that --resume or --eval-only names; none if there is no such flag, or its folder holds something
    /// else.
    pub fn among(resume: Option<&Path>, eval_only: Option<&Path>) -> Result<Option<Self>, CliError> {
        let Some(path) = resume.or(eval_only).filter(|path| path.join(SEEDS).is_file()) else {
            return Ok(None);
        };
        let folder = RunFolder::open(path, &["config.toml"])?;
        let seeds = load_exact(&folder.file(SEEDS))?;
        Ok(Some(Self { folder, seeds }))
    }

    /// The file with the settings of all seeds.
    pub fn config(&self) -> PathBuf {
        self.folder.file("config.toml")
    }

    fn create(out: &Path, force: bool, seeds: Seeds, config: &str) -> Result<Self, CliError> {
        let folder = RunFolder::create(out, force)?;
        folder.write("config.toml", config.as_bytes())?;
        folder.write(SEEDS, format!("first = {}\ncount = {}\n", seeds.first, seeds.count).as_bytes())?;
        folder.mark_latest();
        Ok(Self { folder, seeds })
    }

    /// How the run of a seed begins: from its checkpoint, or in a folder of its own.
    fn start(&self, seed: u64, measure: bool) -> Start {
        let out = self.folder.file(&format!("seed{seed}"));
        match out.join("checkpoint.safetensors").is_file() {
            true if measure => Start::Evaluate(out),
            true => Start::Resume(out),
            // One that ended before its first checkpoint begins again.
            false => Start::New { out, force: true },
        }
    }
}

impl Plan<'_> {
    /// Runs it: `run(start, seed)` gives a run's figures, failed checks and folder, `json(figures, runs)` the
    /// metrics.json over several seeds. Returns the failed checks.
    pub fn execute(
        self,
        run: impl Fn(Start, u64) -> Result<(Vec<Figure>, Vec<String>, PathBuf), CliError>,
        json: impl Fn(&[Figure], &[String], usize) -> String,
    ) -> Result<Vec<String>, CliError> {
        let Self { binary, common, resume, eval_only, several, seed, seeds, config } = self;
        let out = common.out.clone().unwrap_or_else(|| RunFolder::default_path(binary, seed));
        let measure = eval_only.is_some();
        let several = match several {
            None if resume.is_none() && !measure && seeds > 1 => {
                let seeds = Seeds { first: seed, count: seeds };
                Some(Several::create(&out, common.force, seeds, &config)?)
            }
            given => given,
        };
        let (figures, failures, path) = match several {
            Some(several) => {
                let Several { folder, seeds } = &several;
                let at = folder.path();
                let one = |seed| match run(several.start(seed, measure), seed) {
                    Err(CliError::Interrupted(_)) => Err(CliError::Interrupted(format!(
                        "stopped at seed {seed}, saved; resume with: {binary} --resume {}",
                        at.display()
                    ))),
                    outcome => outcome.map(|(figures, failures, _)| (figures, failures)),
                };
                let all = seeds.first..seeds.first.saturating_add(seeds.count);
                let runs: Vec<(Vec<Figure>, Vec<String>)> = all.map(one).collect::<Result<_, _>>()?;
                let (runs, failures): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
                let of_seed = |(seed, failures): (u64, Vec<String>)| {
                    failures.into_iter().map(move |what| format!("seed {seed}: {what}"))
                };
                let failures: Vec<String> = (seeds.first..).zip(failures).flat_map(of_seed).collect();
                let figures = over_seeds(&runs);
                folder.write("metrics.json", json(&figures, &failures, runs.len()).as_bytes())?;
                if !common.quiet {
                    println!("{} seeds, mean +- standard deviation over seeds", seeds.count);
                }
                (figures, failures, at.to_path_buf())
            }
            None => {
                let restart = resume.map(Start::Resume).or(eval_only.map(Start::Evaluate));
                run(restart.unwrap_or(Start::New { out, force: common.force }), seed)?
            }
        };
        if !common.quiet {
            print!("{}", table(&figures));
            println!("{}", path.display());
        }
        Ok(failures)
    }
}
