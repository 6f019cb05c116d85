//! Golden runs: small runs of the binaries whose results stay the same, bit for bit.
//!
//! `runs.toml` is the one table of command lines; `expected.toml` holds what came of them: digests of samples,
//! parameters and the columns of csv files, and the figures themselves ([`record`]). Clocks and memory are left
//! out, and what a run writes beyond the recorded items does not matter. SIMD levels and the number of threads
//! change nothing. The figures of evaluations go through the system's `exp`, `log` and `pow`: they were recorded
//! with glibc on x86-64.
//!
//! After a change that is meant to change results, `METASTABLE_GOLDEN=write cargo test --test golden` records
//! them anew; the commit says which changed and why. `METASTABLE_GOLDEN_ONLY=dw4-,karate` compares the runs in
//! whose names one of these occurs, and what they read. `METASTABLE_GOLDEN_PROGRAMS=DIR` runs the binaries of
//! another build, `METASTABLE_GOLDEN_THREADS=N` gives each run N threads in place of one.

mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use record::{Record, differences, from_toml, record, to_toml};

/// This folder.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A line of runs.toml.
struct Run {
    name: String,
    command: String,
}

impl Run {
    /// Whether it reads what another run leaves.
    fn reads(&self, other: &Run) -> bool {
        self.command.contains(&format!("{{{}}}", other.name))
    }

    /// Runs it in its folder within `base`.
    fn output(&self, base: &Path) -> Output {
        let mut words = self.command.split_whitespace().map(|word| filled(word, &self.name, base));
        let binary = words.next().unwrap_or_default();
        let mut command = Command::new(program(&binary));
        command.args(words);
        let out = base.join(&self.name);
        if self.command.contains(" --out ") {
            std::fs::create_dir_all(&out).unwrap();
        } else {
            let threads = std::env::var("METASTABLE_GOLDEN_THREADS").unwrap_or("1".into());
            command.args(["--quiet", "--threads", &threads, "--out"]).arg(out);
        }
        // Shipped networks and data are those of this checkout.
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("METASTABLE_DATA").stdin(Stdio::null());
        command.output().unwrap_or_else(|e| panic!("{binary}: {e}"))
    }
}

/// A word of a command with its {folders} filled in.
fn filled(word: &str, own: &str, base: &Path) -> String {
    let Some((before, (name, after))) =
        word.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return word.into();
    };
    let folder = match name {
        "here" => here(),
        "out" => base.join(own),
        other => base.join(other),
    };
    format!("{before}{}{after}", folder.display())
}

/// A binary of this build, or of the one that METASTABLE_GOLDEN_PROGRAMS names.
fn program(binary: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("METASTABLE_GOLDEN_PROGRAMS") {
        return Path::new(&folder).join(binary);
    }
    PathBuf::from(match binary {
        "data" => env!("CARGO_BIN_EXE_data"),
        "graph" => env!("CARGO_BIN_EXE_graph"),
        "dimension" => env!("CARGO_BIN_EXE_dimension"),
        "oversmoothing" => env!("CARGO_BIN_EXE_oversmoothing"),
        "sample" => env!("CARGO_BIN_EXE_sample"),
        other => panic!("runs.toml: there is no binary {other}"),
    })
}

/// Runs everything of `which`, one run on each core, and gives their records in order.
fn run_all(which: &[&Run], base: &Path) -> Vec<(String, Record)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(run) = which.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let output = run.output(base);
            println!("{:6.2} s  {}", began.elapsed().as_secs_f64(), run.name);
            let code = output.status.code().map_or("killed".into(), |c| c.to_string());
            if !["0", "1"].contains(&code.as_str()) {
                println!("{}: exit code {code}: {}", run.name, String::from_utf8_lossy(&output.stderr));
            }
            let mut found = record(&base.join(&run.name));
            found.insert("exit".into(), BTreeMap::from([("code".into(), code)]));
            done.push((run.name.clone(), found));
        }
        done
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn every_run_gives_what_it_gave() {
    let text = std::fs::read_to_string(here().join("runs.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let command = |value: toml::Value| value.as_str().expect("a command line").to_string();
    let all: Vec<Run> =
        table.into_iter().map(|(name, value)| Run { name, command: command(value) }).collect();
    let only = std::env::var("METASTABLE_GOLDEN_ONLY").unwrap_or_default();
    let is_asked = |run: &Run| only.split(',').any(|part| run.name.contains(part));
    let is_needed = |run: &Run| all.iter().any(|reader| is_asked(reader) && reader.reads(run));
    let runs: Vec<&Run> = all.iter().filter(|run| is_asked(run) || is_needed(run)).collect();
    let (second, first): (Vec<&Run>, Vec<&Run>) =
        runs.iter().partition(|run| all.iter().any(|other| run.reads(other)));
    let base = tempfile::tempdir().unwrap();
    let mut found = BTreeMap::new();
    found.extend(run_all(&first, base.path()));
    found.extend(run_all(&second, base.path()));

    let file = here().join("expected.toml");
    if std::env::var("METASTABLE_GOLDEN").is_ok_and(|v| v == "write") {
        assert!(only.is_empty(), "METASTABLE_GOLDEN=write records all runs");
        return std::fs::write(file, to_toml(&found)).unwrap();
    }
    let expected = from_toml(&std::fs::read_to_string(file).unwrap());
    let mut wrong = Vec::new();
    for run in &runs {
        match expected.get(&run.name) {
            Some(expected) => {
                let of_run = differences(expected, &found[&run.name]);
                wrong.extend(of_run.iter().map(|difference| format!("{}: {difference}", run.name)));
                if !of_run.is_empty() {
                    wrong.push(format!("    {}", run.command));
                }
            }
            None => wrong.push(format!("{}: not in expected.toml", run.name)),
        }
    }
    let without = expected.keys().filter(|name| !all.iter().any(|run| run.name == **name));
    wrong.extend(without.map(|name| format!("{name}: in expected.toml, but not in runs.toml")));
    assert!(wrong.is_empty(), "{} lines of differences:\n{}", wrong.len(), wrong.join("\n"));
}
