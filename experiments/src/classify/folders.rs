//! The folders of a task.

use std::path::Path;

use crate::run::error::CliError;
use crate::run::folder::RunFolder;

/// Folders of a search within the task's: what it is about, and the run of what it found.
pub(super) const PARTS: [&str; 2] = ["search", "best"];

/// The folder of a new task. With `force` nothing of an earlier one is left, of a search neither: it would be
/// taken for the new task's.
pub(super) fn fresh(out: &Path, force: bool) -> Result<RunFolder, CliError> {
    let folder = RunFolder::create(out, force)?;
    for part in PARTS.map(|part| out.join(part)).iter().filter(|part| force && part.is_dir()) {
        RunFolder::create(part, true)?;
        // One that holds something of the user's own stays.
        let _ = std::fs::remove_dir(part);
    }
    Ok(folder)
}

/// Whether `Task::create` has got as far as a folder that `Task::open` can resume.
pub(super) fn begun(out: &Path) -> bool {
    [out.to_path_buf(), out.join(PARTS[0])].iter().any(|folder| folder.join("config.toml").exists())
}
