//! The loop of sweeps: goes on from a saved state, saves, stops, watches.

use std::path::Path;
use std::time::Instant;

use engine::checkpoint::{Checkpoint, CheckpointError};
use models::mcmc::parallel_tempering::Sampler;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// How the loop is watched and saved, which does not change what it samples.
pub struct Watch<'a> {
    /// Where the state is saved; the loop goes on from what is there.
    pub checkpoint: &'a Path,
    /// What to do after an interruption.
    pub advice: String,
    /// Seconds between checkpoints, at least.
    pub save_every: f64,
    /// Asked after each sweep.
    pub interrupt: &'a Interrupt,
    /// What is sampled, for the progress line.
    pub subject: &'a str,
    /// Show no progress.
    pub quiet: bool,
}

/// Sweeps until `samples` states are recorded; returns the seconds it took, earlier parts of the run included.
pub fn sample(sampler: &mut Sampler<'_>, samples: usize, watch: &Watch<'_>) -> Result<f64, Failure> {
    let before = if watch.checkpoint.exists() { restore(sampler, watch.checkpoint)? } else { 0.0 };
    let total = sampler.sweeps_for(samples);
    let mut progress = Progress::new(sampler.sweeps() as u64, total as u64, watch.quiet);
    let (began, mut saved) = (Instant::now(), Instant::now());
    let seconds = || before + began.elapsed().as_secs_f64();
    while sampler.sweeps() < total {
        sampler.sweep();
        let stop = watch.interrupt.requested() && sampler.sweeps() < total;
        if stop || saved.elapsed().as_secs_f64() >= watch.save_every {
            save(sampler, seconds(), watch.checkpoint)?;
            saved = Instant::now();
        }
        if stop {
            progress.finish();
            let (sweep, advice) = (sampler.sweeps(), &watch.advice);
            return Err(Failure::Interrupted(format!(
                "stopped at sweep {sweep} of {total}, saved; {advice}"
            )));
        }
        progress.set(sampler.sweeps() as u64, || match sampler.recorded() {
            0 => format!("{}, warm-up", watch.subject),
            n => format!("{}, {n} recorded", watch.subject),
        });
    }
    progress.finish();
    Ok(seconds())
}

fn save(sampler: &Sampler<'_>, seconds: f64, path: &Path) -> Result<(), Failure> {
    let mut checkpoint = sampler.checkpoint();
    checkpoint.note("seconds", seconds);
    checkpoint.save(path).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))
}

fn restore(sampler: &mut Sampler<'_>, path: &Path) -> Result<f64, Failure> {
    let wrong =
        |e: CheckpointError| Failure::usage(format!("{}: {e}; remove it to start again", path.display()));
    let checkpoint = Checkpoint::load(path).map_err(wrong)?;
    sampler.restore(&checkpoint).map_err(wrong)?;
    checkpoint.read_note("seconds").map_err(wrong)
}
