//! NumPy's `.npy` format. Written is version 1.0, C order, little-endian floats: n samples of dimension d as an
//! [n, d] array, which is byte for byte our column-major d x n. Read are versions 1 to 3, and the entries of arrays
//! in pickles.

use Reader::{Floats, Integers, Texts};
use engine::Real;

/// The bytes before an array's entries; `axes` as Python writes them between parentheses.
pub(crate) fn header(descr: &str, axes: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    // Magic (6), version (2), length (2), header, newline: a multiple of 64 in all.
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

/// The type and the entries of a list of texts as NumPy has them (`<U3`): letters of four bytes, zeros behind.
pub(crate) fn texts(list: &[String]) -> (String, Vec<u8>) {
    let longest = list.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let mut bytes = Vec::with_capacity(4 * longest * list.len());
    for text in list {
        let end = bytes.len() + 4 * longest;
        text.chars().for_each(|c| bytes.extend(u32::from(c).to_le_bytes()));
        bytes.resize(end, 0);
    }
    (format!("<U{longest}"), bytes)
}

/// The file's bytes.
pub fn encode<T: Real>(dim: usize, columns: &[T]) -> Vec<u8> {
    let n = columns.len() / dim.max(1);
    let mut bytes = header(&format!("<f{}", size_of::<T>()), &format!("{n}, {dim}"));
    T::append_bytes(columns, &mut bytes);
    bytes
}

/// Reads a one- or two-dimensional float array: (rows of the array, its columns, entries row by row).
///
/// # Errors
///
/// What is wrong with the file, to be read behind its name.
pub fn decode(bytes: &[u8]) -> Result<(usize, usize, Vec<f64>), String> {
    let array = Array::parse(bytes.to_vec())?;
    let (rows, cols) = match array.shape[..] {
        [n] => (n, 1),
        [n, d] => (n, d),
        _ => return Err(format!("has {} axes; one or two are wanted", array.shape.len())),
    };
    match array.reader {
        Floats(read) => Ok((rows, cols, array.bytes.chunks_exact(array.width).map(read).collect())),
        Integers(_) => Err("holds integers; float32 or float64 are wanted".into()),
        Texts => Err("holds texts; float32 or float64 are wanted".into()),
    }
}

/// An array in C order.
pub(crate) struct Array {
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
    /// Letters of four bytes, zeros behind.
    Texts,
}

impl Array {
    /// Reads a file's bytes.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, String> {
        let Header { descr, shape, fortran, end } = read_header(&bytes)?;
        let descr = descr.to_string();
        bytes.drain(..end);
        Self::new(&descr, shape, fortran, bytes)
    }

    /// Of a type as NumPy writes it (`<i4`), with the bytes of the entries: in C order, or in Fortran's, in
    /// which the first axis runs fastest.
    pub fn new(descr: &str, shape: Vec<usize>, fortran: bool, bytes: Vec<u8>) -> Result<Self, String> {
        let (width, reader) = entries(descr).ok_or_else(|| {
            format!("has entries of type {descr}; booleans, integers, float32 or float64 are wanted (x.astype(\"float32\"))")
        })?;
        let count =
            shape.iter().try_fold(1_usize, |n, s| n.checked_mul(*s)).ok_or("has too large a shape")?;
        let (held, wanted) = (bytes.len(), count.checked_mul(width).ok_or("has too large a shape")?);
        if held != wanted {
            return Err(format!(
                "with shape {shape:?} and type {descr} has {held} bytes of data; {wanted} are wanted"
            ));
        }
        let mut bytes = bytes;
        if descr.starts_with('>') {
            // The letters of a text have four bytes each.
            let word = if matches!(reader, Texts) { 4 } else { width };
            bytes.chunks_exact_mut(word).for_each(<[u8]>::reverse);
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
            Floats(_) | Texts => None,
        }
    }

    /// The entries of a list of texts.
    ///
    /// # Errors
    ///
    /// The array holds something else, has several axes, or a letter that does not exist.
    pub fn texts(&self) -> Result<Vec<String>, String> {
        let (Texts, [_]) = (self.reader, &self.shape[..]) else {
            return Err("is no list of texts (NumPy's type <U)".into());
        };
        let letter = |b: &[u8]| char::from_u32(u32::from_le_bytes(word(b)));
        let text = |b: &[u8]| b.chunks_exact(4).map(letter).collect::<Option<String>>();
        let texts = self.bytes.chunks_exact(self.width).map(text).collect::<Option<Vec<String>>>();
        let texts = texts.ok_or("holds what is no letter")?;
        Ok(texts.iter().map(|text| text.trim_end_matches('\0').to_string()).collect())
    }

    /// The entries as single-precision numbers.
    pub fn floats(&self) -> impl Iterator<Item = f32> {
        self.numbers().map(|v| v as f32)
    }

    /// The entries as double-precision numbers.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        let reader = self.reader;
        self.bytes.chunks_exact(self.width).map(move |b| match reader {
            Integers(read) => read(b) as f64,
            Floats(read) => read(b),
            // No number, as the caller finds.
            Texts => f64::NAN,
        })
    }
}

/// The bytes of an entry of a type, and how it is read.
fn entries(descr: &str) -> Option<(usize, Reader)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let letters = kind.strip_prefix('U').and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0);
    if let Some(width) = letters.and_then(|n| n.checked_mul(4)) {
        return "<>".contains(order).then_some((width, Texts));
    }
    let known = match kind {
        "b1" | "u1" => (1, Integers(|b| i64::from(b[0]))),
        "i1" => (1, Integers(|b| i64::from(b[0] as i8))),
        "i2" => (2, Integers(|b| i64::from(i16::from_le_bytes(word(b))))),
        "u2" => (2, Integers(|b| i64::from(u16::from_le_bytes(word(b))))),
        "i4" => (4, Integers(|b| i64::from(i32::from_le_bytes(word(b))))),
        "u4" => (4, Integers(|b| i64::from(u32::from_le_bytes(word(b))))),
        // More than 63 bits are more than anything here counts.
        "u8" => (8, Integers(|b| i64::try_from(u64::from_le_bytes(word(b))).unwrap_or(i64::MAX))),
        "i8" => (8, Integers(|b| i64::from_le_bytes(word(b)))),
        "f4" => (4, Floats(|b| f64::from(f32::from_le_bytes(word(b))))),
        "f8" => (8, Floats(|b| f64::from_le_bytes(word(b)))),
        _ => return None,
    };
    "<>|=".contains(order).then_some(known)
}

/// A slice of the length that `chunks_exact` gave.
fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// What a file says of its array, of version 1 to 3.
struct Header<'a> {
    /// The type of an entry.
    descr: &'a str,
    /// The axes.
    shape: Vec<usize>,
    /// Whether the first axis runs fastest (Fortran's order), not the last.
    fortran: bool,
    /// Where the entries begin.
    end: usize,
}

/// Reads the header; an error continues the name of the file.
fn read_header(bytes: &[u8]) -> Result<Header<'_>, String> {
    if bytes.len() < 12 || &bytes[..6] != b"\x93NUMPY" {
        return Err("is not an npy array".into());
    }
    let (start, length): (usize, usize) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
    };
    let end = start.saturating_add(length);
    let header = bytes.get(start..end).ok_or("is truncated in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text")?;
    let field = |key: &str| {
        let at = header.find(&format!("'{key}':")).ok_or(format!("lacks '{key}' in its header"))?;
        Ok::<&str, String>(header[at + key.len() + 3..].trim_start())
    };
    let fortran = field("fortran_order")?.starts_with("True");
    let shape = field("shape")?.strip_prefix('(').and_then(|s| s.split_once(')'));
    let shape = shape.ok_or("has a malformed shape")?.0;
    let sizes: Result<Vec<usize>, _> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse).collect();
    let shape = sizes.map_err(|_| "has a malformed shape")?;
    let descr = field("descr")?.trim_start_matches('\'').split('\'').next().unwrap_or_default();
    Ok(Header { descr, shape, fortran, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let x = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.5];
        let bytes = encode(2, &x);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(decode(&bytes).unwrap(), (3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5]));
        assert_eq!(decode(&encode::<f64>(3, &[])).unwrap(), (0, 3, vec![]));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let bytes = encode(2, &[1.0_f64; 8]);
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "cut at {n}");
        }
        let mut wrong = bytes.clone();
        wrong.push(0);
        assert!(decode(&wrong).unwrap_err().contains("65 bytes of data; 64 are wanted"));
        assert!(decode(b"PK\x03\x04 not numpy").unwrap_err().contains("not an npy"));
    }

    fn npy(descr: &str, data: &[u8]) -> Vec<u8> {
        [&header(descr, "2,"), data].concat()
    }

    #[test]
    fn entries_are_read_by_their_type() {
        let whole = Array::parse(npy("<i2", &[1, 0, 254, 255])).unwrap();
        assert_eq!(whole.integers().unwrap().collect::<Vec<_>>(), [1, -2]);
        assert_eq!(whole.floats().collect::<Vec<_>>(), [1.0, -2.0]);
        let half = Array::parse(npy("<f4", &[0, 0, 0, 63, 0, 0, 0, 192])).unwrap();
        assert!(half.integers().is_none() && half.floats().eq([0.5, -2.0]));
        let whole = |descr: &str, data: &[u8]| -> Vec<i64> {
            Array::parse(npy(descr, data)).unwrap().integers().unwrap().collect()
        };
        assert_eq!(whole("<u2", &[1, 0, 255, 255]), [1, 65535]);
        assert_eq!(whole(">i2", &[0, 1, 255, 254]), [1, -2]);
        assert_eq!(whole("<u8", &[[7, 0, 0, 0, 0, 0, 0, 0], [255; 8]].concat()), [7, i64::MAX]);
        assert_eq!(whole(">i8", &[[0, 0, 0, 0, 0, 0, 0, 3], [255; 8]].concat()), [3, -1]);
        let big = Array::parse(npy(">f4", &[63, 0, 0, 0, 192, 0, 0, 0])).unwrap();
        assert!(big.floats().eq([0.5, -2.0]));
    }

    #[test]
    fn texts_read_back() {
        let list = ["a", "", "größer", "x y"].map(String::from);
        let (descr, bytes) = texts(&list);
        assert_eq!((descr.as_str(), bytes.len()), ("<U6", 4 * 4 * 6));
        let read = |descr, shape, bytes: &[u8]| Array::new(descr, shape, false, bytes.to_vec())?.texts();
        assert_eq!(read("<U6", vec![4], &bytes).unwrap(), list);
        assert_eq!(read(">U1", vec![2], &[0, 0, 0, 97, 0, 0, 0, 98]).unwrap(), ["a", "b"]);
        assert!(read("<U6", vec![2, 2], &bytes).unwrap_err().contains("no list of texts"));
        assert!(read("<U1", vec![1], &[255; 4]).unwrap_err().contains("no letter"));
        assert!(read("<i4", vec![1], &[0; 4]).unwrap_err().contains("no list of texts"));
        assert!(read("<U0", vec![0], &[]).unwrap_err().contains("has entries of type"));
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
        for descr in ["é4", "", "é", "<", "i4", "<i", "<f2", "|O"] {
            let error = Array::parse(npy(descr, &[0; 8])).err().unwrap();
            assert!(error.contains("has entries of type"), "{descr}: {error}");
        }
    }
}
