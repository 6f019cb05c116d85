//! One run: train, save, go on, measure, draw.

use std::path::{Path, PathBuf};

use engine::checkpoint::Checkpoint;
use models::diffusion::Flow;
use models::evaluate::particles::{energies, particle_figures};
use models::evaluate::{self, Figure, flow_figures};
use models::importance;
use models::mcmc::Correction;
use models::metrics::{self, MetricError};
use models::sampler::iwsm::Trainer;

use super::config::Target;
use super::places::{PLACES, Places};
use super::{ParticlesConfig, Reference, reference, report};
use crate::config::{exact, load_exact, to_toml};
use crate::failure::Failure;
use crate::gmm::report::weights_csv;
use crate::interrupt::Interrupt;
use crate::npy;
use crate::run_folder::{History, RunFolder};
use crate::training::{MEASURE, Options, Start, Training};

/// Columns of history.csv that a snapshot fills.
const COLUMNS: &[&str] = &["e_w2", "d_tv", "move_step", "acceptance"];
/// Figures of the corrected samples: those of the raw ones, in their order.
const CORRECTED: [&str; 6] = [
    "corrected_x_w2",
    "corrected_e_w2",
    "corrected_eq_w2",
    "corrected_d_tv",
    "corrected_energy_mean",
    "corrected_energy_sd",
];
/// Samples of a snapshot, at most.
const SNAPSHOT: usize = 1000;

/// Where the reference comes from, and whether a network does.
#[derive(Clone, Debug)]
pub struct Extras {
    /// Reference samples of the user's own.
    pub reference: Option<PathBuf>,
    /// Where made ones are kept.
    pub cache: Option<PathBuf>,
    /// A trained network to measure instead of training.
    pub pretrained: Option<PathBuf>,
}

/// A run in its folder.
pub struct Run {
    config: ParticlesConfig,
    folder: RunFolder,
    target: Target,
    options: Options,
    places: Places,
    pretrained: Option<PathBuf>,
    measure_only: bool,
}

impl Run {
    /// Opens or creates the folder. `config` is used for a new run only.
    pub fn open(
        start: Start,
        config: ParticlesConfig,
        extras: Extras,
        options: Options,
    ) -> Result<Self, Failure> {
        let again = |path: &Path| {
            let (folder, config) = Self::reopen(path)?;
            let places = Places::new(&extras, Some(&folder), &config)?;
            Ok::<_, Failure>((folder, config, places))
        };
        let ((folder, config, places), measure_only) = match start {
            Start::New { out, force } => {
                config.check()?;
                // What may be wrong with the reference is known before anything is written.
                let places = Places::new(&extras, None, &config)?;
                let folder = RunFolder::create(&out, force)?;
                let defaults = ParticlesConfig::preset(&config.target)?;
                folder.write("config.toml", to_toml(&config, &defaults)?.as_bytes())?;
                ((folder, config, places), extras.pretrained.is_some())
            }
            Start::Resume(path) => (again(&path)?, false),
            Start::Evaluate(path) => (again(&path)?, true),
        };
        folder.write_environment(options.threads)?;
        folder.write(PLACES, places.to_toml()?.as_bytes())?;
        folder.mark_latest();
        let pretrained = extras.pretrained;
        Ok(Self { target: config.energies(), config, folder, options, places, pretrained, measure_only })
    }

    fn reopen(path: &Path) -> Result<(RunFolder, ParticlesConfig), Failure> {
        let folder = RunFolder::open(path, &["config.toml", "checkpoint.safetensors"])?;
        let config: ParticlesConfig = load_exact(&folder.file("config.toml"))?;
        config.check()?;
        Ok((folder, config))
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Trains to the end (or goes on, or does not) and measures; returns the figures.
    pub fn execute(&self, interrupt: &Interrupt) -> Result<Vec<Figure>, Failure> {
        let (system, seed) = (self.target.system, self.config.seed);
        let mut trainer =
            Trainer::<f32>::for_particles(self.config.iwsm(), &*self.target.training, system, seed);
        let training = Training {
            binary: "particles",
            folder: &self.folder,
            options: self.options,
            columns: COLUMNS,
            snapshots: self.config.evaluation.snapshots,
        };
        let mut past = training.begin(&mut trainer)?;
        if let Some(path) = &self.pretrained {
            load_model(path, &mut trainer)?;
        }
        let wanted = self.config.sizes().reference();
        let places = self.places.as_paths();
        let reference =
            reference(&self.config.target, system, wanted, places, interrupt, self.options.quiet)?;
        if !self.measure_only {
            training.run(&mut trainer, &mut past, interrupt, |t| self.snapshot(t, &reference))?;
            self.folder.write("model.safetensors", &self.model(&trainer)?)?;
        }
        self.measure(&mut trainer, &reference, &past.history, past.seconds)
    }

    /// The averaged parameters with the configuration: all that sampling needs.
    fn model(&self, trainer: &Trainer<f32>) -> Result<Vec<u8>, Failure> {
        let mut c = Checkpoint::new();
        c.put_vec("ema", trainer.state.ema.values());
        c.note("config", to_toml(&self.config, &self.config)?);
        c.encode().map_err(|e| Failure::Failed(format!("model.safetensors: {e}")))
    }

    fn snapshot(&self, trainer: &Trainer<f32>, r: &Reference) -> Result<(Vec<f64>, String), Failure> {
        let (d, n) = (self.target.system.dim(), SNAPSHOT.min(self.config.evaluation.set_size));
        let samples = trainer.sample(n, 100, (self.config.seed ^ MEASURE, trainer.state.step));
        let x: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let r = &r.states[..n * d];
        let unusable =
            |e: MetricError| Failure::Diverged(format!("the sampler's samples cannot be used: {e}"));
        let e = |x: &[f64]| energies(&*self.target.exact, x);
        let e_w2 = metrics::w2_1d(&e(&x), &e(r)).map_err(unusable)?;
        let d_tv = metrics::distance_tv(&x, r, self.target.system).map_err(unusable)?;
        let (step, acceptance) = (trainer.state.move_step, trainer.state.acceptance);
        Ok((vec![e_w2, d_tv, step, acceptance], format!("E-W2 {e_w2:.2} D-TV {d_tv:.3}")))
    }

    fn measure(
        &self,
        trainer: &mut Trainer<f32>,
        r: &Reference,
        history: &History,
        seconds: f64,
    ) -> Result<Vec<Figure>, Failure> {
        let (e, key, system) = (&self.config.evaluation, self.config.seed ^ MEASURE, self.target.system);
        let failed = |e: MetricError| Failure::Failed(format!("the samples cannot be measured: {e}"));
        let samples = trainer.sample(e.samples, e.reverse_steps, (key, 0));
        let wide: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let exact = &*self.target.exact;
        let mut figures =
            particle_figures(exact, system, &wide, &r.states, self.config.sizes()).map_err(failed)?;
        if e.flow_samples > 0 {
            figures.extend(self.flow(trainer, r));
        }
        figures.extend(self.corrected(trainer, r, key).map_err(failed)?);
        figures.extend(r.failed_checks.map(|n| Figure::plain("reference_failed_checks", n as f64)));
        let evaluations = trainer.state.energy_evaluations as f64;
        if self.pretrained.is_none() && self.config.replay.moves > 0 {
            figures.push(Figure::plain("move_acceptance", trainer.state.acceptance));
        }
        figures.push(Figure::plain("energy_evaluations", evaluations));
        figures.push(Figure::plain("gradient_evaluations", evaluations));
        figures.push(Figure::plain("seconds", seconds));
        figures.push(Figure::plain("peak_mib", crate::peak_mib()));
        self.folder.write("samples.npy", &npy::encode(system.dim(), &samples))?;
        if self.pretrained.is_none() {
            // Weights are those of the training's buffer, which a network alone does not bring.
            self.folder.write("weights.csv", weights_csv(&trainer.weight_report(12, 500)).as_bytes())?;
            self.folder.write("training.png", &report::training_png(&self.config, history)?)?;
        }
        self.folder.write("metrics.json", report::metrics_json(&self.config, &figures, 1).as_bytes())?;
        let (mine, theirs) = (energies(exact, &wide), energies(exact, &r.states));
        self.folder.write("energies.png", &report::energies_png(&self.config, &mine, &theirs)?)?;
        self.folder
            .write("distances.png", &report::distances_png(&self.config, system, &wide, &r.states)?)?;
        let structures = report::structures_png(&self.config, system, (&wide, &mine), (&r.states, &theirs))?;
        self.folder.write("structures.png", &structures)?;
        self.folder.write("DONE", b"")?;
        Ok(figures)
    }

    /// ESS, k-hat and log Z by the weights of sampled paths, and the figures of their states after the exact
    /// correction.
    fn corrected(&self, trainer: &Trainer<f32>, r: &Reference, key: u64) -> Result<Vec<Figure>, MetricError> {
        let e = &self.config.evaluation;
        let n = if e.correction_moves > 0 { e.sets * e.set_size } else { e.set_size };
        let (x, log_w) = trainer.sample_weighted(&*self.target.single, n, e.reverse_steps, (key, 1));
        let (log_z, error) = importance::log_z(&log_w);
        let log_z = Figure { sd: Some(error), floor: r.log_z, ..Figure::plain("trajectory_log_z", log_z) };
        let mut figures = vec![
            Figure::plain("trajectory_ess", importance::normalised_ess(&log_w)),
            Figure::plain("trajectory_khat", importance::pareto_k_hat(&log_w)),
            log_z,
        ];
        if e.correction_moves > 0 {
            let mut x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            let step = 0.2 * self.config.network.mode_scale;
            let correction = Correction { moves: e.correction_moves, leapfrog: 8, step, seed: key };
            let acceptance = correction.apply(&*self.target.exact, self.target.system, &log_w, &mut x);
            figures.push(Figure::plain("correction_acceptance", acceptance));
            let evaluations = correction.moves * (correction.leapfrog + 1) * n;
            figures.push(Figure::plain("correction_evaluations", evaluations as f64));
            let sizes = self.config.sizes();
            let after = particle_figures(&*self.target.exact, self.target.system, &x, &r.states, sizes)?;
            figures.extend(after.into_iter().zip(CORRECTED).map(|(f, name)| Figure { name, ..f }));
        }
        Ok(figures)
    }

    /// log Z, ESS and k-hat of the flow's samples.
    fn flow(&self, trainer: &Trainer<f32>, r: &Reference) -> Vec<Figure> {
        let e = &self.config.evaluation;
        let flow = Flow {
            model: trainer.model(),
            schedule: trainer.schedule(),
            prior_scale: trainer.prior_scale(),
            steps: e.flow_steps,
        };
        let sizes = evaluate::Sizes { sets: e.sets, set_size: e.set_size, flow_samples: e.flow_samples };
        let mut figures = flow_figures(&*self.target.single, None, &flow, sizes, self.config.seed ^ MEASURE);
        // The reference knows log Z from its ladder.
        figures.iter_mut().filter(|f| f.name == "log_z").for_each(|f| f.floor = r.log_z);
        figures
    }
}

/// The configuration that a trained network brings; evaluation settings may be changed afterwards.
pub fn model_config(path: &Path) -> Result<ParticlesConfig, Failure> {
    let wrong = |e: engine::checkpoint::CheckpointError| Failure::usage(format!("{}: {e}", path.display()));
    let text: String = Checkpoint::load(path).and_then(|c| c.read_note("config")).map_err(wrong)?;
    let config: ParticlesConfig = exact(&text, &path.display().to_string())?;
    config.check()?;
    Ok(config)
}

fn load_model(path: &Path, trainer: &mut Trainer<f32>) -> Result<(), Failure> {
    let wrong = |e: engine::checkpoint::CheckpointError| Failure::usage(format!("{}: {e}", path.display()));
    Checkpoint::load(path).and_then(|c| c.get("ema", trainer.state.ema.values_mut())).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_ship_bring_their_own_settings() {
        for (name, steps) in [("dw4", 14_000), ("lj13", 6000), ("lj55", 8000)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/pretrained");
            let config = model_config(&folder.join(format!("{name}.safetensors"))).unwrap();
            let preset = ParticlesConfig::preset(name).unwrap();
            assert_eq!((config.target.as_str(), config.train.steps), (name, steps));
            assert_eq!(config.network, preset.network);
        }
    }
}
