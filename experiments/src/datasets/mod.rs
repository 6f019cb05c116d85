//! Data sets from files, or made on the spot.

mod classes;
mod csr;
mod csv;
mod features;
mod fetch;
mod format;
mod graphml;
mod import;
pub mod known;
mod labels;
mod native_npz;
pub mod npz;
mod ogb;
mod pickle;
mod planetoid;
mod reading;
mod summary;
mod text;

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use models::gnn::Dataset;
use models::gnn::data::check::check;
use models::gnn::data::citations::ARXIV;
use models::gnn::data::synthetic::{BlockModel, karate};
use models::words::nearest;

pub use self::csv::{Csv, EdgesFormat};
pub use fetch::fetch;
pub use format::{Format, Imported};
pub use known::KNOWN;
pub use native_npz::{decode, decode_bytes, encode};

use self::npz::Npz;
use crate::run::Input;
use crate::run::error::CliError;

/// Names of the data sets that need no file.
pub const BUILT_IN: [&str; 2] = ["karate", "csbm"];

/// The block model called `csbm`: neither features nor edges alone are enough.
pub const CSBM: BlockModel =
    BlockModel { nodes: 400, classes: 4, degree: 8.0, homophily: 0.75, features: 16, signal: 1.5 };

/// The name of a drawn graph of the size and shape of ogbn-arxiv.
const ARXIV_LIKE: &str = "arxiv-like";

/// The folder with data: the argument, or what METASTABLE_DATA names.
pub fn folder(data_dir: Option<&Path>) -> Option<PathBuf> {
    data_dir.map(Path::to_path_buf).or_else(|| std::env::var_os("METASTABLE_DATA").map(PathBuf::from))
}

/// The file of a data set in a folder: NAME.npz, or graphs/NAME.npz.
pub fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    let places = [folder.join(format!("{name}.npz")), folder.join("graphs").join(format!("{name}.npz"))];
    places.into_iter().find(|p| p.is_file())
}

/// Names of the data sets in a folder; one whose name is no text is only found by its path.
pub fn available(folder: &Path) -> Result<Vec<String>, CliError> {
    if !folder.is_dir() {
        let what =
            if folder.exists() { "is no folder; a data folder is wanted" } else { "no such data folder" };
        return Err(CliError::usage(format!("{}: {what}", folder.display())));
    }
    let mut names = Vec::new();
    for place in [folder.to_path_buf(), folder.join("graphs")] {
        let io = |e: std::io::Error| CliError::io(&place, &e);
        let entries = match place.read_dir() {
            Err(e)
                if place != folder && matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            entries => entries.map_err(io)?,
        };
        for entry in entries {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".npz"))
                && entry.path().is_file()
            {
                names.push(name.to_string());
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A data set, and the file that it was read from; none if it was made on the spot.
pub struct Sourced {
    /// The data.
    pub data: Dataset,
    /// The file.
    pub input: Option<Input>,
}

/// The data set in the npz of that path, checked.
pub fn load_file(path: &Path) -> Result<Dataset, CliError> {
    sound(&path.display(), read(path)?).map(|sourced| sourced.data)
}

/// Data that can be used, or the first thing that is wrong with them.
fn sound(name: &dyn Display, sourced: Sourced) -> Result<Sourced, CliError> {
    match check(&sourced.data).into_iter().find(|f| f.fatal) {
        Some(finding) => Err(CliError::usage(format!("data set {name}: {}", finding.what))),
        None => Ok(sourced),
    }
}

/// A data set by name (or by the path of its npz), checked; every error is one line.
pub fn load(name: &str, data_dir: Option<&Path>) -> Result<Dataset, CliError> {
    load_sourced(name, data_dir).map(|sourced| sourced.data)
}

/// The same with its file.
pub fn load_sourced(name: &str, data_dir: Option<&Path>) -> Result<Sourced, CliError> {
    let made = |data| Ok(Sourced { data, input: None });
    let sourced = match name {
        "karate" => made(karate()),
        "csbm" => made(CSBM.draw(0)),
        ARXIV_LIKE => made(ARXIV.draw(ARXIV_LIKE, 0)),
        _ if name.ends_with(".npz") => read(Path::new(name)),
        _ if name.starts_with("csbm-") => sized(name).and_then(|model| made(model.draw(0))),
        _ => read(&find(name, data_dir).map_err(|e| no_npz(name).unwrap_or(e))?),
    }?;
    sound(&name, sourced)
}

fn read(path: &Path) -> Result<Sourced, CliError> {
    let bytes = Npz::bytes(path)?;
    let input = Some(Input::new(path, &bytes));
    Ok(Sourced { data: decode_bytes(path, bytes)?, input })
}

/// An error about a file that is there, but no npz by its name; none where no file is there.
fn no_npz(name: &str) -> Option<CliError> {
    let path = Path::new(name);
    if !path.is_file() {
        return None;
    }
    let end = path.extension().map_or_else(String::new, |end| end.to_string_lossy().to_lowercase());
    let remedy = match end.as_str() {
        "csv" | "tsv" | "txt" | "edges" | "gz" => "import it by `data import csv`",
        "mtx" => "import it by `data import csv --edges`, which reads Matrix Market",
        "graphml" | "xml" => "import it by `data import graphml`",
        _ if decode(path).is_ok() => "it holds a data set: give it a name that ends in .npz",
        _ => "`data import` makes one of files of many kinds",
    };
    Some(CliError::usage(format!("{name}: is no npz, from which data sets are read; {remedy}")))
}

/// `csbm-NODES-DEGREE`: the block model at another size, up to what 32-bit numbers can count.
fn sized(name: &str) -> Result<BlockModel, CliError> {
    let numbers: Option<Vec<usize>> = name.split('-').skip(1).map(|v| v.parse().ok()).collect();
    let Some(&[nodes @ (8..), degree @ (1..)]) = numbers.as_deref() else {
        return Err(CliError::usage(format!(
            "data set {name}: write csbm-NODES-DEGREE with at least 8 nodes, for example csbm-1000000-20"
        )));
    };
    if nodes > 100_000_000 || nodes.checked_mul(degree).is_none_or(|ends| ends >= 1 << 31) {
        return Err(CliError::usage(format!(
            "data set {name}: is too large; at most 100000000 nodes are possible, and NODES * DEGREE below {}",
            1_u32 << 31
        )));
    }
    let model = BlockModel { nodes, degree: degree as f64, ..CSBM };
    model.check().map_err(|what| CliError::usage(format!("data set {name}: {what}")))?;
    Ok(model)
}

/// The path of a data set's file, or how to get it.
pub fn find(name: &str, data_dir: Option<&Path>) -> Result<PathBuf, CliError> {
    let known: Vec<&str> = KNOWN.iter().map(|k| k.name).chain(BUILT_IN).collect();
    let Some(folder) = folder(data_dir) else {
        let hint = match nearest(name, &known) {
            Some(k) if k != name => format!("did you mean {k}? "),
            _ => String::new(),
        };
        return Err(CliError::usage(format!(
            "data set {name}: {hint}no data folder is set; give --data-dir DIR or set METASTABLE_DATA (without data there are {})",
            BUILT_IN.join(" and ")
        )));
    };
    let mut there = available(&folder)?;
    file(&folder, name).ok_or_else(|| {
        there.extend(BUILT_IN.map(String::from));
        let all: Vec<&str> = there.iter().map(String::as_str).chain(known.iter().copied()).collect();
        let hint = match nearest(name, &all) {
            Some(near) if near == name => format!("; get it by `data fetch {name}`"),
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        };
        CliError::usage(format!(
            "data set {name}: no {name}.npz in {}{hint} (there are {})",
            folder.display(),
            there.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_models_have_sizes_that_can_be_counted() {
        let model = sized("csbm-1000-20").unwrap();
        assert_eq!((model.nodes, model.degree), (1000, 20.0));
        let refused = |name: &str, what: &str| {
            assert!(load(name, None).err().unwrap().to_string().contains(what), "{name}");
        };
        // 2^61 and twice that: the product wraps to 0.
        for name in ["csbm-8-2305843009213693952", "csbm-16-4611686018427387904", "csbm-100000000-22"] {
            refused(name, "is too large");
        }
        for name in ["csbm-7-2", "csbm-8-0", "csbm-8", "csbm-8-2-3", "csbm-mine"] {
            refused(name, "write csbm-NODES-DEGREE");
        }
    }

    #[test]
    fn a_path_is_a_file_whatever_it_begins_with() {
        let error = load("csbm-nowhere.npz", None).err().unwrap().to_string();
        assert!(error.contains("csbm-nowhere.npz: no such file"), "{error}");
    }

    #[test]
    fn a_folder_is_no_data_set() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub.npz")).unwrap();
        std::fs::write(dir.path().join("own.npz"), encode(&karate()).unwrap()).unwrap();
        assert_eq!(available(dir.path()).unwrap(), ["own"]);
        let error = decode(&dir.path().join("sub.npz")).err().unwrap().to_string();
        assert!(error.contains("sub.npz: is a folder"), "{error}");
        assert!(available(&dir.path().join("own.npz")).is_err());
    }
}
