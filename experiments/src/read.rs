//! Reading what a user names: no more of it than is sane, and only what comes to an end.

use std::fs::{File, FileType};
use std::io::Read;
use std::path::Path;

use models::memory;

use crate::run::error::CliError;

/// The most that is read of a file of data.
pub const DATA: u64 = 4 << 30;
/// The most that is read of a file of settings.
pub const SETTINGS: u64 = 16 << 20;

/// A file's bytes, at most `most` of them.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, CliError> {
    let io = |e: std::io::Error| CliError::io(path, &e);
    let wrong = |what: String| CliError::usage(format!("{}: {what}", path.display()));
    // Asked first: a pipe that nobody writes to is not opened.
    let there = std::fs::metadata(path).map_err(io)?;
    if there.is_dir() {
        return Err(wrong("is a folder; a file is wanted".into()));
    }
    if !there.is_file() && !is_pipe(there.file_type()) {
        return Err(wrong("is no regular file".into()));
    }
    let too_long = |length: String| wrong(format!("has {length} bytes; at most {most} are read"));
    if there.len() > most {
        return Err(too_long(there.len().to_string()));
    }
    // What is read is taken apart, and put together in another form.
    memory::check(&[(format!("{}: what it holds", path.display()), 4.0 * there.len() as f64)])
        .map_err(CliError::usage)?;
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(io)?;
    match bytes.len() as u64 > most {
        true => Err(too_long(format!("more than {most}"))),
        false => Ok(bytes),
    }
}

/// What gzip packed, at most [`DATA`] bytes.
pub fn unpacked(path: &Path, packed: &[u8]) -> Result<Vec<u8>, CliError> {
    let wrong = |what: String| CliError::usage(format!("{}: {what}", path.display()));
    let mut bytes = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(packed).take(DATA + 1).read_to_end(&mut bytes);
    read.map_err(|e| wrong(format!("cannot be unpacked ({e}); fetch it again")))?;
    match bytes.len() as u64 > DATA {
        true => Err(wrong(format!("unpacks to more than {DATA} bytes; at most that many are read"))),
        false => Ok(bytes),
    }
}

/// A text file.
pub fn text(path: &Path, most: u64) -> Result<String, CliError> {
    utf8(path, bytes(path, most)?)
}

/// The text of a file's bytes.
pub fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String, CliError> {
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        CliError::usage(format!("{}:{line}: is no UTF-8 text; save it as UTF-8", path.display()))
    })
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(path: &Path, most: u64) -> String {
        text(path, most).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_end_or_is_no_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, "one\ntwo").unwrap();
        assert_eq!(text(&path, 7).unwrap(), "one\ntwo");
        let name = path.display().to_string();
        assert_eq!(error(&path, 6), format!("{name}: has 7 bytes; at most 6 are read"));
        std::fs::write(&path, b"one\n\xff").unwrap();
        assert_eq!(error(&path, 7), format!("{name}:2: is no UTF-8 text; save it as UTF-8"));
        assert_eq!(error(dir.path(), 7), format!("{}: is a folder; a file is wanted", dir.path().display()));
        #[cfg(unix)]
        assert_eq!(error(Path::new("/dev/zero"), 7), "/dev/zero: is no regular file");
        // A file with a hole, as long as no disk.
        let file = File::create(&path).unwrap();
        file.set_len(5 << 30).unwrap();
        assert_eq!(error(&path, DATA), format!("{name}: has 5368709120 bytes; at most 4294967296 are read"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_no_text_opens() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(std::ffi::OsStr::from_bytes(b"n\xffme"));
        std::fs::write(&path, "x").unwrap();
        assert_eq!(text(&path, 1).unwrap(), "x");
        assert!(error(&path, 0).contains("n\u{fffd}me: has 1 bytes"));
    }
}
