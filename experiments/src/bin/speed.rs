//! Times whole training steps: one JSON line for each workload, as `peers.py` prints them for PyTorch
//! and JAX.

use std::time::{Duration, Instant};

use clap::Parser;
use engine::parallel;
use experiments::workloads::ALL;

/// The least time spent on untimed steps.
const WARM_UP: Duration = Duration::from_millis(300);

/// Times whole training steps and prints one JSON line for each workload.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  speed                          every workload on all cores\n  speed --only mlp --threads 1   one workload on one thread\n  speed --reps 51                a steadier median"
)]
struct Args {
    /// Workload to run (default: all).
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(ALL.iter().map(|w| w.name)))]
    only: Option<String>,
    /// Threads (default: one for each core).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,
    /// Timed steps, after a warm-up.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
}

fn main() -> std::process::ExitCode {
    let args = experiments::cli::parse::<Args>();
    let measure = |threads| {
        for workload in ALL.iter().filter(|w| args.only.as_deref().is_none_or(|only| only == w.name)) {
            let mut ms = parallel::spin_workers(|| time((workload.build)(), args.reps));
            ms.sort_by(f64::total_cmp);
            let line = serde_json::json!({
                "work": workload.name, "framework": "metastable", "threads": threads,
                "median_ms": round(ms[ms.len() / 2]), "min_ms": round(ms[0]),
            });
            println!("{line}");
        }
        Ok(())
    };
    experiments::failure::run(|| experiments::cli::on_threads(args.threads, measure))
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
