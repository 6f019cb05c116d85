//! The loop of steps on several ranks, with a sampler that is a number.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::ranks::{Ranks, Solo, Threads, gather_words};
use models::sampler::{Diagnostics, Named, Sampler, SamplerError};
use models::target::TargetError;

use super::interrupt::Interrupt;
use super::ranks::is_first;
use super::{CliError, Inputs, Options, Place, RunFolder, Steps};

const KIND: &str = "run of a test";

/// Counts what the ranks give.
struct Count {
    ranks: Arc<dyn Ranks>,
    done: u64,
    sum: f64,
    /// From which step on this one has another sum than the others.
    wrong_from: u64,
    /// In which step this one ends.
    leaves_in: u64,
    pause: Duration,
}

impl Count {
    fn new(ranks: Arc<dyn Ranks>) -> Self {
        let never = u64::MAX;
        Self { ranks, done: 0, sum: 0.0, wrong_from: never, leaves_in: never, pause: Duration::ZERO }
    }
}

impl Sampler for Count {
    fn done(&self) -> u64 {
        self.done
    }

    fn total(&self) -> u64 {
        450
    }

    fn step(&mut self) -> Result<(), SamplerError> {
        std::thread::sleep(self.pause);
        let step = self.done + 1;
        if step == self.leaves_in {
            return Err(SamplerError::Diverged("it has no more memory".into()));
        }
        // Half a step is done when another rank is missed.
        self.sum = f64::NAN;
        gather_words(&*self.ranks, [step]).map_err(TargetError::from)?;
        self.sum = step as f64 + f64::from(u8::from(step >= self.wrong_from));
        self.done = step;
        Ok(())
    }

    fn step_figures(&self) -> Vec<Named> {
        vec![("sum", self.sum)]
    }

    fn draw(&self, _: usize, _: usize, _: (u64, u64)) -> Result<Vec<f64>, SamplerError> {
        Ok(vec![self.sum])
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut c = Checkpoint::new();
        c.note("done", self.done);
        c.put_vec("sum", &[self.sum]);
        c
    }

    fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        self.done = c.read_note("done")?;
        self.sum = c.get_vec("sum", 1)?[0];
        Ok(())
    }

    fn diagnostics(&self) -> Diagnostics {
        Diagnostics::default()
    }

    fn evaluations(&self) -> u64 {
        self.done
    }
}

/// Runs, or goes on, in a folder that rank 0 alone has; the first step that this made, and how it ended.
fn run(path: &Path, mut sampler: Count, interrupt: &Interrupt) -> (u64, Result<(), CliError>) {
    let ranks = sampler.ranks.clone();
    let folder = match is_first(&*ranks) {
        true if path.exists() => RunFolder::open(path, KIND).unwrap(),
        true => {
            let folder = RunFolder::create(&Place::Named(path.into()), false).unwrap();
            folder.begin(KIND, &[("config.toml", "a = 1\n")], Inputs::new()).unwrap();
            folder
        }
        false => RunFolder::nowhere(),
    };
    interrupt.advise("resume it");
    let options = Options { quiet: true, save_every: 1e9, threads: 1 };
    let (folder, ranks) = (&folder, &*ranks);
    let steps = Steps { folder, subject: "", options, interrupt, ranks, curve: None };
    let mut past = steps.begin(&mut sampler).unwrap();
    let first = sampler.done() + 1;
    (first, steps.run(&mut sampler, &mut past, |_| Ok((Vec::new(), String::new()))))
}

/// The step that a folder's checkpoint is of, whose sum is right.
fn saved(path: &Path) -> u64 {
    let c = Checkpoint::load(&path.join(super::CHECKPOINT)).unwrap();
    let step = c.read_note("done").unwrap();
    assert_eq!(c.get_vec::<f64>("sum", 1).unwrap(), [step as f64]);
    step
}

#[test]
fn a_request_at_one_rank_stops_all_and_any_number_of_ranks_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let stopped = Threads::run(3, 1, |ranks| {
        let asked = if ranks.rank() == 1 { Interrupt::after(7) } else { Interrupt::default() };
        run(&path, Count::new(ranks), &asked)
    });
    let said = CliError::Interrupted("stopped at step 7 of 450, saved; resume it".into());
    assert!(stopped.iter().all(|end| *end == (1, Err(said.clone()))), "{stopped:?}");
    assert_eq!(saved(&path), 7);
    let more = Threads::run(2, 1, |ranks| run(&path, Count::new(ranks), &Interrupt::after(20)));
    assert!(more.iter().all(|(first, end)| *first == 8 && end.is_err()));
    assert_eq!(saved(&path), 27);
    assert_eq!(run(&path, Count::new(Arc::new(Solo)), &Interrupt::default()), (28, Ok(())));
    assert_eq!(saved(&path), 450);
}

#[test]
fn a_rank_that_computes_something_else_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let ends = Threads::run(4, 1, |ranks| {
        let mut sampler = Count::new(ranks);
        if sampler.ranks.rank() >= 2 {
            sampler.wrong_from = 150;
        }
        run(&path, sampler, &Interrupt::default()).1.unwrap_err().to_string()
    });
    let said = "at step 200 the states of ranks 2, 3 are not that of rank 0: ";
    assert!(ends.iter().all(|end| end.starts_with(said)), "{ends:?}");
    assert!(!path.join(super::CHECKPOINT).exists());
}

#[test]
fn a_rank_that_ends_leaves_a_state_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let ends = Threads::run(2, 1, |ranks| {
        let mut sampler = Count::new(ranks);
        sampler.pause = Duration::from_millis(10);
        if sampler.ranks.rank() == 1 {
            sampler.leaves_in = 100;
        }
        run(&path, sampler, &Interrupt::default()).1.unwrap_err().to_string()
    });
    let step = saved(&path);
    // A state is kept four times a second.
    assert!((1..100).contains(&step), "{step}");
    assert_eq!(ends[0], format!("rank 1: has ended; saved at step {step}, resume it"));
    assert_eq!(run(&path, Count::new(Arc::new(Solo)), &Interrupt::default()), (step + 1, Ok(())));
}
