//! Dirichlet energy and accuracy against depth.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use experiments::config::{load_exact, to_toml};
use experiments::oversmoothing::{KIND, OversmoothingConfig, OversmoothingRequest, execute};
use experiments::run::cli::{Common, on_threads, parse};
use experiments::run::error::{CliError, run};
use experiments::run::interrupt::Interrupt;
use experiments::run::progress::Stages;
use experiments::run::{Place, RunFolder, console, environment};

/// Draws how alike nodes become with depth: the Dirichlet energy of untrained networks over up to 1000
/// layers of a 10 x 10 grid with random features, and, with --data, accuracy and energy of trained ones.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
struct Args {
    /// Layers on the grid.
    #[arg(long, default_value_t = 1000, conflicts_with_all = ["data", "depths"], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    layers: u32,
    /// Networks: on the grid grade, grand, gcn, gat, gread-bs, acmp, kuramoto; trained any that `graph` knows.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
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
    /// Resume an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["layers", "models", "data", "depths", "out", "seed", "config", "sets", "force"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  oversmoothing                                     the grid, in seconds
  oversmoothing --data cora --depths 2,8,32,128     trained networks of these depths (epochs: --set train.epochs=100)
  oversmoothing --models grade,gcn --layers 200
  oversmoothing --resume results/latest             resume after Ctrl-C
Writes energy.csv and energy.png, or depth.csv and depth.png, and config.toml (all settings of all networks).
Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.";

fn main() -> ExitCode {
    let args = parse::<Args>();
    run(|| on_threads(args.common.threads, |threads| body(&args, threads)))
}

fn body(args: &Args, threads: usize) -> Result<(), CliError> {
    let quiet = args.common.quiet;
    let interrupt = Interrupt::install(args.common.stop_after, quiet)?;
    let data_dir = args.data_dir.as_deref();
    let reading = Stages::only("oversmoothing", "reading data", quiet);
    let (folder, plan, data) = match &args.resume {
        Some(path) => {
            let folder = RunFolder::open(path, KIND)?;
            folder.compare_versions(quiet)?;
            let plan: OversmoothingConfig = load_exact(&folder.file("config.toml"))?;
            plan.check()?;
            let data = plan.load_again(&folder, data_dir)?;
            (folder, plan, data)
        }
        None => {
            let (plan, defaults) = plans(args)?;
            plan.check()?;
            let (data, inputs) = plan.load(data_dir)?;
            let text = to_toml(&plan, &defaults)?;
            let place = Place::new(args.common.out.as_ref(), "oversmoothing", plan.seed);
            let folder = RunFolder::create(&place, args.common.force)?;
            folder.begin(KIND, &[("config.toml", &text)], inputs)?;
            (folder, plan, data)
        }
    };
    drop(reading);
    environment::write(&folder, threads)?;
    folder.mark_latest();
    let table = execute(&plan, data.as_ref(), &folder, &interrupt, quiet)?;
    if !quiet {
        console::show(format_args!("{table}{}\n", folder.path().display()));
    }
    Ok(())
}

/// The plan of the flags, and what it would be without settings.
fn plans(args: &Args) -> Result<(OversmoothingConfig, OversmoothingConfig), CliError> {
    let request = OversmoothingRequest {
        seed: args.common.seed,
        data: args.data.as_deref(),
        layers: args.layers as usize,
        depths: &args.depths,
        networks: &args.models,
        file: args.common.config.as_deref(),
        sets: &args.common.sets,
    };
    Ok((
        OversmoothingConfig::new(&request)?,
        OversmoothingConfig::new(&OversmoothingRequest { seed: None, file: None, sets: &[], ..request })?,
    ))
}
