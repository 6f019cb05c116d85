//! What the program says. A terminal, pipe or file that takes no more does not end a run: only a command whose
//! product is what it prints fails when that cannot be printed.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::run::error::CliError;

/// A note on stderr; lost where nobody can be told.
pub fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What a run shows at its end, on stdout; its results are in its folder, whether or not this can be read.
pub fn show(text: impl Display) {
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
