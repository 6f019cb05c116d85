//! The seal of a checkpoint: a SHA-256 over the whole file, header and data, in the header itself.
//!
//! The sum is taken with the digits of its own place at zero. It lies behind the format's number, in the one entry of
//! the metadata, so that other readers of safetensors see nothing but a text.

use sha2::{Digest, Sha256};

/// Sealed files.
pub(super) const FORMAT: &str = "format=2";
/// Files written before there were seals.
pub(super) const UNSEALED: &str = "format=1";
/// Before the digits of the sum.
pub(super) const NAME: &str = "sha256=";
/// Digits of the sum.
const DIGITS: usize = 64;

/// The two lines of a file that is not sealed yet.
pub(super) fn blank() -> String {
    format!("{FORMAT}\n{NAME}{}", "0".repeat(DIGITS))
}

/// Writes the sum to its place.
pub(super) fn seal(bytes: &mut [u8]) {
    if let Some((at, sum)) = place(bytes).map(|at| (at, sum(bytes, at))) {
        bytes[at..at + DIGITS].copy_from_slice(sum.as_bytes());
    }
}

/// Whether the file is as it was when it was sealed.
pub(super) fn holds(bytes: &[u8]) -> bool {
    place(bytes).is_some_and(|at| bytes[at..at + DIGITS] == *sum(bytes, at).as_bytes())
}

/// Where the digits lie: behind the first place where the two lines begin, as JSON writes them. The metadata stand
/// first in the header, and a note has no line break that is not escaped twice.
fn place(bytes: &[u8]) -> Option<usize> {
    let before = format!("{FORMAT}\\n{NAME}");
    let found = bytes.windows(before.len()).position(|w| w == before.as_bytes())?;
    let at = found + before.len();
    (at + DIGITS <= bytes.len()).then_some(at)
}

/// The sum, with zeros in its place.
fn sum(bytes: &[u8], at: usize) -> String {
    let mut sum = Sha256::new();
    sum.update(&bytes[..at]);
    sum.update([b'0'; DIGITS]);
    sum.update(&bytes[at + DIGITS..]);
    sum.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Checkpoint, CheckpointError};
    use super::*;

    fn example() -> Checkpoint {
        let mut c = Checkpoint::new();
        c.put("w", &[2, 2], &[1.0_f32, 2.0, 3.0, 4.0]);
        c.put_vec("v", &[0.1_f64]);
        c.note("step", 12);
        c.note("config", "[a]\nb = 1\nformat=2\nsha256=0\n");
        c
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = example().encode().unwrap();
        assert_eq!(Checkpoint::decode(&bytes).unwrap(), example());
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Checkpoint::decode(&flipped).expect_err(&format!("bit {bit}")).to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn damage_is_told_from_other_kinds_of_files() {
        let bytes = example().encode().unwrap();
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            Checkpoint::decode(&damaged).unwrap_err().to_string(),
            "damaged since it was written: its bytes do not have the checksum in its header; restore it from a copy"
        );
        // Bytes between header and data that no reader looks at, a seal that is named no more, and one that is cut.
        let text = |from: &str, to: &str| {
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut other = bytes.clone();
            other[at..at + from.len()].copy_from_slice(to.as_bytes());
            Checkpoint::decode(&other).unwrap_err()
        };
        assert!(matches!(text("sha256=", "sha255="), CheckpointError::Damaged));
        assert!(matches!(text("format=2", "format=1"), CheckpointError::Damaged));
        assert!(matches!(text("format=2", "format=3"), CheckpointError::Foreign));
        assert!(matches!(text("metastable", "metastabel"), CheckpointError::Foreign));
    }

    #[test]
    fn files_from_before_there_were_seals_are_read() {
        let bytes = example().encode().unwrap();
        let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
        let seal = &text[text.find(FORMAT).unwrap()..][..FORMAT.len() + 2 + NAME.len() + DIGITS];
        // The header keeps its length: blanks behind it, as safetensors pads.
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut old = text[..header].replace(seal, UNSEALED);
        old.push_str(&" ".repeat(header - old.len()));
        let old = [&bytes[..8], old.as_bytes(), &bytes[8 + header..]].concat();
        assert_eq!(Checkpoint::decode(&old).unwrap(), example());
    }
}
