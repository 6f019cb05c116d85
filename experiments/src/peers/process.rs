//! A peer: another program that does the same step, asked for its times through pipes.
//!
//! Its first line is `ready {"name": ..., "results": {...}}` or `none REASON`; to `time N` it answers a JSON list of
//! the milliseconds of N steps. In between it sleeps, in the read of its next line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::files::Kind;
use crate::run::cores;
use crate::workloads::given::Given;

/// The longest that a peer may take to be ready: some compile for minutes.
pub const BUILD: Duration = Duration::from_secs(900);
/// How long a peer may take to end before it is ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running peer that computes what we compute.
pub struct Peer {
    /// The framework.
    pub framework: &'static str,
    /// What it calls itself.
    pub name: String,
    /// How far its results are from ours.
    pub difference: f64,
    /// Milliseconds of its steps so far.
    pub ms: Vec<f64>,
    speech: Speech,
}

/// The process, and its lines.
struct Speech {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: PathBuf,
}

/// A command with pipes for its lines.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts a command on all cores: a worker thread that is held on one of them would pass that on.
pub fn spawn(command: &mut Command) -> std::io::Result<Child> {
    cores::unpinned(|| command.spawn())
}

/// The settings by which libraries are told how many threads to use.
pub fn limit_threads(command: &mut Command, threads: usize) {
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"] {
        command.env(name, threads.to_string());
    }
}

impl Peer {
    /// Starts a peer and compares its results; what it says on stderr goes to the file `errors`.
    ///
    /// # Errors
    /// Why there is no such peer, in words that follow its name.
    pub fn start(
        command: &mut Command,
        kind: &Kind,
        errors: &Path,
        given: &Given,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut speech = Speech::start(command, errors)?;
        let line = speech.hear(limit)?;
        if let Some(reason) = line.strip_prefix("none ") {
            return Err(reason.into());
        }
        let wrong = || format!("it answers {:?}, where `ready` or `none` is wanted", short(&line));
        let answer = line.strip_prefix("ready ").ok_or_else(wrong)?;
        let answer: serde_json::Value = serde_json::from_str(answer).map_err(|_| wrong())?;
        let difference = given.difference(&answer["results"]).map_err(|e| format!("it {e}"))?;
        if difference > given.tolerance {
            return Err(format!(
                "it computes something else: results differ by {difference:.1e}, allowed are {:.1e}",
                given.tolerance
            ));
        }
        let name = answer["name"].as_str().unwrap_or(kind.framework).to_string();
        Ok(Self { framework: kind.framework, name, difference, ms: Vec::new(), speech })
    }

    /// Times some steps.
    ///
    /// # Errors
    /// What went wrong; the peer is of no more use.
    pub fn time(&mut self, steps: u32, limit: Duration) -> Result<(), String> {
        self.speech.say(&format!("time {steps}\n"))?;
        let line = self.speech.hear(limit)?;
        let ms: Option<Vec<f64>> = serde_json::from_str(&line).ok();
        let ms = ms.filter(|ms| ms.len() == steps as usize && ms.iter().all(|t| *t > 0.0));
        let wrong = || format!("it answers {:?}, where {steps} times are wanted", short(&line));
        self.ms.extend(ms.ok_or_else(wrong)?);
        Ok(())
    }
}

impl Speech {
    fn start(command: &mut Command, errors: &Path) -> Result<Self, String> {
        let file = File::create(errors).map_err(|e| format!("{}: {e}", errors.display()))?;
        let mut child = spawn(command.stderr(file)).map_err(|e| format!("it cannot be started ({e})"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, lines) = channel();
        if let Some(stdout) = stdout {
            // Ends with the peer, or with this end of the channel.
            std::thread::spawn(move || {
                BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Self { child, stdin, lines, errors: errors.into() })
    }

    fn say(&mut self, line: &str) -> Result<(), String> {
        let said = self
            .stdin
            .as_mut()
            .is_some_and(|stdin| stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_ok());
        if said { Ok(()) } else { Err(self.last_words()) }
    }

    fn hear(&mut self, limit: Duration) -> Result<String, String> {
        self.lines.recv_timeout(limit).map_err(|e| match e {
            RecvTimeoutError::Timeout => format!("it says nothing for {} s", limit.as_secs_f64()),
            RecvTimeoutError::Disconnected => self.last_words(),
        })
    }

    /// Why it ended, as far as it says.
    fn last_words(&self) -> String {
        let text = std::fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match text.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("it ended ({})", short(line.trim())),
            None => "it ended without a word".into(),
        }
    }
}

/// The beginning of a text.
fn short(text: &str) -> String {
    if text.chars().count() <= 160 {
        text.into()
    } else {
        text.chars().take(160).chain("...".chars()).collect()
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        self.stdin = None;
        let begun = Instant::now();
        while begun.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
