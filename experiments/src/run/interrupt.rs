//! Signals that ask a run to save and stop: Ctrl-C, and what batch systems send, however often they send it. USR1 and
//! USR2 come ahead of the end of a job where they are asked for (Slurm, submitit, `qsub -notify`, LSF), XCPU at a limit of
//! processor time, TERM at the end. CONT, which comes before TERM, wakes a process that is stopped and asks for nothing.
//!
//! While something would be lost, which is in the loop of a sampler's steps, the loop is asked to save and stop.
//! Elsewhere (measuring, loading, trainings that are saved one by one when they end) everything worth keeping is in
//! files that are whole at every moment, and the process ends at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook::iterator::Signals;

use crate::run::console;
use crate::run::error::CliError;

/// A second Ctrl-C within this time is the first one, sent twice: terminals and wrappers do that.
const SAME: Duration = Duration::from_secs(1);
/// A step that waits at so many looks without a break, a second or more, does not end soon.
const LOOKS: u32 = 20;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The advice before there is a run.
const NOTHING: &str = "nothing was begun";

/// What an end in the middle of a step costs.
const LOST: &str = "what came after the last save is lost; ";

/// Whether the user asked to stop.
#[derive(Clone, Default)]
pub struct Interrupt {
    shared: Arc<Shared>,
    /// Questions until it asks by itself; 0 for never.
    left: Arc<AtomicU64>,
}

#[derive(Default)]
struct Shared {
    asked: AtomicBool,
    /// A loop has seen that, so that the process ends by itself.
    heard: AtomicBool,
    /// Loops that have something to save.
    saving: AtomicUsize,
    /// What to do after an end.
    advice: Mutex<String>,
    quiet: AtomicBool,
    /// Whether a step waits for something outside of the process.
    waits: OnceLock<fn() -> bool>,
}

/// A loop that saves when it is asked to stop, while this lives.
pub struct Saving(Arc<Shared>);

impl Drop for Saving {
    fn drop(&mut self) {
        self.0.saving.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Interrupt {
    /// Listens from here on. With `stop_after`, the question of that number asks by itself: tests stop a run where
    /// they want by it, and wait for nothing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install(stop_after: Option<u64>, quiet: bool) -> Result<Self, CliError> {
        let this = Self { shared: Arc::default(), left: Arc::new(stop_after.unwrap_or(0).into()) };
        this.shared.quiet.store(quiet, Ordering::Relaxed);
        let wrong = |e: std::io::Error| CliError::Failed(format!("cannot listen for Ctrl-C: {e}"));
        // Under nohup a terminal that goes away is to be ignored, and stays so.
        let hang_up = (!ignored(SIGHUP)).then_some(SIGHUP);
        let signals = [SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU].into_iter().chain(hang_up);
        let mut signals = Signals::new(signals).map_err(wrong)?;
        let shared = this.shared.clone();
        let listen = move || {
            let mut first = None;
            signals.forever().for_each(|signal| shared.hear(signal, &mut first));
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(wrong)?;
        Ok(this)
    }

    /// One that the question of this number asks for, and no signal.
    #[cfg(test)]
    pub(super) fn after(questions: u64) -> Self {
        Self { left: Arc::new(questions.into()), ..Self::default() }
    }

    /// While this holds for a second after a request the step does not end, and the process does.
    pub fn do_not_wait_while(&self, waits: fn() -> bool) {
        self.shared.waits.get_or_init(|| waits);
    }

    /// True once the user has asked. Each step, epoch or layer asks once.
    pub fn requested(&self) -> bool {
        let count = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(1) {
            self.shared.asked.store(true, Ordering::SeqCst);
        }
        let asked = self.shared.asked.load(Ordering::SeqCst);
        if asked {
            self.shared.heard.store(true, Ordering::SeqCst);
        }
        asked
    }

    /// The same without a question: what waits for others looks at it again and again.
    pub fn is_asked(&self) -> bool {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// As [`requested`](Self::requested), but its questions do not count.
    pub fn uncounted(&self) -> Self {
        Self { shared: self.shared.clone(), left: Arc::default() }
    }

    /// What to do after an end. The first to say it is the outermost run, and its advice stands.
    pub fn advise(&self, advice: impl Into<String>) {
        let mut held = self.shared.advice.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            *held = advice.into();
        }
    }

    /// What to do after an end.
    pub fn advice(&self) -> String {
        let advice = self.shared.advice.lock().unwrap_or_else(PoisonError::into_inner);
        if advice.is_empty() { NOTHING.into() } else { advice.clone() }
    }

    /// From here on a loop asks whether to stop, and has something to save, until the value is dropped.
    pub fn saving(&self) -> Saving {
        self.shared.saving.fetch_add(1, Ordering::SeqCst);
        Saving(self.shared.clone())
    }
}

impl Shared {
    fn hear(self: &Arc<Self>, signal: i32, first: &mut Option<Instant>) {
        if let Some(lost) = self.ends_now(signal, first) {
            self.end(lost);
        }
        if !self.asked.swap(true, Ordering::SeqCst) {
            if !self.quiet.load(Ordering::Relaxed) {
                console::note("saving after this step; Ctrl-C once more ends at once");
            }
            let this = self.clone();
            std::thread::spawn(move || this.end_if_it_waits());
        }
        // The loop may have ended before it could hear this: what it had is saved.
        if self.nothing_to_wait_for() {
            self.end("");
        }
    }

    /// Ends the process once a step has waited for long.
    fn end_if_it_waits(&self) {
        if let Some(waits) = self.waits.get() {
            until_it_waited(waits, LOOKS);
            self.end(LOST);
        }
    }

    /// Whether a signal ends the process at once, with what to say of losses. `first`: when Ctrl-C came first.
    fn ends_now(&self, signal: i32, first: &mut Option<Instant>) -> Option<&'static str> {
        if self.nothing_to_wait_for() {
            return Some("");
        }
        match first {
            _ if signal != SIGINT => None,
            Some(at) => (at.elapsed() >= SAME).then_some(LOST),
            None => {
                *first = Some(Instant::now());
                None
            }
        }
    }

    /// No loop has something to save, nor has one that heard the request just done so: that one says so itself, and
    /// a signal that is sent again in the meantime does not say it a second time.
    fn nothing_to_wait_for(&self) -> bool {
        // In this order: a loop hears first, then saves, then ceases to count.
        self.saving.load(Ordering::SeqCst) == 0 && !self.heard.load(Ordering::SeqCst)
    }

    fn end(&self, lost: &str) -> ! {
        let advice = self.advice.lock().unwrap_or_else(PoisonError::into_inner);
        let advice = if advice.is_empty() { NOTHING } else { &advice };
        console::note(format_args!("stopped; {lost}{advice}"));
        std::process::exit(i32::from(CliError::Interrupted(String::new()).code()))
    }
}

/// Comes back once `waits` has held at so many looks without a break.
fn until_it_waited(waits: impl Fn() -> bool, looks: u32) {
    let mut held = 0;
    while held < looks {
        std::thread::sleep(LOOK);
        held = if waits() { held + 1 } else { 0 };
    }
}

/// Whether this process was started with a signal ignored, by what Linux says; false elsewhere.
pub fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_repeated_between_the_save_and_the_end_of_the_process_says_nothing_more() {
        let this = Interrupt::default();
        let saving = this.saving();
        assert_eq!(this.shared.ends_now(SIGTERM, &mut None), None);
        this.shared.hear(SIGTERM, &mut None);
        assert!(this.requested());
        drop(saving);
        for signal in [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, SIGINT] {
            assert_eq!(this.shared.ends_now(signal, &mut None), None);
        }
        // The process may still hang: a second Ctrl-C ends it.
        let long_ago = Instant::now().checked_sub(2 * SAME);
        assert!(this.shared.ends_now(SIGINT, &mut { long_ago }).is_some_and(|lost| !lost.is_empty()));
    }

    #[test]
    fn waiting_is_long_where_it_has_no_break() {
        let looks = std::cell::Cell::new(0);
        let waits = || {
            looks.set(looks.get() + 1);
            // It waits but for the third look.
            looks.get() != 3
        };
        until_it_waited(waits, 4);
        assert_eq!(looks.get(), 7);
    }

    #[test]
    fn a_request_that_no_loop_has_heard_ends_the_process() {
        let this = Interrupt::default();
        assert_eq!(this.shared.ends_now(SIGTERM, &mut None), Some(""));
        let saving = this.saving();
        this.shared.asked.store(true, Ordering::SeqCst);
        // The loop makes its last step and does not ask again; measuring begins.
        drop(saving);
        assert_eq!(this.shared.ends_now(SIGTERM, &mut None), Some(""));
    }
}
