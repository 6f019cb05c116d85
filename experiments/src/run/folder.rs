//! Run folders: everything about one run in one place, never half-written.

use std::path::{Path, PathBuf};

use engine::checkpoint::write_atomic;
use jiff::Timestamp;

use crate::run::error::CliError;
use crate::table::shortest;

const SECONDS: &str = "seconds.txt";
/// The seeds of a run over several.
pub const SEEDS: &str = "seeds.toml";
/// Files of folders whose runs, in folders inside, are resumed as a whole.
const WHOLES: [&str; 2] = [SEEDS, "batch.toml"];

/// The files that a run writes; `--force` removes these and nothing else.
const OUTPUT_FILES: &[&str] = &[
    "config.toml",
    "metrics.json",
    "summary.json",
    "energies.png",
    "history.csv",
    "samples.npy",
    "checkpoint.safetensors",
    "model.safetensors",
    "samples.png",
    "training.png",
    "weights.csv",
    "distances.png",
    "structures.png",
    "jobs.csv",
    "graph.png",
    "embeddings.npy",
    "predictions.csv",
    SEEDS,
    "reference.toml",
    "diagnostics.csv",
    "batch.toml",
    "plan.toml",
    "trainings.csv",
    "search.csv",
    "best.toml",
    "energy.csv",
    "energy.png",
    "depth.csv",
    "depth.png",
    SECONDS,
    "env.json",
    "DONE",
];

/// A folder that a run writes to.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates `path`. A folder that is not empty is refused; with `force` an earlier run's files are
    /// removed from it.
    pub fn create(path: &Path, force: bool) -> Result<Self, CliError> {
        let io = |e: std::io::Error| CliError::io(path, &e);
        if path.exists() {
            if !path.is_dir() {
                return Err(CliError::usage(format!(
                    "{}: a file is in the way; choose another --out",
                    path.display()
                )));
            }
            let mut entries = std::fs::read_dir(path).map_err(io)?;
            if entries.next().is_some() && !force {
                let path = path.display();
                return Err(CliError::usage(format!(
                    "{path} is not empty; give another --out, or --force to replace its run"
                )));
            }
        }
        std::fs::create_dir_all(path).map_err(io)?;
        let folder = Self { path: path.to_path_buf() };
        // Learn now, not after an hour, that nothing can be written here.
        folder.write(".probe", b"")?;
        folder.remove(".probe")?;
        if force {
            folder.clear()?;
        }
        Ok(folder)
    }

    /// Removes an earlier run's files, those of its seeds too.
    fn clear(&self) -> Result<(), CliError> {
        for name in OUTPUT_FILES {
            self.remove(name)?;
        }
        for (_, path) in seed_folders(&self.path) {
            Self { path: path.clone() }.clear()?;
            // One that holds something of the user's own stays.
            let _ = std::fs::remove_dir(&path);
        }
        Ok(())
    }

    /// Opens an earlier run's folder, which must hold `needed`.
    pub fn open(path: &Path, needed: &[&str]) -> Result<Self, CliError> {
        let path = &resolved(path);
        if !path.is_dir() {
            return Err(CliError::usage(format!("{}: no such run folder", path.display())));
        }
        for name in needed {
            if !path.join(name).is_file() {
                return Err(CliError::usage(format!(
                    "{}: not a run folder that can be resumed, {name} is missing",
                    path.display()
                )));
            }
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// `results/EXPERIMENT/UTC-TIME-sSEED`, with a number appended if that exists.
    pub fn default_path(experiment: &str, seed: u64) -> PathBuf {
        let name = format!("{}-s{seed}", stamp(Timestamp::now()));
        let base = PathBuf::from("results").join(experiment).join(&name);
        let numbered = (2..).map(|k| base.with_file_name(format!("{name}-{k}")));
        std::iter::once(base.clone()).chain(numbered).find(|p| !p.exists()).unwrap_or(base)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole or not at all: temporary file, sync, rename, sync of the folder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        let target = self.file(name);
        write_atomic(&target, bytes).map_err(|e| CliError::io(&target, &e))
    }

    /// Reads a file of the folder.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, CliError> {
        let path = self.file(name);
        std::fs::read(&path).map_err(|e| CliError::io(&path, &e))
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

    /// Removes a file if it is there.
    pub fn remove(&self, name: &str) -> Result<(), CliError> {
        let path = self.file(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CliError::io(&path, &e)),
            _ => Ok(()),
        }
    }

    /// Points `results/latest` at this folder, or at the one that it is resumed with as a part, where that is possible.
    pub fn mark_latest(&self) {
        let whole = |folder: &Path| WHOLES.iter().any(|name| folder.join(name).is_file());
        if let Some(parent) = self.path.parent().filter(|p| whole(p)) {
            return Self { path: parent.to_path_buf() }.mark_latest();
        }
        #[cfg(unix)]
        // The path may lead through the link that is to be moved.
        if let (Ok(real), Ok(results)) = (self.path.canonicalize(), Path::new("results").canonicalize())
            && let Ok(rest) = real.strip_prefix(&results)
        {
            let link = results.join("latest");
            let _ = std::fs::remove_file(&link);
            let _ = std::os::unix::fs::symlink(rest, &link);
        }
    }

    /// Writes env.json: what is needed to repeat the run elsewhere.
    pub fn write_environment(&self, threads: usize) -> Result<(), CliError> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|l| l.strip_prefix("model name"))
            .map(|l| l.trim_start_matches(['\t', ' ', ':']).to_string());
        let commit =
            std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output().ok();
        let commit = commit
            .filter(|o| o.status.success())
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
        let environment = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": commit,
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "cpu": model,
            "simd": format!("{:?}", engine::simd::level()),
            "threads": threads,
            "command": std::env::args().collect::<Vec<_>>(),
        });
        self.write("env.json", format!("{environment:#}\n").as_bytes())
    }
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

/// A time in UTC as YYYYMMDD-HHMMSS.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%d-%H%M%S").to_string()
}

/// The learning curve: rows of numbers under a header, kept in memory and written whole.
#[derive(Clone, Debug)]
pub struct History {
    header: Vec<String>,
    rows: Vec<Vec<f64>>,
}

impl History {
    /// Nothing yet.
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|h| h.to_string()).collect(), rows: Vec::new() }
    }

    /// Reads history.csv up to the row of `last_step`; what an interrupted run wrote beyond is redone.
    pub fn read(text: &str, header: &[&str], last_step: u64) -> Result<Self, CliError> {
        let (names, rows) = numbers(text);
        if names != header {
            return Err(CliError::usage(
                "history.csv has other columns than this version writes; start a new run",
            ));
        }
        let mut history = Self::new(header);
        for row in rows {
            let row = row.map_err(|line| {
                CliError::usage(format!("history.csv: line {line} is damaged; start a new run"))
            })?;
            if row[0] > last_step as f64 {
                break;
            }
            history.rows.push(row);
        }
        Ok(history)
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[f64]) {
        assert_eq!(row.len(), self.header.len(), "a row has one number for each column");
        self.rows.push(row.to_vec());
    }

    /// Whether there is a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.header.iter().any(|h| h == name)
    }

    /// (first column, column of that name) of every row.
    pub fn series(&self, name: &str) -> Vec<(f64, f64)> {
        let k = self.header.iter().position(|h| h == name).unwrap_or(0);
        self.rows.iter().map(|r| (r[0], r[k])).collect()
    }

    /// As CSV.
    pub fn to_csv(&self) -> String {
        let mut out = self.header.join(",") + "\n";
        for row in &self.rows {
            out += &(row.iter().map(|v| shortest(*v)).collect::<Vec<_>>().join(",") + "\n");
        }
        out
    }
}

/// The header of a CSV table of numbers, and its rows, or the number of a line that is none.
pub fn numbers(text: &str) -> (Vec<String>, impl Iterator<Item = Result<Vec<f64>, u64>>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_or_else(|_| Vec::new(), |h| h.iter().map(String::from).collect());
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|e| e.position().map_or(0, csv::Position::line))?;
        let line = record.position().map_or(0, csv::Position::line);
        record.iter().map(|cell| cell.parse().map_err(|_| line)).collect()
    };
    (names, reader.into_records().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_refused_and_force_removes_only_our_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let folder = RunFolder::create(&path, false).unwrap();
        folder.write("metrics.json", b"{}").unwrap();
        std::fs::write(path.join("notes.txt"), "mine").unwrap();
        assert!(RunFolder::create(&path, false).unwrap_err().to_string().contains("--force"));
        for seed in ["seed0", "seed3"] {
            let folder = RunFolder::create(&path.join(seed), false).unwrap();
            folder.write("history.csv", b"step\n").unwrap();
        }
        std::fs::write(path.join("seed3/notes.txt"), "mine").unwrap();
        assert_eq!(seed_folders(&path).iter().map(|s| s.0).collect::<Vec<_>>(), [0, 3]);
        RunFolder::create(&path, true).unwrap();
        assert!(!path.join("metrics.json").exists() && path.join("notes.txt").exists());
        assert!(!path.join("seed0").exists() && path.join("seed3/notes.txt").exists());
        assert!(!path.join("seed3/history.csv").exists());
        assert!(RunFolder::create(&path.join("notes.txt"), false).is_err());
        assert!(
            RunFolder::open(&path, &["config.toml"])
                .unwrap_err()
                .to_string()
                .contains("config.toml is missing")
        );
    }

    #[test]
    fn a_written_file_is_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&dir.path().join("r"), false).unwrap();
        folder.write("a", b"one").unwrap();
        folder.write("a", b"two").unwrap();
        assert_eq!(folder.read("a").unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn history_reads_back_up_to_the_resumed_step() {
        let mut h = History::new(&["step", "loss"]);
        [(1.0, 0.5), (2.0, 0.1 + 0.2), (3.0, 0.0)].iter().for_each(|(s, l)| h.push(&[*s, *l]));
        let back = History::read(&h.to_csv(), &["step", "loss"], 2).unwrap();
        assert_eq!(back.series("loss"), h.series("loss")[..2]);
        assert!(History::read("step,other\n", &["step", "loss"], 2).is_err());
        for damaged in ["step,loss\n1,0\n1,x\n", "step,loss\n1,0\n1\n", "step,loss\n1,0\n1,2,3\n"] {
            let error = History::read(damaged, &["step", "loss"], 2).unwrap_err().to_string();
            assert!(error.contains("line 3 is damaged"), "{error}");
        }
    }

    #[test]
    fn dates_are_civil() {
        let at = |seconds| stamp(Timestamp::from_second(seconds).unwrap());
        assert_eq!(at(0), "19700101-000000");
        assert_eq!(at(951_782_400 + 3661), "20000229-010101");
    }
}
