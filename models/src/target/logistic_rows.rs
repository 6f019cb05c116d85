//! Rows of features with labels: files, public sets whose evidence is known, standardisation.

use std::path::Path;

use engine::rng::Stream;
use sha2::{Digest, Sha256};

use super::TargetError;

/// Features, row by row, and labels.
pub(super) type Rows = (Vec<f64>, Vec<bool>);

/// 200 rows of four features whose scales differ by factors of ten, and labels drawn by a logistic regression.
pub(super) fn made_up() -> Rows {
    let (n, scales, weights) = (200, [0.1, 1.0, 10.0, 1.0], [1.0, -1.0, 0.5, 0.0]);
    let mut stream = Stream::new(0, "made-up regression", 0, 0);
    let mut z = vec![0.0_f64; n * scales.len()];
    stream.fill_normal(&mut z);
    let label = |z: &[f64]| {
        let logit: f64 = z.iter().zip(weights).map(|(z, w)| z * w).sum::<f64>() + 0.3;
        stream.uniform() < 1.0 / (1.0 + (-logit).exp())
    };
    let labels = z.chunks_exact(scales.len()).map(label).collect();
    (z.iter().zip(scales.iter().cycle()).map(|(z, s)| z * s).collect(), labels)
}

/// A file of a public set, by its sha256; the prior's deviation, whether features are centred, and log Z with them.
type Known = (&'static str, f64, bool, f64);

/// Those whose log Z several long runs of sequential Monte Carlo agree on, to 0.01: German Credit (1000 rows, 24
/// features) and Connectionist Bench (208 rows, 60), both of the UCI repository.
const KNOWN: [Known; 2] = [
    ("646541aa052f7c8fde127a6e7b7dcd44a408cb43ef47b576e80d1c25fc64a271", 10.0, false, -585.109),
    ("6605ccb96c1ca6cef581c3d3c0a84350b9fee35a7e00cbc059c1bedbb679102d", 1.0, true, -108.397),
];

/// log Z of the rows in a file with these bytes, where it is known.
pub(super) fn known_log_z(bytes: &[u8], prior: f64, centred: bool) -> Option<f64> {
    let sum: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    of_known(&sum, prior, centred)
}

fn of_known(sum: &str, prior: f64, centred: bool) -> Option<f64> {
    let found = KNOWN.iter().find(|(known, p, c, _)| (*known, *p, *c) == (sum, prior, centred));
    found.map(|(.., log_z)| *log_z)
}

fn wrong(path: &Path, what: String) -> TargetError {
    TargetError::Parameter(format!("target.data = {}: {what}", path.display()))
}

pub(super) fn text(path: &Path) -> Result<String, TargetError> {
    std::fs::read_to_string(path).map_err(|e| wrong(path, e.to_string()))
}

/// The rows of a csv file, separated by commas: features, and in the last column a label of two values, the greater of
/// which is y = 1. A first line without any number has the names.
pub(super) fn read(path: &Path, text: &str) -> Result<Rows, TargetError> {
    let wrong = |what: String| wrong(path, what);
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
    let (mut features, mut labels, mut width) = (Vec::new(), Vec::new(), 0);
    for (k, record) in reader.records().enumerate() {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        // Counted where there is something to say of it alone.
        let line = || line_of(text, record.position().map_or(0, csv::Position::byte) as usize);
        let number = |v: &str| v.parse::<f64>().ok();
        // Names: a first line without any number.
        if k == 0 && record.iter().all(|v| number(v).is_none()) {
            continue;
        }
        let mut row = Vec::with_capacity(record.len());
        for (cell, column) in record.iter().zip(1..) {
            match number(cell) {
                Some(v) if v.is_finite() => row.push(v),
                Some(_) => {
                    return Err(wrong(format!("line {}, column {column}: a number must be finite", line())));
                }
                None => {
                    return Err(wrong(format!("line {}, column {column}: `{cell}` is no number", line())));
                }
            }
        }
        let Some((label, row)) = row.split_last().filter(|(_, row)| !row.is_empty()) else {
            return Err(wrong(format!("line {}: give features, and a label in the last column", line())));
        };
        width = row.len();
        features.extend_from_slice(row);
        labels.push(*label);
    }
    let (low, high) =
        labels.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if let Some(at) = labels.iter().position(|v| *v != low && *v != high) {
        let third = labels[at];
        return Err(wrong(format!(
            "the last column has labels {low}, {high} and {third}: two classes are wanted"
        )));
    }
    if labels.is_empty() || low == high {
        return Err(wrong("the last column must have labels of two classes".into()));
    }
    if width > MOST {
        return Err(wrong(format!("{width} features: at most {MOST} are supported")));
    }
    Ok((features, labels.iter().map(|v| *v == high).collect()))
}

/// The line of the first number at or after a byte of the text: a record begins where the one before it ended, blank
/// lines included.
fn line_of(text: &str, byte: usize) -> usize {
    let rest = text.get(byte..).unwrap_or_default();
    let blank = rest.len() - rest.trim_start().len();
    1 + text.bytes().take(byte + blank).filter(|b| *b == b'\n').count()
}

/// Most features of a file.
const MOST: usize = 2000;

/// An intercept of 1 before each row of features, which are divided by their standard deviations and have the mean 0
/// before if `centred`. A constant column is not divided.
pub(super) fn standardised(x: Vec<f64>, rows: usize, centred: bool) -> Vec<f64> {
    let d = x.len() / rows;
    let (mut mean, mut square) = (vec![0.0; d], vec![0.0; d]);
    let n = rows as f64;
    for row in x.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n);
    }
    for row in x.chunks_exact(d) {
        square.iter_mut().zip(row.iter().zip(&mean)).for_each(|(s, (v, m))| *s += (v - m).powi(2) / n);
    }
    let constant: Vec<bool> = (0..d).map(|a| x.iter().skip(a).step_by(d).all(|v| *v == x[a])).collect();
    for (a, _) in constant.iter().enumerate().filter(|(_, constant)| **constant) {
        // Sums of equal numbers round.
        (mean[a], square[a]) = (x[a], 1.0);
    }
    let of = |(v, (m, s)): (&f64, (&f64, &f64))| (if centred { v - m } else { *v }) / s.sqrt();
    let row = |row: &[f64]| -> Vec<f64> {
        std::iter::once(1.0).chain(row.iter().zip(mean.iter().zip(&square)).map(of)).collect()
    };
    x.chunks_exact(d).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_z_is_known_of_a_public_file_with_its_own_prior_alone() {
        for (sum, prior, centred, log_z) in KNOWN {
            assert_eq!(of_known(sum, prior, centred), Some(log_z));
            assert_eq!((of_known(sum, 2.0, centred), of_known(sum, prior, !centred)), (None, None));
        }
        assert_eq!(known_log_z(b"1,2,0\n", 1.0, true), None);
        // The sum of no bytes at all, by any other program.
        let nothing = Sha256::digest(b"").iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert!(nothing.starts_with("e3b0c44298fc1c14"));
    }
}
