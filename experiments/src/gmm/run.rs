//! One run: train, save, go on, measure, draw.

use std::path::{Path, PathBuf};
use std::time::Instant;

use engine::checkpoint::{Checkpoint, CheckpointError};
use models::energy::{Energy, Mixture};
use models::evaluate::{Figure, Sizes, exact_samples, flow_figures, sample_figures};
use models::iwsm::{StepReport, TrainError, Trainer};
use models::metrics::{Modes, covering_radius, mode_report};
use models::sampling::Flow;

use super::GmmConfig;
use super::report;
use crate::config::{load_exact, to_toml};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::npy;
use crate::progress::Progress;
use crate::run_folder::{History, RunFolder};

/// Columns of history.csv.
const HISTORY: [&str; 8] =
    ["step", "loss", "ess", "gradient_norm", "modes_found", "in_mode", "mode_kl", "energy_evaluations"];
/// Samples of a snapshot of the modes.
const SNAPSHOT: usize = 1000;
/// Keeps the random numbers of measurements apart from those of training.
const MEASURE: u64 = 0x6d65_6173_7572_6521;

/// How a run begins.
pub enum Start {
    /// In a new folder.
    New {
        /// The folder.
        out: PathBuf,
        /// Replace an earlier run in it.
        force: bool,
    },
    /// From the checkpoint in a folder.
    Resume(PathBuf),
    /// Only measure the checkpoint in a folder.
    Evaluate(PathBuf),
}

/// A run in its folder.
pub struct Run {
    config: GmmConfig,
    folder: RunFolder,
    target: Mixture,
    options: Options,
    measure_only: bool,
}

/// What changes how a run is watched, not what it computes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Show no progress.
    pub quiet: bool,
    /// Seconds between checkpoints, at least.
    pub save_every: f64,
    /// Worker threads, for the record.
    pub threads: usize,
}

/// What a run has behind it besides the trainer's state.
struct Past {
    history: History,
    /// Sums since the last row of the history.
    sums: Averages,
    seconds: f64,
}

struct Averages {
    since: u64,
    loss: f64,
    ess: f64,
    gradient_norm: f64,
}

impl Run {
    /// Opens or creates the folder. `config` is used for a new run only.
    pub fn open(start: Start, config: GmmConfig, options: Options) -> Result<Self, Failure> {
        let (folder, config, measure_only) = match start {
            Start::New { out, force } => {
                config.check()?;
                let folder = RunFolder::create(&out, force)?;
                let defaults = GmmConfig::preset(&config.target.name, Some(config.target.dim), None)?;
                folder.write("config.toml", to_toml(&config, &defaults)?.as_bytes())?;
                (folder, config, false)
            }
            Start::Resume(path) => Self::reopen(&path).map(|(f, c)| (f, c, false))?,
            Start::Evaluate(path) => Self::reopen(&path).map(|(f, c)| (f, c, true))?,
        };
        folder.write_environment(options.threads)?;
        folder.mark_latest();
        Ok(Self { target: config.mixture(), config, folder, options, measure_only })
    }

    fn reopen(path: &Path) -> Result<(RunFolder, GmmConfig), Failure> {
        let folder = RunFolder::open(path, &["config.toml", "checkpoint.safetensors"])?;
        let config: GmmConfig = load_exact(&folder.file("config.toml"))?;
        config.check()?;
        Ok((folder, config))
    }

    /// The settings.
    pub fn config(&self) -> &GmmConfig {
        &self.config
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Trains to the end (or goes on, or does not) and measures; returns the figures.
    pub fn execute(&self, interrupt: &Interrupt) -> Result<Vec<Figure>, Failure> {
        let mut trainer = Trainer::<f32>::new(self.config.iwsm(), &self.target, self.config.seed);
        let mut past = Past { history: History::new(&HISTORY), sums: Averages::new(0), seconds: 0.0 };
        if self.folder.file("checkpoint.safetensors").exists() {
            past = self.restore(&mut trainer)?;
        }
        if !self.measure_only {
            self.train(&mut trainer, &mut past, interrupt)?;
        }
        self.measure(&mut trainer, &past.history, past.seconds)
    }

    fn restore(&self, trainer: &mut Trainer<f32>) -> Result<Past, Failure> {
        let path = self.folder.file("checkpoint.safetensors");
        let wrong = |e: CheckpointError| Failure::usage(format!("{}: {e}; start a new run", path.display()));
        let checkpoint = Checkpoint::load(&path).map_err(wrong)?;
        trainer.restore(&checkpoint).map_err(wrong)?;
        let note = |name: &str| checkpoint.read_note(name).map_err(wrong);
        let sums = Averages {
            since: checkpoint.read_note("sums.since").map_err(wrong)?,
            loss: note("sums.loss")?,
            ess: note("sums.ess")?,
            gradient_norm: note("sums.gradient_norm")?,
        };
        let text = String::from_utf8_lossy(&self.folder.read("history.csv")?).into_owned();
        let history = History::read(&text, &HISTORY, trainer.state.step)?;
        let seconds = std::fs::read_to_string(self.folder.file("seconds.txt")).ok();
        Ok(Past { history, sums, seconds: seconds.and_then(|s| s.trim().parse().ok()).unwrap_or(0.0) })
    }

    fn train(
        &self,
        trainer: &mut Trainer<f32>,
        past: &mut Past,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let total = self.config.train.steps;
        let every = (total / self.config.evaluation.snapshots).max(1);
        let mut progress = Progress::new(trainer.state.step, total, self.options.quiet);
        let (began, before, first) = (Instant::now(), past.seconds, trainer.state.step);
        let (mut saved, mut live) = (Instant::now(), String::new());
        while trainer.state.step < total {
            let outcome = trainer.step();
            past.seconds = before + began.elapsed().as_secs_f64();
            match outcome {
                Ok(report) => past.sums.add(&report),
                Err(e @ TrainError::Diverged { .. }) => {
                    progress.finish();
                    self.save(trainer, past)?;
                    return Err(Failure::Diverged(format!(
                        "{e}; state saved in {}",
                        self.folder.path().display()
                    )));
                }
            }
            let step = trainer.state.step;
            if step.is_multiple_of(every) || step == total {
                let row = self.snapshot(trainer, &past.sums)?;
                past.history.push(&row);
                live = format!("modes {:.0}/{} in-mode {:.3}", row[4], self.target.components(), row[5]);
                past.sums = Averages::new(step);
            }
            let stop = interrupt.requested() && step < total;
            if saved.elapsed().as_secs_f64() >= self.options.save_every || step == total || stop {
                self.save(trainer, past)?;
                saved = Instant::now();
            }
            if stop {
                progress.finish();
                let at = self.folder.path().display();
                let advice = format!("stopped at step {step}, saved; go on with: gmm --resume {at}");
                return Err(Failure::Interrupted(advice));
            }
            progress.set(step, || {
                let rate =
                    (step - first) as f64 * self.config.train.batch as f64 / began.elapsed().as_secs_f64();
                let (sums, loss) = (&past.sums, past.sums.mean(past.sums.loss, step));
                format!(
                    "loss {loss:.3} ess {:.2} {live} {:.0}k samples/s",
                    sums.mean(sums.ess, step),
                    rate / 1e3
                )
            });
        }
        progress.finish();
        Ok(())
    }

    fn save(&self, trainer: &Trainer<f32>, past: &Past) -> Result<(), Failure> {
        let mut checkpoint = trainer.checkpoint();
        // Shortest decimal forms read back to the same bits.
        checkpoint.note("sums.since", past.sums.since);
        checkpoint.note("sums.loss", past.sums.loss);
        checkpoint.note("sums.ess", past.sums.ess);
        checkpoint.note("sums.gradient_norm", past.sums.gradient_norm);
        let bytes = checkpoint.encode().map_err(|e| Failure::Failed(format!("checkpoint: {e}")))?;
        // The checkpoint last: a history that is ahead of it is cut back on resuming.
        self.folder.write("history.csv", past.history.to_csv().as_bytes())?;
        self.folder.write("seconds.txt", format!("{:.3}\n", past.seconds).as_bytes())?;
        self.folder.write("checkpoint.safetensors", &bytes)
    }

    fn snapshot(&self, trainer: &Trainer<f32>, sums: &Averages) -> Result<[f64; 8], Failure> {
        let step = trainer.state.step;
        let samples = trainer.sample(SNAPSHOT, 100, (self.config.seed ^ MEASURE, step));
        let samples: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let t = &self.target;
        let modes = Modes { d: self.dim(), means: t.means(), scales: t.scales(), weights: t.weights() };
        let m = mode_report(&samples, &modes, covering_radius(self.dim()))
            .map_err(|e| Failure::Diverged(format!("the sampler's samples cannot be used: {e}")))?;
        let means = [sums.loss, sums.ess, sums.gradient_norm].map(|s| sums.mean(s, step));
        let evaluations = trainer.state.energy_evaluations as f64;
        Ok([step as f64, means[0], means[1], means[2], m.found as f64, m.in_mode, m.kl, evaluations])
    }

    fn dim(&self) -> usize {
        Energy::<f64>::dim(&self.target)
    }

    fn measure(
        &self,
        trainer: &mut Trainer<f32>,
        history: &History,
        seconds: f64,
    ) -> Result<Vec<Figure>, Failure> {
        let (e, key) = (&self.config.evaluation, self.config.seed ^ MEASURE);
        let sizes = Sizes {
            sets: e.sets,
            set_size: e.set_size,
            nll_samples: e.nll_samples,
            flow_samples: e.flow_samples,
        };
        let failed =
            |e: models::metrics::MetricError| Failure::Failed(format!("the samples cannot be measured: {e}"));
        let samples = trainer.sample(e.sets * e.set_size, e.reverse_steps, (key, 0));
        let wide: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let mut figures = sample_figures(&self.target, &wide, sizes, key).map_err(failed)?;
        let exact = exact_samples(&self.target, e.nll_samples, key, 2).unwrap_or_default();
        let mut energies = vec![0.0; e.nll_samples];
        models::energy::evaluate::<f64>(&self.target, &exact, &mut energies, &mut []);
        energies.iter_mut().for_each(|v| *v = -*v);
        let exact: Vec<f32> = exact.iter().map(|v| *v as f32).collect();
        let flow = Flow {
            model: trainer.model(),
            schedule: trainer.schedule(),
            prior_scale: trainer.prior_scale(),
            steps: e.flow_steps,
        };
        figures.extend(flow_figures(&self.target, Some((&exact, &energies)), &flow, sizes, key));
        let levels = trainer.weight_report(12, 1000);
        let evaluations = trainer.state.energy_evaluations as f64;
        figures.push(Figure::plain("energy_evaluations", evaluations));
        figures.push(Figure::plain("gradient_evaluations", evaluations));
        figures.push(Figure::plain("seconds", seconds));
        figures.push(Figure::plain("peak_mib", crate::peak_mib()));
        self.folder.write("samples.npy", &npy::encode(self.dim(), &samples))?;
        self.folder.write("weights.csv", report::weights_csv(&levels).as_bytes())?;
        self.folder.write("metrics.json", report::metrics_json(&self.config, &figures, 1).as_bytes())?;
        self.folder.write("samples.png", &report::samples_png(&self.config, &self.target, &wide)?)?;
        self.folder.write("training.png", &report::training_png(&self.config, &self.target, history)?)?;
        self.folder.write("DONE", b"")?;
        Ok(figures)
    }
}

impl Averages {
    fn new(since: u64) -> Self {
        Self { since, loss: 0.0, ess: 0.0, gradient_norm: 0.0 }
    }
    fn add(&mut self, r: &StepReport) {
        self.loss += r.loss;
        self.ess += r.ess;
        self.gradient_norm += r.gradient_norm;
    }
    fn mean(&self, sum: f64, step: u64) -> f64 {
        sum / (step - self.since).max(1) as f64
    }
}
