//! Checkpoints: named tensors and notes in one safetensors file.
//!
//! Notes are stored in the file's metadata under one key, as `name=value` lines: a metadata map with several
//! keys has no fixed order, and the same state must give the same bytes. Before them stand the number of the format
//! and a SHA-256 over the whole file, which is checked when it is read. Any reader of safetensors reads the tensors.
//! Files of format 1, from before there was a checksum, are still read.

mod seal;

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::{Real, ranks};

/// How the names of files begin that [`write_atomic`] has not finished: a process that is killed leaves them.
pub const LEFTOVER: &str = ".metastable-";
/// How they end.
pub const LEFTOVER_END: &str = ".partial";

const KEY: &str = "metastable";

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Damaged, or not a safetensors file.
    #[error("not a whole safetensors file ({0}); it is truncated or of another kind")]
    Format(String),
    /// Other bytes than were written.
    #[error(
        "damaged since it was written: its bytes do not have the checksum in its header; restore it from a copy"
    )]
    Damaged,
    /// Parts that belong to different states.
    #[error("it contradicts itself: {0}")]
    Contradiction(String),
    /// Of another run: of an energy or of settings that are not these.
    #[error("it belongs to something else: {0}; put that back as it was")]
    Other(String),
    /// Written by another program.
    #[error("a safetensors file, but not a checkpoint of this program")]
    Foreign,
    /// A tensor or note is missing.
    #[error("the checkpoint has no `{name}`; it holds {held}")]
    Missing {
        /// The name asked for.
        name: String,
        /// The names in the checkpoint.
        held: String,
    },
    /// A tensor has another size or type than expected.
    #[error(
        "`{name}` holds {got} values of type {dtype}, {wanted} of type {wanted_dtype} are needed: the checkpoint belongs to another configuration"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its length.
        got: usize,
        /// Its type.
        dtype: String,
        /// The length needed.
        wanted: usize,
        /// The type needed.
        wanted_dtype: &'static str,
    },
}

/// Tensors and notes, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    notes: BTreeMap<String, String>,
}

impl Checkpoint {
    /// An empty checkpoint.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor; `shape` in the order of the file (row-major).
    pub fn put<T: Real>(&mut self, name: &str, shape: &[usize], values: &[T]) {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        T::append_bytes(values, &mut bytes);
        self.tensors.insert(name.into(), (dtype::<T>(), shape.to_vec(), bytes));
    }

    /// Adds a vector.
    pub fn put_vec<T: Real>(&mut self, name: &str, values: &[T]) {
        self.put(name, &[values.len()], values);
    }

    /// Adds a note: a number or a text.
    pub fn note(&mut self, name: &str, value: impl ToString) {
        self.notes.insert(name.into(), value.to_string());
    }

    /// Copies a tensor into `out`.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], or [`CheckpointError::Shape`] if length or type of `out` differ.
    pub fn get<T: Real>(&self, name: &str, out: &mut [T]) -> Result<(), CheckpointError> {
        out.copy_from_slice(&self.get_vec(name, out.len())?);
        Ok(())
    }

    /// A tensor of `len` numbers.
    ///
    /// # Errors
    /// As [`get`](Self::get); nothing is reserved for a length that the tensor does not have.
    pub fn get_vec<T: Real>(&self, name: &str, len: usize) -> Result<Vec<T>, CheckpointError> {
        let (kind, shape, bytes) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        let got: usize = shape.iter().product();
        if *kind != dtype::<T>() || got != len {
            let (name, dtype) = (name.into(), format!("{kind:?}"));
            return Err(CheckpointError::Shape { name, got, dtype, wanted: len, wanted_dtype: T::DTYPE });
        }
        Ok(T::from_bytes(bytes))
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] if there is none, or it does not parse.
    pub fn read_note<V: std::str::FromStr>(&self, name: &str) -> Result<V, CheckpointError> {
        self.notes.get(name).and_then(|v| v.parse().ok()).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> CheckpointError {
        let held: Vec<&str> = self.tensors.keys().chain(self.notes.keys()).map(String::as_str).collect();
        CheckpointError::Missing { name: name.into(), held: held.join(", ") }
    }

    /// A hash of the contents, for states that ought to be the same; it finds what differs by accident.
    pub fn hash(&self) -> u64 {
        let mut hash = 0;
        let mut add = |bytes: &[u8]| {
            hash = ranks::hash(hash, &[bytes.len() as f64]);
            let (words, rest) = bytes.as_chunks::<8>();
            hash = ranks::hash_words(hash, words.iter().map(|word| u64::from_le_bytes(*word)));
            hash = ranks::hash_words(hash, rest.iter().map(|byte| u64::from(*byte)));
        };
        for (name, (_, _, bytes)) in &self.tensors {
            add(name.as_bytes());
            add(bytes);
        }
        for (name, text) in &self.notes {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        hash
    }

    /// The file's bytes, a function of the contents alone.
    ///
    /// # Errors
    /// [`CheckpointError::Format`] if a tensor's shape does not fit its number of values.
    pub fn encode(&self) -> Result<Vec<u8>, CheckpointError> {
        let lines = self.notes.iter().map(|(k, v)| format!("\n{k}={}", one_line(v)));
        let metadata = HashMap::from([(KEY.to_string(), seal::blank() + &lines.collect::<String>())]);
        let views: Result<Vec<_>, _> = (self.tensors.iter())
            .map(|(name, (kind, shape, bytes))| Ok((name, TensorView::new(*kind, shape.clone(), bytes)?)))
            .collect();
        let mut bytes = views
            .and_then(|views| serialize(views, Some(metadata)))
            .map_err(|e| CheckpointError::Format(e.to_string()))?;
        seal::seal(&mut bytes);
        Ok(bytes)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Format`], [`CheckpointError::Foreign`] or [`CheckpointError::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let format = |e: safetensors::SafeTensorError| CheckpointError::Format(e.to_string());
        let file = SafeTensors::deserialize(bytes).map_err(format)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let text = header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or(CheckpointError::Foreign)?;
        let mut lines = text.lines().peekable();
        let format = lines.next();
        let sealed = lines.next_if(|l| l.starts_with(seal::NAME)).is_some();
        match format {
            Some(seal::FORMAT) if sealed && seal::holds(bytes) => {}
            Some(seal::UNSEALED) if !sealed => {}
            Some(seal::FORMAT | seal::UNSEALED) => return Err(CheckpointError::Damaged),
            _ => return Err(CheckpointError::Foreign),
        }
        let notes =
            lines.filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_string(), many_lines(v))).collect();
        let tensors = (file.iter())
            .map(|(name, view)| {
                (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            })
            .collect();
        Ok(Self { tensors, notes })
    }

    /// Writes a file with [`write_atomic`].
    ///
    /// # Errors
    /// As [`Checkpoint::encode`] and [`write_atomic`].
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        Ok(write_atomic(path, &self.encode()?)?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`CheckpointError::Io`], or as [`Checkpoint::decode`].
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::decode(&std::fs::read(path)?)
    }
}

/// Writes a file atomically: temporary file in the same folder, sync, rename, sync of the folder. Links are
/// followed to their target.
///
/// # Errors
/// If reading or writing fails, or the path exists and is not a regular file; that is left unchanged.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = target(path)?;
    let folder = folder(&path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(LEFTOVER).suffix(LEFTOVER_END);
    // Temporary files are private by default; this one gets the permissions of the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|e| e.error)?;
    std::fs::File::open(folder)?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The target of a path through its links; the target of the last link need not exist.
fn target(path: &Path) -> std::io::Result<PathBuf> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() => std::fs::canonicalize(path),
        Ok(there) if there.is_dir() => {
            Err(std::io::Error::new(ErrorKind::IsADirectory, "a folder is in the way; choose another name"))
        }
        Ok(_) => Err(std::io::Error::new(
            ErrorKind::InvalidInput,
            "is no regular file and stays as it is; choose another name",
        )),
        Err(e) if e.kind() == ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(next) => target(&folder(path).join(next)),
            Err(_) => Ok(path.to_path_buf()),
        },
        Err(e) => Err(e),
    }
}

fn dtype<T: Real>() -> Dtype {
    if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 }
}

/// A note on one line, with line breaks and backslashes escaped.
fn one_line(note: &str) -> String {
    note.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

/// The inverse of [`one_line`].
fn many_lines(line: &str) -> String {
    let mut note = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match (c, if c == '\\' { letters.next() } else { None }) {
            ('\\', Some('n')) => note.push('\n'),
            ('\\', Some('r')) => note.push('\r'),
            ('\\', Some(escaped)) => note.push(escaped),
            _ => note.push(c),
        }
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Checkpoint {
        let mut c = Checkpoint::new();
        c.put("w", &[2, 2], &[1.0_f32, 2.0, 3.0, 4.0]);
        c.put_vec("v", &[0.1_f64]);
        c.note("step", 12);
        c
    }

    #[test]
    fn what_is_saved_loads_back_and_has_fixed_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        example().save(&path).unwrap();
        let back = Checkpoint::load(&path).unwrap();
        assert_eq!(back, example());
        assert_eq!(back.encode().unwrap(), example().encode().unwrap());
        assert_eq!(back.hash(), example().hash());
        let others: [fn(&mut Checkpoint); 2] =
            [|c| c.note("step", 13), |c| c.put_vec("v", &[0.1_f64.next_up()])];
        for other in others {
            let mut changed = example();
            other(&mut changed);
            assert_ne!(changed.hash(), back.hash());
        }
        assert_eq!(back.read_note::<u64>("step").unwrap(), 12);
        let mut w = [0.0_f32; 4];
        back.get("w", &mut w).unwrap();
        assert_eq!(w, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_special_files_stay() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let is_link = |name: &str| at(name).symlink_metadata().unwrap().is_symlink();
        std::fs::create_dir(at("there")).unwrap();
        // A link to a file, a link to a link, a link to a file that does not exist yet.
        std::fs::write(at("there/old"), "old").unwrap();
        symlink("there/old", at("one")).unwrap();
        symlink(at("one"), at("two")).unwrap();
        symlink("there/new", at("three")).unwrap();
        for (link, file) in [("one", "there/old"), ("two", "there/old"), ("three", "there/new")] {
            write_atomic(&at(link), link.as_bytes()).unwrap();
            assert!(is_link(link), "{link}");
            assert_eq!(std::fs::read_to_string(at(file)).unwrap(), link);
        }
        symlink("round", at("round")).unwrap();
        assert!(write_atomic(&at("round"), b"x").is_err() && is_link("round"));
        let refused = |path: &Path, what: &str| {
            let error = write_atomic(path, b"x").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        refused(&at("there"), "a folder is in the way");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        refused(&at("socket"), "is no regular file");
        assert!(at("socket").metadata().unwrap().file_type().is_socket());
    }

    #[test]
    fn notes_keep_their_lines() {
        let text = "a = 1  # one\r\n\n[b]\nc = \"\\n\\\\\"\n\r";
        let mut c = Checkpoint::new();
        c.note("config", text);
        let back = Checkpoint::decode(&c.encode().unwrap()).unwrap();
        assert_eq!(back.read_note::<String>("config").unwrap(), text);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let bytes = example().encode().unwrap();
        for n in 0..bytes.len() {
            assert!(matches!(Checkpoint::decode(&bytes[..n]), Err(CheckpointError::Format(_))), "cut at {n}");
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Checkpoint::decode(&huge).is_err());
    }

    #[test]
    fn wrong_shapes_types_names_and_programs_are_named() {
        let c = example();
        assert!(c.get("w", &mut [0.0_f32; 3]).unwrap_err().to_string().contains("4 values of type F32, 3"));
        let of_another_type = c.get("w", &mut [0.0_f64; 2]).unwrap_err().to_string();
        assert!(of_another_type.contains("`w` holds 4 values of type F32, 2 of type F64 are needed"));
        assert!(
            c.get("x", &mut [0.0_f64; 1]).unwrap_err().to_string().contains("no `x`; it holds v, w, step")
        );
        let data = [0_u8; 4];
        let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
        let foreign = serialize([("a", view)], None).unwrap();
        assert!(matches!(Checkpoint::decode(&foreign), Err(CheckpointError::Foreign)));
    }
}
