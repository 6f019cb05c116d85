//! Trains a diffusion sampler on a Gaussian mixture, without samples of it, and measures the result.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use experiments::cli::{Common, Saving, on_threads, parse};
use experiments::config::{load_exact, resolve, to_plain_toml};
use experiments::failure::{Failure, run};
use experiments::gmm::{GmmConfig, Run, TARGETS, report};
use experiments::interrupt::Interrupt;
use experiments::seeds::{Plan, Several};
use experiments::training::Options;

/// Trains a diffusion sampler on a Gaussian mixture from its energy alone, by importance weighted score
/// matching (iwsm) or with weights of one (idem), and measures it against exact samples.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
struct Args {
    /// Mixture: gmm40, gmm60, gmm80, gmm100, gmm120, gmm-w (unequal weights), gmm-d (any dimension)
    /// [default: gmm40].
    #[arg(long)]
    target: Option<String>,
    /// Dimension of gmm-d.
    #[arg(long, value_name = "D")]
    dim: Option<usize>,
    /// Half the width of the box of the means, for gmm60 to gmm120 and gmm-d.
    #[arg(long)]
    spread: Option<f64>,
    /// iwsm or idem.
    #[arg(long, value_parser = ["iwsm", "idem"])]
    objective: Option<String>,
    /// Training steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Run with this many seeds, from --seed on, and report mean and standard deviation.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// A run of seconds that goes through everything.
    #[arg(long)]
    quick: bool,
    /// Go on with an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "dim", "spread", "objective", "steps", "seeds", "quick", "out", "seed", "config", "sets", "force", "eval_only"])]
    resume: Option<PathBuf>,
    /// Measure a run's checkpoint again, without training.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "dim", "spread", "objective", "steps", "seeds", "quick", "out", "seed", "config", "sets", "force"])]
    eval_only: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    saving: Saving,
}

const EXAMPLES: &str = "\
Examples:
  gmm                                          gmm40 into results/gmm/<time>-s0
  gmm --quick                                  the same in seconds, to see that it works
  gmm --target gmm-w --objective idem          unequal weights, trained as iDEM
  gmm --target gmm-d --dim 10 --spread 8       40 modes in 10 dimensions
  gmm --seeds 3 --out runs/a                   three seeds, mean and standard deviation
  gmm --config my.toml --set train.batch=256   own settings (see config.toml of a run for all keys)
  gmm --resume results/latest                  go on after Ctrl-C
  gmm --eval-only results/latest               measure once more
Exit codes: 0 done, 1 failed, 2 wrong use, 3 diverged, 130 interrupted.";

fn main() -> ExitCode {
    let args = parse::<Args>();
    run(|| on_threads(args.common.threads, |threads| body(&args, threads)))
}

fn body(args: &Args, threads: usize) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let several = Several::among(args.resume.as_deref(), args.eval_only.as_deref())?;
    let config = match &several {
        Some(several) => load_exact(&several.config())?,
        None => configure(args)?,
    };
    config.check()?;
    let options = Options { quiet: args.common.quiet, save_every: args.saving.save_every, threads };
    let plan = Plan {
        binary: "gmm",
        common: &args.common,
        resume: args.resume.clone(),
        eval_only: args.eval_only.clone(),
        several,
        seed: config.seed,
        seeds: args.seeds,
        config: to_plain_toml(&config)?,
    };
    let one = |start, seed| {
        let run = Run::open(start, GmmConfig { seed, ..config.clone() }, options)?;
        Ok((run.execute(&interrupt)?, run.folder().path().to_path_buf()))
    };
    plan.execute(one, |figures, runs| report::metrics_json(&config, figures, runs))
}

/// Preset, file, overrides, flags: the later wins.
fn configure(args: &Args) -> Result<GmmConfig, Failure> {
    let mut preset = meant(args)?;
    if args.quick {
        preset.make_quick();
    }
    let mut sets = args.common.sets.clone();
    sets.extend(args.objective.iter().map(|o| format!("train.objective={o}")));
    sets.extend(args.steps.iter().map(|s| format!("train.steps={s}")));
    sets.extend(args.common.seed.iter().map(|s| format!("seed={s}")));
    let target = preset.target.clone();
    let mut config: GmmConfig = resolve(&preset, args.common.config.as_deref(), &sets)?;
    (config.target.name, config.target.dim, config.target.spread) = (target.name, target.dim, target.spread);
    Ok(config)
}

/// The preset of the mixture that flags, settings or the file name: scales of the network follow its box.
fn meant(args: &Args) -> Result<GmmConfig, Failure> {
    let read = |base: &GmmConfig| -> Result<GmmConfig, Failure> {
        resolve(base, args.common.config.as_deref(), &args.common.sets)
    };
    let first = GmmConfig::preset(args.target.as_deref().unwrap_or(TARGETS[0]), None, None)?;
    let name = match &args.target {
        Some(name) => name.clone(),
        None => read(&first)?.target.name,
    };
    let base = GmmConfig::preset(&name, None, None)?;
    let named = read(&base)?.target;
    let dim = args.dim.or((named.dim != base.target.dim).then_some(named.dim));
    let spread = args.spread.or((named.spread != base.target.spread).then_some(named.spread));
    GmmConfig::preset(&name, dim, spread)
}
