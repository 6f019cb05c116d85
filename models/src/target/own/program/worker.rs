//! One running program: its start, its answers, its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ProgramConfig;
use crate::target::own::timed;

/// What a program says first, without the version.
const GREETING: &str = "metastable energy ";
const VERSION: &str = "1\n";
/// When it is lost.
const ASKED: &str = "while it was asked";
/// Lines of stderr that are kept, those that an error shows, and characters of one that are.
const KEPT: usize = 20;
const SHOWN: usize = 3;
const WIDTH: usize = 200;
/// Most bytes of a text of failure.
const TEXT: usize = 1 << 16;
/// How long a program may take to end once its input has, and what it last said to arrive.
const END: Duration = Duration::from_millis(1000);
/// How often an end is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// A program that runs.
pub(super) struct Worker {
    child: Child,
    stream: UnixStream,
    /// Its last lines on stderr.
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// The program says so, and waits for the next question.
    Refused(String),
    /// It does not speak the protocol.
    Confused(String),
    /// It has ended, or does not answer.
    Lost(String),
}

/// A command in one line.
pub(super) fn shown(command: &[String]) -> String {
    command.join(" ")
}

impl Worker {
    /// Starts a program and waits until it is ready.
    pub fn start(config: &ProgramConfig) -> Result<Self, String> {
        let wrong = |e: std::io::Error| format!("cannot be started: {e}");
        let (ours, theirs) = UnixStream::pair().map_err(wrong)?;
        let input = OwnedFd::from(theirs.try_clone().map_err(wrong)?);
        let (name, arguments) = config.command.split_first().ok_or("is empty")?;
        // A file of the folder; a bare name is looked for along PATH.
        let name = if name.contains('/') { config.folder.join(name) } else { name.into() };
        let mut command = Command::new(&name);
        command.args(arguments).current_dir(&config.folder);
        command.stdin(input).stdout(OwnedFd::from(theirs)).stderr(Stdio::piped());
        // Ctrl-C is for us: we save first.
        command.process_group(0);
        let spawned = command.spawn();
        // The command holds the program's end of the socket, whose end we would not see.
        drop(command);
        let mut child = spawned.map_err(|e| refusal(&e, &name, &config.folder))?;
        let lines = Arc::<Mutex<VecDeque<String>>>::default();
        let reader = child.stderr.take().map(|stderr| {
            let lines = lines.clone();
            std::thread::spawn(move || keep(stderr, &lines))
        });
        let mut this = Self { child, stream: ours, lines, reader };
        match this.greet(Instant::now() + config.timeout) {
            Ok(()) => Ok(this),
            Err(Failure::Lost(why) | Failure::Confused(why) | Failure::Refused(why)) => Err(why),
        }
    }

    fn greet(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut greeting = vec![0; GREETING.len() + VERSION.len()];
        self.read(&mut greeting, deadline, "before it was ready")?;
        match greeting.strip_prefix(GREETING.as_bytes()) {
            Some(version) if version == VERSION.as_bytes() => Ok(()),
            Some(version) => Err(Failure::Confused(format!(
                "speaks version {} of the protocol, this program version 1; take the metastable_energy.py that comes with it",
                String::from_utf8_lossy(version).trim()
            ))),
            None => Err(self.printed(&greeting)),
        }
    }

    /// Asks for energies and, unless `gradient` is empty, gradients at the rows of `x`, of `d` numbers each.
    pub fn answer(
        &mut self,
        d: usize,
        x: &[f64],
        energy: &mut [f64],
        gradient: &mut [f64],
        timeout: Duration,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + timeout;
        let mut bytes = Vec::with_capacity(12 + 8 * x.len());
        for number in [energy.len(), d, usize::from(!gradient.is_empty())] {
            let number = u32::try_from(number).map_err(|_| Failure::Refused("too many numbers".into()))?;
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        timed::put(x, &mut bytes);
        if let Err(e) = timed::write(&mut self.stream, &bytes, deadline) {
            // Who fills its output with something else does not read on.
            let printed = timed::rest(&mut self.stream, TEXT, LOOK);
            return Err(if printed.is_empty() || printed.starts_with(b"fail") {
                self.lost(&e, ASKED)
            } else {
                self.printed(&printed)
            });
        }
        let mut head = [0; 8];
        self.read(&mut head, deadline, ASKED)?;
        let [a, b, c, e, size @ ..] = head;
        let size = u32::from_le_bytes(size) as usize;
        match &[a, b, c, e] {
            b"good" if size == energy.len() => {
                bytes.resize(8 * (energy.len() + gradient.len()), 0);
                self.read(&mut bytes, deadline, ASKED)?;
                let (energies, gradients) = bytes.split_at(8 * energy.len());
                timed::get(energies, energy);
                timed::get(gradients, gradient);
                Ok(())
            }
            b"good" => {
                Err(Failure::Confused(format!("answered {size} energies where {} were asked", energy.len())))
            }
            b"fail" if size <= TEXT => {
                bytes.resize(size, 0);
                self.read(&mut bytes, deadline, ASKED)?;
                Err(Failure::Refused(one_line(&String::from_utf8_lossy(&bytes))))
            }
            _ => Err(self.printed(&head)),
        }
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Instant, when: &str) -> Result<(), Failure> {
        timed::read(&mut self.stream, buffer, deadline).map_err(|e| self.lost(&e, when))
    }

    /// Why a connection broke, with what the program last said.
    fn lost(&mut self, error: &std::io::Error, when: &str) -> Failure {
        let why = if error.kind() == ErrorKind::TimedOut {
            format!("no answer came in time (timeout) {when}")
        } else {
            let why = match self.end(END) {
                Some(status) => format!("ended ({status}) {when}"),
                None => format!("closed its output {when}"),
            };
            // The last words may still be on their way.
            let late = Instant::now() + END;
            while self.reader.as_ref().is_some_and(|r| !r.is_finished()) && Instant::now() < late {
                std::thread::sleep(LOOK);
            }
            why
        };
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let last: Vec<&str> = lines.iter().rev().take(SHOWN).rev().map(String::as_str).collect();
        Failure::Lost(if last.is_empty() { why } else { format!("{why}; it said: {}", last.join(" | ")) })
    }

    /// Something else came where an answer was due.
    fn printed(&mut self, start: &[u8]) -> Failure {
        let more = timed::rest(&mut self.stream, WIDTH, Duration::from_millis(50));
        let text = String::from_utf8_lossy(&[start, &more].concat()).into_owned();
        let text = one_line(&text.replace(|c: char| c.is_control() && !c.is_whitespace(), "?"));
        let text: String = text.chars().take(60).collect();
        Failure::Confused(format!(
            "its standard output is for answers, and it printed `{text}`; print to stderr (serve of metastable_energy.py sees to that)"
        ))
    }

    /// The number of its process.
    #[cfg(test)]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells the program that no more questions come.
    pub fn hang_up(&self) {
        // It may have ended.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// How it ended, if it does within that time.
    fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        let late = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < late => std::thread::sleep(LOOK),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.hang_up();
        if self.end(END).is_none() {
            // With all that it has started.
            if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Keeps the last lines of a stream until it ends.
fn keep(stderr: impl Read, lines: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = one_line(&String::from_utf8_lossy(&line)).chars().take(WIDTH).collect::<String>();
        if !line.is_empty() {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a program cannot be started.
fn refusal(error: &std::io::Error, name: &Path, folder: &Path) -> String {
    let name = name.display();
    match error.kind() {
        ErrorKind::NotFound if !folder.is_dir() => format!("{}: no such folder", folder.display()),
        ErrorKind::NotFound => format!("no program `{name}` is there; correct command"),
        ErrorKind::PermissionDenied => {
            format!("`{name}` may not be run; make it executable (chmod +x), or give its interpreter first")
        }
        _ => format!("cannot be started: {error}"),
    }
}
