//! What a binary runs: a run to go on with or to measure, a new one, or a new one for each of several seeds.

use std::path::PathBuf;

use models::evaluate::Figure;

use crate::cli::Common;
use crate::failure::Failure;
use crate::figures::{over_seeds, table};
use crate::run_folder::RunFolder;
use crate::training::Start;

/// What was asked for.
pub struct Plan<'a> {
    /// The binary, for the default folder.
    pub binary: &'static str,
    /// Folder, force and quiet.
    pub common: &'a Common,
    /// A run to go on with.
    pub resume: Option<PathBuf>,
    /// A run to measure once more.
    pub eval_only: Option<PathBuf>,
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub seeds: u64,
}

impl Plan<'_> {
    /// Runs it: `run(start, seed)` gives a run's figures and folder, `json(figures, runs)` the metrics.json over
    /// several seeds.
    pub fn execute(
        self,
        run: impl Fn(Start, u64) -> Result<(Vec<Figure>, PathBuf), Failure>,
        json: impl Fn(&[Figure], usize) -> String,
    ) -> Result<(), Failure> {
        let Self { binary, common, resume, eval_only, seed, seeds } = self;
        let restart = resume.map(Start::Resume).or(eval_only.map(Start::Evaluate));
        let out = common.out.clone().unwrap_or_else(|| RunFolder::default_path(binary, seed));
        let new = |out| Start::New { out, force: common.force };
        let (figures, path) = if let Some(start) = restart {
            run(start, seed)?
        } else if seeds == 1 {
            run(new(out), seed)?
        } else {
            let folder = RunFolder::create(&out, common.force)?;
            let one = |seed| run(new(folder.file(&format!("seed{seed}"))), seed).map(|(figures, _)| figures);
            let runs: Vec<Vec<Figure>> = (seed..seed + seeds).map(one).collect::<Result<_, _>>()?;
            let figures = over_seeds(&runs);
            folder.write("metrics.json", json(&figures, runs.len()).as_bytes())?;
            if !common.quiet {
                println!("{seeds} seeds, mean +- standard deviation over seeds");
            }
            (figures, folder.path().to_path_buf())
        };
        if !common.quiet {
            print!("{}", table(&figures));
            println!("{}", path.display());
        }
        Ok(())
    }
}
