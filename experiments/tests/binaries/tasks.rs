//! Sweeps that are shared out over tasks and put together are the runs that one process makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::{self, stderr, stdout, succeed};

/// A sweep: a binary and its arguments.
struct Sweep {
    binary: &'static str,
    words: &'static str,
}

/// Trainings that take a moment.
const SAMPLE: Sweep = Sweep {
    binary: env!("CARGO_BIN_EXE_sample"),
    words: "--seeds 3 --quick --quiet --steps 40 --set train.batch=16 --set train.draws=10 --set network.hidden=8 --set replay.capacity=100 --set evaluation.sets=1 --set evaluation.set_size=100 --set evaluation.reverse_steps=10 --set evaluation.flow_samples=0 --set evaluation.weight_samples=10 --set evaluation.snapshots=4 --set evaluation.audit=0",
};
const SPLITS: Sweep = Sweep {
    binary: env!("CARGO_BIN_EXE_graph"),
    words: "--data karate --quick --seeds 2 --set train.epochs=5",
};
const DEPTHS: Sweep = Sweep {
    binary: env!("CARGO_BIN_EXE_oversmoothing"),
    words: "--data karate --models grand,gcn --depths 2,4 --along --splits 2 --set train.epochs=4",
};

impl Sweep {
    fn command(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = binary::command(self.binary, &self.words.split_whitespace().collect::<Vec<_>>());
        command.args(more).arg("--out").arg(out);
        command
    }

    fn gather(&self, out: &Path) -> Command {
        binary::command(self.binary, &["--gather", out.to_str().unwrap()])
    }

    /// The run of one process, and those of so many tasks each: the same files.
    fn is_the_same_for(&self, counts: &[usize]) {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        let said = stdout(&succeed(&mut self.command(&whole, &[])));
        let expected = contents(&whole);
        for count in counts {
            let out = dir.path().join(count.to_string());
            // Whatever order a scheduler finds.
            for task in (0..*count).rev() {
                // As a job array says it, or as a launcher does.
                let said = if task % 2 == 0 {
                    succeed(&mut self.command(&out, &["--task", &format!("{task}/{count}")]))
                } else {
                    let mut command = self.command(&out, &["--task", "launcher"]);
                    let place = [("PMI_RANK", task.to_string()), ("PMI_SIZE", count.to_string())];
                    succeed(command.envs(place))
                };
                assert!(self.words.contains("--quiet") || stdout(&said).contains("--gather"), "{said:?}");
            }
            // Twice: what was gathered can be gathered again.
            for _ in 0..2 {
                let table = stdout(&succeed(&mut self.gather(&out)));
                assert_eq!(contents(&out), expected, "{count} tasks of {}", self.words);
                // Line by line the same but for clocks, which stand in the last column, and the folder.
                assert!(
                    self.words.contains("--quiet") || table.lines().count() == said.lines().count(),
                    "{table}"
                );
            }
        }
    }
}

/// The digest of every file of a run but for clocks, memory, and what names its folder, its command or its tasks.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    fn walk(base: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_string();
            let last = path.file_name().unwrap().to_str().unwrap();
            let skipped = ["env.json", "seconds.txt", ".metastable.lock"].contains(&last);
            if skipped || last.starts_with("task-") {
                continue;
            }
            if path.is_dir() {
                walk(base, &path, found);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let bytes = match last {
                "metrics.json" => without(&["\"seconds", "\"peak_mib", "\"epoch_ms"], &bytes),
                "report.html" => without(
                    &["<dt>time</dt>", "<td>threads</td>", "<td>command</td>", "Time of the run"],
                    &bytes,
                ),
                "figures.csv" => without(&["seconds,", "peak_mib,"], &bytes),
                "manifest.toml" => without_tasks(&bytes),
                "jobs.csv" | "depth.csv" => without_last_column(&bytes),
                // The seconds of a training are among its notes.
                "checkpoint.safetensors" => tensors(&bytes),
                _ => bytes,
            };
            found.insert(name, experiments::run::sha256(&bytes));
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Lines that hold none of these.
fn without(parts: &[&str], bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let kept = text.lines().filter(|line| !parts.iter().any(|part| line.contains(part)));
    kept.map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

fn without_tasks(manifest: &[u8]) -> Vec<u8> {
    let mut list: toml::Table = String::from_utf8_lossy(manifest).parse().unwrap();
    let folders = list.get_mut("folders").and_then(toml::Value::as_array_mut).unwrap();
    folders.retain(|name| !name.as_str().unwrap().starts_with("task-"));
    toml::to_string(&list).unwrap().into_bytes()
}

fn without_last_column(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .map(|line| format!("{}\n", line.rsplit_once(',').unwrap().0))
        .collect::<String>()
        .into_bytes()
}

fn tensors(bytes: &[u8]) -> Vec<u8> {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

fn refused(command: &mut Command, words: &str) {
    let said = binary::refusal(command);
    assert!(said.contains(words), "{said}");
}

#[test]
fn seeds_shared_out_are_the_run_of_one_process() {
    SAMPLE.is_the_same_for(&[1, 2, 5]);
}

#[test]
fn splits_and_initialisations_shared_out_are_the_run_of_one_process() {
    SPLITS.is_the_same_for(&[1, 2, 3, 7]);
}

#[test]
fn data_sets_shared_out_are_the_batch_of_one_process() {
    let words = "--quick --set train.epochs=3 --set data.initialisations=3";
    Sweep { words, ..SPLITS }.is_the_same_for(&[2, 5]);
}

#[test]
fn searches_shared_out_are_those_of_one_process() {
    Sweep { words: "--data karate --quick --search 2 --nested --set train.epochs=4", ..SPLITS }
        .is_the_same_for(&[2]);
    Sweep { words: "--quick --search 2 --no-ablation --set train.epochs=3", ..SPLITS }.is_the_same_for(&[3]);
}

#[test]
fn depths_shared_out_are_the_study_of_one_process() {
    DEPTHS.is_the_same_for(&[3]);
}

#[test]
fn dimensions_and_integrations_shared_out_are_the_studies_of_one_process() {
    let binary = env!("CARGO_BIN_EXE_dimension");
    Sweep { binary, words: "--quick --dims 5,2,3" }.is_the_same_for(&[2]);
    let words = "--metastability --set half=8 --set degree=6 --set time=20 --set samples=12 --set steps=3 --set forms=[\"variational\"] --set homophilies=[0.33,0.67] --set homophily=0.67 --set exit_time=30 --set multiples=[0.5,1.5]";
    Sweep { words, ..DEPTHS }.is_the_same_for(&[3]);
}

#[test]
fn a_task_that_was_stopped_goes_on_by_the_same_command_or_by_resume() {
    for (sweep, stop) in [(&SPLITS, "7"), (&SAMPLE, "60"), (&DEPTHS, "6")] {
        let dir = tempfile::tempdir().unwrap();
        let [whole, out] = ["whole", "out"].map(|name| dir.path().join(name));
        succeed(&mut sweep.command(&whole, &[]));
        let task =
            |k: &str, more: &[&str]| sweep.command(&out, &[&["--threads", "1", "--task", k], more].concat());
        for k in ["0/2", "1/2"] {
            let output = task(k, &["--stop-after", stop]).output().unwrap();
            let (code, said) = (output.status.code(), stderr(&output));
            // The second of the seeds' tasks has one seed, of less steps than that.
            assert!(code == Some(130) || code == Some(0) && k == "1/2", "{said}");
            let folder = out.join(format!("task-00{}-of-002", &k[..1]));
            assert!(code == Some(0) || said.contains(&format!("--resume {}", folder.display())), "{said}");
        }
        refused(&mut sweep.gather(&out), "unfinished: 0/2");
        assert!(!out.join("begun.toml").exists(), "nothing is written before all are done");
        succeed(&mut task("0/2", &[]));
        let mut resumed = binary::command(sweep.binary, &["--quiet", "--resume"]);
        succeed(resumed.arg(out.join("task-001-of-002")));
        succeed(&mut sweep.gather(&out));
        assert_eq!(contents(&out), contents(&whole));
    }
}

#[test]
fn tasks_of_other_settings_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out: PathBuf = dir.path().join("out");
    let task = |k: &str, more: &[&str]| SPLITS.command(&out, &[&["--task", k], more].concat());
    refused(&mut SPLITS.gather(&out), "has no tasks; run them first");
    succeed(&mut task("1/3", &[]));
    refused(
        &mut task("2/3", &["--seed", "5"]),
        "config.toml: seed = 5, but the run began with 0; all tasks of a sweep",
    );
    refused(&mut task("1/3", &["--seed", "5"]), "give what the task began with, or --force to begin it anew");
    refused(&mut task("0/2", &[]), "is a task of 3, and this is one of 2");
    refused(
        &mut SPLITS.gather(&out),
        "tasks not begun: 0/3, 2/3; give the command of each again with its --task",
    );
    // What begins in no folder has no others to be held against.
    succeed(&mut task("1/3", &["--force"]));
    for k in ["0/3", "2/3"] {
        succeed(&mut task(k, &[]));
    }
    // A task that began while the others could not be seen.
    let config = out.join("task-002-of-003/config.toml");
    let (begun, settings) =
        (out.join("task-002-of-003/begun.toml"), std::fs::read_to_string(&config).unwrap());
    let change = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replace("epochs = 5", "epochs = 6")).unwrap();
    };
    change(&config);
    refused(&mut SPLITS.gather(&out), "put that back");
    change(&begun);
    refused(&mut SPLITS.gather(&out), "these are no tasks of one run");
    std::fs::write(&config, settings).unwrap();
    let text = std::fs::read_to_string(&begun).unwrap();
    std::fs::write(&begun, text.replace("epochs = 6", "epochs = 5")).unwrap();
    succeed(&mut SPLITS.gather(&out));
    refused(&mut task("1/3", &[]), "holds a whole run, so that there is nothing to do for a task");
    // The tasks' folders go with the run.
    succeed(&mut SPLITS.command(&out, &["--force"]));
    assert!(!out.join("task-001-of-003").exists());
}
