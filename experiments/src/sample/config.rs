//! Settings of a run: target, method, measurements.

use std::collections::BTreeMap;
use std::path::Path;

use models::evaluate::{Sizes, particles};
use models::memory;
use models::range::{self, Range::Between};
use models::sampler::Method;
use models::target::registry::Parameter;
use models::target::{AnyTarget, Geometry, TargetConfig};
use serde::{Deserialize, Serialize};

use super::{observe, presets};
use crate::config::{layers, resolve};
use crate::run::error::CliError;

/// What is measured at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Samples to draw and keep, at least sets * set_size; 0 for just as many.
    pub samples: usize,
    /// Sets that figures are averaged over.
    pub sets: usize,
    /// Samples in a set.
    pub set_size: usize,
    /// Pairs of sets behind a floor, where the target has an exact sampler; fewer for the X-W2 of large sets. Other
    /// targets have a pair for each set, from the halves of their reference.
    #[serde(default = "floor_pairs")]
    pub floor_pairs: usize,
    /// Sets on which eq-W2 is taken (particles).
    pub eq_sets: usize,
    /// Steps of the reverse SDE.
    pub reverse_steps: usize,
    /// Whether samples with the least variance of each of these steps are measured too: they have no weights, but where
    /// a network has errors energies nearer to those of the target.
    #[serde(default)]
    pub least_variance: bool,
    /// Steps of the probability-flow ODE.
    pub flow_steps: usize,
    /// Samples of the flow behind log Z, ESS and k-hat; 0 leaves them out.
    pub flow_samples: usize,
    /// Exact samples whose likelihood is taken, where the target has them.
    pub nll_samples: usize,
    /// Trajectories of HMC in the exact correction of the samples, after resampling by the weights of their paths.
    pub correction_moves: usize,
    /// Jumps of the model between those trajectories, each accepted or not by the weights of two paths.
    #[serde(default)]
    pub correction_jumps: usize,
    /// Independent populations of sequential Monte Carlo along the reverse SDE, as many samples together as are drawn;
    /// 0 leaves it out. The exact correction then begins with them.
    #[serde(default)]
    pub populations: usize,
    /// Sets of paths, of `set_size` each, whose log Z are compared with the known one; 0 leaves it out.
    #[serde(default)]
    pub calibration: usize,
    /// Samples that are moved to the minima of their basins, to find the modes and their weights; 0 leaves them out.
    #[serde(default = "modes")]
    pub modes: usize,
    /// States of each of three independent explorations that the verdict holds the samples against, in R^d; 0 leaves them
    /// out.
    #[serde(default = "audit")]
    pub audit: usize,
    /// States at each noise level behind weights.csv.
    pub weight_samples: usize,
    /// Rows of history.csv.
    pub snapshots: u64,
}

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleConfig {
    /// Seed of every random number of the run.
    pub seed: u64,
    /// The density.
    pub target: TargetConfig,
    /// The measurements.
    pub evaluation: Evaluation,
    /// Observables: formulas of x by name, whose means are taken.
    #[serde(default)]
    pub observe: BTreeMap<String, String>,
    /// The method, `method = NAME` and the sections of its settings.
    #[serde(flatten)]
    pub method: Method,
}

/// Settings from before had none of their own.
fn floor_pairs() -> usize {
    50
}

/// Settings from before had none of these either.
fn modes() -> usize {
    1000
}

/// Nor of these.
fn audit() -> usize {
    512
}

impl Default for Evaluation {
    /// For targets in R^d.
    fn default() -> Self {
        Self {
            samples: 0,
            sets: 5,
            set_size: 1000,
            floor_pairs: floor_pairs(),
            eq_sets: 1,
            reverse_steps: 400,
            least_variance: false,
            flow_steps: 200,
            flow_samples: 2000,
            nll_samples: 2000,
            correction_moves: 0,
            correction_jumps: 0,
            populations: 0,
            calibration: 0,
            modes: modes(),
            audit: audit(),
            weight_samples: 1000,
            snapshots: 40,
        }
    }
}

impl Evaluation {
    /// Sizes of the comparison of particles with a reference.
    pub fn particle_sizes(&self) -> particles::Sizes {
        particles::Sizes { sets: self.sets, set_size: self.set_size, eq_sets: self.eq_sets }
    }

    /// Sizes of an evaluation.
    pub fn sizes(&self) -> Sizes {
        Sizes { sets: self.sets, set_size: self.set_size, flow_samples: self.flow_samples }
    }

    /// Samples to draw.
    pub fn drawn(&self) -> usize {
        if self.samples == 0 { self.sets * self.set_size } else { self.samples }
    }

    /// Draws `n` samples, and measures as many of them as make whole sets.
    fn set_samples(&mut self, n: usize) {
        self.samples = n;
        self.set_size = self.set_size.min(n);
        self.sets = self.sets.min(n / self.set_size.max(1));
    }

    fn check(&self) -> Result<(), CliError> {
        let least = if self.samples == 0 { 0 } else { self.sets.saturating_mul(self.set_size) };
        let between = |v: usize, low: usize, high: f64| (v as f64, Between(low as f64, high));
        let ranges = [
            ("evaluation.sets", between(self.sets, 1, 1000.0)),
            ("evaluation.set_size", between(self.set_size, 2, 20_000.0)),
            ("evaluation.floor_pairs", between(self.floor_pairs, 2, 1e5)),
            ("evaluation.eq_sets", between(self.eq_sets, 1, 1000.0)),
            ("evaluation.samples", between(self.samples, least, 1e7)),
            ("evaluation.reverse_steps", between(self.reverse_steps, 1, 1e6)),
            ("evaluation.flow_steps", between(self.flow_steps, 1, 1e6)),
            ("evaluation.flow_samples", between(self.flow_samples, 0, 1e7)),
            ("evaluation.nll_samples", between(self.nll_samples, 2, 1e7)),
            ("evaluation.correction_moves", between(self.correction_moves, 0, 1e6)),
            ("evaluation.correction_jumps", between(self.correction_jumps, 0, 1e6)),
            ("evaluation.populations", between(self.populations, 0, 1e4)),
            ("evaluation.calibration", between(self.calibration, 0, 1e5)),
            ("evaluation.modes", between(self.modes, 0, 1e6)),
            ("evaluation.audit", between(self.audit, 0, 1e6)),
            ("evaluation.weight_samples", between(self.weight_samples, 10, 1e6)),
            ("evaluation.snapshots", between(self.snapshots as usize, 1, 1e6)),
        ];
        range::check(&ranges.map(|(key, (v, range))| (key, v, range))).map_err(CliError::usage)?;
        // Fewer have no scatter worth the name.
        const LEAST: usize = 8;
        let most = self.drawn() / 2;
        if self.populations > 0 && !(LEAST..=most.max(LEAST)).contains(&self.populations) {
            return Err(CliError::usage(format!(
                "evaluation.populations = {} must be 0, or {LEAST} to {most}, half of the samples that are drawn",
                self.populations
            )));
        }
        Ok(())
    }
}

impl SampleConfig {
    /// An error if some value is outside its range, or does not fit the target.
    pub fn check(&self, target: &dyn AnyTarget) -> Result<(), CliError> {
        self.evaluation.check()?;
        observe::formulas(self, target.double().geometry())?;
        self.method.config().problem(target).map_or(Ok(()), |p| Err(CliError::usage(p)))?;
        if self.evaluation.least_variance && !self.method.config().matches_scores() {
            return Err(CliError::usage(format!(
                "evaluation.least_variance = true: {} has no steps whose variance is chosen; leave it false",
                self.method.name()
            )));
        }
        let method = self.method.config().memory(target, self.evaluation.drawn());
        memory::check(&[method, self.evaluation.memory(target.single().dim())].concat())
            .map_err(CliError::usage)
    }

    /// The target.
    pub fn target(&self) -> Result<std::sync::Arc<dyn AnyTarget>, CliError> {
        self.target.build().map_err(CliError::usage)
    }
}

/// What a user asks for, besides a file and single settings.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Name of the target.
    pub target: Option<&'a str>,
    /// Name of the method.
    pub method: Option<&'a str>,
    /// A run of seconds or minutes that goes through everything.
    pub quick: bool,
    /// Samples to draw.
    pub samples: Option<usize>,
    /// The configuration of a trained model in place of the preset.
    pub base: Option<SampleConfig>,
    /// A file of settings.
    pub file: Option<&'a Path>,
    /// Single settings as `key=value`; they win over the file.
    pub sets: Vec<String>,
}

/// The settings of a request: preset of target and method, --quick, file, single settings, flags; the later wins.
pub fn configure(request: &Request<'_>) -> Result<SampleConfig, CliError> {
    let Request { file, sets, .. } = request;
    // File and settings may name target and method too, whose preset is then meant.
    let given = layers(*file, sets)?;
    let word = |table: &toml::Table, key: &str| table.get(key).and_then(|v| v.as_str()).map(String::from);
    let parts = given.get("target").and_then(|t| t.as_table());
    let name = request.target.map(String::from).or_else(|| word(parts?, "name")).unwrap_or("gmm40".into());
    let method = request.method.map(String::from).or_else(|| word(&given, "method"));
    let mut target = TargetConfig::of(&name).map_err(CliError::usage)?;
    if let Some(key) =
        parts.and_then(|t| t.keys().find(|key| *key != "name" && !target.parameters.contains_key(*key)))
    {
        return Err(CliError::usage(target.unknown(key)));
    }
    // Scales of the preset follow the parameters that are given for this target.
    for (key, old) in &mut target.parameters {
        match parts.and_then(|t| t.get(key)) {
            Some(toml::Value::Integer(v)) => *old = old.like(*v as f64),
            Some(toml::Value::Float(v)) => *old = old.like(*v),
            Some(toml::Value::String(v)) => *old = Parameter::Text(v.clone()),
            _ => {}
        }
    }
    let mut base = match &request.base {
        Some(base) => base.clone(),
        None => presets::preset(&target, method.as_deref(), request.quick)?,
    };
    // Any name is one.
    let observed = given.get("observe").and_then(|t| t.as_table()).into_iter().flat_map(|t| t.keys());
    base.observe.extend(observed.map(|name| (name.clone(), String::new())));
    let mut sets = sets.clone();
    sets.push(format!("target.name={name}"));
    sets.extend(method.map(|m| format!("method={m}")));
    let mut config: SampleConfig = resolve(&base, *file, &sets)?;
    if let Some(n) = request.samples {
        config.evaluation.set_samples(n);
    }
    Ok(config)
}

/// Whether states are those of particles.
pub(super) fn of_particles(geometry: Geometry) -> bool {
    geometry.particles().is_some()
}
