//! A picture as a file of a name that the user gives; its ending says of which kind.

use std::io::Read;
use std::path::Path;

use engine::checkpoint::write_atomic;

use super::Picture;
use crate::run::error::CliError;

/// Refuses a path at which there is something else than a picture of that kind; `flag` has named it.
///
/// # Errors
/// Of the user.
pub fn check(path: &Path, flag: &str) -> Result<(), CliError> {
    let Ok(there) = path.symlink_metadata() else { return Ok(()) };
    let (kind, want) = if is_svg(path) { ("SVG", *b"<svg xml") } else { ("PNG", *b"\x89PNG\r\n\x1a\n") };
    let mut start = [0; 8];
    let read = |start: &mut [u8]| std::fs::File::open(path)?.read_exact(start);
    if there.is_file() && read(&mut start).is_ok() && start == want {
        return Ok(());
    }
    Err(CliError::usage(format!("{}: is there and no {kind} picture; choose another {flag}", path.display())))
}

/// Writes the picture, whole or not at all.
///
/// # Errors
/// Of writing.
pub fn write(path: &Path, picture: Picture) -> Result<(), CliError> {
    let bytes = if is_svg(path) { picture.svg } else { picture.png };
    write_atomic(path, &bytes).map_err(|e| CliError::io(path, &e))
}

fn is_svg(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg"))
}
