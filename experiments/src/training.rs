//! Training in a run folder: save, go on, stop, watch. What is trained, and what its snapshots show, is the
//! experiment's own.

use std::path::PathBuf;
use std::time::Instant;

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::par;
use models::sampler::iwsm::{StepReport, TrainError, Trainer};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::run_folder::{History, RunFolder};

/// Keeps the random numbers of measurements apart from those of training.
pub const MEASURE: u64 = 0x6d65_6173_7572_6521;

/// The state of a training.
const CHECKPOINT: &str = "checkpoint.safetensors";

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
pub struct Past {
    /// The learning curve.
    pub history: History,
    /// Sums since its last row.
    sums: Averages,
    /// Seconds of training.
    pub seconds: f64,
}

/// The training part of a run.
pub struct Training<'a> {
    /// The binary, for advice.
    pub binary: &'static str,
    /// Where to save.
    pub folder: &'a RunFolder,
    /// How to watch.
    pub options: Options,
    /// Columns of history.csv that a snapshot fills, between the trainer's own.
    pub columns: &'static [&'static str],
    /// Snapshots in all.
    pub snapshots: u64,
}

struct Averages {
    since: u64,
    loss: f64,
    ess: f64,
    gradient_norm: f64,
}

impl Training<'_> {
    /// The columns of history.csv.
    fn header(&self) -> Vec<&'static str> {
        let own = ["step", "loss", "ess", "gradient_norm"];
        own.iter().chain(self.columns).chain(&["energy_evaluations"]).copied().collect()
    }

    /// A run that begins, or goes on from the folder's checkpoint if there is one.
    pub fn begin(&self, trainer: &mut Trainer<f32>) -> Result<Past, Failure> {
        if self.folder.file(CHECKPOINT).exists() {
            return self.restore(trainer);
        }
        Ok(Past { history: History::new(&self.header()), sums: Averages::new(0), seconds: 0.0 })
    }

    fn restore(&self, trainer: &mut Trainer<f32>) -> Result<Past, Failure> {
        let path = self.folder.file(CHECKPOINT);
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
        let history = History::read(&text, &self.header(), trainer.state.step)?;
        Ok(Past { history, sums, seconds: self.folder.seconds() })
    }

    /// Trains to the end. `snapshot` gives the numbers for its columns and a text for the progress line.
    pub fn run(
        &self,
        trainer: &mut Trainer<f32>,
        past: &mut Past,
        interrupt: &Interrupt,
        mut snapshot: impl FnMut(&Trainer<f32>) -> Result<(Vec<f64>, String), Failure>,
    ) -> Result<(), Failure> {
        let (total, batch) = (trainer.config().train.steps, trainer.config().train.batch as f64);
        let every = (total / self.snapshots).max(1);
        let mut progress = Progress::new(trainer.state.step, total, self.options.quiet);
        let (began, before, first) = (Instant::now(), past.seconds, trainer.state.step);
        let (mut saved, mut live) = (Instant::now(), String::new());
        while trainer.state.step < total {
            let outcome = par::awake(|| trainer.step());
            past.seconds = before + began.elapsed().as_secs_f64();
            match outcome {
                Ok(report) => past.sums.add(&report),
                Err(e @ TrainError::Diverged { .. }) => {
                    progress.finish();
                    // The step is half done: what is saved is the state before it, as of the last checkpoint.
                    self.save_history(past)?;
                    let at = self.folder.path().display();
                    let kept = match self.folder.file(CHECKPOINT).exists() {
                        true => "the last checkpoint is",
                        false => "the learning curve is",
                    };
                    return Err(Failure::Diverged(format!("{e}; {kept} in {at}")));
                }
            }
            let step = trainer.state.step;
            // Before a snapshot begins new averages.
            let (loss, ess) = (past.sums.mean(past.sums.loss, step), past.sums.mean(past.sums.ess, step));
            if step.is_multiple_of(every) || step == total {
                let (own, text) = snapshot(trainer)?;
                past.history.push(&past.sums.row(trainer, &own));
                live = text;
                past.sums = Averages::new(step);
            }
            let stop = interrupt.requested() && step < total;
            if saved.elapsed().as_secs_f64() >= self.options.save_every || step == total || stop {
                self.save(trainer, past)?;
                saved = Instant::now();
            }
            if stop {
                progress.finish();
                let (at, binary) = (self.folder.path().display(), self.binary);
                let advice = format!("stopped at step {step}, saved; go on with: {binary} --resume {at}");
                return Err(Failure::Interrupted(advice));
            }
            progress.set(step, || {
                let rate = (step - first) as f64 * batch / began.elapsed().as_secs_f64();
                format!("loss {loss:.3} ess {ess:.2} {live} {:.0}k samples/s", rate / 1e3)
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
        self.save_history(past)?;
        self.folder.write(CHECKPOINT, &bytes)
    }

    fn save_history(&self, past: &Past) -> Result<(), Failure> {
        self.folder.write("history.csv", past.history.to_csv().as_bytes())?;
        self.folder.write_seconds(past.seconds)
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
    /// A row of the history.
    fn row(&self, trainer: &Trainer<f32>, own: &[f64]) -> Vec<f64> {
        let step = trainer.state.step;
        let means = [self.loss, self.ess, self.gradient_norm].map(|s| self.mean(s, step));
        let evaluations = trainer.state.energy_evaluations as f64;
        [&[step as f64], &means[..], own, &[evaluations]].concat()
    }
}
