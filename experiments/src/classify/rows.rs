//! Files of finished trainings, a line for each: read whole, or refused.

use std::collections::HashSet;
use std::hash::Hash;

use crate::failure::Failure;
use crate::run_folder::RunFolder;

/// The rows of a file, none where there is no file. A line that `parse` does not take is damage, and so are two
/// lines of one `key`.
pub(super) fn read<R, K: Eq + Hash>(
    folder: &RunFolder,
    name: &str,
    columns: &str,
    parse: impl Fn(&str) -> Option<R>,
    key: impl Fn(&R) -> K,
) -> Result<Vec<R>, Failure> {
    let file = folder.file(name);
    if !file.exists() {
        return Ok(Vec::new());
    }
    let damaged =
        |line: usize| Failure::usage(format!("{}: line {line} is damaged; start a new run", file.display()));
    let text = String::from_utf8_lossy(&folder.read(name)?).into_owned();
    let mut lines = text.lines();
    if lines.next() != Some(columns) {
        return Err(damaged(1));
    }
    let mut seen = HashSet::new();
    let mut row = |line: &str| parse(line).filter(|row| seen.insert(key(row)));
    lines.zip(2..).map(|(line, number)| row(line).ok_or_else(|| damaged(number))).collect()
}
