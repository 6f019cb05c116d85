//! The dimension study: effective shares of importance weights against the dimension, for exact scores.

use models::evaluate::dimension::{Shares, Study, shares};
use models::memory;
use models::range::{self, Range::Between};
use serde::{Deserialize, Serialize};

use crate::plot::{Panel, Picture, Series, panels};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::rows::{self, Row, plain};
use crate::run::{RunFolder, jobs, program};

/// What the folder of a run holds.
pub const KIND: &str = "run of dimension";

/// Everything that a run depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionConfig {
    /// Seed of every random number.
    pub seed: u64,
    /// Dimensions.
    pub dims: Vec<usize>,
    /// Exact samples in the buffer of the marginal weights.
    pub buffer: usize,
    /// Noise levels at which marginal weights are looked at.
    pub levels: usize,
    /// States at each.
    pub states: usize,
    /// Draws behind the density of a state.
    pub draws: usize,
    /// Steps of the reverse SDE.
    pub steps: usize,
    /// Populations of paths, and states in each.
    pub populations: usize,
    /// States in each population.
    pub population: usize,
    /// Relative error of the widths of the wells in the wrong model.
    pub wrong: f64,
}

impl Default for DimensionConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            dims: vec![2, 4, 8, 16, 32, 64, 128],
            buffer: 10_000,
            levels: 16,
            states: 500,
            draws: 500,
            steps: 100,
            populations: 32,
            population: 250,
            wrong: 0.1,
        }
    }
}

impl DimensionConfig {
    /// An error if a value is out of its range.
    pub fn check(&self) -> Result<(), CliError> {
        let count = |v: usize, low: f64, high: f64| (v as f64, Between(low, high));
        let mut ranges = vec![
            ("buffer", count(self.buffer, 2.0, 1e6)),
            ("levels", count(self.levels, 1.0, 1000.0)),
            ("states", count(self.states, 10.0, 1e6)),
            ("draws", count(self.draws, 1.0, 1e6)),
            ("steps", count(self.steps, 1.0, 1e5)),
            ("populations", count(self.populations, 2.0, 1e4)),
            ("population", count(self.population, 2.0, 1e6)),
            ("wrong", (self.wrong, Between(-0.5, 1.0))),
        ];
        if self.dims.is_empty() {
            return Err(CliError::usage("dims is empty: name a dimension"));
        }
        if let Some(twice) = self.dims.iter().enumerate().find(|(k, d)| self.dims[..*k].contains(d)) {
            return Err(CliError::usage(format!("dims names {} twice", twice.1)));
        }
        ranges.extend(self.dims.iter().map(|d| ("dims", count(*d, 1.0, 1000.0))));
        let ranges: Vec<_> = ranges.into_iter().map(|(key, (v, range))| (key, v, range)).collect();
        range::check(&ranges).map_err(CliError::usage)?;
        // Dimensions run side by side. Double precision; states, scores, noise and denoised states of all paths.
        let all = self.dims.iter().sum::<usize>() as f64;
        let paths = 8.0 * 4.0 * all * (self.populations * self.population) as f64;
        let buffer = 8.0 * 2.0 * all * self.buffer as f64;
        let parts = [
            (format!("populations = {} of population = {}", self.populations, self.population), paths),
            (format!("buffer = {}", self.buffer), buffer),
        ];
        memory::check(&parts).map_err(CliError::usage)
    }

    fn study(&self) -> Study {
        Study {
            buffer: self.buffer,
            levels: (self.levels, self.states),
            draws: self.draws,
            steps: self.steps,
            paths: (self.populations, self.population),
            wrong: self.wrong,
            seed: self.seed,
        }
    }
}

/// Files of rows, of which each task of a sweep has its own.
pub const TABLES: [&str; 1] = [Found::FILE];

/// A finished dimension. A log Z of weights with a heavy tail has an error that means nothing, and is marked by
/// its k-hat.
#[derive(Serialize, Deserialize)]
struct Found {
    dim: usize,
    #[serde(serialize_with = "plain")]
    marginal: f64,
    #[serde(serialize_with = "plain")]
    tempered: f64,
    #[serde(serialize_with = "plain")]
    exact: f64,
    #[serde(serialize_with = "plain")]
    least_exact: f64,
    #[serde(serialize_with = "plain")]
    least: f64,
    #[serde(serialize_with = "plain")]
    path: f64,
    #[serde(serialize_with = "plain")]
    wrong: f64,
    #[serde(serialize_with = "plain")]
    wrong_log_z: f64,
    #[serde(serialize_with = "plain")]
    wrong_log_z_error: f64,
    #[serde(serialize_with = "plain")]
    wrong_khat: f64,
    #[serde(serialize_with = "plain")]
    smc: f64,
    #[serde(serialize_with = "plain")]
    smc_log_z: f64,
    #[serde(serialize_with = "plain")]
    smc_log_z_error: f64,
}

impl Row for Found {
    const FILE: &'static str = "dimension.csv";
    const COLUMNS: &'static str = "dim,marginal,tempered,exact,least_exact,least,path,wrong,wrong_log_z,wrong_log_z_error,wrong_khat,smc,smc_log_z,smc_log_z_error";
}

impl Found {
    fn new(dim: usize, s: &Shares) -> Self {
        Self {
            dim,
            marginal: s.marginal,
            tempered: s.tempered,
            exact: s.exact,
            least_exact: s.least_exact,
            least: s.least,
            path: s.path,
            wrong: s.wrong.0,
            wrong_log_z: s.wrong.1.value,
            wrong_log_z_error: s.wrong.1.standard_error,
            wrong_khat: s.wrong.1.k_hat,
            smc: s.smc.0,
            smc_log_z: s.smc.1.0,
            smc_log_z_error: s.smc.1.1,
        }
    }
}

/// Runs the plan in its folder, from what is finished there on; writes dimension.csv and dimension.png, and returns a
/// table for the terminal.
pub fn execute(
    plan: &DimensionConfig,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<String, CliError> {
    let at = folder.path().display();
    let resume = program::line(format_args!("dimension --resume {at}"));
    interrupt.advise(format!("resume with: {resume}"));
    let place = |row: &Found| plan.dims.iter().position(|d| *d == row.dim);
    let done = rows::read(folder, |row| place(row).is_some(), place)?;
    let wanted: Vec<Option<usize>> = folder.own((0..plan.dims.len()).map(Some));
    let study = plan.study();
    let work = |job: &Option<usize>| {
        if interrupt.requested() {
            return Err(CliError::Interrupted(format!(
                "stopped; finished dimensions are in {at}; resume with: {resume}"
            )));
        }
        let dim = plan.dims[job.unwrap_or(0)];
        let found = shares(dim, &study).map_err(|e| CliError::Failed(e.to_string()))?;
        Ok(Found::new(dim, &found))
    };
    let save = |done: &[Found]| rows::write(folder, done);
    let message = |done: &[Found]| format!("{} of {} dimensions", done.len(), wanted.len());
    let (rows, outcome) = jobs::run(&wanted, done, place, quiet, work, save, message);
    outcome?;
    if let Some(said) = folder.end_task("dimension")? {
        return Ok(said);
    }
    picture(plan, &rows)?.write(folder, "dimension")?;
    folder.write("DONE", b"")?;
    let header = [
        "dim",
        "marginal",
        "tempered",
        "exact densities",
        "worst level",
        "paths, least",
        "paths",
        "wrong",
        "SMC, wrong",
    ];
    let cells = |r: &Found| {
        let shares = [r.marginal, r.tempered, r.exact, r.least_exact, r.least, r.path, r.wrong, r.smc];
        std::iter::once(r.dim.to_string()).chain(shares.map(share)).collect()
    };
    Ok(crate::table::plain(&header, &rows.iter().map(cells).collect::<Vec<Vec<String>>>()))
}

fn share(s: f64) -> String {
    if s < 0.01 { format!("{s:.1e}") } else { format!("{s:.3}") }
}

fn picture(plan: &DimensionConfig, rows: &[Found]) -> Result<Picture, CliError> {
    let line = |name: &str, of: fn(&Found) -> f64| {
        let mut points: Vec<(f64, f64)> = rows.iter().map(|r| ((r.dim as f64).log2(), of(r))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name: name.into(), points, floor: false }
    };
    let exact = vec![
        line("marginal", |r| r.marginal),
        line("marginal, square roots", |r| r.tempered),
        line("marginal, exact densities", |r| r.exact),
        line("the same, worst level", |r| r.least_exact),
        line("paths, least variances", |r| r.least),
        line("paths, tuned variances", |r| r.path),
    ];
    let wrong = vec![line("paths", |r| r.wrong), line("SMC along paths", |r| r.smc)];
    let parts = [
        Panel { label: "effective share, exact score".into(), log: true, series: exact },
        Panel {
            label: format!("effective share, widths off by {} %", 100.0 * plan.wrong),
            log: true,
            series: wrong,
        },
    ];
    panels("two wells of unequal weight and stiffness", "log2 of the dimension", &parts)
}
