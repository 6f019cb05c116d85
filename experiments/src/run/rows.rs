//! Files of finished jobs, a row of csv for each: read whole, or refused.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::run::RunFolder;
use crate::run::error::CliError;

/// A finished job.
pub trait Row: Serialize + DeserializeOwned {
    /// Its file.
    const FILE: &'static str;
    /// The names of its fields.
    const COLUMNS: &'static str;
}

/// The rows of a file in the order of their keys, none where there is no file. A row that does not belong to the run
/// is damage, and so are two rows of one key.
///
/// # Errors
/// The first line that is damaged.
pub fn read<R: Row, K: Ord>(
    folder: &RunFolder,
    belongs: impl Fn(&R) -> bool,
    key: impl Fn(&R) -> K,
) -> Result<Vec<R>, CliError> {
    let file = folder.file(R::FILE);
    if !file.exists() {
        return Ok(Vec::new());
    }
    let damaged =
        |line: usize| CliError::usage(format!("{}: line {line} is damaged; start a new run", file.display()));
    let text = String::from_utf8_lossy(&folder.read(R::FILE)?).into_owned();
    let lines = text.strip_prefix(R::COLUMNS).and_then(|rest| rest.strip_prefix('\n')).ok_or(damaged(1))?;
    if !lines.is_empty() && !lines.ends_with('\n') {
        return Err(damaged(1 + lines.lines().count()));
    }
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(lines.as_bytes());
    for (row, line) in reader.into_deserialize().zip(2..) {
        let row: Option<R> = row.ok().filter(|row| belongs(row) && seen.insert(key(row)));
        rows.push(row.ok_or_else(|| damaged(line))?);
    }
    rows.sort_by_key(key);
    Ok(rows)
}

/// Writes the file.
///
/// # Errors
/// The folder cannot be written to.
pub fn write<R: Row>(folder: &RunFolder, rows: &[R]) -> Result<(), CliError> {
    let mut writer =
        csv::WriterBuilder::new().has_headers(false).from_writer(format!("{}\n", R::COLUMNS).into_bytes());
    let wrong = |e: &dyn std::error::Error| CliError::Failed(format!("{}: {e}", R::FILE));
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|e| wrong(&e))?;
    folder.write(R::FILE, &writer.into_inner().map_err(|e| wrong(&e))?)
}

/// A number as Rust prints it.
///
/// # Errors
/// Those of the serializer.
pub fn plain<S: Serializer>(v: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(v)
}
