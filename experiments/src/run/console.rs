//! What the program says. A terminal, pipe or file that takes no more does not end a run: only a command whose
//! product is what it prints fails when that cannot be printed.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::run::error::CliError;

static SILENT: AtomicBool = AtomicBool::new(false);

/// Says nothing from here on: another process speaks for this one.
pub fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// A note on stderr; lost where nobody can be told.
pub fn note(text: impl Display) {
    if is_silent() {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What a run shows at its end, on stdout; its results are in its folder, whether or not this can be read.
pub fn show(text: impl Display) {
    if is_silent() {
        return;
    }
    let mut out = std::io::stdout();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// The product of a command, on stdout. A reader that closed the pipe has seen enough.
///
/// # Errors
/// Stdout cannot take it.
pub fn print(text: impl Display) -> Result<(), CliError> {
    let mut out = std::io::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("stdout cannot be written to: {e}")))
        }
        _ => Ok(()),
    }
}
