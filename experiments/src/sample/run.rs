//! One run: sample, save, resume, measure, draw.

use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::Checkpoint;
use engine::ranks::Ranks;
use models::evaluate::Figure;
use models::sampler::{Learned, Sampler, SamplerError};
use models::target::{AnyTarget, Geometry};
use serde_json::{Value, json};

use super::SampleConfig;
use super::agreement::agreement;
use super::guide;
use super::measure::{Measured, Measurement};
use super::observe;
use super::order::Order;
use super::presets::preset;
use super::reference_cache::Reference;
use super::reference_source::{ReferenceSource, SOURCE};
use super::report::Report;
use super::trained::Trained;
use super::verdict::{Metrics, Sentence, gravest, verdict};
use crate::config::{load_exact, to_toml};
use crate::figures::{self, FIGURES};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::progress::Stages;
use crate::run::ranks::is_first;
use crate::run::{Curve, Inputs, Options, RunFolder, Start, Steps, console, environment, program, sha256};

/// Where the reference comes from, and whether a network does.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Reference samples of the user's own.
    pub reference: Option<PathBuf>,
    /// Where made ones are kept.
    pub cache: Option<PathBuf>,
    /// A trained model, to measure instead of training.
    pub pretrained: Option<Trained>,
}

/// A run in its folder.
pub struct Run {
    config: SampleConfig,
    folder: RunFolder,
    target: Arc<dyn AnyTarget>,
    options: Options,
    /// None on ranks that are told the reference.
    source: Option<ReferenceSource>,
    pretrained: Option<Trained>,
    measure_only: bool,
}

/// What the folder of a run holds.
pub const KIND: &str = "run of sample";
/// The file that a finished run has.
pub(super) const DONE: &str = "DONE";
/// The same with a network that was not trained there: there is nothing to resume.
pub(super) const MEASURED: &str = "measurement of a trained network";

impl Run {
    /// Opens or creates the folder. `config` holds the settings of a new run; a part of a run over several seeds
    /// must have them too.
    pub fn open(
        start: Start,
        config: SampleConfig,
        extras: Extras,
        options: Options,
    ) -> Result<Self, CliError> {
        let again = |folder: RunFolder| {
            let config: SampleConfig = load_exact(&folder.file("config.toml"))?;
            let target = config.target()?;
            config.check(&*target)?;
            let source = ReferenceSource::new(&extras, Some(&folder), &config, &*target)?;
            Ok::<_, CliError>((folder, config, target, source))
        };
        let ((folder, config, target, source), measure_only) = match start {
            Start::New { place, force } => {
                let target = config.target()?;
                config.check(&*target)?;
                // What may be wrong with the reference is known before anything is written.
                let source = ReferenceSource::new(&extras, place.whole(), &config, &*target)?;
                let folder = RunFolder::create(&place, force)?;
                let defaults = preset(&config.target, Some(config.method.name()), false)?;
                let kind = if extras.pretrained.is_some() { MEASURED } else { KIND };
                let mut inputs = source.inputs();
                inputs.extend(extras.pretrained.as_ref().and_then(Trained::input));
                folder.begin(kind, &[("config.toml", &to_toml(&config, &defaults)?)], inputs)?;
                if let Some(whole) = place.whole() {
                    // The other parts are measured against the same.
                    whole.write(SOURCE, source.to_toml()?.as_bytes())?;
                }
                ((folder, config, target, source), extras.pretrained.is_some())
            }
            Start::Resume(folder) => (again(folder)?, false),
            Start::Evaluate(folder) | Start::Read(folder) => (again(folder)?, true),
        };
        environment::write(&folder, options.threads)?;
        folder.write(SOURCE, source.to_toml()?.as_bytes())?;
        folder.mark_latest();
        let source = Some(source);
        Ok(Self { config, folder, target, options, source, pretrained: extras.pretrained, measure_only })
    }

    /// Does what rank 0 does, as often as it makes a run, and writes nothing; ends with an error of rank 0's end.
    pub fn follow(options: Options, interrupt: &Interrupt, ranks: &Arc<dyn Ranks>) -> Result<(), CliError> {
        loop {
            let order = Order::take(&**ranks)?;
            let config = order.config()?;
            let (target, pretrained) = (config.target()?, order.pretrained);
            let (folder, measure_only) = (RunFolder::nowhere(), order.measure_only);
            let run = Self { config, folder, target, options, source: None, pretrained, measure_only };
            run.execute_with(interrupt, ranks)?;
        }
    }

    /// The settings.
    pub fn config(&self) -> &SampleConfig {
        &self.config
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Samples to the end, unless only measurements are wanted, and measures, with the other ranks, which
    /// [`follow`](Self::follow); returns the figures and the checks that failed.
    pub fn execute(
        &self,
        interrupt: &Interrupt,
        ranks: &Arc<dyn Ranks>,
    ) -> Result<(Vec<Figure>, Vec<String>), CliError> {
        Order::new(&self.config, self.pretrained.as_ref(), self.measure_only)?.give(&**ranks)?;
        self.execute_with(interrupt, ranks)
    }

    fn execute_with(
        &self,
        interrupt: &Interrupt,
        ranks: &Arc<dyn Ranks>,
    ) -> Result<(Vec<Figure>, Vec<String>), CliError> {
        let (config, target) = (&self.config, &*self.target);
        let wanted = config.evaluation.drawn();
        interrupt.advise(match self.pretrained {
            Some(_) => "give the command again, with --force".into(),
            None => format!("resume with: {}", self.resume()),
        });
        let mut stages = Stages::new(&config.target.name, self.options.quiet);
        stages.next("states to begin with");
        let method = config.method.config();
        let sampler = match method.model() {
            None => {
                let seed = self.pretrained.as_ref().map_or(config.seed, Trained::seed);
                method.build(target, wanted, seed)
            }
            Some(model) => {
                let moves = guide::moves(model, config, target);
                method.build_with(target, wanted, config.seed, moves)
            }
        };
        let mut sampler = sampler.map_err(sampler_failure)?;
        sampler.share(ranks.clone());
        let learned = config.method.config().learns();
        let mut measurement = Measurement {
            config,
            target,
            ranks: &**ranks,
            folder: &self.folder,
            reference: None,
            learned,
            pretrained: self.pretrained.is_some(),
            quiet: self.options.quiet,
            floors: Default::default(),
        };
        let steps = Steps {
            folder: &self.folder,
            subject: &config.target.name,
            options: self.options,
            interrupt,
            ranks: &**ranks,
            curve: Some(Curve { rows: config.evaluation.snapshots, columns: measurement.columns() }),
        };
        let mut past = steps.begin(&mut *sampler)?;
        if let Some(network) = &self.pretrained {
            network.load(&mut *sampler)?;
        }
        self.check_measurable(&mut *sampler)?;
        stages.pause();
        measurement.reference = Reference::over(&**ranks, self.reference(interrupt)?)?;
        if !self.measure_only {
            steps.run(&mut *sampler, &mut past, |s| measurement.snapshot(s))?;
            if let Some(learned) = sampler.learned() {
                self.folder.write("model.safetensors", &self.model(learned)?)?;
            }
        }
        let measured = measurement.finish(&mut *sampler, &past, &mut stages)?;
        stages.pause();
        let steps = if self.pretrained.is_some() { sampler.total() } else { sampler.done() };
        let Measured { figures, failures, modes, judgement, observed } = &measured;
        let steps_of = (steps, sampler.total());
        // Of particles they are those from a reference that the program makes of any of them.
        let exact = matches!(target.double().geometry(), Geometry::Euclidean(_));
        let said = verdict(&Metrics { figures, failures, steps: steps_of, modes, judgement, exact });
        let json =
            with_modes(config, steps, figures, failures, (modes.json(), &said, observe::metrics(observed)));
        self.folder.write("metrics.json", json.as_bytes())?;
        self.folder.write(FIGURES, &figures::to_csv(figures)?)?;
        if is_first(&**ranks) {
            let report = Report { config, steps: steps_of, figures, said: &said, modes, observed };
            report.write(&self.folder)?;
        }
        if !self.options.quiet {
            console::show(format_args!("{}{}", observe::text(observed), paragraph(&said)));
        }
        if steps == sampler.total() {
            self.folder.write(DONE, b"")?;
        }
        Ok((measured.figures, measured.failures))
    }

    /// An error if only measurements are wanted and there is nothing to measure. A model in training can be measured.
    fn check_measurable(&self, sampler: &mut dyn Sampler) -> Result<(), CliError> {
        let (done, total, path) = (sampler.done(), sampler.total(), self.folder.path().display());
        let learned = self.pretrained.is_some() || (done > 0 && sampler.learned().is_some());
        if !self.measure_only || learned || done == total {
            return Ok(());
        }
        let resume = self.resume();
        Err(CliError::usage(format!("{path}: is at step {done} of {total}; first run: {resume}")))
    }

    /// The command that goes on with it.
    fn resume(&self) -> String {
        program::line(format_args!("sample --resume {}", self.folder.path().display()))
    }

    /// What the run is measured against, as far as this rank finds it.
    fn reference(&self, interrupt: &Interrupt) -> Result<Option<Reference>, CliError> {
        let Some(source) = &self.source else { return Ok(None) };
        let (config, target) = (&self.config, &*self.target);
        let reference = source.reference(config, target, &interrupt.uncounted(), self.options)?;
        self.fix_reference(source, reference.as_ref())?;
        Ok(reference)
    }

    /// Keeps the sha256 of the reference's states with the run; an error if they are others than before.
    fn fix_reference(&self, source: &ReferenceSource, reference: Option<&Reference>) -> Result<(), CliError> {
        let Some(reference) = reference else { return Ok(()) };
        let bytes: Vec<u8> = reference.states.iter().flat_map(|v| v.to_le_bytes()).collect();
        let source = source.with_states(sha256(&bytes)).map_err(|was| {
            CliError::usage(format!(
                "{}: is measured against reference states of sha256 {was}, and these are others; start a new run",
                self.folder.path().display()
            ))
        })?;
        self.folder.write(SOURCE, source.to_toml()?.as_bytes())
    }

    /// The parameters with the configuration: all that sampling needs.
    fn model(&self, learned: &dyn Learned) -> Result<Vec<u8>, CliError> {
        let mut c = Checkpoint::new();
        c.put_vec("ema", learned.parameters());
        learned.denoising_error().put(&mut c);
        if let Some(own) = learned.coordinates() {
            let (center, factor) = own.affine.parts();
            c.put_vec("scales", &[&own.scales[..], &[own.offset]].concat());
            c.put_vec("affine.center", center);
            c.put_vec("affine.factor", factor);
        }
        c.note("config", to_toml(&self.config, &self.config)?);
        c.encode().map_err(|e| CliError::Failed(format!("model.safetensors: {e}")))
    }
}

/// What a finished run came to: its settings, figures and failed checks.
pub fn came_to(folder: &RunFolder) -> Result<(SampleConfig, Vec<Figure>, Vec<String>), CliError> {
    /// Of metrics.json.
    #[derive(serde::Deserialize)]
    struct Checks {
        failed_checks: Vec<String>,
    }
    let figures = figures::from_csv(&folder.read(FIGURES)?, &folder.file(FIGURES))?;
    let path = folder.file("metrics.json");
    let checks: Checks = serde_json::from_slice(&folder.read("metrics.json")?).map_err(|_| {
        CliError::usage(format!("{}: is damaged; measure the run again with --eval-only", path.display()))
    })?;
    Ok((load_exact(&folder.file("config.toml"))?, figures, checks.failed_checks))
}

/// metrics.json of runs with several seeds, and what they say of each other. `steps` are those of each, `figures` the
/// means of those of `runs`.
pub fn over_seeds(
    config: &SampleConfig,
    steps: u64,
    figures: &[Figure],
    failures: &[String],
    runs: &[Vec<Figure>],
) -> (String, String) {
    let said = agreement(config.seed, runs);
    let mut head = head(config, steps, failures, runs.len());
    if !said.is_empty() {
        head.push(("seeds_agree", json!(gravest(said.iter()))));
        head.push(("findings", said.iter().map(finding).collect()));
    }
    let lines = said.iter().map(|s| format!("  {}: {}\n", s.level, s.text)).collect::<String>();
    (
        figures::metrics_json(&head, figures),
        if lines.is_empty() { lines } else { format!("\nseeds:\n{lines}\n") },
    )
}

fn finding(s: &Sentence) -> Value {
    json!({ "level": s.level, "text": s.text, "blind": !s.known })
}

/// metrics.json of a single run, whose modes are known.
fn with_modes(
    config: &SampleConfig,
    steps: u64,
    figures: &[Figure],
    failures: &[String],
    (modes, said, observed): (Value, &[Sentence], Value),
) -> String {
    let mut head = head(config, steps, failures, 1);
    head.extend([("modes", modes), ("observables", observed)]);
    head.push(("verdict", json!(gravest(said.iter()))));
    // Without what nobody knows of an own density: exact samples, and log Z.
    head.push(("blind_verdict", json!(gravest(said.iter().filter(|s| !s.known)))));
    head.push(("findings", said.iter().map(finding).collect()));
    figures::metrics_json(&head, figures)
}

/// The verdict for a terminal.
fn paragraph(said: &[Sentence]) -> String {
    let mut text = format!("\nverdict: {}\n", gravest(said.iter()));
    for s in said {
        text += &format!("  {}: {}\n", s.level, s.text);
    }
    text + "\n"
}

fn head(config: &SampleConfig, steps: u64, failures: &[String], seeds: usize) -> Vec<(&'static str, Value)> {
    vec![
        ("target", json!(config.target.name)),
        ("method", json!(config.method.name())),
        ("distilled_from_markov_chains", json!(config.method.config().distils())),
        ("dim", json!(config.target.build().map_or(0, |t| t.single().dim()))),
        ("steps", json!(steps)),
        ("seed", json!(config.seed)),
        ("seeds", json!(seeds)),
        ("failed_checks", json!(failures)),
    ]
}

pub(super) fn sampler_failure(e: SamplerError) -> CliError {
    match e {
        SamplerError::Settings(what) => CliError::usage(what),
        SamplerError::Diverged(what) => CliError::Diverged(what),
        SamplerError::Target(e) => CliError::Failed(e.to_string()),
    }
}

/// The files that a run with these settings reads.
pub fn reference_inputs(extras: &Extras, config: &SampleConfig) -> Result<Inputs, CliError> {
    Ok(ReferenceSource::new(extras, None, config, &*config.target()?)?.inputs())
}
