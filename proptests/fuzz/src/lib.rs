//! What the fuzz targets share: a folder in memory for importers, which read files by their names.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use experiments::datasets::{Format, Imported};
use models::gnn::data::check::check;
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A file of the target's own folder.
pub fn file(name: &str) -> PathBuf {
    FOLDER.with(|folder| {
        let in_memory = || tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        folder.get_or_init(|| in_memory().expect("a temporary folder")).path().join(name)
    })
}

/// Writes a file of that folder.
pub fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = file(name);
    std::fs::write(&path, bytes).expect("the temporary folder can be written to");
    path
}

/// Imports files; what is accepted must be sound, and be there. A refusal must be one line.
pub fn import(format: &Format, out: &Path) {
    match format.import() {
        Ok(Imported { path, data, .. }) => {
            assert!(path == out && out.is_file());
            assert!(check(&data).iter().all(|f| !f.fatal));
            std::fs::remove_file(out).expect("what was written can be removed");
        }
        Err(e) => refusal(&e),
    }
}

/// What every refusal is.
pub fn refusal(error: &experiments::run::CliError) {
    assert!(!error.to_string().is_empty());
    assert!(error.code() == 2, "{error}");
}
