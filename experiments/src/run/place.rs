//! Where a new run goes.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::folder::RunFolder;
use super::share::Share;
use crate::run::error::CliError;

/// Where a new run goes.
#[derive(Clone, Debug)]
pub enum Place {
    /// A folder that the user named.
    Named(PathBuf),
    /// A new one, results/EXPERIMENT/UTC-TIME-sSEED, with a number appended if that exists.
    Dated {
        /// The binary.
        experiment: &'static str,
        /// The first seed.
        seed: u64,
    },
    /// A folder of this name in that of a run of several parts.
    Within(RunFolder, String),
    /// The same, of whose jobs only a share is to be done.
    Shared(RunFolder, String, Share),
    /// That of a task, in the folder that the user named for all tasks of a sweep.
    Task(PathBuf, Share),
}

impl Place {
    /// The folder of --out, or a new one.
    pub fn new(out: Option<&PathBuf>, experiment: &'static str, seed: u64) -> Self {
        out.map_or(Self::Dated { experiment, seed }, |path| Self::Named(path.clone()))
    }

    /// The same for a task of a sweep, where it is one.
    pub fn of(self, task: Option<Share>) -> Self {
        match (self, task) {
            (Self::Named(whole), Some(share)) => Self::Task(whole, share),
            (place, _) => place,
        }
    }

    /// The whole that the new run is a part of.
    pub fn whole(&self) -> Option<&RunFolder> {
        match self {
            Self::Within(whole, _) | Self::Shared(whole, ..) => Some(whole),
            _ => None,
        }
    }
}

/// A new folder of that time and seed, which no other process makes too.
pub(super) fn dated(base: &Path, seed: u64) -> Result<PathBuf, CliError> {
    std::fs::create_dir_all(base).map_err(|e| CliError::io(base, &e))?;
    let name = format!("{}-s{seed}", stamp(Timestamp::now()));
    let names = std::iter::once(name.clone()).chain((2..).map(|k| format!("{name}-{k}")));
    for path in names.map(|name| base.join(name)) {
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(CliError::io(&path, &e)),
        }
    }
    unreachable!("there is always another number")
}

/// A time in UTC as YYYYMMDD-HHMMSS.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_in_one_second_have_folders_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("results");
        let all = std::sync::Mutex::new(std::collections::BTreeSet::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let path = dated(&base, 0).unwrap();
                    assert!(all.lock().unwrap().insert(path));
                });
            }
        });
        assert_eq!(all.into_inner().unwrap().len(), 8);
    }

    #[test]
    fn dates_are_civil() {
        let at = |seconds| stamp(Timestamp::from_second(seconds).unwrap());
        assert_eq!(at(0), "19700101-000000");
        assert_eq!(at(951_782_400 + 3661), "20000229-010101");
    }
}
