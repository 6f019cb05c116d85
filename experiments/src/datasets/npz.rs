//! Archives of arrays (numpy.savez): reading with every size checked before memory is taken, writing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use models::memory;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::npy::{Array, header, texts};
use crate::read;
use crate::run::error::CliError;

/// The most that an archive may unpack to.
const LIMIT: u64 = read::DATA;
/// The most that an archive beyond [`SMALL`] may grow in unpacking; deflate reaches about 1030 on zeros, data
/// worth keeping less than 100.
const RATIO: u64 = 200;
/// Archives that unpack to this many bytes are harmless whatever they came from: a dense identity matrix packs as well
/// as zeros. Whether there is memory for them is asked beside.
const SMALL: u64 = 256 << 20;

/// The arrays of a file by name, unpacked when they are asked for.
pub struct Npz {
    place: String,
    archive: RefCell<ZipArchive<Cursor<Vec<u8>>>>,
    numbers: BTreeMap<String, usize>,
}

impl Npz {
    /// Opens a file.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        Self::new(path, Self::bytes(path)?)
    }

    /// A file's bytes, if it may be one.
    pub fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
        read::bytes(path, LIMIT)
    }

    /// Opens a file's bytes; `path` is its name in messages.
    pub fn new(path: &Path, bytes: Vec<u8>) -> Result<Self, CliError> {
        let place = path.display().to_string();
        let stored = bytes.len() as u64;
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(&place, &e))?;
        let (mut total, mut numbers) = (0_u64, BTreeMap::new());
        for k in 0..archive.len() {
            let entry = archive.by_index_raw(k).map_err(|e| broken(&place, &e))?;
            let name = entry.name().map_err(|e| broken(&place, &e))?;
            numbers.insert(name.trim_end_matches(".npy").to_string(), k);
            total = total.saturating_add(entry.size());
        }
        // Against the bytes that are there, because an entry may claim any packed size, or share another's.
        if total > LIMIT.min(SMALL.max(RATIO * stored)) {
            return Err(CliError::usage(format!(
                "{place}: claims to unpack to {total} bytes from {stored}; refused as a zip bomb"
            )));
        }
        // Bytes, numbers, and what becomes of them.
        memory::check(&[(format!("{place}: its arrays"), 3.0 * total as f64)]).map_err(CliError::usage)?;
        Ok(Self { place, archive: RefCell::new(archive), numbers })
    }

    /// Whether there is an array of that name.
    pub fn has(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

    /// The names of all arrays.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        self.numbers.keys().map(String::as_str)
    }

    /// An error about an array.
    pub fn wrong(&self, name: &str, what: impl std::fmt::Display) -> CliError {
        CliError::usage(format!("{}: array {name} {what}", self.place))
    }

    fn get(&self, name: &str) -> Result<Array, CliError> {
        let number = self.numbers.get(name).ok_or_else(|| {
            let held: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
            CliError::usage(format!("{}: has no array {name}; it holds {}", self.place, held.join(", ")))
        })?;
        let mut archive = self.archive.borrow_mut();
        let mut entry = archive.by_index(*number).map_err(|e| broken(&self.place, &e))?;
        let (claimed, mut bytes) = (entry.size(), Vec::new());
        entry.by_ref().take(claimed + 1).read_to_end(&mut bytes).map_err(|e| broken(&self.place, &e))?;
        if bytes.len() as u64 != claimed {
            return Err(broken(&self.place, &format!("{name} has another length than it claims")));
        }
        Array::parse(bytes).map_err(|what| self.wrong(name, what))
    }

    /// An array of integers or booleans, each entry through `read`, with its shape.
    fn each<V>(
        &self,
        name: &str,
        read: impl Fn(usize, i64) -> Result<V, CliError>,
    ) -> Result<(Vec<usize>, Vec<V>), CliError> {
        let array = self.get(name)?;
        let entries = array.integers().ok_or_else(|| {
            self.wrong(name, "holds floating-point numbers; integers are wanted (x.astype(\"int32\"))")
        })?;
        let values = entries.enumerate().map(|(k, v)| read(k, v)).collect::<Result<_, _>>()?;
        Ok((array.shape, values))
    }

    /// An array of integers with its shape.
    pub fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>), CliError> {
        self.each(name, |_, v| Ok(v))
    }

    /// An array of booleans, or of integers that are 0 for false, with its shape.
    pub fn mask(&self, name: &str) -> Result<(Vec<usize>, Vec<bool>), CliError> {
        self.each(name, |_, v| Ok(v != 0))
    }

    /// An array of numbers below `limit` with its shape.
    pub fn indices(&self, name: &str, limit: usize) -> Result<(Vec<usize>, Vec<u32>), CliError> {
        self.each(name, |k, v| {
            u32::try_from(v).ok().filter(|i| (*i as usize) < limit).ok_or_else(|| {
                self.wrong(
                    name,
                    format!("holds {v} at position {k}; numbers from 0 to below {limit} are wanted"),
                )
            })
        })
    }

    /// A list of at least `fewest` texts, none of them empty.
    pub fn names(&self, name: &str, fewest: usize) -> Result<Vec<String>, CliError> {
        let array = self.get(name)?;
        let names = array.texts().map_err(|what| self.wrong(name, what))?;
        if names.len() < fewest {
            return Err(self.wrong(name, format!("has {} entries; {fewest} are wanted", names.len())));
        }
        match names.iter().position(String::is_empty) {
            Some(k) => Err(self.wrong(name, format!("holds an empty text at position {k}"))),
            None => Ok(names),
        }
    }

    /// An array of finite floating-point numbers (integers are widened) with its shape.
    pub fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), CliError> {
        let array = self.get(name)?;
        let values: Vec<f32> = array.floats().collect();
        let Some(k) = values.iter().position(|v| !v.is_finite()) else { return Ok((array.shape, values)) };
        let place = match array.shape[..] {
            [_, columns] if columns > 0 => format!("row {}, column {}", k / columns, k % columns),
            _ => format!("position {k}"),
        };
        let what = match array.numbers().nth(k) {
            Some(v) if v.is_finite() => format!("holds {v:e} in {place}, beyond single precision; scale it"),
            _ => format!("holds {} in {place}; finite numbers are wanted", values[k]),
        };
        Err(self.wrong(name, what))
    }
}

fn broken(place: &str, e: &dyn std::fmt::Display) -> CliError {
    CliError::usage(format!("{place}: not a whole npz archive ({e}); fetch or export it again"))
}

/// Arrays of more bytes need the long form of an entry, with a margin for what does not compress.
const LARGE: usize = 1 << 31;

/// An archive in memory.
pub struct Writer(ZipWriter<Cursor<Vec<u8>>>);

impl Default for Writer {
    fn default() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }
}

impl Writer {
    fn put(&mut self, name: &str, descr: &str, shape: &[usize], data: &[u8]) -> Result<(), CliError> {
        self.put_parts(name, descr, shape, data.len(), std::iter::once(data))
    }

    fn put_parts<D: AsRef<[u8]>>(
        &mut self,
        name: &str,
        descr: &str,
        shape: &[usize],
        size: usize,
        data: impl Iterator<Item = D>,
    ) -> Result<(), CliError> {
        let axes: String = shape.iter().map(|s| format!("{s}, ")).collect();
        let failed = |e: &dyn std::fmt::Display| CliError::Failed(format!("cannot write {name}: {e}"));
        // A fixed date, so that the same data give the same bytes.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(size > LARGE);
        self.0.start_file(format!("{name}.npy"), options).map_err(|e| failed(&e))?;
        self.0.write_all(&header(descr, &axes)).map_err(|e| failed(&e))?;
        let mut data = data;
        data.try_for_each(|part| self.0.write_all(part.as_ref())).map_err(|e| failed(&e))
    }

    /// An int32 array.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[i32]) -> Result<(), CliError> {
        self.put(name, "<i4", shape, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A float32 array.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<(), CliError> {
        self.put(name, "<f4", shape, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A float64 array.
    pub fn doubles(&mut self, name: &str, shape: &[usize], values: &[f64]) -> Result<(), CliError> {
        // Samples may be many: part by part.
        let bytes = |part: &[f64]| part.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.put_parts(name, "<f8", shape, size_of_val(values), values.chunks(1 << 16).map(bytes))
    }

    /// A boolean array.
    pub fn booleans(&mut self, name: &str, shape: &[usize], values: &[bool]) -> Result<(), CliError> {
        self.put(name, "|b1", shape, &values.iter().map(|v| u8::from(*v)).collect::<Vec<u8>>())
    }

    /// A list of texts, each in as many four-byte letters as the longest has.
    pub fn names(&mut self, name: &str, names: &[String]) -> Result<(), CliError> {
        let (descr, bytes) = texts(names);
        self.put(name, &descr, &[names.len()], &bytes)
    }

    /// The archive's bytes.
    pub fn finish(self) -> Result<Vec<u8>, CliError> {
        let bytes =
            self.0.finish().map_err(|e| CliError::Failed(format!("cannot write the archive: {e}")))?;
        Ok(bytes.into_inner())
    }
}
