//! Dirichlet energy and accuracy against depth.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{load_exact, resolve, to_toml};
use crate::metastability::{self, MetastabilityConfig};
use crate::oversmoothing::{Arm, GRID, KIND, OversmoothingConfig, OversmoothingRequest, TABLES, execute};
use crate::run::cli::{Common, on_threads};
use crate::run::error::{CliError, run};
use crate::run::interrupt::Interrupt;
use crate::run::progress::Stages;
use crate::run::{Inputs, Place, RunFolder, Share, console, environment};
use clap::Parser;

/// Draws how alike nodes become with depth: the Dirichlet energy of untrained networks over up to 1000
/// layers of a 10 x 10 grid with random features, and, with --data, accuracy and energy of trained ones. With
/// --metastability measures how long plateaus last and where patterns stand, on regular graphs.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct Args {
    /// Layers on the grid.
    #[arg(long, default_value_t = 1000, conflicts_with_all = ["data", "depths"], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    layers: u32,
    /// Networks: on the grid grade, grand, gcn, gat, gread-bs, acmp, kuramoto; trained any that `graph` knows.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
    /// A network with settings of its own, under a name; may be repeated. A key without a point is one of `model`.
    #[arg(long = "arm", value_name = "NAME=MODEL,KEY=VALUE,...")]
    arms: Vec<String>,
    /// The same from a file: for each arm a table [NAME.model], and [NAME.train] and NAME.depths as needed.
    #[arg(long = "arms", value_name = "FILE")]
    arms_file: Option<PathBuf>,
    /// Train on this data set at each depth instead.
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Folder with NAME.npz files (default: what METASTABLE_DATA names).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Depths: layers, or the integration time in steps of one.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "2,4,8,16,32,64,128",
        requires = "data",
        value_name = "LIST"
    )]
    depths: Vec<usize>,
    /// Train on this many fixed splits.
    #[arg(long, default_value_t = 1, requires = "data", value_name = "N")]
    splits: usize,
    /// Train from this many seeds, --seed and those that follow.
    #[arg(long, default_value_t = 1, requires = "data", value_name = "N")]
    seeds: usize,
    /// Measure the states of trained networks on the way to their depth too (trajectory.csv and trajectory.png).
    #[arg(long, requires = "data")]
    along: bool,
    /// Measure metastability of GRADE's equations instead: plateaus, phase diagrams, linear stability.
    #[arg(long, conflicts_with_all = ["layers", "models", "arms", "arms_file", "data"])]
    metastability: bool,
    /// Resume an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW)]
    resume: Option<PathBuf>,
    /// Do part I of N of the trainings (of --metastability, the integrations), counted from 0, in a folder
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
const NEW: [&str; 16] = [
    "metastability",
    "along",
    "layers",
    "models",
    "arms",
    "arms_file",
    "data",
    "depths",
    "splits",
    "seeds",
    "task",
    "out",
    "seed",
    "config",
    "sets",
    "force",
];

const EXAMPLES: &str = "\
Examples:
  oversmoothing                                     the grid, in seconds
  oversmoothing --data cora --depths 2,8,32,128     trained networks of these depths (epochs: --set train.epochs=100)
  oversmoothing --models grade,gcn --layers 200
  oversmoothing --data cora --models gcnii --arm still=grade,aggregation=0 --depths 8,64 --splits 3 --seeds 2
  oversmoothing --data cora --arms arms.toml --depths 2,16,128,1024
  oversmoothing --data cora --models grade,grand --depths 64 --along
  oversmoothing --metastability                     phase diagrams, in about six minutes
  oversmoothing --metastability --set 'forms=[\"variational\"]' --set steps=8 --set time=1000
  oversmoothing --resume results/latest             resume after Ctrl-C
Writes energy.csv and energy.png, or depth.csv (a row for each training), depth.png (against depth), units.png (against
units of diffusion) and summary.csv (mean and deviation of each arm at each depth), or metastability.csv (a row for each
integration), phase.png, exit.png, courses.csv and courses.png; and config.toml (all settings).
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
    let data_dir = args.data_dir.as_deref();
    let resumed = match (&args.resume, &args.gather) {
        (Some(path), _) => Some(RunFolder::open_any(path)?),
        (None, Some(path)) => {
            let tables = [&TABLES[..], &metastability::TABLES].concat();
            Some(RunFolder::gather(path, "oversmoothing", &tables, quiet)?)
        }
        (None, None) => None,
    };
    let kind = resumed.as_ref().map(RunFolder::kind).transpose()?;
    if args.metastability || kind.as_deref() == Some(metastability::KIND) {
        return study(args, threads, resumed, &interrupt);
    }
    let reading = Stages::only("oversmoothing", "reading data", quiet);
    let (folder, plan, data) = match resumed {
        Some(folder) => {
            folder.is_a(KIND)?;
            folder.compare_versions(quiet)?;
            let plan: OversmoothingConfig = load_exact(&folder.file("config.toml"))?;
            plan.check()?;
            let data = plan.load_again(&folder, data_dir)?;
            (folder, plan, data)
        }
        None => {
            let (plan, defaults) = plans(args)?;
            plan.check()?;
            if args.task.is_some() && plan.data == GRID {
                return Err(CliError::usage(
                    "--task: the grid is done in seconds, and is not shared out; leave --task out, or give --data",
                ));
            }
            let (data, inputs) = plan.load(data_dir)?;
            let text = to_toml(&plan, &defaults)?;
            let place = Place::new(args.common.out.as_ref(), "oversmoothing", plan.seed).of(args.task);
            let folder = RunFolder::create(&place, args.common.force)?;
            folder.begin(KIND, &[("config.toml", &text)], inputs)?;
            (folder, plan, data)
        }
    };
    drop(reading);
    environment::write(&folder, threads)?;
    folder.mark_latest();
    let table = execute(&plan, data.as_ref(), &folder, &interrupt, quiet)?;
    show(&table, &folder, quiet);
    Ok(())
}

fn show(table: &str, folder: &RunFolder, quiet: bool) {
    if !quiet {
        console::show(format_args!("{table}{}\n", folder.path().display()));
    }
}

/// The study of metastability, in a new folder or in that of an earlier run.
fn study(
    args: &Args,
    threads: usize,
    resumed: Option<RunFolder>,
    interrupt: &Interrupt,
) -> Result<(), CliError> {
    let (common, quiet) = (&args.common, args.common.quiet);
    let (folder, plan) = match resumed {
        Some(folder) => {
            folder.compare_versions(quiet)?;
            let plan: MetastabilityConfig = load_exact(&folder.file("config.toml"))?;
            plan.check()?;
            (folder, plan)
        }
        None => {
            let defaults = MetastabilityConfig::default();
            let mut sets = common.sets.clone();
            sets.extend(common.seed.map(|s| format!("seed={s}")));
            let plan = resolve(&defaults, common.config.as_deref(), &sets)?;
            plan.check()?;
            let place = Place::new(common.out.as_ref(), "metastability", plan.seed).of(args.task);
            let folder = RunFolder::create(&place, common.force)?;
            let text = to_toml(&plan, &defaults)?;
            folder.begin(metastability::KIND, &[("config.toml", &text)], Inputs::new())?;
            (folder, plan)
        }
    };
    environment::write(&folder, threads)?;
    folder.mark_latest();
    let table = metastability::execute(&plan, &folder, interrupt, quiet)?;
    show(&table, &folder, quiet);
    Ok(())
}

/// The plan of the flags, and what it would be without settings.
fn plans(args: &Args) -> Result<(OversmoothingConfig, OversmoothingConfig), CliError> {
    let mut arms = args.arms_file.as_deref().map_or(Ok(Vec::new()), Arm::read)?;
    arms.extend(args.arms.iter().map(|text| Arm::parse(text)).collect::<Result<Vec<_>, _>>()?);
    let request = OversmoothingRequest {
        seed: args.common.seed,
        data: args.data.as_deref(),
        layers: args.layers as usize,
        depths: &args.depths,
        splits: args.splits,
        seeds: args.seeds,
        along: args.along,
        networks: &args.models,
        arms: &arms,
        file: args.common.config.as_deref(),
        sets: &args.common.sets,
    };
    Ok((
        OversmoothingConfig::new(&request)?,
        OversmoothingConfig::new(&OversmoothingRequest { seed: None, file: None, sets: &[], ..request })?,
    ))
}
