//! Programs that answer, die, print, sleep and lie. They are written in Python without packages, and are left out where
//! there is none.

use std::time::Instant;

use super::*;
use crate::target::own::batch_energy::Elsewhere;
use crate::target::{Geometry, Target};

/// E = |x|^2 / 2, or what the argument asks for; COUNT is a file that has a line for each start.
const PROGRAM: &str = r#"
import os, struct, sys, time
how = sys.argv[1]
starts = 0
if len(sys.argv) > 2:
    with open(sys.argv[2], "a") as f:
        f.write("x\n")
    starts = len(open(sys.argv[2]).readlines())
out = sys.stdout.buffer
if how == "dies at once":
    sys.exit("ModuleNotFoundError: No module named 'numpy'")
if how == "prints first":
    print("loading my model, please wait a moment", flush=True)
out.write(b"metastable energy 2\n" if how == "version" else b"metastable energy 1\n")
out.flush()
asked = 0
while len(head := sys.stdin.buffer.read(12)) == 12:
    n, d, g = struct.unpack("<3I", head)
    x = struct.unpack(f"<{n * d}d", sys.stdin.buffer.read(8 * n * d))
    asked += 1
    if how == "dies" or how == "dies twice" and starts <= 2:
        print("out of memory", file=sys.stderr)
        os._exit(3)
    if how == "prints":
        print("energy of", n, "states", flush=True)
    if how == "sleeps":
        time.sleep(60)
    if how == "floods":
        out.write(b"x" * (1 << 22))
        out.flush()
    if how == "fails":
        text = b"ValueError: no parameters\n  for this atom"
        out.write(struct.pack("<4sI", b"fail", len(text)) + text)
        out.flush()
        continue
    if how == "slow":
        time.sleep(0.02)
    k = n - 1 if how == "short" else n
    e = [0.5 * sum(v * v for v in x[i * d:(i + 1) * d]) for i in range(k)]
    if how == "nan":
        e[0] = float("nan")
    out.write(struct.pack("<4sI", b"good", k) + struct.pack(f"<{k}d", *e))
    if g:
        out.write(struct.pack(f"<{n * d}d", *x))
    out.flush()
"#;

/// A program that behaves so, with its count of starts; none without Python.
struct Tried {
    folder: tempfile::TempDir,
    config: ProgramConfig,
}

impl Tried {
    fn new(how: &str) -> Option<Self> {
        let python = std::process::Command::new("python3").arg("--version").output();
        if !python.is_ok_and(|out| out.status.success()) {
            println!("left out: there is no python3 here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("energy.py"), PROGRAM).unwrap();
        let command = ["python3", "energy.py", how, "starts"].map(String::from).to_vec();
        let config = ProgramConfig {
            command,
            folder: folder.path().into(),
            workers: 1,
            restarts: 2,
            timeout: Duration::from_secs(60),
            piece: 4,
        };
        Some(Self { folder, config })
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("starts")).unwrap_or_default().lines().count()
    }

    fn target(&self) -> Result<Elsewhere<Program>, TargetError> {
        Ok(Elsewhere {
            energy: Program::start(self.config.clone())?,
            geometry: Geometry::Euclidean(2),
            offset: 0.0,
        })
    }

    /// -E of 11 states, or the words of the failure.
    fn evaluated(&self) -> Result<Vec<f64>, String> {
        let target = self.target().map_err(|e| e.to_string())?;
        let (mut log_p, mut score) = (vec![0.0; 11], vec![0.0; 22]);
        target.evaluate(&states(), &mut log_p, &mut score).map_err(|e| e.to_string())?;
        assert!(score.iter().zip(states()).all(|(s, x)| *s == -x));
        Ok(log_p)
    }

    /// Its failure, without the command before it.
    fn failure(&self) -> String {
        let said = self.evaluated().unwrap_err();
        let (_, said) = said.split_once("starts: ").unwrap_or_else(|| panic!("{said}"));
        assert!(!said.contains('\n'));
        said.into()
    }
}

fn states() -> Vec<f64> {
    (0..22).map(|i| f64::from(i) * 0.5).collect()
}

fn expected() -> Vec<f64> {
    states().chunks(2).map(|x| -0.5 * (x[0] * x[0] + x[1] * x[1])).collect()
}

#[test]
fn programs_answer_in_pieces_whoever_gets_them() {
    let Some(mut tried) = Tried::new("slow") else { return };
    for workers in [1, 3] {
        tried.config.workers = workers;
        assert_eq!(tried.evaluated(), Ok(expected()));
    }
    // Others are started where pieces wait.
    assert!((2..=4).contains(&tried.starts()));
    let target = tried.target().unwrap();
    let mut log_p = [0.0];
    target.evaluate(&[1.0, 2.0], &mut log_p, &mut []).unwrap();
    assert_eq!(log_p, [-2.5]);
}

#[test]
fn a_program_that_dies_is_started_anew_and_asked_again() {
    let Some(tried) = Tried::new("dies twice") else { return };
    assert_eq!(tried.evaluated(), Ok(expected()));
    assert_eq!(tried.starts(), 3);
}

#[test]
fn one_that_always_dies_ends_the_run_with_its_last_words() {
    let Some(tried) = Tried::new("dies") else { return };
    assert_eq!(
        tried.failure(),
        "ended (exit status: 3) while it was asked; it said: out of memory (started anew 2 times: restarts)"
    );
    assert_eq!(tried.starts(), 3);
}

#[test]
fn one_that_cannot_begin_is_refused_at_once() {
    let Some(mut tried) = Tried::new("dies at once") else { return };
    assert_eq!(
        tried.failure(),
        "ended (exit status: 1) before it was ready; it said: ModuleNotFoundError: No module named 'numpy'"
    );
    assert_eq!(tried.starts(), 1);
    tried.config.command[0] = "no-such-python".into();
    let said = tried.evaluated().unwrap_err();
    assert!(said.ends_with(": no program `no-such-python` is there; correct command"), "{said}");
    tried.config.command[0] = "./energy.py".into();
    let said = tried.evaluated().unwrap_err();
    assert!(said.contains("make it executable"), "{said}");
    tried.config.folder.push("gone");
    let said = tried.evaluated().unwrap_err();
    assert!(said.contains("no such folder"), "{said}");
}

#[test]
fn what_is_no_answer_is_named() {
    for (how, said) in [
        ("prints", "its standard output is for answers, and it printed `energy of 4 states good????"),
        ("prints first", "its standard output is for answers, and it printed `loading my model, please wait"),
        ("floods", "its standard output is for answers, and it printed `xxxxxxxxxx"),
        (
            "version",
            "speaks version 2 of the protocol, this program version 1; take the metastable_energy.py",
        ),
        ("short", "answered 3 energies where 4 were asked"),
        ("fails", "ValueError: no parameters for this atom"),
    ] {
        let Some(tried) = Tried::new(how) else { return };
        let failure = tried.failure();
        assert!(failure.starts_with(said), "{how}: {failure}");
        // It would do the same again.
        assert_eq!(tried.starts(), 1, "{how}");
    }
}

#[test]
fn one_that_sleeps_is_waited_for_no_longer_than_said() {
    let Some(mut tried) = Tried::new("sleeps") else { return };
    (tried.config.timeout, tried.config.restarts) = (Duration::from_secs(5), 0);
    let begun = Instant::now();
    assert_eq!(
        tried.failure(),
        "no answer came in time (timeout) while it was asked (started anew 0 times: restarts)"
    );
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_nan_names_its_point() {
    let Some(tried) = Tried::new("nan") else { return };
    let said = tried.evaluated().unwrap_err();
    assert!(said.contains("the energy is NaN at point 0 of 11, x = (0.0, 0.5)"), "{said}");
}

#[test]
fn programs_end_with_their_owner() {
    let Some(mut tried) = Tried::new("fine") else { return };
    tried.config.workers = 2;
    let target = tried.target().unwrap();
    let pid = target.energy.pool().idle[0].id();
    let there = || std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(there() || cfg!(not(target_os = "linux")));
    drop(target);
    assert!(!there());
}
