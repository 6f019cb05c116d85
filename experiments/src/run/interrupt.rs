//! Ctrl-C: the first asks the run to save and stop, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::run::error::CliError;

/// Whether the user asked to stop.
#[derive(Clone, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    /// Questions until it asks by itself; 0 for never.
    left: Arc<AtomicU64>,
}

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from here on. With `stop_after`, the question of that number sends itself the
    /// signal of Ctrl-C: tests stop a run where they want by it, and wait for nothing.
    pub fn install(stop_after: Option<u64>) -> Result<Self, CliError> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order a second signal finds the flag set and ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())
                .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
                .map_err(|e| CliError::Failed(format!("cannot listen for Ctrl-C: {e}")))?;
        }
        Ok(Self { flag, left: Arc::new(stop_after.unwrap_or(0).into()) })
    }

    /// True once the user has asked. Each step, epoch or layer asks once.
    pub fn requested(&self) -> bool {
        let count = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(1) {
            let _ = signal_hook::low_level::raise(SIGINT);
        }
        self.flag.load(Ordering::Relaxed)
    }

    /// The same, but its questions do not count.
    pub fn uncounted(&self) -> Self {
        Self { flag: self.flag.clone(), left: Arc::default() }
    }
}
