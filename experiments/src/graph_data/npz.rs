//! Archives of arrays (numpy.savez): reading with every size checked before memory is taken, writing.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::failure::Failure;

/// The most that an archive may unpack to.
const LIMIT: u64 = 4 << 30;
/// The most that an array beyond [`SMALL`] may grow in unpacking; deflate reaches about 1030 on zeros, data
/// worth keeping less than 100.
const RATIO: u64 = 200;
/// Arrays up to this many bytes are harmless whatever they came from.
const SMALL: u64 = 64 << 20;

/// An array's entries, widened.
#[derive(Clone, Debug, PartialEq)]
pub enum Entries {
    /// Any integer or boolean type.
    Integers(Vec<i64>),
    /// float32 or float64.
    Floats(Vec<f64>),
}

/// An array in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its axes.
    pub shape: Vec<usize>,
    /// Its entries.
    pub entries: Entries,
}

/// The arrays of a file by name.
pub struct Npz {
    place: String,
    arrays: BTreeMap<String, Array>,
}

impl Npz {
    /// Reads all arrays of a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let place = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|e| Failure::io(path, &e))?;
        let broken = |e: &dyn std::fmt::Display| {
            Failure::usage(format!("{place}: not a whole npz archive ({e}); fetch or export it again"))
        };
        let mut archive = ZipArchive::new(std::io::BufReader::new(file)).map_err(|e| broken(&e))?;
        let mut total = 0_u64;
        let mut arrays = BTreeMap::new();
        for k in 0..archive.len() {
            let mut entry = archive.by_index(k).map_err(|e| broken(&e))?;
            let name = entry.name().map_err(|e| broken(&e))?.into_owned();
            total = total.saturating_add(entry.size());
            if total > LIMIT || entry.size() > SMALL.max(RATIO * entry.compressed_size()) {
                return Err(Failure::usage(format!(
                    "{place}: {name} claims to unpack to {} bytes from {}; refused as a zip bomb",
                    entry.size(),
                    entry.compressed_size()
                )));
            }
            let mut bytes = Vec::new();
            let claimed = entry.size();
            entry.by_ref().take(claimed + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
            if bytes.len() as u64 != claimed {
                return Err(broken(&format!("{name} has another length than it claims")));
            }
            let array =
                decode(&bytes).map_err(|what| Failure::usage(format!("{place}: array {name}: {what}")))?;
            arrays.insert(name.trim_end_matches(".npy").to_string(), array);
        }
        Ok(Self { place, arrays })
    }

    /// The file's name, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether there is an array of that name.
    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// An error about an array.
    pub fn wrong(&self, name: &str, what: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}: array {name} {what}", self.place))
    }

    fn get(&self, name: &str) -> Result<&Array, Failure> {
        self.arrays.get(name).ok_or_else(|| {
            let held: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            Failure::usage(format!("{}: has no array {name}; it holds {}", self.place, held.join(", ")))
        })
    }

    /// An array of integers with its shape.
    pub fn integers(&self, name: &str) -> Result<(&[usize], &[i64]), Failure> {
        let array = self.get(name)?;
        match &array.entries {
            Entries::Integers(v) => Ok((&array.shape, v)),
            Entries::Floats(_) => Err(self.wrong(name, "holds floating-point numbers; integers are wanted")),
        }
    }

    /// An array of numbers below `limit`.
    pub fn indices(&self, name: &str, limit: usize) -> Result<Vec<u32>, Failure> {
        let (_, v) = self.integers(name)?;
        let index = |(k, v): (usize, &i64)| {
            u32::try_from(*v).ok().filter(|i| (*i as usize) < limit).ok_or_else(|| {
                self.wrong(
                    name,
                    format!("holds {v} at position {k}; numbers from 0 to below {limit} are wanted"),
                )
            })
        };
        v.iter().enumerate().map(index).collect()
    }

    /// An array of finite floating-point numbers (integers are widened) with its shape.
    pub fn floats(&self, name: &str) -> Result<(&[usize], Vec<f32>), Failure> {
        let array = self.get(name)?;
        let values: Vec<f32> = match &array.entries {
            Entries::Floats(v) => v.iter().map(|v| *v as f32).collect(),
            Entries::Integers(v) => v.iter().map(|v| *v as f32).collect(),
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(k) => {
                Err(self
                    .wrong(name, format!("holds {} at position {k}; finite numbers are wanted", values[k])))
            }
            None => Ok((&array.shape, values)),
        }
    }
}

/// Reads an `.npy` of version 1 to 3.
fn decode(bytes: &[u8]) -> Result<Array, String> {
    if bytes.len() < 12 || &bytes[..6] != b"\x93NUMPY" {
        return Err("is not an npy array".into());
    }
    let (start, length): (usize, usize) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
    };
    let header = bytes.get(start..start.saturating_add(length)).ok_or("is truncated in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text")?;
    let field = |key: &str| {
        let at = header.find(&format!("'{key}':")).ok_or(format!("lacks '{key}' in its header"))?;
        Ok::<&str, String>(header[at + key.len() + 3..].trim_start())
    };
    if field("fortran_order")?.starts_with("True") {
        return Err("is in Fortran order; save numpy.ascontiguousarray(x)".into());
    }
    let shape =
        field("shape")?.strip_prefix('(').and_then(|s| s.split_once(')')).ok_or("has a malformed shape")?.0;
    let sizes: Result<Vec<usize>, _> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse).collect();
    let shape = sizes.map_err(|_| "has a malformed shape")?;
    let descr = field("descr")?.trim_start_matches('\'');
    let descr = descr.split('\'').next().unwrap_or_default();
    let (order, kind) = descr.split_at(descr.len().min(1));
    let width: usize = kind.get(1..).and_then(|w| w.parse().ok()).unwrap_or(0);
    if order == ">" || !matches!(kind, "b1" | "i1" | "u1" | "i2" | "i4" | "i8" | "u4" | "f4" | "f8") {
        return Err(format!(
            "has entries of type {descr}; booleans, integers, float32 or float64 are wanted"
        ));
    }
    let count = shape.iter().try_fold(1_usize, |n, s| n.checked_mul(*s)).ok_or("has too large a shape")?;
    let data = &bytes[start + length..];
    if Some(data.len()) != count.checked_mul(width) {
        return Err(format!("of shape {shape:?} and type {descr} has {} bytes of data", data.len()));
    }
    let words = data.chunks_exact(width);
    let entries = match kind {
        "f4" => Entries::Floats(words.map(|b| f64::from(f32::from_le_bytes(word(b)))).collect()),
        "f8" => Entries::Floats(words.map(|b| f64::from_le_bytes(word(b))).collect()),
        _ => Entries::Integers(
            words
                .map(|b| match kind {
                    "b1" | "u1" => i64::from(b[0]),
                    "i1" => i64::from(b[0] as i8),
                    "i2" => i64::from(i16::from_le_bytes(word(b))),
                    "i4" => i64::from(i32::from_le_bytes(word(b))),
                    "u4" => i64::from(u32::from_le_bytes(word(b))),
                    _ => i64::from_le_bytes(word(b)),
                })
                .collect(),
        ),
    };
    Ok(Array { shape, entries })
}

/// A slice of the length that `chunks_exact` gave.
fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// An archive in memory.
pub struct Writer(ZipWriter<Cursor<Vec<u8>>>);

impl Default for Writer {
    fn default() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }
}

impl Writer {
    fn put(&mut self, name: &str, descr: &str, shape: &[usize], data: &[u8]) -> Result<(), Failure> {
        let axes: String = shape.iter().map(|s| format!("{s}, ")).collect();
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
        while !(10 + header.len() + 1).is_multiple_of(64) {
            header.push(' ');
        }
        header.push('\n');
        let failed = |e: &dyn std::fmt::Display| Failure::Failed(format!("cannot write {name}: {e}"));
        // A fixed date, so that the same data give the same bytes.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.0.start_file(format!("{name}.npy"), options).map_err(|e| failed(&e))?;
        let parts: [&[u8]; 4] =
            [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes(), header.as_bytes(), data];
        parts.iter().try_for_each(|part| self.0.write_all(part)).map_err(|e| failed(&e))
    }

    /// An int32 array.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[i32]) -> Result<(), Failure> {
        self.put(name, "<i4", shape, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A float32 array.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<(), Failure> {
        self.put(name, "<f4", shape, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A boolean array.
    pub fn booleans(&mut self, name: &str, shape: &[usize], values: &[bool]) -> Result<(), Failure> {
        self.put(name, "|b1", shape, &values.iter().map(|v| u8::from(*v)).collect::<Vec<u8>>())
    }

    /// The archive's bytes.
    pub fn finish(self) -> Result<Vec<u8>, Failure> {
        let bytes = self.0.finish().map_err(|e| Failure::Failed(format!("cannot write the archive: {e}")))?;
        Ok(bytes.into_inner())
    }
}
