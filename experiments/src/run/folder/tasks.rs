//! Folders of the tasks of a sweep, within that of the run: each belongs to the process of its task. None of them
//! writes into another or into the run's own; what makes them tasks of one run is that they began alike.

use std::path::Path;

use super::latest::WHOLES;
use super::{BEGUN, Begun, RunFolder};
use crate::config::load_exact;
use crate::run::error::CliError;
use crate::run::{Share, program};

/// Which jobs of a plan the folder has.
pub(super) const TASK: &str = "task.toml";
/// The end of a task, of other runs too.
pub(super) const DONE: &str = "DONE";

/// The file.
pub(super) fn to_toml(share: Share) -> Result<String, CliError> {
    toml::to_string(&share).map_err(|e| CliError::Failed(format!("{TASK}: {e}")))
}

/// What the file says, where there is one.
pub(super) fn share_of(folder: &RunFolder) -> Result<Option<Share>, CliError> {
    let path = folder.file(TASK);
    if !path.is_file() {
        return Ok(None);
    }
    let share: Share = load_exact(&path)?;
    let sound = share.to_string().parse();
    sound.map(Some).map_err(|e| CliError::usage(format!("{}: {share} {e}; start a new run", path.display())))
}

/// Whether a folder is that of a task, or a part of one.
pub(super) fn is_of_one(path: &Path) -> bool {
    let whole = path.parent().filter(|whole| WHOLES.iter().any(|name| whole.join(name).is_file()));
    path.join(TASK).is_file() || whole.is_some_and(|whole| whole.join(TASK).is_file())
}

impl RunFolder {
    /// The folder of a task, to begin in or to go on in.
    pub(super) fn task(whole: &Path, share: Share, force: bool) -> Result<Self, CliError> {
        if whole.join(BEGUN).is_file() {
            return Err(CliError::usage(format!(
                "{}: holds a whole run, so that there is nothing to do for a task; give another --out",
                whole.display()
            )));
        }
        let path = whole.join(share.folder());
        let mut folder = match path.join(BEGUN).is_file() && !force {
            true => Self::open_any(&path)?,
            // What may be there was left by a task that was killed before it began.
            false => Self::named(&path, true)?,
        };
        folder.share = Some(share);
        Ok(folder)
    }

    /// Whether a task of this folder has begun before, as it does now; an error if it began otherwise, or another task
    /// of the sweep did.
    pub(super) fn goes_on(&self, now: &Begun) -> Result<bool, CliError> {
        if self.file(BEGUN).is_file() {
            let path = self.path.display();
            if let Some(change) = self.begun()?.differs(now, &[]) {
                return Err(CliError::usage(format!(
                    "{path}: {change}; give what the task began with, or --force to begin it anew"
                )));
            }
            self.compare_versions(false)?;
            return Ok(true);
        }
        let (Some(share), Some(whole)) = (self.share, self.path.parent()) else { return Ok(false) };
        for (other, path) in Share::found(whole).iter().filter(|(_, path)| path.join(BEGUN).is_file()) {
            let shown = path.display();
            if other.count() != share.count() {
                return Err(CliError::usage(format!(
                    "{shown}: is a task of {}, and this is one of {}; give another --out",
                    other.count(),
                    share.count()
                )));
            }
            if let Some(change) = load_exact::<Begun>(&path.join(BEGUN))?.differs(now, &[TASK]) {
                return Err(CliError::usage(format!(
                    "{shown}: {change}; all tasks of a sweep have the same settings: give another --out"
                )));
            }
        }
        Ok(false)
    }

    /// Of the jobs of a plan those that are to be done here: all, or the share of a task.
    pub fn own<T>(&self, jobs: impl IntoIterator<Item = T>) -> Vec<T> {
        let is_own = |k: usize| self.share.is_none_or(|share| share.has(k));
        jobs.into_iter().enumerate().filter(|(k, _)| is_own(*k)).map(|(_, job)| job).collect()
    }

    /// Which of the jobs are to be done here, if not all.
    pub fn share(&self) -> Option<Share> {
        self.share
    }

    /// Marks the end of a task of `binary` and gives a text on it for the terminal; none where the folder is not that of
    /// a task, and all is done.
    pub fn end_task(&self, binary: &str) -> Result<Option<String>, CliError> {
        let Some(share) = self.share else { return Ok(None) };
        self.write(DONE, b"")?;
        let whole = self.path.parent().unwrap_or(&self.path).display();
        let gather = program::line(format_args!("{binary} --gather {whole}"));
        Ok(Some(format!("task {share} is done; when all are: {gather}\n")))
    }
}
