//! An energy in a shared library, through the functions of `include/metastable_energy.h`.
//!
//! Whole batches are handed over as they are. A library that several threads may call at once gets blocks of [`BLOCK`]
//! rows in parallel; any other one batch at a time, so that in either case what it is asked does not depend on the
//! number of threads.
// Functions of C are called.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, PoisonError};

use engine::parallel;
use libloading::os::unix::{Library as Object, RTLD_LOCAL, RTLD_NOW};

use super::batch_energy::{self, BatchEnergy, Elsewhere};
use super::pieces::pieces;
use super::{Built, Description, Keys};
use crate::target::{BLOCK, Double, TargetError};

/// The version of the header.
const VERSION: c_int = 1;

/// Builds the energy of the kind `library`.
pub(super) fn build(description: &Description, mut keys: Keys<'_>) -> Built {
    let path = keys.need("path", "path = \"libmine.so\"")?;
    let threads = keys.take("threads").map(|v| v.word(&["one", "many"])).transpose()?;
    let config = LibraryConfig {
        path: description.path(&path.text()?),
        threads: if threads == Some(1) { Threads::Many } else { Threads::One },
        config: keys.take("config").map(|v| v.text()).transpose()?.unwrap_or_default(),
    };
    let offset = batch_energy::offset(&mut keys)?;
    keys.finish()?;
    let geometry = description.geometry;
    let energy = Library::open(&config, geometry.dim()).map_err(|what| path.error(format!("= {what}")))?;
    Ok(Arc::new(Double(Elsewhere { energy, geometry, offset })))
}

/// Who may call a library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Threads {
    /// One thread at a time.
    #[default]
    One,
    /// Several at once.
    Many,
}

/// Where a library is, and how it is called.
#[derive(Clone, Debug, Default, PartialEq)]
struct LibraryConfig {
    /// The file.
    path: PathBuf,
    /// Who may call it.
    threads: Threads,
    /// The text for its function `open`.
    config: String,
}

/// A library that was opened. It stays loaded until the process ends, because threads of its own may.
struct Library {
    /// For errors.
    name: String,
    state: *mut c_void,
    energy: Energy,
    error: Option<ErrorText>,
    close: Option<Close>,
    /// Held during a call of a library for one thread.
    one: Option<Mutex<()>>,
}

type Version = unsafe extern "C" fn() -> c_int;
type Open = unsafe extern "C" fn(*const c_char) -> *mut c_void;
type Dim = unsafe extern "C" fn(*mut c_void) -> c_int;
type Energy = unsafe extern "C" fn(*mut c_void, c_int, c_int, *const f64, *mut f64, *mut f64) -> c_int;
type ErrorText = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type Close = unsafe extern "C" fn(*mut c_void);

// SAFETY: `state` is only handed to the library's functions, of which one is called at a time, or several where the
// user has said that it may be; `one` sees to that.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Opens a library whose states have `d` coordinates.
    ///
    /// # Errors
    /// [`TargetError::Parameter`], with what is wrong with the file, its functions, version or dimension.
    fn open(config: &LibraryConfig, d: usize) -> Result<Self, TargetError> {
        let name = config.path.display().to_string();
        let wrong = |what: String| TargetError::Parameter(format!("{name}: {what}"));
        if let Err(e) = std::fs::metadata(&config.path) {
            return Err(wrong(match e.kind() {
                std::io::ErrorKind::NotFound => "no such file; compile the library first".into(),
                _ => e.to_string(),
            }));
        }
        let text = CString::new(config.config.as_str())
            .map_err(|_| wrong("the text config must not contain a zero byte".into()))?;
        // A bare name would be looked for among the system's libraries.
        let path = std::path::absolute(&config.path).map_err(|e| wrong(e.to_string()))?;
        // SAFETY: the initialisers of a library run here; that is what the user asks for.
        let object = unsafe { Object::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|e| wrong(format!("cannot be loaded: {}", loader_text(&e, &config.path))))?;
        // SAFETY (of the next six): the types are those of the header, by which the library was compiled; version and
        // names are all that can be checked.
        let version: Version = unsafe { function(&object, c"metastable_energy_version") }.ok_or_else(|| {
            wrong("has no function metastable_energy_version; implement metastable_energy.h (extern \"C\" in C++)".into())
        })?;
        let energy: Energy = unsafe { function(&object, c"metastable_energy") }.ok_or_else(|| {
            wrong("has no function metastable_energy; implement metastable_energy.h".into())
        })?;
        let open: Option<Open> = unsafe { function(&object, c"metastable_energy_open") };
        let dim: Option<Dim> = unsafe { function(&object, c"metastable_energy_dim") };
        let error: Option<ErrorText> = unsafe { function(&object, c"metastable_energy_error") };
        let close: Option<Close> = unsafe { function(&object, c"metastable_energy_close") };
        std::mem::forget(object);
        // SAFETY: a function of the header.
        let version = unsafe { version() };
        if version != VERSION {
            return Err(wrong(format!(
                "is for version {version} of metastable_energy.h, this program for {VERSION}; compile it with this program's header"
            )));
        }
        let mut state = null_mut();
        if let Some(open) = open {
            // SAFETY: a function of the header, with a text that outlives the call.
            state = unsafe { open(text.as_ptr()) };
            if state.is_null() {
                return Err(wrong(format!("metastable_energy_open failed{}", said(error, state))));
            }
        } else if !config.config.is_empty() {
            return Err(wrong("has no function metastable_energy_open; leave out config".into()));
        }
        let one = (config.threads == Threads::One).then(Mutex::default);
        let this = Self { name, state, energy, error, close, one };
        if let Some(dim) = dim {
            // SAFETY: a function of the header, with the library's own state.
            let own = unsafe { dim(this.state) };
            if usize::try_from(own) != Ok(d) {
                return Err(TargetError::Parameter(format!(
                    "{}: its states have {own} coordinates, the target's {d}; correct dim (or particles and space)",
                    this.name
                )));
            }
        }
        Ok(this)
    }

    fn call(&self, d: usize, x: &[f64], energy: &mut [f64], gradient: &mut [f64]) -> Result<(), TargetError> {
        let wrong = |what: String| TargetError::Evaluation(format!("{}: {what}", self.name));
        let [n, d] = [energy.len(), d].map(c_int::try_from);
        let (Ok(n), Ok(d)) = (n, d) else { return Err(wrong("too many numbers at once for a C int".into())) };
        let gradient = if gradient.is_empty() { null_mut() } else { gradient.as_mut_ptr() };
        let _one = self.one.as_ref().map(|one| one.lock().unwrap_or_else(PoisonError::into_inner));
        // SAFETY: the slices have n d, n and n d numbers and live through the call.
        let code = unsafe { (self.energy)(self.state, n, d, x.as_ptr(), energy.as_mut_ptr(), gradient) };
        if code == 0 {
            return Ok(());
        }
        Err(wrong(format!("metastable_energy returned {code}{}", said(self.error, self.state))))
    }
}

impl BatchEnergy for Library {
    fn energies(
        &self,
        d: usize,
        x: &[f64],
        energy: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), TargetError> {
        if self.one.is_some() || energy.len() <= BLOCK {
            return self.call(d, x, energy, gradient);
        }
        let mut blocks: Vec<_> =
            pieces(BLOCK, d, (x, energy, gradient)).map(|block| (block, Ok(()))).collect();
        parallel::for_chunks(&mut blocks, 1, |_, block| {
            for ((x, energy, gradient), result) in block {
                *result = self.call(d, x, energy, gradient);
            }
        });
        blocks.into_iter().try_for_each(|(_, result)| result)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Some(close) = self.close {
            // SAFETY: a function of the header; nothing calls the library after it.
            unsafe { close(self.state) };
        }
    }
}

/// # Safety
/// `F` is the type of the function of that name.
unsafe fn function<F: Copy>(object: &Object, name: &CStr) -> Option<F> {
    // SAFETY: the caller's.
    unsafe { object.get::<F>(name.to_bytes_with_nul()) }.ok().map(|f| *f)
}

/// The library's own word on an error, if it has one.
fn said(error: Option<ErrorText>, state: *mut c_void) -> String {
    // SAFETY: a function of the header.
    let text = error.map_or(null(), |error| unsafe { error(state) });
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the header wants a text that ends with a zero byte and lives until the next call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { line } else { format!(": {line}") }
}

/// The loader's words, which begin with the path.
fn loader_text(error: &libloading::Error, path: &Path) -> String {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    match text.split_once(&format!("{name}: ")) {
        Some((_, what)) => what.trim_matches('"').into(),
        None => text,
    }
}

#[cfg(test)]
#[path = "library_tests.rs"]
mod tests;
