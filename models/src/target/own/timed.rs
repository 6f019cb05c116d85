//! Reading and writing with a deadline.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A stream that can be told how long to wait.
pub(super) trait Timed: Read + Write {
    /// How long the next call of read or write may block.
    fn wait_for(&self, time: Duration) -> Result<()>;
}

impl Timed for UnixStream {
    fn wait_for(&self, time: Duration) -> Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Timed for TcpStream {
    fn wait_for(&self, time: Duration) -> Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// Fills `buffer`; the error is of kind `TimedOut` after the deadline, `UnexpectedEof` at the end of the stream.
pub(super) fn read(stream: &mut impl Timed, mut buffer: &mut [u8], deadline: Instant) -> Result<()> {
    while !buffer.is_empty() {
        stream.wait_for(left(deadline)?)?;
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => buffer = &mut buffer[n..],
            Err(e) if again(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `bytes`; the error is of kind `TimedOut` after the deadline.
pub(super) fn write(stream: &mut impl Timed, mut bytes: &[u8], deadline: Instant) -> Result<()> {
    while !bytes.is_empty() {
        stream.wait_for(left(deadline)?)?;
        match stream.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if again(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What is there to read, up to `most` bytes, after a wait of at most `time` for more.
pub(super) fn rest(stream: &mut impl Timed, most: usize, time: Duration) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 256]);
    while bytes.len() < most && stream.wait_for(time).is_ok() {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    bytes
}

fn left(deadline: Instant) -> Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A timeout of zero means none.
    if left.is_zero() { Err(Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
}

fn again(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Numbers as bytes, low ones first.
pub(super) fn put(numbers: &[f64], bytes: &mut Vec<u8>) {
    bytes.reserve(8 * numbers.len());
    numbers.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
}

/// The numbers that the bytes hold.
pub(super) fn get(bytes: &[u8], numbers: &mut [f64]) {
    for (v, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *v = f64::from_le_bytes(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_waited_for_longer_than_the_deadline() {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let soon = || Instant::now() + Duration::from_millis(30);
        let mut buffer = [0; 4];
        assert_eq!(read(&mut a, &mut buffer, soon()).unwrap_err().kind(), ErrorKind::TimedOut);
        // Nobody reads: the buffers of the system fill up.
        assert_eq!(write(&mut a, &vec![1; 1 << 24], soon()).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(a);
        let late = Instant::now() + Duration::from_secs(60);
        let said = loop {
            if let Err(e) = read(&mut b, &mut buffer, late) {
                break e;
            }
        };
        assert_eq!(said.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn numbers_survive_as_bytes() {
        let numbers = [0.1, -0.0, f64::MAX, f64::NEG_INFINITY];
        let (mut bytes, mut back) = (vec![9], [0.0; 4]);
        put(&numbers, &mut bytes);
        get(&bytes[1..], &mut back);
        assert_eq!((numbers.map(f64::to_bits), bytes.len()), (back.map(f64::to_bits), 33));
    }
}
