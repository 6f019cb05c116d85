//! Samples a target density from its energy alone, and measures the result.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{load_exact, to_plain_toml};
use crate::run::cli::{Common, Saving, on_threads};
use crate::run::error::{CliError, run};
use crate::run::interrupt::Interrupt;
use crate::run::{Given, Inputs, Options, Plan, RunFolder, Share, Start, console, ranks};
use crate::sample::{
    Extras, KIND, Request, Run, SampleConfig, Trained, came_to, configure, names_an_observable, over_seeds,
    reference_inputs,
};
use crate::table::{figure, plain};
use clap::Parser;
use engine::ranks::{Ranks, Solo};
use models::evaluate::Figure;
use models::sampler::Method;
use models::target::registry::{self, Parameter};
use models::target::{TargetConfig, own};

/// Samples an unnormalised density exp(-E) from its energy alone: trains a diffusion sampler by importance weighted
/// score matching (iwsm) or with weights of one (idem), by the weights of its paths (dds) or by adjoint matching
/// (adjoint), or runs parallel tempering (pt) or sequential Monte Carlo (smc), and measures the samples against exact
/// ones or a reference.
#[derive(Parser)]
#[command(version, allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct Args {
    /// Density to sample: a name (`list` prints all of them), or the file that describes one of your own
    /// [default: gmm40].
    #[arg(long, value_name = "NAME|FILE.toml")]
    target: Option<String>,
    /// Dimension, for targets of any dimension (gmm-d, funnel, mw, two-wells, student-t, box).
    #[arg(long, value_name = "D")]
    dim: Option<usize>,
    /// Half the width of the box of the means, for gmm60 to gmm120 and gmm-d.
    #[arg(long, value_parser = finite)]
    spread: Option<f64>,
    /// Rows of features with a label of two classes in the last column, for --target logistic.
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,
    /// iwsm (above three dimensions distilled from Markov chains: sequential Monte Carlo fills the buffer), idem
    /// (weights of one; on particles distilled from Markov chains, whose moves on the energy fill the buffer), dds
    /// (denoising diffusion sampler with the log-variance loss), adjoint (adjoint sampling), pt (parallel tempering),
    /// smc (sequential Monte Carlo), nuts (the No-U-Turn Sampler) or hmc [default: iwsm; idem for particles].
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Score network: mlp or residual; pair (equivariant, cheap) or egnn (equivariant) for particles.
    #[arg(long, value_parser = ["pair", "egnn", "mlp", "residual"])]
    network: Option<String>,
    /// Training steps.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MOST_STEPS))]
    steps: Option<u64>,
    /// Samples to draw in the end.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=MOST_SAMPLES))]
    samples: Option<u32>,
    /// Run with this many seeds, from --seed on, and report mean and standard deviation.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// A run of seconds (particles: a minute or two) that goes through everything.
    #[arg(long)]
    quick: bool,
    /// Reference samples ([n, d] floats) instead of ones made here; a resumed run takes them again, and wants the
    /// same.
    #[arg(long, value_name = "FILE.npy")]
    reference: Option<PathBuf>,
    /// Where reference samples made here are kept [default: results/reference-cache].
    #[arg(long, value_name = "DIR")]
    reference_cache: Option<PathBuf>,
    /// Sample and measure a trained model, without training: that of the run in DIR, with other evaluation.* settings
    /// by --set; without DIR the network of --target dw4, lj13 or lj55 that comes with the project [default here:
    /// dw4].
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    #[arg(conflicts_with_all = ["method", "network", "steps", "seeds", "quick", "config", "dim", "spread", "data"])]
    pretrained: Option<Option<PathBuf>>,
    /// A mean over the samples of a formula of x (docs/your-density.md; if(c, 1, 0) for a region), raw and by
    /// weights with its error; of regions (0 or 1) the free energy too. May be repeated.
    #[arg(long, value_name = "NAME = FORMULA")]
    observe: Vec<String>,
    /// Resume an interrupted run in its folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW)]
    resume: Option<PathBuf>,
    /// Measure a run's checkpoint again, without training.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW, conflicts_with = "resume")]
    eval_only: Option<PathBuf>,
    /// Do part I of N of the seeds, counted from 0, in a folder
    /// of its own within --out: for job arrays of batch systems (docs/clusters.md). The same command again goes on.
    /// `launcher` in the place of I/N: the part of this process among those of mpirun or srun.
    #[arg(long, value_name = "I/N", requires = "out")]
    task: Option<Share>,
    /// Put together what all tasks in that folder did: the run as one process would have left it.
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW, conflicts_with_all = ["resume", "eval_only"])]
    gather: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    saving: Saving,
}

/// Most steps of a training, as its settings have them.
const MOST_STEPS: u64 = 1_000_000_000_000;
/// Most samples, as the settings of an evaluation have them.
const MOST_SAMPLES: i64 = 10_000_000;

fn finite(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|v| v.is_finite());
    value.ok_or_else(|| "wants a number".into())
}

/// What belongs to new runs.
const NEW: [&str; 18] = [
    "target",
    "dim",
    "spread",
    "data",
    "method",
    "network",
    "steps",
    "samples",
    "observe",
    "seeds",
    "quick",
    "pretrained",
    "task",
    "out",
    "seed",
    "config",
    "sets",
    "force",
];

const EXAMPLES: &str = "\
Examples:
  sample                                         gmm40 into results/sample/<time>-s0
  sample --quick                                 the same in seconds, to see that it works
  sample --target list                           all densities
  sample --target gmm-w --method idem            unequal weights, trained as iDEM
  sample --target dw4 --method iwsm              particles without a single move on the energy
  sample --target mw --method dds                the denoising diffusion sampler; adjoint: adjoint sampling
  sample --target gmm-d --dim 10 --spread 8      40 modes in 10 dimensions
  sample --seeds 3 --out runs/a                  three seeds, mean and standard deviation
  sample --config my.toml --set train.batch=256  own settings (see config.toml of a run for all keys)
  sample --target logistic --data rows.csv       weights of a logistic regression, with the evidence of the labels
  sample --target my.toml                        a density of your own (docs/your-density.md)
  sample --target dw4 --quick                    four particles in double wells, in two minutes
  sample --target lj13 --pretrained              a cluster of 13, with the network that comes with the project
  sample --pretrained runs/a --samples 20000     more samples of a finished training, in a folder of their own
  sample --target phi4 --method nuts             chains that choose their own steps and scales
  sample --target lj13 --method pt --out runs/r  equilibrium samples of a Markov chain, with checks and log Z
  sample --target mw --method pt --set sampler.model=RUN  chains that a trained model carries between modes
  sample --seeds 8 --out runs/s --task 3/8       the fourth of eight parts; when all are done:
  sample --gather runs/s
  sample --resume results/latest                 resume after Ctrl-C
  sample --eval-only results/latest              measure once more
Writes report.html (the run on one page), metrics.json, modes.csv, samples.npz and .npy (.extxyz of particles),
history.csv, config.toml (all keys) and pictures; a training also weights.csv, model.safetensors.
Exit codes: 0 done, 1 failed or a check failed, 2 wrong use, 3 diverged, 130 interrupted.";

/// Runs the command; the exit code is that of the process.
pub fn main(args: &Args) -> ExitCode {
    own::tell_of_waiting(|text| console::note(text));
    let with_ranks = |threads| match args.task {
        // Tasks have folders of their own, whoever starts them.
        Some(_) => body(args, threads, &(Arc::new(Solo) as Arc<dyn Ranks>)),
        None => ranks::start(|ranks| body(args, threads, ranks)),
    };
    let code = run(|| on_threads(args.common.threads, with_ranks));
    own::close();
    code
}

fn body(args: &Args, threads: usize, ranks: &Arc<dyn Ranks>) -> Result<(), CliError> {
    if !ranks::is_first(&**ranks) {
        return follow(args, threads, ranks);
    }
    if args.target.as_deref() == Some("list") {
        return list();
    }
    let interrupt = Interrupt::install(args.common.stop_after, args.common.quiet)?;
    interrupt.do_not_wait_while(own::waits);
    give_up_when_asked(&**ranks, &interrupt);
    let given = args.resume.as_ref().or(args.eval_only.as_ref());
    let given = match (given, &args.gather) {
        (Some(path), _) => Some(Given::open(path, KIND)?),
        (None, Some(path)) => {
            let folder = RunFolder::gather(path, "sample", &[], args.common.quiet)?;
            Some(Given::of(folder, KIND)?)
        }
        (None, None) => None,
    };
    if args.task.is_some() && args.seeds == 1 {
        return Err(CliError::usage("--task: shares out seeds, and there is one; give --seeds too"));
    }
    let (mut config, extras) = settings(args)?;
    if let Some(given) = &given {
        given.folder().compare_versions(args.common.quiet)?;
        config = load_exact(&given.folder().file("config.toml"))?;
    }
    config.check(&*config.target()?)?;
    let is_new = given.is_none();
    let options = Options { quiet: args.common.quiet, save_every: args.saving.save_every, threads };
    let plan = Plan {
        binary: "sample",
        common: &args.common,
        interrupt: &interrupt,
        given,
        measure: args.eval_only.is_some(),
        gathered: args.gather.is_some(),
        task: args.task,
        seed: config.seed,
        seeds: args.seeds,
        config: to_plain_toml(&config)?,
    };
    let inputs = if is_new { reference_inputs(&extras, &config)? } else { Inputs::new() };
    let one = |start, seed| {
        let config = SampleConfig { seed, ..config.clone() };
        let check = |own: &SampleConfig, folder: &RunFolder| match *own == config {
            true => Ok(()),
            false => Err(CliError::usage(format!(
                "{}: has other settings than the run that it is a part of; move it away, or start a new run",
                folder.path().display()
            ))),
        };
        if let Start::Read(folder) = start {
            let (own, figures, failures) = came_to(&folder)?;
            check(&own, &folder)?;
            return Ok((figures, failures, folder));
        }
        let run = Run::open(start, config.clone(), extras.clone(), options)?;
        check(run.config(), run.folder())?;
        let (figures, failures) = run.execute(&interrupt, ranks)?;
        Ok((figures, failures, run.folder().clone()))
    };
    let steps = config.method.config().steps(config.evaluation.drawn());
    let report = |figures: &[Figure], failures: &[String], runs: &[Vec<Figure>]| {
        over_seeds(&config, steps, figures, failures, runs)
    };
    let failures = plan.execute(KIND, inputs, one, report)?;
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::Failed(format!("the samples cannot be trusted: {}", failures.join("; ")))),
    }
}

/// What ranks but the first do.
fn follow(args: &Args, threads: usize, ranks: &Arc<dyn Ranks>) -> Result<(), CliError> {
    let interrupt = Interrupt::install(args.common.stop_after, true)?;
    interrupt.do_not_wait_while(own::waits);
    give_up_when_asked(&**ranks, &interrupt);
    let options = Options { quiet: true, save_every: args.saving.save_every, threads };
    Run::follow(options, &interrupt, ranks)
}

fn give_up_when_asked(ranks: &dyn Ranks, interrupt: &Interrupt) {
    let interrupt = interrupt.clone();
    ranks.give_up_when(Box::new(move || interrupt.is_asked()));
}

/// Prints the book of targets.
fn list() -> Result<(), CliError> {
    let cells = |entry: &registry::Entry| -> Result<Vec<String>, CliError> {
        let target =
            TargetConfig::of(entry.name).and_then(|config| config.build()).map_err(CliError::usage)?;
        let dim = target.double().dim();
        let log_z = entry.page.log_z.map_or("-".into(), |(value, error)| match error {
            0.0 => figure(value, None),
            _ => figure(value, Some(error)),
        });
        let parameters: Vec<&str> = entry.parameters.iter().map(|(key, ..)| *key).collect();
        Ok(vec![entry.name.into(), dim.to_string(), log_z, entry.about.into(), parameters.join(", ")])
    };
    let rows = registry::entries().map(cells).collect::<Result<Vec<_>, _>>()?;
    console::print(format_args!(
        "{}\n",
        plain(&["target", "d", "log Z", "what it is", "parameters"], &rows)
    ))?;
    for entry in registry::entries() {
        let page = &entry.page;
        console::print(format_args!("{}: {}. log Z: {}.\n", entry.name, page.source, page.how))?;
        for trap in page.traps {
            console::print(format_args!("  mind: {trap}\n"))?;
        }
    }
    Ok(())
}

/// An observable as a setting.
fn observable(given: &str) -> Result<String, CliError> {
    match given.split_once('=').map(|(name, formula)| (name.trim(), formula.trim())) {
        Some((name, formula)) if names_an_observable(name) && !formula.is_empty() => {
            Ok(format!("observe.{name}={}", toml::Value::String(formula.into())))
        }
        _ => Err(CliError::usage(format!(
            "--observe {given}: give a name of letters, digits and _, and a formula, as 'right = if(x[0] > 1, 1, 0)'"
        ))),
    }
}

/// Whether a run that is read lies where a new one is to be.
fn lies_in(run: &Path, out: Option<&Path>) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    out.and_then(whole).zip(whole(run)).is_some_and(|(out, run)| run.starts_with(out))
}

/// Preset or pretrained, file, overrides, flags: the later wins.
fn settings(args: &Args) -> Result<(SampleConfig, Extras), CliError> {
    let pretrained = match &args.pretrained {
        Some(Some(_)) if args.target.is_some() => {
            return Err(CliError::usage("--target: the run behind --pretrained has its own; leave it out"));
        }
        Some(Some(run)) if lies_in(run, args.common.out.as_deref()) => {
            let run = run.display();
            return Err(CliError::usage(format!("--pretrained {run}: lies in --out; choose another folder")));
        }
        Some(Some(run)) => Some(Trained::of(run)?),
        Some(None) => Some(Trained::shipped(args.target.as_deref().unwrap_or("dw4"))?),
        None => None,
    };
    if let Some(method) =
        args.method.as_deref().filter(|m| Method::named(m, None).is_some_and(|m| !m.config().learns()))
    {
        let flags = [("--steps", args.steps.is_some()), ("--network", args.network.is_some())];
        if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
            return Err(CliError::usage(format!("{flag} belongs to a training; --method {method} has none")));
        }
    }
    let mut sets = args.common.sets.clone();
    if pretrained.is_some() && sets.iter().any(|s| !s.trim_start().starts_with("evaluation.")) {
        return Err(CliError::usage("with --pretrained only evaluation.* can be set: the network is given"));
    }
    sets.extend(args.observe.iter().map(|o| observable(o)).collect::<Result<Vec<_>, _>>()?);
    sets.extend(args.dim.iter().map(|d| format!("target.dim={d}")));
    if let Some(path) = &args.data {
        let Some(path) = path.to_str() else {
            return Err(CliError::usage(format!(
                "--data {}: its name is no text; rename it",
                path.display()
            )));
        };
        sets.push(format!("target.data={}", toml::Value::String(path.into())));
    }
    sets.extend(args.spread.iter().map(|s| format!("target.spread={s:?}")));
    sets.extend(args.network.iter().map(|k| format!("network.kind={k}")));
    sets.extend(args.steps.iter().map(|s| format!("train.steps={s}")));
    sets.extend(args.common.seed.iter().map(|s| format!("seed={s}")));
    let base = pretrained.as_ref().map(Trained::config).transpose()?;
    let mut target = base.as_ref().map(|b| b.target.name.clone()).or(args.target.clone());
    if let Some(file) = target.as_ref().filter(|name| name.ends_with(".toml")) {
        sets.push(format!("target.file={}", toml::Value::String(file.clone())));
        target = Some("own".into());
    }
    let request = Request {
        target: target.as_deref(),
        method: args.method.as_deref(),
        quick: args.quick,
        samples: args.samples.map(|n| n as usize),
        base,
        file: args.common.config.as_deref(),
        sets,
    };
    let mut config = configure(&request)?;
    let texts = config.target.parameters.values_mut().filter_map(|p| match p {
        Parameter::Text(path) => Some(path),
        _ => None,
    });
    let model = match &mut config.method {
        Method::Pt(settings) => Some(&mut settings.sampler.model),
        _ => None,
    };
    if let Some(model) = model.filter(|model| !model.is_empty()) {
        let path = std::fs::canonicalize(&*model);
        let path = path.map_err(|e| CliError::usage(format!("sampler.model = {model}: {e}")))?;
        if lies_in(&path, args.common.out.as_deref()) {
            return Err(CliError::usage(format!(
                "sampler.model = {model}: lies in --out; choose another folder"
            )));
        }
        *model = path.to_string_lossy().into_owned();
    }
    for path in texts.filter(|path| !path.is_empty()) {
        // A resumed run may start elsewhere.
        let whole = std::path::absolute(&*path).map_err(|e| CliError::io(Path::new(path), &e))?;
        *path = whole.to_string_lossy().into_owned();
    }
    Ok((
        config,
        Extras { reference: args.reference.clone(), cache: args.reference_cache.clone(), pretrained },
    ))
}
