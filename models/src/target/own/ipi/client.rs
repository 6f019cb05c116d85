//! What a client is told and what it answers.
//!
//! Messages begin with a word of twelve bytes, filled up with blanks; numbers are little-endian, i32 and f64. With N
//! atoms:
//!
//! | we | the client |
//! |---|---|
//! | STATUS | NEEDINIT, READY or HAVEDATA |
//! | INIT, i32 replica, i32 length, a text | |
//! | POSDATA, cell (9), its inverse (9), i32 N, positions (3 N) | |
//! | GETFORCE | FORCEREADY, potential, i32 N, forces (3 N), virial (9), i32 length, a text |
//! | EXIT | |
//!
//! A client that asks for INIT may be told there of a batch of B states, `batch_size:B`; then it is
//!
//! | we | the client |
//! |---|---|
//! | POSDATA, i32 N, B times cell and inverse (18), B times positions | |
//! | GETFORCE | FORCEREADY, B potentials, i32 N, B times forces, B virials, B times i32 length and a text |
//!
//! where fewer than B states are filled up with the last one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::target::own::timed::{self, Timed};

/// Bytes of a word.
const WORD: usize = 12;
/// Most bytes of a text beside forces, which is not looked at.
const TEXT: usize = 1 << 24;
/// How long an end may take to be sent.
const END: Duration = Duration::from_millis(100);

/// A connection.
pub(super) enum Stream {
    Inet(TcpStream),
    Unix(UnixStream),
}

/// Has what was received acknowledged at once. A client that sends an answer in parts, as ASE's does, waits with the
/// second part for the acknowledgement of the first (Nagle's algorithm), which Linux delays by 40 ms in the hope of
/// something to send along; the choice holds for a while only.
#[cfg(target_os = "linux")]
fn at_once(stream: &TcpStream) {
    // Slow, not wrong, where it is refused.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

#[cfg(not(target_os = "linux"))]
fn at_once(_: &TcpStream) {}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Inet(stream) => {
                at_once(stream);
                stream.read(buffer)
            }
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Inet(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Timed for Stream {
    fn wait_for(&self, time: Duration) -> io::Result<()> {
        match self {
            Self::Inet(stream) => stream.wait_for(time),
            Self::Unix(stream) => stream.wait_for(time),
        }
    }
}

/// What is sent beside positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Molecule {
    pub atoms: usize,
    pub cell: f64,
    pub shift: f64,
}

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// It was not there any more when it was asked.
    Gone,
    /// It went, or does not answer.
    Lost(String),
    /// It does not speak the protocol, or of other atoms.
    Confused(String),
}

/// A client that came.
pub(super) struct Client {
    stream: Stream,
    /// States at a time for one that asks for INIT.
    offered: usize,
    /// States at a time.
    batch: usize,
    /// Whether it has ever computed.
    answered: bool,
    bytes: Vec<u8>,
}

impl Client {
    pub fn new(stream: Stream, offered: usize) -> Self {
        Self { stream, offered, batch: 1, answered: false, bytes: Vec::new() }
    }

    /// Energies, and unless `g` is empty gradients, at the rows of `x`.
    pub fn answer(
        &mut self,
        molecule: Molecule,
        x: &[f64],
        e: &mut [f64],
        g: &mut [f64],
        timeout: Duration,
    ) -> Result<(), Failure> {
        let d = 3 * molecule.atoms;
        let mut done = 0;
        while done < e.len() {
            let deadline = Instant::now() + timeout;
            self.ready(deadline, done == 0)?;
            let n = self.batch.min(e.len() - done);
            let gradient = if g.is_empty() { &mut [][..] } else { &mut g[done * d..(done + n) * d] };
            self.compute(molecule, &x[done * d..(done + n) * d], &mut e[done..done + n], gradient, deadline)?;
            self.answered = true;
            done += n;
        }
        Ok(())
    }

    /// Asks until it waits for positions. One that is lost at the first word of an evaluation had gone before, if it has
    /// ever answered; one that has not, or is lost when it is told its batch, cannot compute.
    fn ready(&mut self, deadline: Instant, first: bool) -> Result<(), Failure> {
        for round in 0..3 {
            let word = self.send(b"STATUS      ", deadline).and_then(|()| self.word(deadline));
            let word = word.map_err(|failure| match failure {
                Failure::Lost(_) if first && round == 0 && self.answered => Failure::Gone,
                other => other,
            })?;
            match &word {
                b"READY       " => return Ok(()),
                b"NEEDINIT    " => {
                    self.batch = self.offered;
                    // A text without a byte is taken for an end by some.
                    let text = if self.batch > 1 { format!("batch_size:{}", self.batch) } else { " ".into() };
                    let mut init = b"INIT        ".to_vec();
                    init.extend_from_slice(&0i32.to_le_bytes());
                    init.extend_from_slice(&(text.len() as i32).to_le_bytes());
                    init.extend_from_slice(text.as_bytes());
                    self.send(&init, deadline)?;
                }
                other => return Err(strange(other, "READY")),
            }
        }
        Err(Failure::Confused("asks for INIT again and again".into()))
    }

    fn compute(
        &mut self,
        Molecule { atoms, cell, shift }: Molecule,
        x: &[f64],
        e: &mut [f64],
        g: &mut [f64],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let (d, batch) = (3 * atoms, self.batch);
        let count = (atoms as i32).to_le_bytes();
        let diagonal = |v: f64| [v, 0.0, 0.0, 0.0, v, 0.0, 0.0, 0.0, v];
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend_from_slice(b"POSDATA     ");
        if batch > 1 {
            bytes.extend_from_slice(&count);
        }
        for _ in 0..batch {
            timed::put(&diagonal(cell), &mut bytes);
            timed::put(&diagonal(1.0 / cell), &mut bytes);
        }
        if batch == 1 {
            bytes.extend_from_slice(&count);
        }
        let positions = bytes.len();
        timed::put(x, &mut bytes);
        for _ in e.len()..batch {
            timed::put(&x[x.len() - d..], &mut bytes);
        }
        if shift != 0.0 {
            for v in bytes[positions..].as_chunks_mut().0 {
                *v = (f64::from_le_bytes(*v) + shift).to_le_bytes();
            }
        }
        bytes.extend_from_slice(b"GETFORCE    ");
        self.send(&bytes, deadline)?;
        match &self.word(deadline)? {
            b"FORCEREADY  " => {}
            other => return Err(strange(other, "FORCEREADY")),
        }
        // Energies and the number of atoms; forces and virials.
        self.receive(&mut bytes, 8 * batch + 4, deadline)?;
        timed::get(&bytes, e);
        let theirs = i32::from_le_bytes(bytes[8 * batch..].try_into().unwrap_or_default());
        if usize::try_from(theirs) != Ok(atoms) {
            return Err(Failure::Confused(format!(
                "answers for {theirs} atoms where the target has {atoms}; give both the same number"
            )));
        }
        self.receive(&mut bytes, 8 * batch * (d + 9), deadline)?;
        timed::get(&bytes, g);
        // The gradient is minus the force.
        g.iter_mut().for_each(|g| *g = -*g);
        for _ in 0..batch {
            self.receive(&mut bytes, 4, deadline)?;
            let length = i32::from_le_bytes(bytes[..].try_into().unwrap_or_default());
            match usize::try_from(length) {
                Ok(length) if length <= TEXT => self.receive(&mut bytes, length, deadline)?,
                _ => {
                    return Err(Failure::Confused(format!(
                        "sends a text of {length} bytes after the virial"
                    )));
                }
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Sends it home.
    pub fn end(mut self) {
        // It may have gone by itself.
        let _ = timed::write(&mut self.stream, b"EXIT        ", Instant::now() + END);
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), Failure> {
        timed::write(&mut self.stream, bytes, deadline).map_err(lost)
    }

    fn word(&mut self, deadline: Instant) -> Result<[u8; WORD], Failure> {
        let mut word = [0; WORD];
        timed::read(&mut self.stream, &mut word, deadline).map_err(lost)?;
        Ok(word)
    }

    fn receive(&mut self, bytes: &mut Vec<u8>, count: usize, deadline: Instant) -> Result<(), Failure> {
        bytes.resize(count, 0);
        timed::read(&mut self.stream, bytes, deadline).map_err(lost)
    }
}

fn lost(error: io::Error) -> Failure {
    Failure::Lost(match error.kind() {
        ErrorKind::TimedOut => "gave no answer in time (timeout)".into(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "closed the connection; its own output says why".into()
        }
        _ => format!("could not be reached: {error}"),
    })
}

fn strange(word: &[u8; WORD], due: &str) -> Failure {
    let word = String::from_utf8_lossy(word);
    let word = word.trim().replace(|c: char| c.is_control(), "?");
    Failure::Confused(format!("says `{word}` where {due} is due"))
}
