//! What a sampler is worth: figures, and the files that show them. What is measured follows from what the target
//! offers (exact samples, modes, particles) and from what the sampler has (a learned density).

use std::cell::OnceCell;

use engine::ranks::Ranks;
use models::evaluate::{Figure, Floors, energies, particles, sample_figures};
use models::metrics::{self, MetricError, covering_radius, mode_report};
use models::sampler::Sampler;
use models::target::{AnyTarget, Geometry, ParticleSystem, TargetError};

use super::SampleConfig;
use super::drawn::Drawn;
use super::judge::{Judgement, Said, normalised};
use super::modes::Modes;
use super::observe::{self, Observed};
use super::pictures::{self, weights_csv};
use super::reference_cache::Reference;
use super::run::sampler_failure;
use crate::npy;
use crate::run::error::CliError;
use crate::run::history::History;
use crate::run::progress::Stages;
use crate::run::ranks::is_first;
use crate::run::{MEASURE, Past, RunFolder};

/// Samples of a snapshot, at most.
const SNAPSHOT: usize = 1000;
/// Samples on which the reverse steps are tuned, at most.
pub(super) const TUNED: usize = 1024;
/// Keys of the random numbers that tune the reverse steps: others than those of the samples.
pub(super) const TUNING: u64 = 1 << 61;
/// Noise levels in weights.csv.
const LEVELS: usize = 12;
/// What is measured, and against what.
pub(super) struct Measurement<'a> {
    pub config: &'a SampleConfig,
    pub target: &'a dyn AnyTarget,
    /// Who measures together; what only the first of them writes, all compute.
    pub ranks: &'a dyn Ranks,
    pub folder: &'a RunFolder,
    /// Reference states, twice as many as there are samples in all sets.
    pub reference: Option<Reference>,
    /// Whether the method learns a model.
    pub learned: bool,
    /// Whether the network was not trained here.
    pub pretrained: bool,
    /// Whether notes are left out.
    pub quiet: bool,
    /// Floors of targets in R^d, once they have been asked for.
    pub floors: OnceCell<Floors>,
}

/// What came of a measurement.
pub(super) struct Measured {
    pub figures: Vec<Figure>,
    /// The checks that failed, and what to do behind them.
    pub failures: Vec<String>,
    pub modes: Modes,
    pub judgement: Judgement,
    pub observed: Vec<Observed>,
}

fn failed(e: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("the samples cannot be measured: {e}"))
}

fn unusable(e: MetricError) -> CliError {
    CliError::Diverged(format!("the sampler's samples cannot be used: {e}"))
}

pub(super) fn broken(e: TargetError) -> CliError {
    CliError::Failed(e.to_string())
}

impl Measurement<'_> {
    pub(super) fn key(&self) -> u64 {
        self.config.seed ^ MEASURE
    }

    /// Columns of history.csv that a snapshot fills.
    pub fn columns(&self) -> &'static [&'static str] {
        let target = self.target.double();
        match target.geometry() {
            _ if !self.learned => &[],
            Geometry::Particles(_) => &["e_w2", "d_tv"],
            Geometry::Euclidean(_) if target.modes().is_some() => &["modes_found", "in_mode", "mode_kl"],
            Geometry::Euclidean(_) => &["energy_mean"],
        }
    }

    /// The numbers of those columns, and a text for the progress line.
    pub fn snapshot(&self, sampler: &dyn Sampler) -> Result<(Vec<f64>, String), CliError> {
        let (target, key) = (self.target.double(), (self.key(), sampler.done()));
        let draw = |n: usize| sampler.draw(n, 100, key).map_err(sampler_failure);
        match (target.geometry(), target.modes(), &self.reference) {
            _ if !self.learned => Ok((Vec::new(), String::new())),
            _ if !sampler.drawable() => Ok((vec![f64::NAN; self.columns().len()], String::new())),
            (Geometry::Particles(system), _, Some(r)) => {
                let n = SNAPSHOT.min(self.config.evaluation.set_size);
                let (x, r) = (draw(n)?, &r.states[..n * system.dim()]);
                let e = |x: &[f64]| particles::energies(target, x).map_err(broken);
                let e_w2 = metrics::w2_1d(&e(&x)?, &e(r)?).map_err(unusable)?;
                let d_tv = metrics::distance_tv(&x, r, system).map_err(unusable)?;
                Ok((vec![e_w2, d_tv], format!("E-W2 {e_w2:.2} D-TV {d_tv:.3}")))
            }
            (Geometry::Euclidean(d), Some(modes), _) => {
                let m = mode_report(&draw(SNAPSHOT)?, &modes, covering_radius(d)).map_err(unusable)?;
                let live = format!("modes {}/{} in-mode {:.3}", m.found, modes.weights.len(), m.in_mode);
                Ok((vec![m.found as f64, m.in_mode, m.kl], live))
            }
            (Geometry::Euclidean(_), None, _) => {
                let mean = metrics::mean(&energies(target, &draw(SNAPSHOT)?).map_err(broken)?);
                Ok((vec![mean], format!("energy {mean:.2}")))
            }
            (Geometry::Particles(_), _, None) => Err(CliError::Failed("there is no reference".into())),
        }
    }

    /// Draws, measures, writes.
    pub fn finish(
        &self,
        sampler: &mut dyn Sampler,
        past: &Past,
        stages: &mut Stages,
    ) -> Result<Measured, CliError> {
        let (e, key, target) = (&self.config.evaluation, self.key(), self.target.double());
        let mut tuning = 0;
        if let Some(learned) = sampler.learned() {
            stages.next("variances of the reverse steps");
            let n = e.drawn().min(TUNED);
            let seed = key ^ TUNING;
            tuning = learned.tune(n, e.reverse_steps, seed).map_err(broken)?;
        }
        stages.next("drawing samples");
        let (samples, log_w) = match sampler.learned() {
            Some(learned) => learned.weighted(e.drawn(), e.reverse_steps, (key, 0)).map_err(broken)?,
            None => {
                (sampler.draw(e.drawn(), e.reverse_steps, (key, 0)).map_err(sampler_failure)?, Vec::new())
            }
        };
        let diagnostics = sampler.diagnostics();
        let mine = energies(target, &samples).map_err(broken)?;
        stages.next("distances to the reference");
        let mut figures = self.against_reference(&samples)?;
        figures.extend(self.of_reference());
        if let Some(learned) = sampler.learned() {
            figures.extend(self.of_learned(learned, (&samples, &log_w), stages)?);
        }
        if let Some(z) = diagnostics.log_z {
            let floor = target.log_z();
            figures.push(Figure { sd: Some(z.error()), floor, ..Figure::plain("log_z", z.value) });
        }
        figures.extend(
            diagnostics.figures.iter().map(|(name, v, sd)| Figure { sd: *sd, ..Figure::plain(name, *v) }),
        );
        let evaluations = sampler.evaluations() as f64;
        for (name, value) in [
            ("energy_evaluations", evaluations),
            ("gradient_evaluations", sampler.gradients() as f64),
            ("tuning_evaluations", tuning as f64),
            ("weight_evaluations", log_w.len() as f64),
            ("seconds", past.seconds),
            ("peak_mib", crate::peak_mib()),
        ] {
            figures.push(Figure::plain(name, value));
        }
        stages.next("modes of the samples");
        let modes = self.modes(&samples, &log_w, sampler.chains());
        figures.extend(modes.figures());
        let single: Vec<f32> = samples.iter().map(|v| *v as f32).collect();
        self.folder.write("samples.npy", &npy::encode(target.dim(), &single))?;
        if !log_w.is_empty() {
            self.folder.write("log_weights.npy", &npy::encode(1, &log_w))?;
        }
        let (x, chains) = (&samples[..], sampler.chains());
        let drawn = Drawn { dim: target.dim(), x, energies: &mine, log_w: &log_w, chains };
        self.folder.write("samples.npz", &drawn.npz()?)?;
        if let Geometry::Particles(system) = target.geometry() {
            self.folder.write("samples.extxyz", &drawn.extxyz(system))?;
        }
        match modes.csv() {
            Some(table) => self.folder.write("modes.csv", table.as_bytes())?,
            // One of an earlier measurement.
            None => self.folder.remove("modes.csv")?,
        }
        if let Some(learned) = sampler.learned().filter(|_| !self.pretrained) {
            // Weights are those of the training's buffer, which a network alone does not bring.
            stages.next("weights at each noise level");
            let levels = learned.weight_levels(LEVELS, e.weight_samples).map_err(broken)?;
            if !levels.is_empty() {
                self.folder.write("weights.csv", weights_csv(&levels).as_bytes())?;
                let evaluations: u64 = levels.iter().map(|l| l.evaluations).sum();
                figures.push(Figure::plain("weights_csv_evaluations", evaluations as f64));
            }
        }
        if !diagnostics.lists.is_empty() {
            self.folder.write("diagnostics.csv", pictures::lists_csv(&diagnostics.lists).as_bytes())?;
        }
        let mut failures = diagnostics.failures;
        let weights = normalised(&log_w, mine.len());
        let observed = observe::observe(
            self.config,
            target.geometry(),
            (&samples, &weights),
            (chains, self.inflation()),
        )?;
        match observe::csv(&observed) {
            Some(table) => self.folder.write("observables.csv", table.as_bytes())?,
            None => self.folder.remove("observables.csv")?,
        }
        stages.next("independent explorations, for the verdict");
        let said = Said {
            samples: &samples,
            energies: &mine,
            weights: &weights,
            chains,
            figures: &figures,
            failures: &failures,
        };
        let judgement = self.judge(&said);
        figures.push(Figure::plain("audit_evaluations", judgement.evaluations as f64));
        stages.next("pictures");
        if is_first(self.ranks) {
            self.draw((&samples, mine), &past.history, &diagnostics.chains)?;
        }
        if !failures.is_empty() {
            failures.push(diagnostics.remedy);
        }
        Ok(Measured { figures, failures, modes, judgement, observed })
    }

    pub(super) fn against_reference(&self, samples: &[f64]) -> Result<Vec<Figure>, CliError> {
        let (e, target) = (&self.config.evaluation, self.target.double());
        let Some(r) = &self.reference else { return Ok(Vec::new()) };
        match target.geometry() {
            Geometry::Particles(system) => {
                particles::particle_figures(target, system, samples, &r.states, e.particle_sizes())
            }
            Geometry::Euclidean(_) => {
                let floors = self.floors(&r.states)?;
                sample_figures(target, samples, &r.states, floors, e.sizes())
            }
        }
        .map_err(failed)
    }

    /// The floors of a target in R^d: of exact samples, or between the halves of what it is measured against.
    fn floors(&self, reference: &[f64]) -> Result<&Floors, CliError> {
        if let Some(floors) = self.floors.get() {
            return Ok(floors);
        }
        let (e, target) = (&self.config.evaluation, self.target.double());
        let exact = Floors::exact(target, e.set_size, (e.floor_pairs, e.sets), self.key()).map_err(failed)?;
        let floors = match exact {
            Some(floors) => floors,
            None => {
                let halves = reference.split_at(e.sets * e.set_size * target.dim());
                Floors::between(target, (halves.0, &halves.1[..halves.0.len()]), e.set_size)
                    .map_err(failed)?
            }
        };
        Ok(self.floors.get_or_init(|| floors))
    }

    /// Pairs of sets behind the floors, and behind that of X-W2 if they are fewer; evaluations behind the reference.
    fn of_reference(&self) -> Vec<Figure> {
        let (pairs, transported) = self.floors.get().map_or((0, 0), Floors::counts);
        let evaluations = self.reference.as_ref().and_then(|r| r.evaluations);
        [
            ("floor_pairs", Some(pairs).filter(|n| *n > 0).map(|n| n as f64)),
            ("x_w2_floor_pairs", Some(transported).filter(|n| *n < pairs).map(|n| n as f64)),
            ("reference_evaluations", evaluations.map(|n| n as f64)),
        ]
        .iter()
        .filter_map(|(name, value)| Some(Figure::plain(name, (*value)?)))
        .collect()
    }

    fn draw(
        &self,
        (samples, mut mine): (&[f64], Vec<f64>),
        history: &History,
        chains: &[(&'static str, Vec<f64>)],
    ) -> Result<(), CliError> {
        let (config, target) = (self.config, self.target.double());
        particles::bound(&mut mine);
        let theirs = self.reference.as_ref().map(|r| particles::energies(target, &r.states));
        let theirs = theirs.transpose().map_err(broken)?;
        pictures::energies(config, &mine, theirs.as_deref(), chains)?.write(self.folder, "energies")?;
        if let Some(picture) = pictures::plane(config, target, samples)? {
            picture.write(self.folder, "samples")?;
        }
        if !self.pretrained {
            pictures::training(config, target, history)?.write(self.folder, "training")?;
        }
        if let (Geometry::Particles(system), Some(r)) = (target.geometry(), &self.reference) {
            self.draw_particles(
                system,
                (samples, &mine),
                (&r.states, theirs.as_deref().unwrap_or_default()),
            )?;
        }
        Ok(())
    }

    fn draw_particles(
        &self,
        system: ParticleSystem,
        samples: (&[f64], &[f64]),
        reference: (&[f64], &[f64]),
    ) -> Result<(), CliError> {
        let picture = pictures::distances(self.config, system, samples.0, reference.0)?;
        picture.write(self.folder, "distances")?;
        pictures::structures(system, samples, reference)?.write(self.folder, "structures")
    }
}
