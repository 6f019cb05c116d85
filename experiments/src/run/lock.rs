//! One process at a time in a folder: a lock on a file in it, held by the process, so that one that is killed leaves
//! none. Within the process the holders of a folder share it.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::manifest::Manifest;
use crate::run::error::CliError;

/// The file that is locked.
pub(super) const LOCK: &str = ".metastable.lock";

/// A folder that this process has to itself, with the list of what it wrote there.
#[derive(Debug)]
pub(super) struct Held {
    /// None on a file system without locks.
    _file: Option<File>,
    pub manifest: Mutex<Manifest>,
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
    if let Some(held) = all.get(&real).and_then(Weak::upgrade) {
        return Ok(Ok(held));
    }
    let path = folder.join(LOCK);
    if path.is_symlink() {
        return Err(CliError::usage(format!("{}: is a link, which stays; remove it", path.display())));
    }
    let options = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = options.map_err(|e| CliError::io(&path, &e))?;
    let file = match file.try_lock() {
        Ok(()) => {
            // For the message of the next; nothing depends on it.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Some(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Ok(Err(match holder.parse::<u32>() {
                Ok(process) => format!(" (process {process})"),
                Err(_) => String::new(),
            }));
        }
        Err(TryLockError::Error(_)) => None,
    };
    let manifest = Mutex::new(Manifest::read(folder)?.unwrap_or_default());
    let held = Arc::new(Held { _file: file, manifest });
    all.retain(|_, other| other.strong_count() > 0);
    all.insert(real, Arc::downgrade(&held));
    Ok(Ok(held))
}
