//! Ctrl-C: the first asks the run to save and stop, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::run::error::CliError;

/// Whether the user asked to stop.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from here on.
    pub fn install() -> Result<Self, CliError> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order a second signal finds the flag set and ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())
                .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
                .map_err(|e| CliError::Failed(format!("cannot listen for Ctrl-C: {e}")))?;
        }
        Ok(Self(flag))
    }

    /// Asks as Ctrl-C does, by the same signal: for tests.
    pub fn raise(&self) {
        let _ = signal_hook::low_level::raise(SIGINT);
    }

    /// True once the user has asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
