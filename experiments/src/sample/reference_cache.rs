//! Reference samples: from a file, or made once by parallel tempering and kept.
//!
//! TARGET-N.npy holds the states, TARGET-N.toml how they were made and what came of it. States that were made with
//! other settings, or by a version that made other ones, are made anew.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::checkpoint::write_atomic;
use engine::rng::Stream;
use models::target::{Geometry, TargetConfig};
use serde::{Deserialize, Serialize};

use super::SampleConfig;
use super::presets::preset;
use super::run::sampler_failure;
use crate::config::load_exact;
use crate::npy;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::{Options, Steps};

/// Seconds between checkpoints of a reference in the making.
const SAVE_EVERY: f64 = 30.0;
/// Raised when the same settings come to mean other states.
const FORMAT: u32 = 3;

/// Equilibrium samples, mean-free, in random order.
pub struct Reference {
    /// Columns.
    pub states: Vec<f64>,
    /// log Z along the ladder, where it is known.
    pub log_z: Option<f64>,
    /// How many checks of the sampler failed, where it is known.
    pub failed_checks: Option<usize>,
}

/// The file beside the states.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    plan: Plan,
    /// Missing while they are being made.
    #[serde(default)]
    made: Option<Made>,
}

/// How states are made.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    format: u32,
    samples: usize,
    settings: SampleConfig,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    log_z: f64,
    failures: Vec<String>,
}

/// The files of one reference in the cache.
struct Files {
    states: PathBuf,
    side: PathBuf,
    checkpoint: PathBuf,
    lock: PathBuf,
}

impl Files {
    fn new(cache: &Path, target: &str, wanted: usize) -> Self {
        let file = |ending: &str| cache.join(format!("{target}-{wanted}.{ending}"));
        let checkpoint = file("partial.safetensors");
        Self { states: file("npy"), side: file("toml"), checkpoint, lock: file("lock") }
    }

    /// Waits until no other process makes this reference, and keeps others from it until the file is dropped. None
    /// where nothing can be written or locked: in a cache that is only read, or on a file system without locks, where
    /// two processes may do the same work.
    fn lock(&self, interrupt: &Interrupt, quiet: bool) -> Result<Option<File>, CliError> {
        let Some(cache) = self.lock.parent() else { return Ok(None) };
        std::fs::create_dir_all(cache).map_err(|e| CliError::io(cache, &e))?;
        let Ok(file) = File::options().create(true).append(true).open(&self.lock) else { return Ok(None) };
        let mut told = quiet;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) if interrupt.requested() => {
                    let text = format!("stopped while another process makes {}", self.states.display());
                    return Err(CliError::Interrupted(text));
                }
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        eprintln!("another process makes {}; waiting for it", self.states.display());
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// What came of a making by `plan`; none if it is still to be made. What another plan left is removed.
    fn made(&self, plan: &Plan) -> Result<Option<Made>, CliError> {
        match load_exact::<Side>(&self.side) {
            Ok(side) if side.plan == *plan => Ok(side.made.filter(|_| self.states.is_file())),
            _ => {
                for path in [&self.states, &self.side, &self.checkpoint].into_iter().filter(|p| p.exists()) {
                    std::fs::remove_file(path).map_err(|e| CliError::io(path, &e))?;
                }
                Ok(None)
            }
        }
    }

    fn write_side(&self, side: &Side) -> Result<(), CliError> {
        let text =
            toml::to_string(side).map_err(|e| CliError::Failed(format!("{}: {e}", self.side.display())))?;
        write(&self.side, text.as_bytes())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_atomic(path, bytes).map_err(|e| CliError::io(path, &e))
}

impl Reference {
    /// At least `wanted` states from a file.
    pub fn from_file(path: &Path, geometry: Geometry, wanted: usize) -> Result<Self, CliError> {
        let states = shuffle(read(path, geometry, wanted)?, geometry);
        Ok(Self { states, log_z: None, failed_checks: None })
    }

    /// At least `wanted` states of a target, from the folder `cache` or made now by parallel tempering and kept there.
    pub fn cached(
        target: &TargetConfig,
        wanted: usize,
        cache: &Path,
        interrupt: &Interrupt,
        options: Options,
    ) -> Result<Self, CliError> {
        let (files, plan) = (Files::new(cache, &target.name, wanted), Plan::new(target, wanted)?);
        let built = plan.settings.target()?;
        let _lock = files.lock(interrupt, options.quiet)?;
        let made = match files.made(&plan)? {
            Some(made) => made,
            None => make(plan, &files, built.single().geometry(), interrupt, options)?,
        };
        if let (Some(why), false) = (made.failures.first(), options.quiet) {
            eprintln!(
                "note: the reference is small and one of its checks failed ({why}); give a better one with --reference"
            );
        }
        let states = Self::from_file(&files.states, built.single().geometry(), wanted)?.states;
        Ok(Self { states, log_z: Some(made.log_z), failed_checks: Some(made.failures.len()) })
    }
}

impl Plan {
    fn new(target: &TargetConfig, samples: usize) -> Result<Self, CliError> {
        Ok(Self { format: FORMAT, samples, settings: preset(target, Some("pt"), false)? })
    }
}

/// Reads states from an npy file: finite, at least as many as wanted.
pub(super) fn read(path: &Path, geometry: Geometry, wanted: usize) -> Result<Vec<f64>, CliError> {
    let bytes = std::fs::read(path).map_err(|e| CliError::io(path, &e))?;
    let wrong = |why: String| CliError::usage(format!("{}: {why}", path.display()));
    let (n, d, mut x) = npy::decode(&bytes).map_err(wrong)?;
    if d != geometry.dim() {
        return Err(wrong(format!("its states have {d} numbers, {} are wanted", geometry.dim())));
    }
    if n < wanted {
        return Err(wrong(format!("it holds {n} states, {wanted} are wanted; lower evaluation.sets")));
    }
    if x.iter().any(|v| !v.is_finite()) {
        return Err(wrong("it holds a number that is not finite".into()));
    }
    geometry.project(&mut x);
    Ok(x)
}

/// States of one walker follow each other: in random order the halves of the reference are alike.
fn shuffle(mut x: Vec<f64>, geometry: Geometry) -> Vec<f64> {
    Stream::new(0, "reference order", 0, 0).shuffle_columns(&mut x, geometry.dim());
    x
}

fn make(
    plan: Plan,
    files: &Files,
    geometry: Geometry,
    interrupt: &Interrupt,
    options: Options,
) -> Result<Made, CliError> {
    let (target, config) = (plan.settings.target()?, &plan.settings);
    let wanted = plan.samples;
    let mut sampler = config.method.config().build(&*target, wanted, config.seed).map_err(sampler_failure)?;
    // Before the first checkpoint, which is for this plan alone.
    let mut side = Side { plan: Plan::new(&config.target, wanted)?, made: None };
    files.write_side(&side)?;
    let steps = Steps {
        checkpoint: &files.checkpoint,
        advice: "the reference is continued when the command is given again (with --force or another --out)"
            .into(),
        subject: "reference samples, once:",
        options: Options { save_every: SAVE_EVERY, ..options },
        interrupt,
        curve: None,
    };
    let mut past = steps.begin(&mut *sampler)?;
    steps.run(&mut *sampler, &mut past, |_| Ok((Vec::new(), String::new())))?;
    let states = sampler.draw(wanted, 0, (0, 0)).map_err(sampler_failure)?;
    let states: Vec<f32> = states.iter().map(|v| *v as f32).collect();
    write(&files.states, &npy::encode(geometry.dim(), &states))?;
    let diagnostics = sampler.diagnostics();
    let log_z = diagnostics.log_z.map_or(f64::NAN, |(value, _)| value);
    side.made = Some(Made { log_z, failures: diagnostics.failures });
    files.write_side(&side)?;
    // A short run ends before its first checkpoint.
    let _ = std::fs::remove_file(&files.checkpoint);
    side.made.ok_or_else(|| CliError::Failed("the reference was not made".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_another_plan_are_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path(), "dw4", 10);
        let plan = |samples| Plan::new(&TargetConfig::of("dw4").unwrap(), samples).unwrap();
        let made = || Some(Made { log_z: 1.5, failures: vec!["R-hat".into()] });
        std::fs::write(&files.states, "states").unwrap();
        files.write_side(&Side { plan: plan(10), made: made() }).unwrap();
        let found = files.made(&plan(10)).unwrap().unwrap();
        assert_eq!((found.log_z, found.failures.len()), (1.5, 1));
        assert!(files.made(&Plan { format: FORMAT + 1, ..plan(10) }).unwrap().is_none());
        assert!(!files.states.exists() && !files.side.exists());
        // One process at a time.
        let held = files.lock(&Interrupt::default(), true).unwrap();
        let other = File::options().append(true).open(&files.lock).unwrap();
        assert!(held.is_some() && matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
        // A making that was interrupted is continued; one of another plan is not.
        std::fs::write(&files.checkpoint, "half").unwrap();
        files.write_side(&Side { plan: plan(10), made: None }).unwrap();
        assert!(files.made(&plan(10)).unwrap().is_none() && files.checkpoint.exists());
        assert!(files.made(&plan(20)).unwrap().is_none() && !files.checkpoint.exists());
    }
}
