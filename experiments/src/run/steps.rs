//! The loop of a sampler's steps: resumes from a checkpoint, saves, stops, shows progress, keeps a learning curve.

use std::time::{Duration, Instant};

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::parallel;
use engine::ranks::{Ranks, RanksError, gather_words};
use models::sampler::{Named, Sampler, SamplerError};
use models::target::TargetError;

use crate::run::CHECKPOINT;
use crate::run::error::CliError;
use crate::run::folder::RunFolder;
use crate::run::history::History;
use crate::run::interrupt::Interrupt;
use crate::run::progress::Progress;
use crate::run::ranks::is_first;

/// The file of the learning curve.
const HISTORY: &str = "history.csv";
/// Steps from one comparison of the states of all ranks to the next.
const COMPARED: u64 = 100;
/// Seconds, at least, after which rank 0 keeps the state in memory once more, and how many times what that takes.
const KEPT: Duration = Duration::from_millis(250);
const RARELY: u32 = 50;

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

/// The loop: where it saves, and how it is watched.
pub struct Steps<'a> {
    /// Holds the checkpoint, from which the loop resumes, and the learning curve.
    pub folder: &'a RunFolder,
    /// What is sampled, for the progress line.
    pub subject: &'a str,
    /// How to watch.
    pub options: Options,
    /// Asked after each step.
    pub interrupt: &'a Interrupt,
    /// Who makes the steps together. The first alone reads and writes the folder; all stop at the same step.
    pub ranks: &'a dyn Ranks,
    /// The learning curve, if one is kept.
    pub curve: Option<Curve<'a>>,
}

/// A learning curve, history.csv.
#[derive(Clone, Copy)]
pub struct Curve<'a> {
    /// Rows in all.
    pub rows: u64,
    /// Columns that a snapshot fills, between those of the sampler.
    pub columns: &'a [&'static str],
}

/// What a run has behind it besides the sampler's state.
pub struct Past {
    /// The learning curve.
    pub history: History,
    /// Sums of the step figures since its last row.
    sums: Vec<Named>,
    /// The step of its last row.
    since: u64,
    /// Seconds so far.
    pub seconds: f64,
}

impl Past {
    fn new(sampler: &dyn Sampler, header: &[&str]) -> Self {
        Self { history: History::new(header), sums: zeros(sampler), since: 0, seconds: 0.0 }
    }

    /// Means of the step figures since the last row.
    fn means(&self, step: u64) -> Vec<Named> {
        self.sums.iter().map(|(name, sum)| (*name, sum / (step - self.since) as f64)).collect()
    }
}

fn zeros(sampler: &dyn Sampler) -> Vec<Named> {
    sampler.step_figures().into_iter().map(|(name, _)| (name, 0.0)).collect()
}

impl Steps<'_> {
    /// The columns of history.csv.
    fn header(&self, sampler: &dyn Sampler) -> Vec<&'static str> {
        let Some(curve) = &self.curve else { return vec!["step"] };
        let mut header = vec!["step"];
        header.extend(sampler.step_figures().iter().map(|(name, _)| name));
        header.extend(curve.columns);
        header.extend(sampler.state_figures().iter().map(|(name, _)| name));
        header.push("energy_evaluations");
        header
    }

    /// A run that begins, or resumes from the checkpoint if there is one.
    pub fn begin(&self, sampler: &mut dyn Sampler) -> Result<Past, CliError> {
        let header = self.header(sampler);
        let mut past = Past::new(sampler, &header);
        let path = self.folder.file(CHECKPOINT);
        let wrong = |e: CheckpointError| CliError::usage(format!("{}: {e}; start a new run", path.display()));
        let (first, mut bytes) = (is_first(self.ranks), Vec::new());
        if first && path.exists() {
            bytes = std::fs::read(&path).map_err(|e| wrong(e.into()))?;
            // For the other ranks no bytes are no checkpoint; for this one they are a damaged one.
            Checkpoint::decode(&bytes).map_err(wrong)?;
        }
        let bytes = self.ranks.broadcast(bytes)?;
        if bytes.is_empty() {
            return Ok(past);
        }
        let checkpoint = Checkpoint::decode(&bytes).map_err(wrong)?;
        let begun: String = checkpoint.read_note("begun").map_err(wrong)?;
        if first && begun != self.folder.fingerprint()? {
            let path = path.display();
            return Err(CliError::usage(format!(
                "{path}: belongs to a run that began otherwise; start a new run"
            )));
        }
        sampler.restore(&checkpoint).map_err(wrong)?;
        past.since = checkpoint.read_note("sums.since").map_err(wrong)?;
        for (name, sum) in &mut past.sums {
            *sum = checkpoint.read_note(&format!("sums.{name}")).map_err(wrong)?;
        }
        past.seconds = checkpoint.read_note("seconds").map_err(wrong)?;
        if self.curve.is_some() && first {
            let text = String::from_utf8_lossy(&self.folder.read(HISTORY)?).into_owned();
            let rows = self.rows(sampler.done(), sampler.total());
            let place = self.folder.path().display();
            past.history =
                History::read(&text, &header, rows).map_err(|e| CliError::usage(format!("{place}: {e}")))?;
        }
        Ok(past)
    }

    /// Steps from one row of the learning curve to the next.
    fn every(&self, total: u64) -> Option<u64> {
        self.curve.as_ref().map(|curve| (total / curve.rows).max(1))
    }

    /// Whether the learning curve has a row for a step.
    fn is_row(&self, step: u64, total: u64) -> bool {
        self.every(total).is_some_and(|every| step.is_multiple_of(every) || step == total)
    }

    /// The steps of all rows up to that of `done`.
    fn rows(&self, done: u64, total: u64) -> impl Iterator<Item = u64> {
        let every = self.every(total).unwrap_or(u64::MAX);
        let last = (done == total && !total.is_multiple_of(every)).then_some(total);
        (1..=done / every).map(move |k| k * every).chain(last)
    }

    /// Goes to the end. `snapshot` gives the numbers of the curve's columns and a text for the progress line.
    pub fn run(
        &self,
        sampler: &mut dyn Sampler,
        past: &mut Past,
        mut snapshot: impl FnMut(&dyn Sampler) -> Result<(Vec<f64>, String), CliError>,
    ) -> Result<(), CliError> {
        let (total, first) = (sampler.total(), sampler.done());
        let _saving = self.interrupt.saving();
        let mut progress = Progress::new(first, total, self.options.quiet);
        let (began, before) = (Instant::now(), past.seconds);
        let (mut saved, mut live) = (Instant::now(), String::new());
        let (writes, mut kept) = (is_first(self.ranks), Kept::new());
        while sampler.done() < total {
            let outcome = parallel::spin_workers(|| sampler.step());
            past.seconds = before + began.elapsed().as_secs_f64();
            if let Err(e) = outcome {
                progress.finish();
                return Err(match e {
                    SamplerError::Target(TargetError::Ranks(e)) => self.left(past, kept.take(), e)?,
                    e => self.failed(past, e)?,
                });
            }
            let step = sampler.done();
            let figures = sampler.step_figures();
            if past.sums.iter().zip(&figures).any(|((_, sum), (_, v))| sum.is_nan() && !v.is_nan()) {
                // The training begins here: means are its own.
                (past.sums, past.since) = (zeros(sampler), step - 1);
            }
            past.sums.iter_mut().zip(&figures).for_each(|((_, sum), (_, v))| *sum += v);
            let due = self.is_row(step, total);
            if due {
                let (own, text) = match snapshot(sampler) {
                    Ok(found) => found,
                    Err(e) => {
                        progress.finish();
                        // A rank may have been lost. The row is not there, so that the state is an older one.
                        if let Some((_, checkpoint)) = kept.take() {
                            self.save(past, &checkpoint)?;
                        }
                        return Err(e);
                    }
                };
                let values = |named: Vec<Named>| named.into_iter().map(|(_, v)| v);
                let mut row = vec![step as f64];
                row.extend(values(past.means(step)).chain(own).chain(values(sampler.state_figures())));
                row.push(sampler.evaluations() as f64);
                past.history.push(&row);
                live = text;
            }
            progress.set(step, || {
                // There is no loss yet while a training looks for its scales.
                let known = past.means(step).into_iter().filter(|(_, v)| !v.is_nan());
                let figures: Vec<String> = known.map(|(name, v)| format!("{name} {v:.3}")).collect();
                let rate = (step - first) as f64 / began.elapsed().as_secs_f64();
                let (subject, note) = (self.subject, sampler.note());
                format!("{subject} {} {live}{note} {rate:.1} steps/s", figures.join(" "))
            });
            // Without rows, the line of progress tells of the last hundredth of the steps, not of a distant start.
            if due || self.curve.is_none() && step.is_multiple_of((total / 100).max(1)) {
                (past.sums, past.since) = (zeros(sampler), step);
            }
            let stop = match self.meet(sampler) {
                Ok(stop) => stop,
                Err(e) => {
                    progress.finish();
                    let state = (step, self.checkpoint(sampler, past)?);
                    return Err(self.left(past, Some(state), e)?);
                }
            };
            if writes && (saved.elapsed().as_secs_f64() >= self.options.save_every || step == total || stop) {
                self.save(past, &self.checkpoint(sampler, past)?)?;
                saved = Instant::now();
                kept.drop_older();
            } else if writes && self.ranks.size() > 1 && kept.is_due() {
                kept.keep(|| Ok((step, self.checkpoint(sampler, past)?)))?;
            }
            if stop {
                progress.finish();
                // A launcher may kill all ranks once one of them has ended: not before this is saved.
                self.ranks.barrier()?;
                return Err(CliError::Interrupted(format!(
                    "stopped at step {step} of {total}, saved; {}",
                    self.interrupt.advice()
                )));
            }
        }
        progress.finish();
        Ok(())
    }

    /// Whether some rank is asked to stop: all hear it after the same step. Now and then the states of all ranks, which
    /// must be the same, are compared.
    fn meet(&self, sampler: &dyn Sampler) -> Result<bool, RanksError> {
        let asked = self.interrupt.requested();
        if self.ranks.size() == 1 {
            return Ok(asked);
        }
        let step = sampler.done();
        let compared = step.is_multiple_of(COMPARED) || step == sampler.total();
        let hash = if compared { sampler.checkpoint().hash() } else { 0 };
        let all = gather_words(self.ranks, [step, hash, u64::from(asked)])?;
        let others: Vec<String> = (0..all.len())
            .filter(|rank| all[*rank][..2] != all[0][..2])
            .map(|rank| rank.to_string())
            .collect();
        match others.is_empty() {
            true => Ok(all.iter().any(|[.., asked]| *asked == 1)),
            false => Err(RanksError::Differ { step, ranks: others.join(", ") }),
        }
    }

    /// The ranks cannot go on together: rank 0 saves the last `state` that it has.
    fn left(
        &self,
        past: &Past,
        state: Option<(u64, Checkpoint)>,
        e: RanksError,
    ) -> Result<CliError, CliError> {
        let place = self.folder.path().display();
        Ok(CliError::Failed(match state {
            // Nobody knows which of them is right.
            _ if matches!(e, RanksError::Differ { .. }) => format!("{e}; the last checkpoint is in {place}"),
            Some((step, checkpoint)) if is_first(self.ranks) => {
                self.save(past, &checkpoint)?;
                format!("{e}; saved at step {step}, {}", self.interrupt.advice())
            }
            _ => format!("{e}; {}", self.interrupt.advice()),
        }))
    }

    /// The step is half done: what is saved is the state before it, as of the last checkpoint.
    fn failed(&self, past: &Past, e: SamplerError) -> Result<CliError, CliError> {
        if self.curve.is_none() {
            return Ok(CliError::Failed(e.to_string()));
        }
        self.save_history(past)?;
        let has_checkpoint = self.folder.file(CHECKPOINT).exists();
        let kept = if has_checkpoint { "the last checkpoint is" } else { "the learning curve is" };
        let text = format!("{e}; {kept} in {}", self.folder.path().display());
        Ok(match e {
            SamplerError::Diverged(_) => CliError::Diverged(text),
            _ => CliError::Failed(text),
        })
    }

    fn checkpoint(&self, sampler: &dyn Sampler, past: &Past) -> Result<Checkpoint, CliError> {
        let mut checkpoint = sampler.checkpoint();
        if !is_first(self.ranks) {
            return Ok(checkpoint);
        }
        checkpoint.note("begun", self.folder.fingerprint()?);
        // Shortest decimal forms read back to the same bits.
        checkpoint.note("sums.since", past.since);
        past.sums.iter().for_each(|(name, sum)| checkpoint.note(&format!("sums.{name}"), sum));
        checkpoint.note("seconds", past.seconds);
        Ok(checkpoint)
    }

    fn save(&self, past: &Past, checkpoint: &Checkpoint) -> Result<(), CliError> {
        // The checkpoint last: a history that is ahead of it is cut back on resuming.
        self.save_history(past)?;
        let bytes = checkpoint.encode().map_err(|e| CliError::Failed(format!("{CHECKPOINT}: {e}")))?;
        self.folder.write(CHECKPOINT, &bytes)
    }

    fn save_history(&self, past: &Past) -> Result<(), CliError> {
        match &self.curve {
            Some(_) => self.folder.write(HISTORY, past.history.to_csv().as_bytes()),
            None => Ok(()),
        }
    }
}

/// A state in memory, for the case that a rank is lost in the middle of a step.
struct Kept {
    state: Option<(u64, Checkpoint)>,
    at: Instant,
    /// What keeping it took.
    cost: Duration,
}

impl Kept {
    fn new() -> Self {
        Self { state: None, at: Instant::now(), cost: Duration::ZERO }
    }

    fn is_due(&self) -> bool {
        self.at.elapsed() >= KEPT.max(RARELY * self.cost)
    }

    fn keep(&mut self, state: impl FnOnce() -> Result<(u64, Checkpoint), CliError>) -> Result<(), CliError> {
        let began = Instant::now();
        self.state = Some(state()?);
        (self.at, self.cost) = (Instant::now(), began.elapsed());
        Ok(())
    }

    /// A later one is in the folder.
    fn drop_older(&mut self) {
        (self.state, self.at) = (None, Instant::now());
    }

    fn take(&mut self) -> Option<(u64, Checkpoint)> {
        self.state.take()
    }
}
