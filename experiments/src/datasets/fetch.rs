//! Getting the public data sets from where their authors keep them.

use std::path::{Path, PathBuf};
use std::process::Command;

use models::gnn::Dataset;
use models::words::nearest;

use super::known::KNOWN;
use super::{BUILT_IN, Format, import, planetoid};
use crate::run::console;
use crate::run::error::CliError;

// Whole commits, so that what is fetched is what was checked.
const GITHUB: &str = "https://raw.githubusercontent.com";
const GEOM: &str = "graphdml-uiuc-jlu/geom-gcn/f1fc0d14b3b019c562737240d06ec83b07d16a8f";
const PLANETOID: &str = "kimiyoung/planetoid/af6abf468a772cc055bec88c52e4d6f51b7c37e3/data";
const YANDEX: &str = "yandex-research/heterophilous-graphs/a431395582e929d88271309716bea4fe24ce6318/data";
const SHCHUR: &str = "shchur/gnn-benchmark/1e72912a0810cdf27ae54fd589a3b43358a2b161/data/npz";

/// Downloads the source of a known data set into FOLDER/sources/NAME, what is not there yet, and makes
/// FOLDER/NAME.npz of it.
pub fn fetch(name: &str, folder: &Path) -> Result<(PathBuf, Dataset), CliError> {
    if !KNOWN.iter().any(|k| k.name == name) {
        let known: Vec<&str> = KNOWN.iter().map(|k| k.name).collect();
        let words = [&known[..], &["all"]].concat();
        let what = match nearest(name, &words) {
            _ if BUILT_IN.contains(&name) => "is built in".to_string(),
            Some(near) => format!("is not known; did you mean {near}?"),
            None => format!("is not known; known are {}", known.join(", ")),
        };
        return Err(CliError::usage(format!("data set {name} {what}")));
    }
    let sources = folder.join("sources").join(name);
    let (addresses, format) = source(name, &sources, folder.join(format!("{name}.npz")));
    std::fs::create_dir_all(&sources).map_err(|e| CliError::io(&sources, &e))?;
    let place = |address: &str| sources.join(address.rsplit('/').next().unwrap_or("download"));
    let missing: Vec<&String> = addresses.iter().filter(|a| !place(a).is_file()).collect();
    for (k, address) in missing.iter().enumerate() {
        let (target, address) = (place(address), format!("{GITHUB}/{address}"));
        if !download(&address, &target)? {
            let more = missing.len() - k - 1;
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            return Err(CliError::Failed(format!(
                "cannot download {address}{more} (no network, or no curl): put them into {} by hand, and run this again",
                sources.display()
            )));
        }
    }
    format.import().map(|imported| (imported.path, imported.data))
}

/// The addresses of a set's files, and how they are read.
fn source(name: &str, from: &Path, out: PathBuf) -> (Vec<String>, Format) {
    let (name, from) = (name.to_string(), from.to_path_buf());
    let split_names = || (0..10).map(|k| format!("{name}_split_0.6_0.2_{k}.npz"));
    let splits = split_names().map(|file| from.join(file)).collect();
    let with_splits = |place: String, files: &[PathBuf]| {
        let files = files.iter().filter_map(|f| f.file_name()).map(|f| format!("{place}/{}", f.display()));
        files.chain(split_names().map(|file| format!("{GEOM}/splits/{file}"))).collect()
    };
    match &name[..] {
        "cora" | "citeseer" | "pubmed" => {
            let files = with_splits(PLANETOID.into(), &planetoid::files(&from, &name));
            (files, Format::Planetoid { from, name, splits, out })
        }
        "coauthor_cs" | "amazon_photo" => {
            let file = if name == "coauthor_cs" { "ms_academic_cs" } else { "amazon_electronics_photo" };
            let from = from.join(format!("{file}.npz"));
            (vec![format!("{SHCHUR}/{file}.npz")], Format::Shchur { from, out })
        }
        "minesweeper" | "cornell_fixed" | "chameleon_filtered" | "squirrel_filtered" => {
            let file = name.trim_end_matches("_fixed");
            let mut files = vec![format!("{file}.npz")];
            if name.ends_with("_filtered") {
                files.push(format!("{file}_directed.npz"));
            }
            let directed = files.get(1).map(|f| from.join(f));
            let format = Format::Heterophilous { from: from.join(&files[0]), directed, out };
            (files.iter().map(|f| format!("{YANDEX}/{f}")).collect(), format)
        }
        _ => {
            let files = with_splits(format!("{GEOM}/new_data/{name}"), &import::geom_gcn_files(&from));
            let listed = (name == "film").then_some(932);
            (files, Format::GeomGcn { from, splits, listed, out })
        }
    }
}

/// Whether a file could be got; nothing is left of one that could not, and what is there meanwhile stays.
fn download(address: &str, target: &Path) -> Result<bool, CliError> {
    let io = |e: &std::io::Error| CliError::io(target, e);
    let folder = target.parent().unwrap_or(Path::new("."));
    // A file that was not there before: nobody else's is written to, or removed after a failure.
    let mut builder = tempfile::Builder::new();
    builder.suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let part = builder.tempfile_in(folder).map_err(|e| io(&e))?;
    let sink = part.as_file().try_clone().map_err(|e| io(&e))?;
    let status = Command::new("curl")
        .args(["--fail", "--silent", "--location", "--max-time", "120"])
        .arg(address)
        .stdout(sink)
        .status();
    if !matches!(status, Ok(s) if s.success()) {
        return Ok(false);
    }
    part.persist_noclobber(target).map_err(|e| io(&e.error))?;
    console::show(format_args!("{}\n", target.display()));
    Ok(true)
}
