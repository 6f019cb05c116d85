//! Progress: a bar with time left and live figures on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            eprintln!("{position}/{} ({left:.0} s left)  {}", self.total, message());
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn console_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
