//! One process at a time in a folder: a lock on a file in it, held by the process, so that one that is killed leaves
//! none. Within the process the holders of a folder share it.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use super::manifest::Manifest;
use crate::run::error::CliError;

/// The file that is locked.
pub(super) const LOCK: &str = ".metastable.lock";

/// A folder that this process has to itself, with the list of what it wrote there.
#[derive(Debug)]
pub(super) struct Held {
    /// None on a file system without locks.
    file: Option<File>,
    pub manifest: Mutex<Manifest>,
    /// The sha256 of how its run began, once it is known.
    pub fingerprint: OnceLock<String>,
}

impl Held {
    /// Of no folder.
    pub fn nothing() -> Self {
        Self { file: None, manifest: Mutex::default(), fingerprint: OnceLock::new() }
    }

    /// Whether what lies at that path is still the folder that was taken: it may have been moved, and another made in
    /// its place.
    pub fn is_at(&self, folder: &Path) -> bool {
        self.file.as_ref().is_none_or(|file| is_same(file, &folder.join(LOCK)))
    }
}

/// Whether a file that is open is the one at a path.
#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place =
        |there: std::io::Result<std::fs::Metadata>| there.ok().map(|there| (there.dev(), there.ino()));
    let own = place(file.metadata());
    own.is_some() && own == place(path.symlink_metadata())
}

/// Elsewhere a folder in use cannot be moved.
#[cfg(not(unix))]
fn is_same(_: &File, path: &Path) -> bool {
    path.is_file()
}

/// Whether a file is a lock of this program: one name, and nothing in it but the number of a process.
fn is_ours(file: &mut File) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if file.metadata().is_ok_and(|there| there.nlink() > 1) {
            return false;
        }
    }
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).is_ok() && text.bytes().all(|b| b.is_ascii_digit())
}

static HELD: LazyLock<Mutex<HashMap<PathBuf, Weak<Held>>>> = LazyLock::new(Mutex::default);

/// Takes the folder; an error that names the process that has it.
pub(super) fn hold(folder: &Path) -> Result<Arc<Held>, CliError> {
    try_hold(folder)?.map_err(|holder| {
        CliError::usage(format!(
            "{}: in use by another run{holder}; wait for it or stop it, or choose another folder",
            folder.display()
        ))
    })
}

/// The same; the inner error is who has it.
pub(super) fn try_hold(folder: &Path) -> Result<Result<Arc<Held>, String>, CliError> {
    let real = folder.canonicalize().map_err(|e| CliError::io(folder, &e))?;
    let mut all = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(held) = all.get(&real).and_then(Weak::upgrade).filter(|held| held.is_at(folder)) {
        return Ok(Ok(held));
    }
    let path = folder.join(LOCK);
    if path.is_symlink() {
        return Err(CliError::usage(format!("{}: is a link, which stays; remove it", path.display())));
    }
    let open = || File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = open().map_err(|e| CliError::io(&path, &e))?;
    if !is_ours(&mut file) {
        return Err(CliError::usage(format!(
            "{}: is no lock of this program, and stays; move it away",
            path.display()
        )));
    }
    let file = match file.try_lock() {
        // Whoever had it may have removed it with the folder.
        Ok(()) if !is_same(&file, &path) => return Ok(Err(String::new())),
        Ok(()) => {
            // For the message of the next; nothing depends on it.
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            Some(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
            return Ok(Err(match holder.parse::<u32>() {
                Ok(process) => format!(" (process {process})"),
                Err(_) => String::new(),
            }));
        }
        Err(TryLockError::Error(_)) => None,
    };
    let manifest = Mutex::new(Manifest::read(folder)?.unwrap_or_default());
    let held = Arc::new(Held { file, manifest, fingerprint: OnceLock::new() });
    all.retain(|_, other| other.strong_count() > 0);
    all.insert(real, Arc::downgrade(&held));
    Ok(Ok(held))
}
