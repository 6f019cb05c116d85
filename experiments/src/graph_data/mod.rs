//! Data sets from files, or made on the spot.

pub mod import;
pub mod known;
pub mod npz;
mod uniform;

use std::path::{Path, PathBuf};

use models::graph::Dataset;
use models::graph::check::check;
use models::graph::synthetic::{BlockModel, karate};

pub use known::KNOWN;
pub use uniform::{decode, encode};

use crate::config::nearest;
use crate::failure::Failure;

/// Names of the data sets that need no file.
pub const BUILT_IN: [&str; 2] = ["karate", "csbm"];

/// The block model called `csbm`: neither features nor edges alone are enough.
pub const CSBM: BlockModel =
    BlockModel { nodes: 400, classes: 4, degree: 8.0, homophily: 0.75, features: 16, signal: 1.5 };

/// The folder with data: the argument, or what METASTABLE_DATA names.
pub fn folder(data_dir: Option<&Path>) -> Option<PathBuf> {
    data_dir.map(Path::to_path_buf).or_else(|| std::env::var_os("METASTABLE_DATA").map(PathBuf::from))
}

/// The file of a data set in a folder: NAME.npz, or graphs/NAME.npz.
pub fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    let places = [folder.join(format!("{name}.npz")), folder.join("graphs").join(format!("{name}.npz"))];
    places.into_iter().find(|p| p.is_file())
}

/// Names of the files in a folder.
pub fn available(folder: &Path) -> Vec<String> {
    let files = [folder.to_path_buf(), folder.join("graphs")].into_iter().filter_map(|d| d.read_dir().ok());
    let mut names: Vec<String> = files
        .flat_map(|entries| entries.flatten())
        .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".npz")?.to_string()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A data set by name (or by the path of its npz), checked; every error is one line.
pub fn load(name: &str, data_dir: Option<&Path>) -> Result<Dataset, Failure> {
    let data = match name {
        "karate" => karate(),
        "csbm" => CSBM.draw(0),
        _ if name.starts_with("csbm-") => sized(name)?.draw(0),
        _ if name.ends_with(".npz") => decode(Path::new(name))?,
        _ => decode(&find(name, data_dir)?)?,
    };
    match check(&data).into_iter().find(|f| f.fatal) {
        Some(finding) => Err(Failure::usage(format!("data set {name}: {}", finding.what))),
        None => Ok(data),
    }
}

/// `csbm-NODES-DEGREE`: the block model at another size, up to what 32-bit numbers can count.
fn sized(name: &str) -> Result<BlockModel, Failure> {
    let numbers: Option<Vec<usize>> = name.split('-').skip(1).map(|v| v.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[nodes, degree])
            if (8..=100_000_000).contains(&nodes) && degree > 0 && nodes * degree < 1 << 31 =>
        {
            Ok(BlockModel { nodes, degree: degree as f64, ..CSBM })
        }
        _ => Err(Failure::usage(format!(
            "data set {name}: write csbm-NODES-DEGREE with at least 8 nodes, for example csbm-1000000-20"
        ))),
    }
}

/// The path of a data set's file, or how to get it.
pub fn find(name: &str, data_dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let known: Vec<&str> = KNOWN.iter().map(|k| k.name).chain(BUILT_IN).collect();
    let Some(folder) = folder(data_dir) else {
        let hint = match nearest(name, &known) {
            Some(k) if k != name => format!("did you mean {k}? "),
            _ => String::new(),
        };
        return Err(Failure::usage(format!(
            "data set {name}: {hint}no data folder is set; give --data-dir DIR or set METASTABLE_DATA (without data there are {})",
            BUILT_IN.join(" and ")
        )));
    };
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{}: no such data folder", folder.display())));
    }
    file(&folder, name).ok_or_else(|| {
        let mut there = available(&folder);
        there.extend(BUILT_IN.map(String::from));
        let hint = nearest(name, &there).map_or(String::new(), |n| format!("; did you mean {n}?"));
        Failure::usage(format!(
            "data set {name}: no {name}.npz in {}{hint} (there are {}; see `data fetch {name}`)",
            folder.display(),
            there.join(", ")
        ))
    })
}
