//! How a binary ends when something is wrong: one line that names the culprit and the remedy, and an
//! exit code.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use crate::run::{console, program};

/// A reason to stop, with the exit code that goes with its kind.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CliError {
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

impl CliError {
    /// A usage failure.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }

    /// An input or output error at `path`, with its remedy: a usage failure where the path that was given is at
    /// fault, or what it holds; else something broke on the way.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::*;
        let path = path.display();
        match error.kind() {
            NotFound => Self::usage(format!("{path}: no such file or directory")),
            PermissionDenied => Self::usage(format!(
                "{path}: permission denied; choose another place or change its permissions"
            )),
            NotADirectory => Self::usage(format!("{path}: a part of this path is a file, not a directory")),
            IsADirectory if error.get_ref().is_none() => {
                Self::usage(format!("{path}: is a directory; name a file"))
            }
            InvalidData => Self::usage(format!("{path}: does not hold what is wanted ({error})")),
            // With a message of our own, or a name that no file can have.
            IsADirectory | AlreadyExists | InvalidInput | InvalidFilename => {
                Self::usage(format!("{path}: {error}"))
            }
            StorageFull | QuotaExceeded => {
                Self::Failed(format!("{path}: no space left; free some or choose another place with --out"))
            }
            ReadOnlyFilesystem => {
                Self::Failed(format!("{path}: the file system is read-only; choose another place with --out"))
            }
            _ => Self::Failed(format!("{path}: {error}; check what this path lies on, then try again")),
        }
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
pub fn run(body: impl FnOnce() -> Result<(), CliError>) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("unknown");
        let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
        console::note(format_args!("error: internal: {}{place}; please report this", one_line(message)));
        std::process::exit(1);
    }));
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let prefix = if matches!(failure, CliError::Interrupted(_)) { "" } else { "error: " };
            console::note(format_args!("{prefix}{}", one_line(&program::quoted(&failure.to_string()))));
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
        assert_eq!(CliError::usage("x").code(), 2);
        assert_eq!(CliError::Interrupted(String::new()).code(), 130);
        assert_eq!(one_line("a\n  b"), "a b");
    }

    #[test]
    fn the_code_of_an_io_error_says_whether_the_path_was_wrong_or_something_broke() {
        use std::io::{Error, ErrorKind};
        let path = Path::new("some/file");
        let missing = std::fs::read("/nonexistent/file").unwrap_err();
        let folder = std::fs::read("/").unwrap_err();
        let own = Error::new(ErrorKind::IsADirectory, "a folder is in the way");
        for (error, code, words) in [
            (missing, 2, "no such file"),
            (folder, 2, "is a directory; name a file"),
            (own, 2, "some/file: a folder is in the way"),
            (ErrorKind::PermissionDenied.into(), 2, "permission denied"),
            (
                String::from_utf8(vec![0xff]).map_err(|e| Error::new(ErrorKind::InvalidData, e)).unwrap_err(),
                2,
                "utf-8",
            ),
            (ErrorKind::StorageFull.into(), 1, "no space left; free some"),
            (ErrorKind::ReadOnlyFilesystem.into(), 1, "read-only; choose another"),
            (ErrorKind::TimedOut.into(), 1, "then try again"),
        ] {
            let failure = CliError::io(path, &error);
            assert_eq!(failure.code(), code, "{failure}");
            assert!(failure.to_string().contains(words), "{failure}");
        }
    }
}
