//! One run: train, save, go on, measure, draw.

use std::path::Path;

use models::diffusion::Flow;
use models::evaluate::{Figure, Sizes, exact_samples, flow_figures, sample_figures};
use models::metrics::{Modes, covering_radius, mode_report};
use models::sampler::iwsm::Trainer;
use models::target::{Energy, Mixture};

use super::GmmConfig;
use super::report;
use crate::config::{load_exact, to_toml};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::npy;
use crate::run_folder::{History, RunFolder};
use crate::training::{MEASURE, Options, Start, Training};

/// Columns of history.csv that a snapshot fills.
const COLUMNS: &[&str] = &["modes_found", "in_mode", "mode_kl"];
/// Samples of a snapshot of the modes.
const SNAPSHOT: usize = 1000;

/// A run in its folder.
pub struct Run {
    config: GmmConfig,
    folder: RunFolder,
    target: Mixture,
    options: Options,
    measure_only: bool,
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
        let training = Training {
            binary: "gmm",
            folder: &self.folder,
            options: self.options,
            columns: COLUMNS,
            snapshots: self.config.evaluation.snapshots,
        };
        let mut past = training.begin(&mut trainer)?;
        if !self.measure_only {
            training.run(&mut trainer, &mut past, interrupt, |t| self.snapshot(t))?;
        }
        self.measure(&mut trainer, &past.history, past.seconds)
    }

    fn snapshot(&self, trainer: &Trainer<f32>) -> Result<(Vec<f64>, String), Failure> {
        let step = trainer.state.step;
        let samples = trainer.sample(SNAPSHOT, 100, (self.config.seed ^ MEASURE, step));
        let samples: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let t = &self.target;
        let modes = Modes { d: self.dim(), means: t.means(), scales: t.scales(), weights: t.weights() };
        let m = mode_report(&samples, &modes, covering_radius(self.dim()))
            .map_err(|e| Failure::Diverged(format!("the sampler's samples cannot be used: {e}")))?;
        let live = format!("modes {}/{} in-mode {:.3}", m.found, t.components(), m.in_mode);
        Ok((vec![m.found as f64, m.in_mode, m.kl], live))
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
        let sizes = Sizes { sets: e.sets, set_size: e.set_size, flow_samples: e.flow_samples };
        let failed =
            |e: models::metrics::MetricError| Failure::Failed(format!("the samples cannot be measured: {e}"));
        let samples = trainer.sample(e.sets * e.set_size, e.reverse_steps, (key, 0));
        let wide: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let mut figures = sample_figures(&self.target, &wide, sizes, key).map_err(failed)?;
        let exact = exact_samples(&self.target, e.nll_samples, key, 2).unwrap_or_default();
        let mut energies = vec![0.0; e.nll_samples];
        models::target::evaluate::<f64>(&self.target, &exact, &mut energies, &mut []);
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
