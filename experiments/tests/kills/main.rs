//! Kills runs of every experiment at random moments, resumes them, and compares everything with runs that nobody
//! touched: whenever a process ends, its run can be resumed to the same bits.
//!
//! `METASTABLE_KILLS=100 cargo test --release --test kills -- --nocapture` kills a hundred times (12 without the
//! variable); `METASTABLE_KILLS_SEED` draws other moments. Of fewer than 50 kills each run gets one, of more up to
//! three before it may end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::rng::Stream;
use sha2::{Digest, Sha256};

/// A binary, its arguments, and what of its output clocks decide: nothing else is left out.
const RUNS: &[(&str, &str, &str)] = &[
    (
        "mixture",
        "sample",
        "--quick --quiet --steps 400 --set train.batch=32 --set train.draws=20 --set network.hidden=16 --set replay.capacity=200 --set evaluation.sets=1 --set evaluation.set_size=200 --set evaluation.flow_samples=50 --set evaluation.flow_steps=10 --set evaluation.reverse_steps=20 --save-every 0",
    ),
    (
        "seeds",
        "sample",
        "--target gmm-d --dim 3 --method idem --quick --quiet --seeds 2 --steps 100 --set train.batch=16 --set network.hidden=8 --set evaluation.sets=1 --set evaluation.set_size=100 --set evaluation.flow_samples=0 --set evaluation.reverse_steps=10 --save-every 0.02",
    ),
    (
        "particles",
        "sample",
        "--target dw4 --quick --quiet --steps 60 --samples 100 --set train.batch=16 --set replay.capacity=100 --set replay.first_moves=5 --set evaluation.flow_samples=0 --reference-cache {cache} --save-every 0",
    ),
    (
        "paths",
        "sample",
        "--target mw --method dds --quick --quiet --steps 60 --samples 200 --set evaluation.flow_samples=0 --save-every 0",
    ),
    (
        "adjoint",
        "sample",
        "--target mw --method adjoint --quick --quiet --steps 200 --samples 200 --set evaluation.flow_samples=0 --save-every 0",
    ),
    (
        "chain",
        "sample",
        "--target dw4 --method pt --quick --quiet --samples 200 --set sampler.warm_up=100 --save-every 0",
    ),
    ("hmc", "sample", "--method hmc --quick --quiet --samples 200 --set sampler.warm_up=100 --save-every 0"),
    ("nuts", "sample", "--method nuts --quick --quiet --samples 200 --set sampler.warm_up=60 --save-every 0"),
    ("classify", "graph", "--quick --quiet"),
    ("search", "graph", "--data karate --quick --quiet --no-ablation --search 4"),
    ("dimension", "dimension", "--quick --dims 2,3,4,5,6,7,8,9 --quiet"),
    ("grid", "oversmoothing", "--quiet --layers 200"),
    (
        "depth",
        "oversmoothing",
        "--data karate --models grade,gcn --depths 2,8 --along --quiet --set train.epochs=20",
    ),
    (
        "metastability",
        "oversmoothing",
        "--metastability --quiet --set half=12 --set degree=10 --set steps=4 --set time=30 --set exit_time=40 --set widths=[1.0] --set exponents=[2.0] --set homophilies=[0.2,0.8] --set homophily=0.8 --set exit_widths=[1.0] --set multiples=[0.5,1.5]",
    ),
    ("nested", "graph", "--data karate --quick --quiet --search 2 --nested --set train.parts=2"),
];

fn program(binary: &str) -> &'static str {
    match binary {
        "sample" => env!("CARGO_BIN_EXE_sample"),
        "graph" => env!("CARGO_BIN_EXE_graph"),
        "dimension" => env!("CARGO_BIN_EXE_dimension"),
        "oversmoothing" => env!("CARGO_BIN_EXE_oversmoothing"),
        other => panic!("there is no binary {other}"),
    }
}

fn command(binary: &str) -> Command {
    let mut command = Command::new(program(binary));
    command.env_remove("METASTABLE_DATA").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A run of the list in a folder of its own.
struct Run {
    binary: &'static str,
    words: Vec<String>,
    out: PathBuf,
}

impl Run {
    fn new(k: usize, base: &Path) -> Self {
        let (name, binary, words) = RUNS[k];
        let cache = base.join(format!("{name}-cache"));
        let words = words.split_whitespace().map(|word| word.replace("{cache}", cache.to_str().unwrap()));
        Self { binary, words: words.collect(), out: base.join(name) }
    }

    /// From its beginning, or from where it was killed.
    fn start(&self) -> Command {
        let mut command = command(self.binary);
        match self.out.join("begun.toml").is_file() {
            true => command.arg("--resume").arg(&self.out).args(["--quiet", "--threads", "1"]),
            // Killed before it had begun: what it left there counts for nothing, or is its own.
            false if self.out.join("manifest.toml").is_file() => {
                command.args(&self.words).args(["--threads", "2", "--force", "--out"]).arg(&self.out)
            }
            false => command.args(&self.words).args(["--threads", "2", "--out"]).arg(&self.out),
        };
        command
    }

    /// To the end; the exit code, 1 where the checks of so short a chain fail.
    fn finish(&self) -> i32 {
        let output = self.start().output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!([0, 1].contains(&code), "{}: exit code {code}: {said}", self.out.display());
        code
    }
}

/// The digest of every file of a run but for clocks, memory, and what names the folder or the command.
fn digests(folder: &Path) -> BTreeMap<String, String> {
    fn walk(base: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_string();
            if path.is_dir() {
                walk(base, &path, found);
                continue;
            }
            let last = path.file_name().unwrap().to_str().unwrap();
            assert!(!last.starts_with(".metastable-"), "{name} is left of a killed write");
            if ["env.json", "seconds.txt", ".metastable.lock", "reference.toml"].contains(&last) {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let bytes = match last {
                "metrics.json" => without(&["seconds", "peak_mib", "epoch_ms"], &bytes),
                "figures.csv" => without(&["seconds,", "peak_mib,"], &bytes),
                "report.html" => without(
                    &["<dt>time</dt>", "<td>threads</td>", "<td>command</td>", "Time of the run"],
                    &bytes,
                ),
                "jobs.csv" | "depth.csv" => without_last_column(&bytes),
                // The seconds of the training are among its notes.
                "checkpoint.safetensors" => tensors(&bytes),
                _ => bytes,
            };
            found.insert(name, Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect());
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

fn without_last_column(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let cut = |line: &str| format!("{}\n", line.rsplit_once(',').map_or(line, |(kept, _)| kept));
    text.lines().map(cut).collect::<String>().into_bytes()
}

fn tensors(bytes: &[u8]) -> Vec<u8> {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[cfg(unix)]
#[test]
fn runs_that_are_killed_at_random_moments_are_resumed_to_the_same_bits() {
    let (kills, seed) = (number("METASTABLE_KILLS", 12), number("METASTABLE_KILLS_SEED", 0));
    let mut moments = Stream::new(seed, "kills", 0, 0);
    let base = tempfile::tempdir().unwrap();
    // Runs that nobody touches, and how long they take.
    let mut whole = BTreeMap::new();
    let (mut killed, mut round) = (0, 0_usize);
    while killed < kills {
        let k = round % RUNS.len();
        let (expected, code, seconds) = whole.entry(k).or_insert_with(|| {
            let run = Run::new(k, &base.path().join("whole"));
            let began = Instant::now();
            let code = run.finish();
            (digests(&run.out), code, began.elapsed().as_secs_f64())
        });
        let run = Run::new(k, &base.path().join(format!("{round}")));
        round += 1;
        let mut history = String::new();
        for _ in 0..if kills < 50 { 1 } else { 3 } {
            let signal = ["KILL", "TERM", "HUP"][(moments.uniform() * 3.0) as usize % 3];
            let wait = Duration::from_secs_f64(moments.uniform() * *seconds);
            let mut child = run.start().spawn().unwrap();
            std::thread::sleep(wait);
            // One that has ended is a zombie until it is waited for: its number is not another's.
            let ended = child.try_wait().unwrap().is_some();
            if !ended {
                let status =
                    Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
                assert!(status.unwrap().success());
                killed += 1;
            }
            let status = child.wait().unwrap();
            history += &format!("{signal} after {:.3} s: {status}; ", wait.as_secs_f64());
            let honest = matches!(status.code(), None | Some(0 | 1 | 130));
            assert!(honest, "{}: {history}", RUNS[k].0);
        }
        let last = run.finish();
        println!("{killed} kills: {} ({history})", RUNS[k].0);
        assert_eq!(last, *code, "{}: {history}", RUNS[k].0);
        let found = digests(&run.out);
        assert_eq!(*expected, found, "{}: {history}", RUNS[k].0);
    }
    println!("{killed} of {killed} killed runs were resumed to the same bits");
}
