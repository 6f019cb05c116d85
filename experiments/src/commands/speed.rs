//! Times whole training steps: one JSON line for each workload.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::plot::{file, panels};
use crate::run::cli::MOST_THREADS;
use crate::run::console;
use crate::run::error::CliError;
use crate::scaling::{self, Timed};
use crate::workloads::levels::{self, inversion, least, median};
use crate::workloads::{ALL, Workload};
use clap::Parser;
use engine::parallel;

/// The least time spent on untimed steps.
const WARM_UP: Duration = Duration::from_millis(300);
/// How often a workload that is slower at a higher level is timed before that is believed, with more steps each
/// time.
const TRIES: u32 = 4;

/// Times whole training steps and prints one JSON line for each workload.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  speed                          every workload on all cores\n  speed --only mlp --threads 1   one workload on one thread\n  speed --reps 51                a steadier median\n  speed --levels                 at every SIMD level of this CPU, in turns\n  speed --scaling                what 2 to 128 threads would gain\n  speed --peers python3          in turns with PyTorch, JAX, IREE, SciPy, MKL, Numba and C"
)]
pub struct Args {
    /// Workload to run (default: all); with --scaling every step whose name begins so.
    #[arg(long)]
    only: Option<String>,
    /// Threads (default: one for each core).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    threads: Option<u16>,
    /// Timed steps, after a warm-up.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// Time every SIMD level of this CPU, and fail (exit code 1) where a higher one is slower than a lower one by
    /// more than 10 %.
    #[arg(long)]
    levels: bool,
    /// Record what the tasks of each step take on one thread, and tell the speed-up on up to 128; steps of trainings
    /// too.
    #[arg(long, conflicts_with_all = ["levels", "threads"])]
    scaling: bool,
    /// A picture of it, PNG or SVG.
    #[arg(long, value_name = "FILE", requires = "scaling")]
    picture: Option<PathBuf>,
    /// Time the same work in other frameworks too, in turns with ours: whatever this Python has of PyTorch, JAX, IREE,
    /// SciPy, MKL and Numba, and C where there is a compiler. May be given several times.
    #[arg(long, value_name = "PYTHON", conflicts_with_all = ["levels", "scaling"])]
    peers: Vec<PathBuf>,
}

/// Runs the command; the exit code is that of the process.
pub fn main(args: &Args) -> std::process::ExitCode {
    if args.scaling {
        return crate::run::error::run(|| crate::run::cli::on_threads(Some(1), |_| scaling(args)));
    }
    let measure = |threads| {
        if let Some(only) = args.only.as_ref().filter(|only| ALL.iter().all(|w| w.name != **only)) {
            let names: Vec<&str> = ALL.iter().map(|w| w.name).collect();
            return Err(CliError::usage(format!("--only {only}: not one of {}", names.join(", "))));
        }
        let mut slower = Vec::new();
        let workloads = ALL.iter().filter(|w| args.only.as_deref().is_none_or(|only| only == w.name));
        if !args.peers.is_empty() {
            return crate::peers::run(workloads, &args.peers, threads, args.reps);
        }
        for workload in workloads {
            if args.levels {
                slower.extend(parallel::spin_workers(|| at_every_level(workload, threads, args.reps))?);
            } else {
                let ms = parallel::spin_workers(|| time((workload.build)(), args.reps));
                print(workload, threads, None, &ms)?;
            }
        }
        if slower.is_empty() { Ok(()) } else { Err(CliError::Failed(slower.join("; "))) }
    };
    crate::run::error::run(|| crate::run::cli::on_threads(args.threads, measure))
}

/// Records steps, and prints the table of what more threads would gain.
fn scaling(args: &Args) -> Result<(), CliError> {
    let wanted = |step: &Timed| args.only.as_deref().is_none_or(|only| step.name.starts_with(only));
    let steps: Vec<Timed> = scaling::steps().into_iter().filter(wanted).collect();
    if let (Some(only), true) = (&args.only, steps.is_empty()) {
        let names: Vec<&str> = scaling::steps().iter().map(|s| s.name).collect();
        return Err(CliError::usage(format!(
            "--only {only}: no step begins so; there are {}",
            names.join(", ")
        )));
    }
    if let Some(path) = &args.picture {
        file::check(path, "--picture")?;
    }
    // What is measured is two threads at work, however busy the machine is.
    parallel::sit_out(false);
    let hop = scaling::hop()?;
    let mut found = Vec::new();
    for (k, step) in steps.iter().enumerate() {
        console::note(format_args!("{} of {}: {} ({})", k + 1, steps.len(), step.name, step.what));
        found.push(scaling::measure(step, args.reps as usize, hop)?);
    }
    console::print(format_args!("{}", scaling::table(&found)))?;
    console::print(format_args!("\n{}\n", scaling::chains(&found)))?;
    console::print(format_args!("the way to another thread: {:.2} us\n", 1e6 * hop))?;
    match &args.picture {
        Some(path) => {
            file::write(path, panels("predicted efficiency", "log2 of workers", &scaling::panels(&found))?)
        }
        None => Ok(()),
    }
}

/// Times a workload at every level; says so if a higher one is slower, and stays so in longer runs.
fn at_every_level(workload: &Workload, threads: usize, reps: u32) -> Result<Option<String>, CliError> {
    let mut step = (workload.build)();
    for try_ in 1.. {
        let timings = levels::time(&mut step, try_ * reps);
        let inversion = inversion(&timings);
        if inversion.is_some() && try_ < TRIES {
            continue;
        }
        for timing in &timings {
            print(workload, threads, Some(timing.level.to_string()), &timing.ms)?;
        }
        return Ok(inversion.map(|(low, high, factor)| {
            format!("{}: {high} takes {factor:.2} times as long as {low}", workload.name)
        }));
    }
    Ok(None)
}

fn print(workload: &Workload, threads: usize, level: Option<String>, ms: &[f64]) -> Result<(), CliError> {
    let mut line = serde_json::json!({
        "work": workload.name, "framework": "metastable", "threads": threads,
        "median_ms": round(median(ms.to_vec())), "min_ms": round(least(ms)),
    });
    if let Some(level) = level {
        line["level"] = level.into();
    }
    console::print(format_args!("{line}\n"))
}

/// Milliseconds of each of `reps` steps after a warm-up: three steps, and long enough that the
/// system has spread young threads over the cores (short runs may otherwise share one).
fn time(mut step: Box<dyn FnMut()>, reps: u32) -> Vec<f64> {
    let start = Instant::now();
    for i in 0.. {
        if i >= 3 && start.elapsed() > WARM_UP {
            break;
        }
        step();
    }
    (0..reps)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}

fn round(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}
