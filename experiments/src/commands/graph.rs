//! Trains GRADE, or one of its rivals, to classify the nodes of a graph.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::classify::{
    Batch, Context, GraphConfig, Held, MOST_INITIALISATIONS, MOST_TRIALS, Networks, SearchRequest, Summary,
    TABLES, Task, defaults, predict, preset, resume, table,
};
use crate::config::{keys, layers, resolve_without};
use crate::datasets::{BUILT_IN, KNOWN, available, file, folder};
use crate::run::cli::{Common, on_threads};
use crate::run::error::{CliError, run};
use crate::run::interrupt::Interrupt;
use crate::run::{Place, RunFolder, Share, console};
use clap::Parser;
use models::gnn::Network;

/// Trains a graph neural network that integrates an aggregation-diffusion equation (GRADE), or one of its
/// rivals, on the splits of a data set, and reports mean and standard deviation of the test figure at the
/// epoch of the best validation figure, beside the same network without aggregation.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct Args {
    /// Data set: karate and csbm need no file (default: both); others are read from --data-dir; `all` runs
    /// every known one that is there; a path to an npz of your own works too; csbm-NODES-DEGREE draws a block
    /// model of that size, arxiv-like a graph of the size and shape of ogbn-arxiv.
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Folder with NAME.npz files (default: what METASTABLE_DATA names).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[arg(long, help = format!("{} [default: grade].", Network::NAMES.join(", ")))]
    model: Option<String>,
    /// paper or code: which family of GRADE's equations.
    #[arg(long)]
    form: Option<String>,
    /// gat, log, gauss, sin or none: GRADE's interaction kernel.
    #[arg(long)]
    kernel: Option<String>,
    /// node, mean, log-mean or upwind: GRADE's mobility (paper form).
    #[arg(long)]
    mobility: Option<String>,
    /// identity, power:M or learned: GRADE's nonlinear diffusion.
    #[arg(long)]
    sigma: Option<String>,
    /// fixed (published splits), public (Planetoid's) or random (GRAND's protocol).
    #[arg(long)]
    split: Option<String>,
    /// Initialisations for each split.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_INITIALISATIONS as u64))]
    seeds: Option<u64>,
    /// Search N settings at random, by successive halving on validation figures, first; then use the best. What --set
    /// and other options set is not searched; a file of --config is the first trial; --seed gives another search.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_TRIALS))]
    search: Option<u64>,
    /// Search anew for each split, by its own validation nodes alone, and judge each by settings of its own: about twice
    /// the work of a search over all splits.
    #[arg(long, requires = "search")]
    nested: bool,
    /// Do not train without aggregation beside.
    #[arg(long)]
    no_ablation: bool,
    /// A run of seconds: 20 epochs on two splits.
    #[arg(long)]
    quick: bool,
    /// Resume an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW)]
    resume: Option<PathBuf>,
    /// Do part I of N of the trainings (of searches, whole ones), counted from 0, in a folder
    /// of its own within --out: for job arrays of batch systems (docs/clusters.md). The same command again goes on.
    /// `launcher` in the place of I/N: the part of this process among those of mpirun or srun.
    #[arg(long, value_name = "I/N", requires = "out")]
    task: Option<Share>,
    /// Put together what all tasks in that folder did: the run as one process would have left it.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW, conflicts_with = "resume")]
    gather: Option<PathBuf>,
    /// Predict the classes of the nodes of --data with the trained network of that run; --out names the table to
    /// write (default: predicted-NAME.csv in the run's folder).
    #[arg(long, value_name = "RUN", requires = "data", conflicts_with_all = ["resume", "task", "gather", "model", "form", "kernel", "mobility", "sigma", "split", "seeds", "search", "nested", "no_ablation", "quick", "seed", "config", "sets", "force"])]
    predict: Option<PathBuf>,
    /// The split whose network predicts, or `all` for the mean of all of them.
    #[arg(long, value_name = "K", requires = "predict", default_value = "0")]
    predict_split: Networks,
    #[command(flatten)]
    common: Common,
}

/// What belongs to new runs.
const NEW: [&str; 18] = [
    "data",
    "model",
    "form",
    "kernel",
    "mobility",
    "sigma",
    "split",
    "seeds",
    "search",
    "nested",
    "no_ablation",
    "quick",
    "task",
    "out",
    "seed",
    "config",
    "sets",
    "force",
];

const EXAMPLES: &str = "\
Examples:
  graph                                         karate club and a block model, no data needed
  graph --data cora --data-dir DIR              GRADE on the ten splits of Cora
  graph --data all --model gcn                  a rival on every data set in METASTABLE_DATA
  graph --data texas --kernel log --seeds 5     another kernel, five initialisations
  graph --data cora --split random --set data.splits=100
  graph --data texas --search 100 --out runs/s  choose settings on validation figures
  graph --data texas --search 16 --nested       the same for each split by itself
  graph --data cora --out runs/c --task 3/8     the fourth of eight parts; when all are done:
  graph --gather runs/c
  graph --resume results/latest                 resume after Ctrl-C
  graph --predict runs/a --data new.npz         classes and probabilities of new nodes, by the network of split 0
Exit codes: 0 done, 1 failed, 2 wrong use, 3 diverged, 130 interrupted.";

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
    let with = Context { data_dir: args.data_dir.as_deref(), quiet, threads, interrupt: &interrupt };
    if let (Some(run), Some(name)) = (&args.predict, &args.data) {
        let said = predict(run, name, args.predict_split, args.common.out.as_deref(), &with)?;
        if !quiet {
            console::show(format_args!("{said}"));
        }
        return Ok(());
    }
    let begun = match (&args.resume, &args.gather) {
        (Some(path), _) => Some(RunFolder::open_any(path)?),
        (None, Some(path)) => Some(RunFolder::gather(path, "graph", &TABLES, quiet)?),
        (None, None) => None,
    };
    if let Some(folder) = begun {
        folder.compare_versions(quiet)?;
        return match resume(folder, &with)? {
            Held::Batch(batch) => show_all(&batch, &with),
            Held::Task(task) => alone(task, &with),
        };
    }
    let settings = configure(args)?;
    let search = args
        .search
        .map(|trials| Ok::<_, CliError>(SearchRequest { trials, fixed: keys(layers(None, &sets(args))?) }));
    let search = search.transpose()?;
    let seed = args.common.seed.unwrap_or(0);
    let place = Place::new(args.common.out.as_ref(), "graph", seed).of(args.task);
    let force = args.common.force;
    if let (true, Some(search)) = (args.nested, &search) {
        let [only] = &settings[..] else {
            return Err(CliError::usage("--nested: name one data set with --data"));
        };
        return show_all(&Batch::nested(&place, force, only, search, &with)?, &with);
    }
    if let [only] = &settings[..] {
        if search.is_some() && args.task.is_some() {
            return Err(CliError::usage(
                "--task: one search is not shared out, because its rounds wait for all of their trainings; share out a search for each split (--nested), or leave --task out",
            ));
        }
        return alone(Task::create(&place, force, only.clone(), search.as_ref(), &with)?, &with);
    }
    show_all(&Batch::create(&place, force, settings, search.as_ref(), &with)?, &with)
}

/// The settings for each data set: preset, file, --quick, overrides, flags; the later wins.
fn configure(args: &Args) -> Result<Vec<GraphConfig>, CliError> {
    let (file, sets) = (args.common.config.as_deref(), sets(args));
    // Data, network and splits decide which preset is meant, and may be named in the file or a setting too.
    let named = layers(file, &sets)?;
    let word = |table: &str, key: &str| named.get(table).and_then(|t| t.get(key)).and_then(|v| v.as_str());
    let model = word("model", "name").unwrap_or("grade");
    let split = word("data", "split").filter(|split| *split == "random");
    let one = |name: String| {
        let base = match args.search {
            Some(_) => defaults(&name, model)?,
            None => preset(&name, model, split)?,
        };
        let mut config: GraphConfig = resolve_without(&base, file, &sets, |key| key == "model.name")?;
        // A file of settings may have been made for other data.
        config.data.name = name;
        config.check()?;
        Ok(config)
    };
    names(args, word("data", "name").unwrap_or_default())?.into_iter().map(one).collect()
}

/// What flags set, around what --set does.
fn sets(args: &Args) -> Vec<String> {
    let quick = ["train.epochs=20", "data.splits=2"].into_iter().filter(|_| args.quick);
    let mut sets: Vec<String> = quick.map(String::from).chain(args.common.sets.clone()).collect();
    let flags = [
        ("model.name", &args.model),
        ("model.form", &args.form),
        ("model.kernel", &args.kernel),
        ("model.mobility", &args.mobility),
        ("model.sigma", &args.sigma),
        ("data.split", &args.split),
    ];
    sets.extend(flags.iter().filter_map(|(key, v)| v.as_ref().map(|v| format!("{key}=\"{v}\""))));
    sets.extend(args.seeds.map(|n| format!("data.initialisations={n}")));
    sets.extend(args.no_ablation.then(|| "data.ablation=false".into()));
    sets.extend(args.common.seed.map(|s| format!("seed={s}")));
    sets
}

/// The data sets to run on; `named` is what a file or a setting names, or nothing.
fn names(args: &Args, named: &str) -> Result<Vec<String>, CliError> {
    match args.data.as_deref() {
        None if named.is_empty() => Ok(BUILT_IN.map(String::from).to_vec()),
        None => Ok(vec![named.to_string()]),
        Some("all") => {
            let Some(dir) = folder(args.data_dir.as_deref()) else {
                return Err(CliError::usage("--data all: give --data-dir DIR or set METASTABLE_DATA"));
            };
            available(&dir)?;
            let there = KNOWN.iter().map(|k| k.name).filter(|name| file(&dir, name).is_some());
            let names: Vec<String> = there.map(String::from).collect();
            if names.is_empty() {
                return Err(CliError::usage(format!("{}: holds no known data set", dir.display())));
            }
            Ok(names)
        }
        Some(name) => Ok(vec![name.to_string()]),
    }
}

/// A task on one data set.
fn alone(task: Task<'_>, with: &Context<'_>) -> Result<(), CliError> {
    let folder = task.folder().clone();
    folder.mark_latest();
    match task.execute()? {
        Some(row) => show(&[row], &folder, with),
        None => end_task(&folder, with)?,
    }
    Ok(())
}

/// The figures of a batch, and then its failure, if there was one.
fn show_all(batch: &Batch, with: &Context<'_>) -> Result<(), CliError> {
    let (rows, failure) = batch.execute(with)?;
    if !rows.is_empty() {
        show(&rows, batch.folder(), with);
    }
    // What fails in a task fails in the whole too, which says so again.
    if matches!(failure, None | Some(CliError::Diverged(_) | CliError::Usage(_))) {
        end_task(batch.folder(), with)?;
    }
    failure.map_or(Ok(()), Err)
}

/// The end of a task of a sweep, if it is one.
fn end_task(folder: &RunFolder, with: &Context<'_>) -> Result<(), CliError> {
    let said = folder.end_task("graph")?;
    said.iter().filter(|_| !with.quiet).for_each(|said| console::show(format_args!("{said}")));
    Ok(())
}

fn show(rows: &[Summary], folder: &RunFolder, with: &Context<'_>) {
    if !with.quiet {
        console::show(format_args!("{}{}\n", table(rows), folder.path().display()));
    }
}
