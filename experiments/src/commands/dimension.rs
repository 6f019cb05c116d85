//! Effective shares of importance weights against the dimension.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{load_exact, resolve, to_toml};
use crate::dimension::{DimensionConfig, KIND, TABLES, execute};
use crate::run::cli::{Common, on_threads};
use crate::run::error::{CliError, run};
use crate::run::interrupt::Interrupt;
use crate::run::{Inputs, Place, RunFolder, Share, console, environment};
use clap::Parser;

/// What importance weights can do in 2 to 128 dimensions, whatever a network learns: effective shares of marginal
/// weights, their square roots, weights of paths and of sequential Monte Carlo along paths, for exact scores of
/// two wells of unequal weight and stiffness.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct Args {
    /// Dimensions.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    dims: Vec<usize>,
    /// A run of a second or two.
    #[arg(long)]
    quick: bool,
    /// Resume an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW)]
    resume: Option<PathBuf>,
    /// Do part I of N of the dimensions, counted from 0, in a folder
    /// of its own within --out: for job arrays of batch systems (docs/clusters.md). The same command again goes on.
    /// `launcher` in the place of I/N: the part of this process among those of mpirun or srun.
    #[arg(long, value_name = "I/N", requires = "out")]
    task: Option<Share>,
    /// Put together what all tasks in that folder did: the run as one process would have left it.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW, conflicts_with = "resume")]
    gather: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// What belongs to new runs.
const NEW: [&str; 8] = ["dims", "quick", "task", "out", "seed", "config", "sets", "force"];

const EXAMPLES: &str = "\
Examples:
  dimension                                      2 to 128 dimensions, in a minute
  dimension --quick                              small, in seconds
  dimension --dims 6,12 --set draws=5000         more draws behind the density of a state
  dimension --resume results/latest              resume after Ctrl-C
Writes dimension.csv, dimension.png (.svg) and config.toml (all settings). Columns are effective shares:
  marginal, tempered   of weights p_t / proposal with `draws` draws, averaged over noise levels, and of their
                       square roots
  exact, least_exact   with exact densities, averaged over noise levels, and at the worst one
  least, path          of paths of the exact score, with the least and with tuned variances of the reverse steps
  wrong, smc           of paths of a model whose wells have equal weights and widths off by `wrong`, and by
                       sequential Monte Carlo along those; log Z = 0 is known
Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.";

/// Runs the command; the exit code is that of the process.
pub fn main(args: &Args) -> ExitCode {
    run(|| on_threads(args.common.threads, |threads| body(args, threads)))
}

fn body(args: &Args, threads: usize) -> Result<(), CliError> {
    // Tasks have folders of their own, whoever starts them.
    if args.task.is_none() {
        crate::run::ranks::alone()?;
    }
    let quiet = args.common.quiet;
    let interrupt = Interrupt::install(args.common.stop_after, quiet)?;
    let begun = match (&args.resume, &args.gather) {
        (Some(path), _) => Some(RunFolder::open_any(path)?),
        (None, Some(path)) => Some(RunFolder::gather(path, "dimension", &TABLES, quiet)?),
        (None, None) => None,
    };
    let (folder, plan) = match begun {
        Some(folder) => {
            folder.is_a(KIND)?;
            folder.compare_versions(quiet)?;
            let plan: DimensionConfig = load_exact(&folder.file("config.toml"))?;
            plan.check()?;
            (folder, plan)
        }
        None => {
            let plan = plan(args)?;
            plan.check()?;
            let text = to_toml(&plan, &DimensionConfig::default())?;
            let place = Place::new(args.common.out.as_ref(), "dimension", plan.seed).of(args.task);
            let folder = RunFolder::create(&place, args.common.force)?;
            folder.begin(KIND, &[("config.toml", &text)], Inputs::new())?;
            (folder, plan)
        }
    };
    environment::write(&folder, threads)?;
    folder.mark_latest();
    let table = execute(&plan, &folder, &interrupt, quiet)?;
    if !quiet {
        console::show(format_args!("{table}{}\n", folder.path().display()));
    }
    Ok(())
}

/// Defaults or --quick, file, single settings, flags; the later wins.
fn plan(args: &Args) -> Result<DimensionConfig, CliError> {
    let mut base = DimensionConfig::default();
    if args.quick {
        base = DimensionConfig {
            dims: vec![2, 8],
            buffer: 1000,
            levels: 4,
            states: 100,
            draws: 50,
            steps: 40,
            populations: 8,
            population: 50,
            ..base
        };
    }
    let mut sets = args.common.sets.clone();
    if !args.dims.is_empty() {
        let dims: Vec<String> = args.dims.iter().map(usize::to_string).collect();
        sets.push(format!("dims=[{}]", dims.join(",")));
    }
    sets.extend(args.common.seed.iter().map(|s| format!("seed={s}")));
    resolve(&base, args.common.config.as_deref(), &sets)
}
