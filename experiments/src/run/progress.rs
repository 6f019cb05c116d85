//! Progress: a bar with time left and live figures on a terminal, a line now and then elsewhere.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::console;

/// Progress of a loop of known length.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    start: u64,
    began: Instant,
    spoke: Instant,
    plain: bool,
}

/// Least time between lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

impl Progress {
    /// Progress from `start` to `total`; `quiet` shows nothing.
    pub fn new(start: u64, total: u64, quiet: bool) -> Self {
        let plain = !console_is_terminal();
        let bar = (!quiet && !plain).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            let style = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len} {elapsed}<{eta}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_position(start);
            bar.reset_eta();
            bar
        });
        Self { bar, total, start, began: Instant::now(), spoke: Instant::now(), plain: plain && !quiet }
    }

    /// Moves to `position` and shows `message`.
    pub fn set(&mut self, position: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(message());
        } else if self.plain && self.spoke.elapsed() >= PAUSE {
            self.spoke = Instant::now();
            let done = (position - self.start).max(1) as f64;
            let left =
                self.began.elapsed().as_secs_f64() * (self.total.saturating_sub(position)) as f64 / done;
            let total = self.total;
            console::note(format_args!("{position}/{total} ({left:.0} s left)  {}", message()));
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Progress of what has a few parts of unknown length: which it is at, and for how long.
pub struct Stages {
    subject: String,
    bar: Option<ProgressBar>,
    /// To what speaks where there is no terminal.
    speaker: Option<Sender<Option<String>>>,
}

/// Time between lines on a part where there is no terminal; shorter ones are not worth a line.
const PART_PAUSE: Duration = Duration::from_secs(5);

impl Stages {
    /// Of what is done to `subject`; `quiet` shows nothing.
    pub fn new(subject: &str, quiet: bool) -> Self {
        let terminal = console_is_terminal();
        let bar = (!quiet && terminal).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            let style = ProgressStyle::with_template("{spinner:.cyan} {elapsed}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let speaker = (!quiet && !terminal).then(|| speaker(subject.into()));
        Self { subject: subject.into(), bar, speaker }
    }

    /// At the part that is under way, and alone, until this is dropped.
    pub fn only(subject: &str, what: &str, quiet: bool) -> Self {
        let mut stages = Self::new(subject, quiet);
        stages.next(what);
        stages
    }

    /// The next part begins.
    pub fn next(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {what}", self.subject));
            bar.enable_steady_tick(Duration::from_millis(125));
        }
        self.speaker.iter().for_each(|speaker| drop(speaker.send(Some(what.into()))));
    }

    /// Another progress takes the line, or there is none.
    pub fn pause(&self) {
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.finish_and_clear();
            bar.reset();
        }
        self.speaker.iter().for_each(|speaker| drop(speaker.send(None)));
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.pause();
    }
}

/// Says now and then which part is under way, until its sender is dropped.
fn speaker(subject: String) -> Sender<Option<String>> {
    let (sender, parts) = channel::<Option<String>>();
    std::thread::spawn(move || {
        let mut current = None;
        loop {
            match parts.recv_timeout(PART_PAUSE) {
                Ok(part) => current = part.map(|part| (part, Instant::now())),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((part, since)) = &current {
                        let seconds = since.elapsed().as_secs();
                        console::note(format_args!("{subject}: {part}, {seconds} s so far"));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    sender
}

fn console_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
