//! What names and values mean in files of other programs: numbers, classes, nodes without label, parts of splits.

use super::classes::Classes;
use crate::run::error::CliError;

/// Names of classes, of splits and of weights, as [`bare`] makes them.
pub(super) const LABEL: &[&str] = &["label", "labels", "class", "classes", "y", "subject"];
pub(super) const SPLIT: &[&str] = &["split", "part"];
pub(super) const WEIGHT: &[&str] = &["weight", "weights", "w"];

/// Names as they are compared: small letters and figures alone.
pub(super) fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A number as people write them; `nan` and `inf` are words.
pub(super) fn is_number(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && cell.parse::<f64>().is_ok()
}

/// What stands for no label, beside what the user says.
const MISSING: [&str; 3] = ["", "nan", "na"];

/// Classes as a source writes them: all of them whole numbers, or all of them names.
pub(super) enum Labels {
    Codes(Vec<Option<i64>>),
    Names(Vec<Option<String>>),
}

impl Labels {
    /// Reads fields, of which `unlabelled` stand for no label; `wrong` makes an error about one of them.
    pub fn of(
        cells: &[String],
        unlabelled: &[String],
        wrong: &dyn Fn(usize, String) -> CliError,
    ) -> Result<Self, CliError> {
        let stated = |cell: &str| unlabelled.iter().any(|word| word == cell);
        let missing = |cell: &str| stated(cell) || MISSING.iter().any(|word| word.eq_ignore_ascii_case(cell));
        let filled = || cells.iter().enumerate().filter(|(_, cell)| !missing(cell));
        let numeric = filled().next().is_some_and(|(_, cell)| is_number(cell));
        if let Some((k, cell)) = filled().find(|(_, cell)| is_number(cell) != numeric) {
            return Err(wrong(
                k,
                match numeric {
                    true => format!(
                        "`{cell}` is a name where others are numbers; where it says that there is no label, give --unlabelled {cell}"
                    ),
                    false => format!("`{cell}` is a number where others are names"),
                },
            ));
        }
        if !numeric {
            return Ok(Self::Names(cells.iter().map(|c| (!missing(c)).then(|| c.clone())).collect()));
        }
        let mut codes = Vec::with_capacity(cells.len());
        for (k, cell) in cells.iter().enumerate() {
            let what = || format!("`{cell}` is no class; whole numbers from 0, or names, are wanted");
            codes.push(match missing(cell) {
                true => None,
                false => Some(whole(cell).filter(|c| *c >= -1).ok_or_else(|| wrong(k, what()))?),
            });
        }
        // Beside a single other class -1 is the second one.
        let others = codes.iter().flatten().copied().filter(|c| *c >= 0);
        if others.clone().min() != others.max() {
            codes.iter_mut().for_each(|code| *code = code.filter(|c| *c >= 0));
        }
        Ok(Self::Codes(codes))
    }

    /// The classes of `count` nodes, of which the k-th field is about `places[k]`.
    pub fn placed(self, places: &[u32], count: usize) -> Result<Classes, String> {
        match self {
            Self::Codes(codes) => Classes::of_codes(&at_places(codes, places, count)),
            Self::Names(names) => Classes::of_names(&at_places(names, places, count)),
        }
    }
}

/// Values of lines as values of nodes.
fn at_places<V: Clone>(values: Vec<Option<V>>, places: &[u32], count: usize) -> Vec<Option<V>> {
    let mut out = vec![None; count];
    values.into_iter().zip(places).for_each(|(v, place)| out[*place as usize] = v);
    out
}

/// A whole number; pandas writes 1.0 for one where others are missing.
fn whole(cell: &str) -> Option<i64> {
    let real = || cell.parse::<f64>().ok().filter(|v| v.fract() == 0.0 && v.abs() < 1e15).map(|v| v as i64);
    cell.parse().ok().or_else(real)
}

/// The part that a field names: 0 to 2 for training, validation, test; `Ok(None)` for no part.
pub(super) fn part(cell: &str) -> Result<Option<usize>, String> {
    let parts: [&[&str]; 4] = [
        &["train", "training"],
        &["val", "valid", "validation", "dev"],
        &["test", "testing"],
        &["", "none", "nan", "na", "unused"],
    ];
    let name = bare(cell);
    match parts.iter().position(|names| names.contains(&name.as_str())) {
        Some(3) => Ok(None),
        Some(k) => Ok(Some(k)),
        None => Err(format!("`{cell}` is no part; train, val, test or none is wanted")),
    }
}
