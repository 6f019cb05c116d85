//! One run: sample, check, write.

use std::path::Path;

use models::mcmc::Convergence;
use models::mcmc::parallel_tempering::Report;
use serde_json::{Value, json};

use super::{ReferenceConfig, Watch, sample};
use crate::config::{load_exact, to_toml};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::npy;
use crate::plot::{Panel, Series, panels};
use crate::run_folder::RunFolder;
use crate::table::{figure, plain};
use crate::training::Options;

/// Bins of the energy histograms.
const BINS: usize = 60;
/// The state of an interrupted run.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// What came of a run.
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// Seconds of sampling.
    pub seconds: f64,
    /// What was wrong, one line for each failed check.
    pub failures: Vec<String>,
}

/// A run in its folder.
pub struct Run {
    config: ReferenceConfig,
    folder: RunFolder,
    options: Options,
}

impl Run {
    /// A run in a new folder.
    pub fn create(
        out: &Path,
        force: bool,
        config: ReferenceConfig,
        options: Options,
    ) -> Result<Self, Failure> {
        let folder = RunFolder::create(out, force)?;
        let defaults = ReferenceConfig::preset(&config.target)?;
        folder.write("config.toml", to_toml(&config, &defaults)?.as_bytes())?;
        Self::begin(config, folder, options)
    }

    /// An interrupted run in its folder.
    pub fn resume(path: &Path, options: Options) -> Result<Self, Failure> {
        let folder = RunFolder::open(path, &["config.toml", CHECKPOINT])?;
        let config: ReferenceConfig = load_exact(&folder.file("config.toml"))?;
        config.check()?;
        Self::begin(config, folder, options)
    }

    fn begin(config: ReferenceConfig, folder: RunFolder, options: Options) -> Result<Self, Failure> {
        folder.write_environment(options.threads)?;
        folder.mark_latest();
        Ok(Self { config, folder, options })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The settings.
    pub fn config(&self) -> &ReferenceConfig {
        &self.config
    }

    /// Samples, and writes samples.npy, summary.json and energies.png; also if a check fails.
    pub fn execute(&self, interrupt: &Interrupt) -> Result<Outcome, Failure> {
        let (config, folder) = (&self.config, &self.folder);
        let (energy, system) = config.energy();
        let mut sampler = config.sampler(&*energy, system)?;
        let watch = Watch {
            checkpoint: &folder.file(CHECKPOINT),
            advice: format!("go on with: reference --resume {}", folder.path().display()),
            save_every: self.options.save_every,
            interrupt,
            subject: &config.target,
            quiet: self.options.quiet,
        };
        let seconds = sample(&mut sampler, config.samples, &watch)?;
        let report = sampler.report();
        let failures = report.failures();
        let dim = energy.dim();
        let states = &sampler.states()[..config.samples * dim];
        let samples: Vec<f32> = states.iter().map(|v| *v as f32).collect();
        folder.write("samples.npy", &npy::encode(dim, &samples))?;
        let text = format!("{:#}\n", summary(config, &report, &failures, seconds));
        folder.write("summary.json", text.as_bytes())?;
        folder.write("energies.png", &histogram(&config.target, sampler.energies())?)?;
        folder.write("DONE", b"")?;
        folder.remove(CHECKPOINT)?;
        Ok(Outcome { report, seconds, failures })
    }
}

fn summary(config: &ReferenceConfig, r: &Report, failures: &[String], seconds: f64) -> Value {
    let checks = |c: Convergence| json!({ "r_hat": c.r_hat, "bulk_ess": c.bulk_ess, "tail_ess": c.tail_ess });
    json!({
        "target": config.target,
        "seed": config.seed,
        "samples": config.samples,
        "passed": failures.is_empty(),
        "failures": failures,
        "energy": { "mean": r.energy_mean, "standard_error": r.energy_error, "sd": r.energy_sd },
        "mean_distance": { "mean": r.spread_mean, "standard_error": r.spread_error },
        "log_z": { "value": r.log_z.value, "standard_error": r.log_z.error },
        "convergence": { "energy": checks(r.energy), "mean_distance": checks(r.spread) },
        "starts_differ_by_standard_errors": { "energy": r.start_energy_z, "mean_distance": r.start_spread_z },
        "walkers": r.walkers,
        "recorded_sweeps": r.sweeps,
        "round_trips": r.round_trips,
        "rungs": r.rungs,
        "swap_rates": r.swap_rates,
        "acceptances": r.acceptances,
        "step_sizes": r.steps,
        "seconds": seconds,
    })
}

/// The figures as a table for the terminal.
pub(super) fn table(outcome: &Outcome) -> String {
    let r = &outcome.report;
    let range = |x: &[f64]| {
        let low = x.iter().copied().fold(f64::INFINITY, f64::min);
        let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{low:.2} to {high:.2}")
    };
    let checks = |c: Convergence| format!("{:.4}, {:.0}, {:.0}", c.r_hat, c.bulk_ess, c.tail_ess);
    let rows: [(&str, String); 10] = [
        ("energy, mean", figure(r.energy_mean, Some(r.energy_error))),
        ("energy, standard deviation", figure(r.energy_sd, None)),
        ("mean distance", figure(r.spread_mean, Some(r.spread_error))),
        ("log Z", figure(r.log_z.value, Some(r.log_z.error))),
        ("R-hat, bulk and tail ESS: energy", checks(r.energy)),
        ("R-hat, bulk and tail ESS: mean distance", checks(r.spread)),
        ("starts differ by standard errors", format!("{:.1}, {:.1}", r.start_energy_z, r.start_spread_z)),
        ("swap rates", range(&r.swap_rates)),
        ("round trips", r.round_trips.to_string()),
        ("seconds", figure(outcome.seconds, None)),
    ];
    plain(&["", "value"], &rows.map(|(name, value)| vec![name.into(), value]))
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&table(self))
    }
}

/// Energy histograms of the walkers from narrow and from wide starts, which must agree.
fn histogram(target: &str, chains: &[Vec<f64>]) -> Result<Vec<u8>, Failure> {
    let mut all = chains.concat();
    all.sort_unstable_by(f64::total_cmp);
    // The outermost thousandths would squeeze the rest.
    let at = |p: f64| all.get(((all.len().max(1) - 1) as f64 * p) as usize).copied().unwrap_or(0.0);
    let (low, high) = (at(0.001), at(0.999));
    let width = (high - low) / BINS as f64;
    let series = |name: &str, side: usize| {
        let energies: Vec<f64> = chains.iter().skip(side).step_by(2).flatten().copied().collect();
        let mut counts = [0.0; BINS];
        for e in energies.iter().filter(|e| (low..high).contains(*e)) {
            counts[(((e - low) / width) as usize).min(BINS - 1)] += 1.0;
        }
        let density =
            |(b, c): (usize, &f64)| (low + (b as f64 + 0.5) * width, c / (energies.len() as f64 * width));
        Series { name: name.into(), points: counts.iter().enumerate().map(density).collect(), floor: false }
    };
    let curves = vec![series("narrow starts", 0), series("wide starts", 1)];
    let panel = Panel { label: "density".into(), log: false, series: curves };
    panels(&format!("{target}: energy"), "energy", &[panel])
}
