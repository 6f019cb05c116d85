//! Puts the folders of all tasks of a sweep together: to a run that one process could have done as far, and that is
//! resumed like one, with nothing left but to sum up. The tasks' own folders stay as they are.

use std::collections::BTreeSet;
use std::path::Path;

use super::tasks::{DONE, TASK};
use super::{BEGUN, RunFolder, SECONDS, hold, resolved};
use crate::run::error::CliError;
use crate::run::{Share, program};

/// Files in which tasks of one run may differ, because their machines do: those of the first stand for all.
const OF_MACHINES: [&str; 2] = ["env.json", "reference.toml"];

impl RunFolder {
    /// Puts together what the tasks in a folder did. `tables` are the files of rows, of which each task has its own; the
    /// rows come in the order of the tasks. Nothing is written before it is known that all have come to their ends and
    /// began alike.
    pub fn gather(path: &Path, binary: &str, tables: &[&str], quiet: bool) -> Result<Self, CliError> {
        let path = &resolved(path);
        let tasks = finished(path, binary)?;
        let first = tasks[0].begun()?;
        for task in &tasks {
            task.compare_versions(quiet)?;
            if let Some(change) = first.differs(&task.begun()?, &[TASK]) {
                let (task, first) = (task.path.display(), tasks[0].path.display());
                return Err(CliError::usage(format!(
                    "{task}: {change} ({first}); these are no tasks of one run"
                )));
            }
        }
        let whole = Self::of(path, hold(path)?);
        whole.remove_leftovers()?;
        if whole.file(BEGUN).is_file()
            && let Some(change) = whole.begun()?.differs(&first, &[TASK])
        {
            let path = path.display();
            return Err(CliError::usage(format!(
                "{path}: holds another run than its tasks: {change}; move it away"
            )));
        }
        // They go with the run, where that is replaced.
        let names = tasks.iter().filter_map(|task| task.path.file_name()?.to_str().map(String::from));
        whole.manifest().folders.extend(names);
        whole.manifest().write(path)?;
        whole.join(&tasks, tables, true)?;
        Ok(whole)
    }

    /// Joins the contents of several folders in this one, how they began last: without that it is no run yet.
    fn join(&self, parts: &[Self], tables: &[&str], is_whole: bool) -> Result<(), CliError> {
        let of_all =
            |of: fn(&Self) -> BTreeSet<String>| -> BTreeSet<String> { parts.iter().flat_map(of).collect() };
        for name in of_all(|part| part.manifest().files.clone()) {
            let left_out = [BEGUN, TASK].contains(&name.as_str()) || is_whole && name == DONE;
            let there = || parts.iter().filter(|part| part.file(&name).is_file());
            if left_out || there().next().is_none() {
                continue;
            }
            if name == SECONDS {
                self.write_seconds(there().map(Self::seconds).sum())?;
                continue;
            }
            let mut bytes = Vec::new();
            for (k, part) in there().enumerate() {
                let own = part.read(&name)?;
                if k == 0 {
                    bytes = own;
                } else if tables.contains(&name.as_str()) {
                    // Each has a line of column names.
                    let rows = own.iter().position(|b| *b == b'\n').map_or(&[][..], |end| &own[end + 1..]);
                    bytes.extend_from_slice(rows);
                } else if own != bytes && !OF_MACHINES.contains(&name.as_str()) {
                    return Err(CliError::usage(format!(
                        "{}: is another file than those of the other tasks; do that task again with --force",
                        part.file(&name).display()
                    )));
                }
            }
            self.write(&name, &bytes)?;
        }
        for name in &of_all(|part| part.manifest().folders.clone()) {
            let mut own = Vec::new();
            for part in parts {
                if part.has_begun(name)? {
                    own.push(Self::open_any(&part.file(name))?);
                }
            }
            if !own.is_empty() {
                self.part(name)?.join(&own, tables, false)?;
            }
        }
        match parts[0].share {
            None => self.write(BEGUN, &parts[0].read(BEGUN)?),
            Some(_) => {
                let mut begun = parts[0].begun()?;
                begun.files.remove(TASK);
                self.write_begun(&begun)
            }
        }
    }
}

/// All tasks of the sweep in a folder; an error that says which have not come to their ends, and what to do.
fn finished(path: &Path, binary: &str) -> Result<Vec<RunFolder>, CliError> {
    let shown = path.display();
    let mut found = Share::found(path);
    found.retain(|(_, path)| path.join(BEGUN).is_file());
    let Some((first, _)) = found.first() else {
        let first = program::line(format_args!("{binary} --out {shown} --task I/N"));
        return Err(CliError::usage(format!("{shown}: has no tasks; run them first: {first}")));
    };
    if let Some((other, _)) = found.iter().find(|(other, _)| other.count() != first.count()) {
        return Err(CliError::usage(format!(
            "{shown}: has tasks of {} and tasks of {}; move those away that do not belong to the run",
            first.count(),
            other.count()
        )));
    }
    let is_done = |share: &Share| path.join(share.folder()).join(DONE).is_file();
    let open: Vec<Share> = first.all().filter(|share| !is_done(share)).collect();
    if open.is_empty() {
        return first.all().map(|share| RunFolder::open_any(&path.join(share.folder()))).collect();
    }
    let begun = |share: &Share| found.iter().any(|(other, _)| other == share);
    let named = |want: bool| {
        let own = open.iter().filter(|share| begun(share) == want);
        own.map(Share::to_string).collect::<Vec<_>>().join(", ")
    };
    let (unfinished, missing) = (named(true), named(false));
    let say =
        |tasks: &str, what: &str| if tasks.is_empty() { vec![] } else { vec![format!("{what}: {tasks}")] };
    let open = [say(&unfinished, "unfinished"), say(&missing, "not begun")].concat().join("; ");
    Err(CliError::usage(format!(
        "{shown}: tasks {open}; give the command of each again with its --task (Slurm: sbatch --array=I,J SCRIPT)"
    )))
}
