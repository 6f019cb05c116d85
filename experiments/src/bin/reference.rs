//! Makes reference samples of a particle system, and checks that they can be trusted.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use experiments::cli::{Common, Saving, on_threads, parse};
use experiments::config::resolve;
use experiments::failure::{Failure, run};
use experiments::interrupt::Interrupt;
use experiments::reference::{ReferenceConfig, Run, TARGETS};
use experiments::run_folder::RunFolder;
use experiments::training::Options;

/// Makes equilibrium samples of a particle system by Hamiltonian Monte Carlo, tempered in parallel, and
/// checks them: R-hat and effective sample sizes, agreement of chains from different starts, swap rates
/// and round trips along the ladder; log Z with its error.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
struct Args {
    /// System: dw4 (four particles in double wells), lj13, lj55 (Lennard-Jones clusters) [default: dw4].
    #[arg(long)]
    target: Option<String>,
    /// States to record (default: 10000).
    #[arg(long, value_name = "N")]
    samples: Option<u64>,
    /// Go on with an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "samples", "out", "seed", "config", "sets", "force"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    saving: Saving,
}

const EXAMPLES: &str = "\
Examples:
  reference                                          10000 states of dw4 into results/reference/<time>-s0
  reference --target lj13 --out runs/lj13            the cluster of 13
  reference --target lj55 --set sampler.thin=50      states further apart
  reference --resume results/latest                  go on after Ctrl-C
Writes samples.npy ([n, d], float32, mean-free), summary.json, energies.png, config.toml (all keys).
Exit codes: 0 done, 1 failed or a check failed, 2 wrong use, 130 interrupted.";

fn main() -> ExitCode {
    let args = parse::<Args>();
    run(|| on_threads(args.common.threads, |threads| body(&args, threads)))
}

fn body(args: &Args, threads: usize) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let (common, save_every) = (&args.common, args.saving.save_every);
    let options = Options { quiet: common.quiet, save_every, threads };
    let run = match &args.resume {
        Some(path) => Run::resume(path, options)?,
        None => {
            let config = configure(args)?;
            let out = common.out.clone();
            let out = out.unwrap_or_else(|| RunFolder::default_path("reference", config.seed));
            Run::create(&out, common.force, config, options)?
        }
    };
    let outcome = run.execute(&interrupt)?;
    if !common.quiet {
        print!("{outcome}");
        println!("{}", run.folder().path().display());
    }
    if outcome.failures.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "the samples cannot be trusted: {}; run longer: --set sampler.thin={}",
        outcome.failures.join("; "),
        4 * run.config().sampler.thin
    )))
}

/// Preset, file, overrides, flags: the later wins.
fn configure(args: &Args) -> Result<ReferenceConfig, Failure> {
    // A file or a setting may name the target too, whose preset is then meant.
    let named = ReferenceConfig::preset(args.target.as_deref().unwrap_or(TARGETS[0]))?;
    let named: ReferenceConfig = resolve(&named, args.common.config.as_deref(), &args.common.sets)?;
    let target = args.target.clone().unwrap_or(named.target);
    let preset = ReferenceConfig::preset(&target)?;
    let mut sets = args.common.sets.clone();
    sets.push(format!("target={target}"));
    sets.extend(args.samples.iter().map(|s| format!("samples={s}")));
    sets.extend(args.common.seed.iter().map(|s| format!("seed={s}")));
    let config: ReferenceConfig = resolve(&preset, args.common.config.as_deref(), &sets)?;
    config.check()?;
    Ok(config)
}
