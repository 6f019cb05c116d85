//! Folders of the Open Graph Benchmark (Hu et al. 2020) as its loader downloads them: raw/edge.csv.gz,
//! raw/node-feat.csv.gz, raw/node-label.csv.gz without headers, and split/NAME/{train,valid,test}.csv.gz.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use models::gnn::Split;
use models::gnn::data::check::split_problem;

use super::classes::Classes;
use super::features::FeatureRows;
use super::native_npz::MOST_FEATURES;
use super::reading::{Listed, Reading, dataset};
use super::text::Lines;
use crate::run::error::CliError;

/// The files of nodes and edges: labels, edges, and features where there are some.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let raw = folder.join("raw");
    let features = find(&raw, "node-feat");
    [place(&raw, "node-label"), place(&raw, "edge")].into_iter().chain(features).collect()
}

/// A file by its name, packed or not.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    ["csv.gz", "csv"].map(|end| folder.join(format!("{name}.{end}"))).into_iter().find(|path| path.is_file())
}

/// The same, or where it should be.
fn place(folder: &Path, name: &str) -> PathBuf {
    find(folder, name).unwrap_or_else(|| folder.join(format!("{name}.csv.gz")))
}

/// Reads a folder with the split of that name, or with the only one that it has.
pub fn ogb(folder: &Path, split: Option<&str>, name: &str) -> Result<Reading, CliError> {
    let raw = folder.join("raw");
    let labels = Lines::read(&place(&raw, "node-label"))?;
    let code = |(k, line): (usize, &str)| match line.trim() {
        "nan" => Ok(None),
        cell => {
            let code: f64 = labels.number(k, cell)?;
            let whole = code >= 0.0 && code.fract() == 0.0 && code < 1e15;
            match whole {
                true => Ok(Some(code as i64)),
                false => {
                    Err(labels.wrong(k, format!("`{cell}` is no class; whole numbers from 0 are wanted")))
                }
            }
        }
    };
    let codes = labels.filled().map(code).collect::<Result<Vec<_>, _>>()?;
    let classes = Classes::of_codes(&codes).map_err(|what| labels.wrong(0, format!("holds {what}")))?;
    let nodes = codes.len();
    let mut pairs = Vec::new();
    let edges = Lines::read(&place(&raw, "edge"))?;
    for (k, line) in edges.filled() {
        let ends = numbers::<u32>(&edges, k, line)?;
        match ends[..] {
            [u, v] if (u.max(v) as usize) < nodes => pairs.push((u, v)),
            [u, v] => {
                let what = format!("edge ({u}, {v}) leads to a node that does not exist; there are {nodes}");
                return Err(edges.wrong(k, what));
            }
            _ => return Err(edges.wrong(k, "wants two nodes")),
        }
    }
    let (mut rows, mut width) = (FeatureRows::default(), None);
    match find(&raw, "node-feat") {
        Some(path) => {
            let lines = Lines::read(&path)?;
            let mut count = 0;
            for (k, line) in lines.filled() {
                let values = numbers::<f32>(&lines, k, line)?;
                let wanted = *width.get_or_insert(values.len());
                if values.len() != wanted || wanted > MOST_FEATURES {
                    let what = format!(
                        "has {} features, others have {wanted}; at most {MOST_FEATURES} are possible",
                        values.len()
                    );
                    return Err(lines.wrong(k, what));
                }
                if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                    return Err(lines.wrong(k, format!("feature {v} is not finite")));
                }
                values.into_iter().enumerate().for_each(|(j, v)| rows.push(j, v));
                rows.end();
                count += 1;
            }
            if count != nodes {
                let what = format!(
                    "{}: has features of {count} nodes, node-label labels of {nodes}",
                    path.display()
                );
                return Err(CliError::usage(what));
            }
        }
        // The same for all nodes.
        None => (0..nodes).for_each(|_| {
            rows.push(0, 1.0);
            rows.end();
        }),
    }
    let features = rows.matrix(width.unwrap_or(1));
    let mut reading = dataset(name, &labels.path, Listed::from(pairs), features, classes)?;
    let (split, title) = read_split(folder, split, nodes)?;
    reading.facts.push(("split".into(), title));
    reading.data.splits = vec![split];
    Ok(reading)
}

/// Numbers between commas.
fn numbers<V: FromStr>(lines: &Lines, k: usize, line: &str) -> Result<Vec<V>, CliError> {
    line.split(',').map(|cell| lines.number(k, cell.trim())).collect()
}

/// The split of that name, or the only one, and what it is called.
fn read_split(folder: &Path, name: Option<&str>, nodes: usize) -> Result<(Split, String), CliError> {
    let splits = folder.join("split");
    let entries = splits.read_dir().map_err(|e| CliError::io(&splits, &e))?;
    let named = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.ok().filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = entries.filter_map(named).collect();
    names.sort();
    let chosen = match (name, &names[..]) {
        (Some(name), held) if held.iter().any(|n| n == name) => name.to_string(),
        (None, [only]) => only.clone(),
        _ => {
            let what = format!("holds the splits {}; choose one by --split NAME", names.join(", "));
            return Err(CliError::usage(format!("{}: {what}", splits.display())));
        }
    };
    let part = |name: &str| -> Result<Vec<u32>, CliError> {
        let lines = Lines::read(&place(&splits.join(&chosen), name))?;
        let mut part =
            lines.filled().map(|(k, line)| lines.number(k, line.trim())).collect::<Result<Vec<u32>, _>>()?;
        part.sort_unstable();
        Ok(part)
    };
    let split = Split { train: part("train")?, validation: part("valid")?, test: part("test")? };
    match split_problem(&split, nodes) {
        Some(what) => Err(CliError::usage(format!("{}: {what}", splits.join(&chosen).display()))),
        None => Ok((split, chosen)),
    }
}
