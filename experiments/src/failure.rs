//! How a binary ends when something is wrong: one line that names the culprit and the remedy, and an
//! exit code.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

/// A reason to stop, with the exit code that goes with its kind.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The user asked for something that cannot be done: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Something broke on the way: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Training diverged: exit code 3.
    #[error("{0}")]
    Diverged(String),
    /// Ctrl-C: exit code 130.
    #[error("{0}")]
    Interrupted(String),
}

impl Failure {
    /// A usage failure.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }

    /// An input or output error at `path`, with a remedy where there is a usual one.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::*;
        let path = path.display();
        Self::Usage(match error.kind() {
            NotFound => format!("{path}: no such file or directory"),
            PermissionDenied => {
                format!("{path}: permission denied; choose another place or change its permissions")
            }
            StorageFull | QuotaExceeded => {
                format!("{path}: no space left; free some or choose another place with --out")
            }
            NotADirectory => format!("{path}: a part of this path is a file, not a directory"),
            ReadOnlyFilesystem => {
                format!("{path}: the file system is read-only; choose another place with --out")
            }
            _ => format!("{path}: {error}"),
        })
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Diverged(_) => 3,
            Self::Interrupted(_) => 130,
        }
    }
}

/// Runs a binary's body and turns its outcome, or a panic, into one line and an exit code.
pub fn run(body: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("unknown");
        // A reader that closed the pipe has seen enough.
        if message.contains("Broken pipe") {
            std::process::exit(0);
        }
        let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
        eprintln!("error: internal: {}{place}; please report this", one_line(message));
        std::process::exit(1);
    }));
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let prefix = if matches!(failure, Failure::Interrupted(_)) { "" } else { "error: " };
            eprintln!("{prefix}{}", one_line(&failure.to_string()));
            ExitCode::from(failure.code())
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_as_documented_and_messages_fit_a_line() {
        assert_eq!(Failure::usage("x").code(), 2);
        assert_eq!(Failure::Interrupted(String::new()).code(), 130);
        assert_eq!(one_line("a\n  b"), "a b");
        let missing = std::fs::read("/nonexistent/file").unwrap_err();
        assert!(Failure::io(Path::new("/nonexistent/file"), &missing).to_string().contains("no such file"));
    }
}
