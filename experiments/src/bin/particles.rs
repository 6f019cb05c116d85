//! Trains a diffusion sampler of particles, without samples of them, and measures the result.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use experiments::cli::{Common, Saving, on_threads, parse};
use experiments::config::{load_exact, resolve, to_plain_toml};
use experiments::failure::{Failure, run};
use experiments::interrupt::Interrupt;
use experiments::particles::{Extras, ParticlesConfig, Run, TARGETS, model_config, report};
use experiments::seeds::{Plan, Several};
use experiments::training::Options;

/// Trains a diffusion sampler of interacting particles from their energy alone, and measures its raw
/// samples against a reference made by parallel-tempered Hamiltonian Monte Carlo.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
struct Args {
    /// System: dw4 (four particles in double wells), lj13, lj55 (Lennard-Jones clusters) [default: dw4].
    #[arg(long)]
    target: Option<String>,
    /// iwsm or idem (weights of one).
    #[arg(long, value_parser = ["iwsm", "idem"])]
    objective: Option<String>,
    /// Score network: pair (equivariant, cheap), egnn (equivariant) or mlp.
    #[arg(long, value_parser = ["pair", "egnn", "mlp"])]
    network: Option<String>,
    /// Training steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Samples to draw in the end.
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Run with this many seeds, from --seed on, and report mean and standard deviation.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// A run of a minute or two that goes through everything.
    #[arg(long)]
    quick: bool,
    /// Reference samples ([n, d] floats) instead of ones made here; a run that goes on takes them again.
    #[arg(long, value_name = "FILE.npy")]
    reference: Option<PathBuf>,
    /// Where reference samples made here are kept [default: results/reference-cache].
    #[arg(long, value_name = "DIR")]
    reference_cache: Option<PathBuf>,
    /// Sample and measure the trained network that comes with the project, without training.
    #[arg(long, conflicts_with_all = ["objective", "network", "steps", "seeds", "quick", "config"])]
    pretrained: bool,
    /// Go on with an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "objective", "network", "steps", "samples", "seeds", "quick", "out", "seed", "config", "sets", "force", "eval_only", "pretrained"])]
    resume: Option<PathBuf>,
    /// Measure a run's checkpoint again, without training.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "objective", "network", "steps", "samples", "seeds", "quick", "out", "seed", "config", "sets", "force", "pretrained"])]
    eval_only: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    saving: Saving,
}

const EXAMPLES: &str = "\
Examples:
  particles                                        dw4 into results/particles/<time>-s0
  particles --quick                                the same in a minute or two
  particles --target lj13 --out runs/lj13          the Lennard-Jones cluster of 13
  particles --target lj13 --pretrained             sample with the network that comes with the project
  particles --seeds 3 --out runs/dw4               three seeds, mean and standard deviation
  particles --objective iwsm --set weights.form=trajectory    weights of reverse paths
  particles --set replay.moves=0                   no moves on the energy: only the sampler's own samples
  particles --resume results/latest                go on after Ctrl-C
  particles --eval-only results/latest             measure once more
Writes metrics.json, samples.npy, history.csv, weights.csv, model.safetensors, config.toml (all keys) and
pictures: energies, distances, structures, training.
Exit codes: 0 done, 1 failed, 2 wrong use, 3 diverged, 130 interrupted.";

fn main() -> ExitCode {
    let args = parse::<Args>();
    run(|| on_threads(args.common.threads, |threads| body(&args, threads)))
}

fn body(args: &Args, threads: usize) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let several = Several::among(args.resume.as_deref(), args.eval_only.as_deref())?;
    let (mut config, extras) = configure(args)?;
    if let Some(several) = &several {
        config = load_exact(&several.config())?;
    }
    config.check()?;
    let options = Options { quiet: args.common.quiet, save_every: args.saving.save_every, threads };
    let plan = Plan {
        binary: "particles",
        common: &args.common,
        resume: args.resume.clone(),
        eval_only: args.eval_only.clone(),
        several,
        seed: config.seed,
        seeds: args.seeds,
        config: to_plain_toml(&config)?,
    };
    let one = |start, seed| {
        let run = Run::open(start, ParticlesConfig { seed, ..config.clone() }, extras.clone(), options)?;
        Ok((run.execute(&interrupt)?, run.folder().path().to_path_buf()))
    };
    plan.execute(one, |figures, runs| report::metrics_json(&config, figures, runs))
}

/// Preset or pretrained, file, overrides, flags: the later wins.
fn configure(args: &Args) -> Result<(ParticlesConfig, Extras), Failure> {
    // A file or a setting may name the target too, whose preset is then meant.
    let named = ParticlesConfig::preset(args.target.as_deref().unwrap_or(TARGETS[0]))?;
    let named: ParticlesConfig = resolve(&named, args.common.config.as_deref(), &args.common.sets)?;
    let target = args.target.clone().unwrap_or(named.target);
    let mut preset = ParticlesConfig::preset(&target)?;
    let pretrained = args.pretrained.then(|| shipped(&target)).transpose()?;
    if let Some(path) = &pretrained {
        preset = model_config(path)?;
    }
    if args.quick {
        preset.make_quick();
    }
    let mut sets = args.common.sets.clone();
    if pretrained.is_some() && sets.iter().any(|s| !s.trim_start().starts_with("evaluation.")) {
        return Err(Failure::usage("with --pretrained only evaluation.* can be set: the network is given"));
    }
    sets.push(format!("target={target}"));
    sets.extend(args.objective.iter().map(|o| format!("train.objective={o}")));
    sets.extend(args.network.iter().map(|k| format!("network.kind={k}")));
    sets.extend(args.steps.iter().map(|s| format!("train.steps={s}")));
    sets.extend(args.common.seed.iter().map(|s| format!("seed={s}")));
    let mut config: ParticlesConfig = resolve(&preset, args.common.config.as_deref(), &sets)?;
    if let Some(n) = args.samples {
        config.set_samples(n);
    }
    let extras =
        Extras { reference: args.reference.clone(), cache: args.reference_cache.clone(), pretrained };
    Ok((config, extras))
}

/// experiments/assets/pretrained/NAME.safetensors, in this folder or the program's, or in one above.
fn shipped(target: &str) -> Result<PathBuf, Failure> {
    let place = Path::new("experiments/assets/pretrained").join(format!("{target}.safetensors"));
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    here.ancestors().chain(program.ancestors()).map(|r| r.join(&place)).find(|p| p.is_file()).ok_or_else(
        || {
            let place = place.display();
            Failure::usage(format!(
                "no trained network for {target} ({place} is not there); train one without --pretrained"
            ))
        },
    )
}
