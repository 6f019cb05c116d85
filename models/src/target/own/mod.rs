//! Densities of one's own, described by a file.
//!
//! `sample --target my.toml` samples exp(-E(l x) / T), where the file says what E is, by its `kind`, and what all kinds
//! have in common, a [`Description`]. A kind is one file or folder here and one line of `KINDS`: a function that takes
//! the keys that are its own and builds the energy E. Units, the meaning of NaN and the check of the gradient are the
//! same for all of them.

mod batch_energy;
mod description;
mod formula;
mod ipi;
mod keys;
mod library;
mod pieces;
mod program;
mod scaled;
mod timed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

pub use description::{Description, Nan};
pub use formula::{Fault, Formula, FormulaError, Names};
pub use keys::{Keys, Source, Value};

use super::book::Page;
use super::registry::{AnyTarget, Entry, Parameter};
use super::{Target, TargetError, check_gradient, pilot_states};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "own",
    about: "a density of your own, described by a file: --target FILE.toml (without one: two wells by a formula)",
    parameters: &[("file", Parameter::Text(String::new()), [0.0, 0.0])],
    scales: |c| read(c.text("file")).and_then(|file| file.description()).ok()?.scales,
    build: |c| build(c.text("file")),
    page: Page {
        log_z: None,
        how: "as the file says",
        values: &[],
        source: "yours",
        traps: &["docs/your-density.md says of each key what happens when it is wrong"],
    },
}];

/// An energy, or why there is none.
type Built = Result<Arc<dyn AnyTarget>, TargetError>;

/// A way to give an energy.
struct Kind {
    /// The word of the key `kind`.
    name: &'static str,
    /// Whether the energy is computed by this program; others take microseconds to seconds for a state.
    inside: bool,
    /// A key that names a file among other words, and what that file is to a run.
    file: Option<(&'static str, &'static str)>,
    /// Takes its keys, [finishes](Keys::finish) them, and builds the energy E, before units.
    build: fn(&Description, Keys<'_>) -> Built,
}

/// All kinds.
const KINDS: &[Kind] = &[
    Kind { name: "formula", inside: true, file: None, build: formula::build },
    Kind { name: "library", inside: false, file: Some(("path", "library")), build: library::build },
    Kind { name: "program", inside: false, file: Some(("command", "program")), build: program::build },
    Kind { name: "ipi", inside: false, file: None, build: ipi::build },
];

/// What is sampled without a file: two wells in the plane, at x = -1 and, deeper, 1.
const EXAMPLE: &str = r#"
kind = "formula"
dim = 2
energy = "4*(x[0]^2 - 1)^2 - a*x[0] + 0.5*k*x[1]^2"
scales = [1.0, 0.3]
[constants]
a = 0.5
k = 4.0
"#;

/// Most bytes of a description.
const MOST: u64 = 16 << 20;
/// Points at which a gradient is checked; fewer in many dimensions, where a check takes up to [`NUMBERS`] coordinates.
const CHECKED: usize = 8;
const NUMBERS: usize = 20_000_000;

/// A description's file.
struct File {
    path: PathBuf,
    text: String,
}

/// Reads the file; the example without a name.
fn read(name: &str) -> Result<File, TargetError> {
    if name.is_empty() {
        return Ok(File { path: "example".into(), text: EXAMPLE.into() });
    }
    let wrong = |what: String| TargetError::Parameter(format!("{name}: {what}"));
    let path = std::path::absolute(name).map_err(|e| wrong(e.to_string()))?;
    let there = std::fs::metadata(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            wrong("no such file; --target wants a target's name, or a file".into())
        }
        _ => wrong(e.to_string()),
    })?;
    if !there.is_file() {
        return Err(wrong("is no regular file; give the file that describes the target".into()));
    }
    if there.len() > MOST {
        return Err(wrong(format!("has {} bytes; a description has at most {MOST}", there.len())));
    }
    let bytes = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(File { path, text }),
        Err(_) => Err(wrong("is no UTF-8 text; save it as UTF-8".into())),
    }
}

impl File {
    fn keys(&self) -> Result<Keys<'_>, TargetError> {
        Source { file: &self.path, text: &self.text }.keys()
    }

    fn description(&self) -> Result<Description, TargetError> {
        Description::take(&mut self.keys()?)
    }

    fn build(&self) -> Built {
        let mut keys = self.keys()?;
        let kind = kind(&mut keys)?;
        let description = Description::take(&mut keys)?;
        let energy = (kind.build)(&description, keys)?;
        let target: Arc<dyn AnyTarget> = Arc::new(scaled::Scaled::new(energy, &description));
        if description.check_gradient {
            let scale = description.scales.map_or(1.0, |[size, _]| size);
            let double: &dyn Target<f64> = target.double();
            // 14 energies for each coordinate that is compared, of which there are at most 256.
            let dim = double.dim();
            let points = (NUMBERS / (14 * dim.min(256) * dim)).clamp(2, CHECKED);
            check_gradient(double, &pilot_states(double, scale, points)).map_err(|e| {
                let path = self.path.display();
                match e {
                    TargetError::Gradient(what) => TargetError::Gradient(format!(
                        "{path}: {what} (check_gradient = false leaves this check out)"
                    )),
                    TargetError::Broken(what) => TargetError::Broken(format!(
                        "{path}: {what} (nan = \"outside\" takes NaN for density 0)"
                    )),
                    other => other,
                }
            })?;
        }
        Ok(target)
    }
}

fn kind(keys: &mut Keys<'_>) -> Result<&'static Kind, TargetError> {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let value = keys.need("kind", &format!("kind = \"{}\" ({})", names[0], names.join(", ")))?;
    Ok(&KINDS[value.word(&names)?])
}

/// A time in seconds, up to a year.
fn seconds(value: Option<Value<'_>>, default: f64) -> Result<Duration, TargetError> {
    let Some(value) = value else { return Ok(Duration::from_secs_f64(default)) };
    match value.positive()? {
        time if (1e-3..=3.2e7).contains(&time) => Ok(Duration::from_secs_f64(time)),
        time => Err(value.error(format!("= {time} must lie between 0.001 and 3.2e7 seconds"))),
    }
}

/// Targets by file, with the text that they were built from.
type Store = BTreeMap<PathBuf, (String, Arc<dyn AnyTarget>)>;

static BUILT: Mutex<Store> = Mutex::new(BTreeMap::new());

/// The target that a file describes, which is built once, however often a process asks for it: programs are started
/// and gradients checked when it is.
fn build(name: &str) -> Built {
    let file = read(name)?;
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((text, target)) = built.get(&file.path)
        && *text == file.text
    {
        return Ok(target.clone());
    }
    let target = file.build()?;
    built.insert(file.path.clone(), (file.text, target.clone()));
    Ok(target)
}

/// Whether the energy that a file describes is computed elsewhere, by a library, a program or clients; false where the
/// file cannot be read.
pub fn is_elsewhere(name: &str) -> bool {
    let kind = read(name).and_then(|file| Ok(kind(&mut file.keys()?)?.inside));
    kind.is_ok_and(|inside| !inside)
}

/// Whether the file asks that its gradient is not held against differences of the energy (`check_gradient = false`), as
/// for an energy that is smooth only from afar; false where the file cannot be read.
pub fn has_unchecked_gradient(name: &str) -> bool {
    read(name).and_then(|file| file.description()).is_ok_and(|description| !description.check_gradient)
}

/// Ends programs and sends clients home, where nobody uses their targets any more.
pub fn close() {
    let built = std::mem::take(&mut *BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    drop(built);
}

/// What hears of others that are waited for.
static HEARS: OnceLock<fn(&str)> = OnceLock::new();

/// Has a function told, in a line, when a target waits for somebody to start a client. The first one stays.
pub fn tell_of_waiting(hears: fn(&str)) {
    HEARS.get_or_init(|| hears);
}

/// Energies that wait for somebody to start a client.
static WAITS: AtomicUsize = AtomicUsize::new(0);

/// Counts among those that wait, as long as it lives.
struct Waiting;

impl Waiting {
    fn new() -> Self {
        WAITS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether an energy waits for somebody to start a client: nothing goes on until then, or until the time is over.
pub fn waits() -> bool {
    WAITS.load(Ordering::SeqCst) > 0
}

/// A file that a target is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeOf {
    /// What it is to a run, as `description`.
    pub what: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether a run must go on with the same bytes. Libraries and programs are rebuilt, and what they compute tells
    /// whether they are the same.
    pub fixed: bool,
}

/// The files that make the target of a description, itself first.
///
/// # Errors
/// If it cannot be read.
pub fn files(name: &Path) -> Result<Vec<MadeOf>, TargetError> {
    let Some(name) = name.to_str() else {
        let what = format!("{}: its name is no text; rename it", name.display());
        return Err(TargetError::Parameter(what));
    };
    let file = read(name)?;
    let mut keys = file.keys()?;
    let kind = kind(&mut keys)?;
    let description = Description::take(&mut keys)?;
    let mut all = vec![MadeOf { what: "description".into(), path: file.path.clone(), fixed: true }];
    if let Some((key, what)) = kind.file {
        let words = keys.take(key).map(|value| value.texts()).transpose()?.unwrap_or_default();
        // Of a command the interpreter is mostly the system's.
        let found = words.iter().map(|word| description.path(word)).find(|path| path.is_file());
        all.extend(found.map(|path| MadeOf { what: what.into(), path, fixed: false }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
