//! One array of NumPy, its entries as they are stored: in a pickle, or as `.npy` of version 1 to 3 in an archive.

use Reader::{Floats, Integers};

use crate::npy::{Header, header};

/// An array in C order.
pub(super) struct Array {
    /// Its axes.
    pub shape: Vec<usize>,
    width: usize,
    reader: Reader,
    bytes: Vec<u8>,
}

/// How an entry becomes a number.
#[derive(Clone, Copy)]
enum Reader {
    Integers(fn(&[u8]) -> i64),
    Floats(fn(&[u8]) -> f64),
}

impl Array {
    /// Reads a file's bytes.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, String> {
        let Header { descr, shape, fortran, end, .. } = header(&bytes)?;
        let descr = descr.to_string();
        bytes.drain(..end);
        Self::new(&descr, shape, fortran, bytes)
    }

    /// Of a type as NumPy writes it (`<i4`), with the bytes of the entries: in C order, or in Fortran's, in
    /// which the first axis runs fastest.
    pub fn new(descr: &str, shape: Vec<usize>, fortran: bool, bytes: Vec<u8>) -> Result<Self, String> {
        let (width, reader) = entries(descr).ok_or_else(|| {
            format!("has entries of type {descr}; booleans, integers, float32 or float64 are wanted")
        })?;
        let count =
            shape.iter().try_fold(1_usize, |n, s| n.checked_mul(*s)).ok_or("has too large a shape")?;
        let held = bytes.len();
        if Some(held) != count.checked_mul(width) {
            return Err(format!("of shape {shape:?} and type {descr} has {held} bytes of data"));
        }
        let bytes = match shape[..] {
            [rows, cols] if fortran => {
                let entry = |(i, j): (usize, usize)| &bytes[(j * rows + i) * width..][..width];
                (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))).flat_map(entry).copied().collect()
            }
            [_, _, _, ..] if fortran => {
                return Err("is in Fortran order; save numpy.ascontiguousarray(x)".into());
            }
            _ => bytes,
        };
        Ok(Self { shape, width, reader, bytes })
    }

    /// The entries of an integer or boolean type; none of another.
    pub fn integers(&self) -> Option<impl Iterator<Item = i64>> {
        match self.reader {
            Integers(read) => Some(self.bytes.chunks_exact(self.width).map(read)),
            Floats(_) => None,
        }
    }

    /// The entries as single-precision numbers.
    pub fn floats(&self) -> impl Iterator<Item = f32> {
        let reader = self.reader;
        self.bytes.chunks_exact(self.width).map(move |b| match reader {
            Integers(read) => read(b) as f32,
            Floats(read) => read(b) as f32,
        })
    }
}

/// The bytes of an entry of a type, and how it is read.
fn entries(descr: &str) -> Option<(usize, Reader)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let known = match kind {
        "b1" | "u1" => (1, Integers(|b| i64::from(b[0]))),
        "i1" => (1, Integers(|b| i64::from(b[0] as i8))),
        "i2" => (2, Integers(|b| i64::from(i16::from_le_bytes(word(b))))),
        "i4" => (4, Integers(|b| i64::from(i32::from_le_bytes(word(b))))),
        "u4" => (4, Integers(|b| i64::from(u32::from_le_bytes(word(b))))),
        "i8" => (8, Integers(|b| i64::from_le_bytes(word(b)))),
        "f4" => (4, Floats(|b| f64::from(f32::from_le_bytes(word(b))))),
        "f8" => (8, Floats(|b| f64::from_le_bytes(word(b)))),
        _ => return None,
    };
    (order != ">").then_some(known)
}

/// A slice of the length that `chunks_exact` gave.
fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn entries_are_read_by_their_type() {
        let whole = Array::parse(npy("<i2", &[1, 0, 254, 255])).unwrap();
        assert_eq!(whole.integers().unwrap().collect::<Vec<_>>(), [1, -2]);
        assert_eq!(whole.floats().collect::<Vec<_>>(), [1.0, -2.0]);
        let half = Array::parse(npy("<f4", &[0, 0, 0, 63, 0, 0, 0, 192])).unwrap();
        assert!(half.integers().is_none() && half.floats().eq([0.5, -2.0]));
    }

    #[test]
    fn columns_may_come_first() {
        let (shape, bytes) = (vec![2, 3], vec![1, 4, 2, 5, 3, 6]);
        let array = Array::new("|u1", shape.clone(), true, bytes.clone()).unwrap();
        assert!(array.integers().unwrap().eq(1..=6));
        let array = Array::new("|u1", shape, false, bytes).unwrap();
        assert!(array.integers().unwrap().eq([1, 4, 2, 5, 3, 6]));
        let empty = Array::new("|u1", vec![0, 3], true, vec![]).unwrap();
        assert_eq!(empty.integers().unwrap().count(), 0);
        assert!(Array::new("|u1", vec![1, 2, 1], true, vec![1, 2]).err().unwrap().contains("Fortran"));
    }

    #[test]
    fn a_type_of_any_text_is_an_error() {
        for descr in ["é4", "", "é", "<", ">i4", "<i", "<f2", "|O"] {
            let error = Array::parse(npy(descr, &[0; 8])).err().unwrap();
            assert!(error.contains("has entries of type"), "{descr}: {error}");
        }
    }
}
