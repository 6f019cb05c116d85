//! Run folders: everything about one run in one place, never half-written.
//!
//! A folder belongs to one process at a time (`lock`), lists what was written into it (`manifest`), and keeps how its
//! run began (`begun`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use engine::checkpoint::{LEFTOVER, LEFTOVER_END, write_atomic};

use super::begun::{BEGUN, Begun, Input, Inputs, sha256};
use super::lock::{Held, LOCK, hold, try_hold};
use super::manifest::{MANIFEST, Manifest, is_plain};
use super::place::{Place, dated};
use super::share::Share;
use crate::config::load_exact;
use crate::run::error::CliError;
use crate::run::{console, environment};

const SECONDS: &str = "seconds.txt";
/// The seeds of a run over several.
pub const SEEDS: &str = "seeds.toml";

/// A folder that a run writes to; copies share it.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    held: Arc<Held>,
    /// Of a sweep, which of its jobs are to be done here; all of them without one.
    share: Option<Share>,
    /// Whether there is none, and what is written is dropped.
    nowhere: bool,
}

impl RunFolder {
    /// No folder: that of a rank which computes what another writes.
    pub fn nowhere() -> Self {
        // No file has such a name.
        Self { path: "/dev/null/nowhere".into(), held: Arc::new(Held::nothing()), share: None, nowhere: true }
    }

    /// Creates a folder. One that is not empty is refused; with `force`, what an earlier run wrote is removed from
    /// it, by the list that it kept.
    pub fn create(place: &Place, force: bool) -> Result<Self, CliError> {
        match place {
            Place::Named(path) => Self::named(path, force),
            Place::Dated { experiment, seed } => {
                Self::named(&dated(&Path::new("results").join(experiment), *seed)?, false)
            }
            Place::Within(whole, name) => whole.part(name),
            Place::Shared(whole, name, share) => Ok(Self { share: Some(*share), ..whole.part(name)? }),
            Place::Task(whole, share) => Self::task(whole, *share, force),
        }
    }

    fn of(path: &Path, held: Arc<Held>) -> Self {
        Self { path: path.to_path_buf(), held, share: None, nowhere: false }
    }

    fn named(path: &Path, force: bool) -> Result<Self, CliError> {
        may_begin(path, force)?;
        std::fs::create_dir_all(path).map_err(|e| CliError::io(path, &e))?;
        let held = hold(path)?;
        // Once more, now that nobody else begins here.
        may_begin(path, force)?;
        let folder = Self::of(path, held);
        folder.clear()?;
        // Learn now, not after an hour, that nothing can be written here.
        folder.manifest().write(path)?;
        Ok(folder)
    }

    /// Waits for a folder that another process may have, and takes it; `busy` hears who has it, ten times a second,
    /// and may give up.
    pub fn wait(path: &Path, mut busy: impl FnMut(&str) -> Result<(), CliError>) -> Result<Self, CliError> {
        std::fs::create_dir_all(path).map_err(|e| CliError::io(path, &e))?;
        loop {
            match try_hold(path)? {
                Ok(held) => return Ok(Self::of(path, held)),
                Err(holder) => busy(&holder)?,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// An error if the folder holds what is not ours under the names that parts of a new run will have: asked before
    /// anything is removed from it.
    pub fn check_parts(place: &Place, names: impl IntoIterator<Item = String>) -> Result<(), CliError> {
        let Place::Named(path) = place else { return Ok(()) };
        let listed = Manifest::read(path)?.unwrap_or_default().folders;
        for name in names {
            let part = path.join(&name);
            match part.symlink_metadata() {
                Ok(there) if there.is_symlink() => return Err(is_link(&part)),
                Ok(_) if !listed.contains(&name) => return Err(not_ours(&part)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A new part of this run, in a folder of that name: what an earlier beginning of it left is removed.
    fn part(&self, name: &str) -> Result<Self, CliError> {
        let path = self.file(name);
        let mut manifest = self.manifest();
        match path.symlink_metadata() {
            Ok(there) if there.is_symlink() => return Err(is_link(&path)),
            Ok(_) if !manifest.folders.contains(name) => return Err(not_ours(&path)),
            _ => {}
        }
        if manifest.folders.insert(name.into()) {
            manifest.write(&self.path)?;
        }
        drop(manifest);
        Self::named(&path, true)
    }

    /// Removes what an earlier run wrote, its parts too. All of them are held first: a live one refuses.
    fn clear(&self) -> Result<(), CliError> {
        let parts = self.parts()?;
        for name in std::mem::take(&mut self.manifest().files) {
            remove_file(&self.file(&name))?;
        }
        self.remove_leftovers()?;
        for part in &parts {
            part.clear()?;
            remove_file(&part.file(MANIFEST))?;
            remove_file(&part.file(LOCK))?;
            // One that holds something of the user's own stays.
            let _ = std::fs::remove_dir(&part.path);
        }
        self.manifest().folders.clear();
        Ok(())
    }

    /// The folders in this one that this program made and that are still there; not through links.
    fn parts(&self) -> Result<Vec<Self>, CliError> {
        let listed: Vec<PathBuf> = self.manifest().folders.iter().map(|name| self.file(name)).collect();
        let is_ours = |path: &PathBuf| {
            path.symlink_metadata().is_ok_and(|there| there.is_dir()) && path.join(MANIFEST).is_file()
        };
        listed.into_iter().filter(is_ours).map(|path| Ok(Self::of(&path, hold(&path)?))).collect()
    }

    /// Opens an earlier run's folder: it must hold a run of that kind, begun as its settings still are.
    pub fn open(path: &Path, kind: &str) -> Result<Self, CliError> {
        let folder = Self::open_any(path)?;
        folder.is_a(kind)?;
        Ok(folder)
    }

    /// An error if it holds something else.
    pub fn is_a(&self, kind: &str) -> Result<(), CliError> {
        let found = self.kind()?;
        if found == kind {
            return Ok(());
        }
        Err(CliError::usage(format!("{}: holds a {found}, not a {kind}", self.path.display())))
    }

    /// The same of any kind.
    pub fn open_any(path: &Path) -> Result<Self, CliError> {
        let path = &resolved(path);
        if !path.is_dir() {
            let what = if path.exists() { "a file, and no run folder" } else { "no such run folder" };
            return Err(CliError::usage(format!("{}: {what}", path.display())));
        }
        for name in [MANIFEST, BEGUN] {
            if !path.join(name).is_file() {
                return Err(CliError::usage(format!(
                    "{}: not a run folder that can be resumed, {name} is missing; start a new run",
                    path.display()
                )));
            }
        }
        let mut folder = Self::of(path, hold(path)?);
        folder.remove_leftovers()?;
        folder.begun()?.check(path)?;
        folder.share = tasks::share_of(&folder)?;
        Ok(folder)
    }

    /// Opens a part of this run; none if it has not begun.
    pub fn open_part(&self, name: &str, kind: &str) -> Result<Option<Self>, CliError> {
        match self.has_begun(name)? {
            true => Self::open(&self.file(name), kind).map(Some),
            false => Ok(None),
        }
    }

    /// Whether a part has begun.
    pub fn has_begun(&self, name: &str) -> Result<bool, CliError> {
        let path = self.file(name);
        if !is_plain(name) {
            return Err(CliError::usage(format!(
                "{}: is no folder of this run; start a new run",
                path.display()
            )));
        }
        if path.is_symlink() {
            return Err(is_link(&path));
        }
        Ok(path.join(BEGUN).is_file())
    }

    /// Writes the settings of a new run, each with the name of its file, and how it began. `kind` is what the
    /// folder holds, as `run of sample`. A task of a sweep must begin as the others did, and goes on where it began
    /// before.
    pub fn begin(&self, kind: &str, settings: &[(&str, &str)], inputs: Inputs) -> Result<(), CliError> {
        let task = self.share.map(tasks::to_toml).transpose()?;
        let settings: Vec<(&str, &str)> =
            settings.iter().copied().chain(task.as_deref().map(|text| (tasks::TASK, text))).collect();
        let mut files = std::collections::BTreeMap::new();
        for (name, text) in &settings {
            let table = text.parse().map_err(|e| CliError::Failed(format!("{name}: {e}")))?;
            files.insert(name.to_string(), table);
        }
        let begun = Begun { kind: kind.into(), version: environment::version(), inputs, files };
        if self.share.is_some() && self.goes_on(&begun)? {
            return Ok(());
        }
        settings.iter().try_for_each(|(name, text)| self.write(name, text.as_bytes()))?;
        self.write_begun(&begun)
    }

    fn write_begun(&self, begun: &Begun) -> Result<(), CliError> {
        let text = toml::to_string(begun).map_err(|e| CliError::Failed(format!("{BEGUN}: {e}")))?;
        let note = "# How this run began: what is resumed must still have these settings and files.";
        self.write(BEGUN, format!("{note}\n{text}").as_bytes())
    }

    /// What a folder holds that is only looked at.
    pub fn kind_at(path: &Path) -> Result<String, CliError> {
        load_exact::<Begun>(&path.join(BEGUN)).map(|begun| begun.kind)
    }

    fn begun(&self) -> Result<Begun, CliError> {
        load_exact(&self.file(BEGUN))
    }

    /// What the folder holds.
    pub fn kind(&self) -> Result<String, CliError> {
        self.begun().map(|begun| begun.kind)
    }

    /// The files that the run reads.
    pub fn inputs(&self) -> Result<Inputs, CliError> {
        self.begun().map(|begun| begun.inputs)
    }

    /// An error if what the run now reads as its `what` is not the file that it began with.
    pub fn check_input(&self, what: &str, path: &Path, now: &Input) -> Result<(), CliError> {
        self.begun()?.check_input(what, path, now)
    }

    /// A note if another version of the program began the run: it may go on to other numbers.
    pub fn compare_versions(&self, quiet: bool) -> Result<(), CliError> {
        let (then, now) = (self.begun()?.version, environment::version());
        if then != now && !quiet {
            let path = self.path.display();
            console::note(format_args!("note: {path} was begun by version {then}; this is {now}"));
        }
        Ok(())
    }

    /// The sha256 of how the run began: what belongs to it keeps it.
    pub fn fingerprint(&self) -> Result<String, CliError> {
        if let Some(known) = self.held.fingerprint.get() {
            return Ok(known.clone());
        }
        let sum = sha256(&self.read(BEGUN)?);
        Ok(self.held.fingerprint.get_or_init(|| sum).clone())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole or not at all: temporary file, sync, rename, sync of the folder. One that this program
    /// did not write is not replaced, and nothing is written through a link.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        if self.nowhere {
            return Ok(());
        }
        let target = self.file(name);
        if !self.held.is_at(&self.path) {
            return Err(CliError::Failed(format!(
                "{}: was moved, removed or replaced while the run wrote to it; resume the run where it is now",
                self.path.display()
            )));
        }
        let mut manifest = self.manifest();
        match target.symlink_metadata() {
            Ok(there) if there.is_symlink() => return Err(is_link(&target)),
            Ok(_) if !manifest.files.contains(name) => return Err(not_ours(&target)),
            _ => {}
        }
        if manifest.files.insert(name.into()) {
            manifest.write(&self.path)?;
        }
        drop(manifest);
        write_atomic(&target, bytes).map_err(|e| CliError::io(&target, &e))
    }

    /// Reads a file of the folder.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, CliError> {
        let path = self.file(name);
        std::fs::read(&path).map_err(|e| CliError::io(&path, &e))
    }

    /// Removes a file that this program wrote, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), CliError> {
        match self.manifest().files.contains(name) {
            true => remove_file(&self.file(name)),
            false => Ok(()),
        }
    }

    /// Seconds that the run has taken so far, by its seconds.txt; 0 without one.
    pub fn seconds(&self) -> f64 {
        let text = std::fs::read_to_string(self.file(SECONDS)).ok();
        text.and_then(|t| t.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Keeps them for a resumed run.
    pub fn write_seconds(&self, seconds: f64) -> Result<(), CliError> {
        self.write(SECONDS, format!("{seconds:.3}\n").as_bytes())
    }

    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.held.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what a killed write left.
    fn remove_leftovers(&self) -> Result<(), CliError> {
        let entries = std::fs::read_dir(&self.path).map_err(|e| CliError::io(&self.path, &e))?;
        entries
            .flatten()
            .filter(|e| is_leftover(&e.file_name()) && e.file_type().is_ok_and(|t| t.is_file()))
            .try_for_each(|e| remove_file(&e.path()))
    }
}

/// Whether a file is one that a write has not finished.
fn is_leftover(name: &std::ffi::OsStr) -> bool {
    // As `write_atomic` makes them, with six letters or digits between.
    let middle = name.to_str().and_then(|name| name.strip_prefix(LEFTOVER)?.strip_suffix(LEFTOVER_END));
    middle.is_some_and(|middle| middle.len() == 6 && middle.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// An error if a new run may not begin in a folder, or where there is none yet.
fn may_begin(path: &Path, force: bool) -> Result<(), CliError> {
    let shown = path.display();
    if !path.exists() && !path.is_symlink() {
        return Ok(());
    }
    if !path.is_dir() {
        return Err(CliError::usage(format!("{shown}: a file is in the way; choose another --out")));
    }
    let entries = std::fs::read_dir(path).map_err(|e| CliError::io(path, &e))?;
    // What a start that was killed at once leaves counts for nothing.
    let is_nothing = |name: &std::ffi::OsStr| name == LOCK || is_leftover(name);
    if !entries.flatten().any(|e| !is_nothing(&e.file_name())) {
        return Ok(());
    }
    if !force {
        return Err(CliError::usage(format!(
            "{shown} is not empty; give another --out, or --force to replace its run"
        )));
    }
    match Manifest::read(path)? {
        Some(_) => Ok(()),
        None => Err(CliError::usage(format!(
            "{shown}: has no {MANIFEST}, so --force does not know what a run wrote there; give another --out"
        ))),
    }
}

/// Removes a regular file; what else has its name, a link too, stays.
fn remove_file(path: &Path) -> Result<(), CliError> {
    match path.symlink_metadata() {
        Ok(there) if there.is_file() => std::fs::remove_file(path).map_err(|e| CliError::io(path, &e)),
        _ => Ok(()),
    }
}

fn is_link(path: &Path) -> CliError {
    CliError::usage(format!("{}: is a link; nothing is written through it, remove it", path.display()))
}

fn not_ours(path: &Path) -> CliError {
    CliError::usage(format!("{}: was not written by this program and stays; move it away", path.display()))
}

/// The folders seed0, seed1, ... of a run over several seeds, by their seeds.
pub fn seed_folders(path: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let seed = |e: std::fs::DirEntry| e.file_name().to_str()?.strip_prefix("seed")?.parse().ok();
    let mut found: Vec<(u64, PathBuf)> =
        entries.filter_map(|e| Some((e.path(), seed(e)?))).map(|(path, seed)| (seed, path)).collect();
    found.retain(|(_, path)| path.is_dir());
    found.sort();
    found
}

/// `path` with its links followed, because `results/latest` may be pointed elsewhere while a run is under way; as it
/// is where there is nothing.
pub fn resolved(path: &Path) -> PathBuf {
    let Ok(real) = path.canonicalize() else { return path.to_path_buf() };
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match here.map(|here| real.strip_prefix(here).map(Path::to_path_buf)) {
        Ok(Ok(short)) if short != Path::new("") => short,
        _ => real,
    }
}

mod gather;
mod latest;
mod tasks;
#[cfg(test)]
mod tests;
