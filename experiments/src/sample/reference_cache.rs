//! Reference samples: from a file, or made once by parallel tempering and kept.
//!
//! Each lies in a folder of its own, TARGET-N-SUM, where the sum is that of the settings that it is made with: other
//! settings make another reference beside it. The folder is that of a run: it can be resumed, belongs to one process
//! while the states are made, and holds states.npy and what came of their making, made.toml.

use std::path::{Path, PathBuf};

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::ranks::{Ranks, Solo};
use engine::rng::Stream;
use models::sampler::Method;
use models::target::own::MadeOf;
use models::target::{Geometry, TargetConfig};
use serde::{Deserialize, Serialize};

use super::SampleConfig;
use super::presets::preset;
use super::reference_source::files_of;
use super::run::sampler_failure;
use crate::config::{load_exact, to_plain_toml};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::ranks::is_first;
use crate::run::{CHECKPOINT, Inputs, Options, Place, RunFolder, Steps, console, sha256};
use crate::{npy, read};

/// Seconds between checkpoints of a reference in the making.
const SAVE_EVERY: f64 = 30.0;
/// Raised when the same settings come to mean other states.
const FORMAT: u32 = 4;
/// What the folder of a reference holds.
const KIND: &str = "reference of sample";
/// Its files.
const PLAN: &str = "plan.toml";
const STATES: &str = "states.npy";
const MADE: &str = "made.toml";

/// Equilibrium samples, mean-free: two halves, each in random order.
pub struct Reference {
    /// Columns: as many of the first half as are wanted of each, as many of the second, and what is left of both.
    pub states: Vec<f64>,
    /// log Z along the ladder, where it is known.
    pub log_z: Option<f64>,
    /// How many checks of the sampler failed, where it is known.
    pub failed_checks: Option<usize>,
    /// Evaluations of the energy, each with its gradient, that it took to make, where they are known.
    pub evaluations: Option<u64>,
}

/// How states are made.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    format: u32,
    samples: usize,
    /// The sha256 of the files that the target is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    settings: SampleConfig,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    /// Of states.npy.
    sha256: String,
    log_z: f64,
    evaluations: u64,
    failures: Vec<String>,
}

/// Settings that came later: references made before have none of them, and are as good.
const LATER: [&str; 4] = ["model = \"\"", "jump_every = 10", "temperature = 1.0", "least_variance = false"];

impl Recipe {
    fn new(target: &TargetConfig, samples: usize) -> Result<Self, CliError> {
        let sum = |file: MadeOf| Ok(sha256(&read::bytes(&file.path, read::DATA)?));
        let files = files_of(target)?.into_iter().map(sum).collect::<Result<_, CliError>>()?;
        Ok(Self { format: FORMAT, samples, files, settings: preset(target, Some("pt"), false)? })
    }

    /// The chains that record the states, in turn.
    fn walkers(&self) -> Option<usize> {
        match &self.settings.method {
            Method::Pt(settings) => Some(settings.sampler.walkers),
            _ => None,
        }
    }

    /// States to make: as many of each walker, and enough in each half of the walkers.
    fn states(&self) -> usize {
        let walkers = self.walkers().unwrap_or(1);
        let in_half = (walkers / 2).max(1);
        self.samples.div_ceil(2).div_ceil(in_half) * walkers
    }

    /// The folder of its states in a cache.
    fn folder(&self, cache: &Path) -> Result<PathBuf, CliError> {
        let text: String =
            to_plain_toml(self)?.lines().filter(|l| !LATER.contains(l)).map(|l| format!("{l}\n")).collect();
        let sum = sha256(text.as_bytes());
        Ok(cache.join(format!("{}-{}-{}", self.settings.target.name, self.samples, &sum[..8])))
    }
}

impl Reference {
    /// Gives what rank 0 has to the others, which need the states and log Z.
    pub fn over(ranks: &dyn Ranks, own: Option<Self>) -> Result<Option<Self>, CliError> {
        if ranks.size() == 1 {
            return Ok(own);
        }
        let wrong = |e: CheckpointError| CliError::Failed(format!("the reference of rank 0: {e}"));
        let message = own.as_ref().map_or(Ok(Vec::new()), |own| {
            let mut c = Checkpoint::new();
            c.put_vec("states", &own.states);
            c.note("count", own.states.len());
            own.log_z.iter().for_each(|log_z| c.note("log_z", log_z));
            c.encode()
        });
        let bytes = ranks.broadcast(message.map_err(wrong)?)?;
        if is_first(ranks) || bytes.is_empty() {
            return Ok(own);
        }
        let c = Checkpoint::decode(&bytes).map_err(wrong)?;
        let states = c.get_vec("states", c.read_note("count").map_err(wrong)?).map_err(wrong)?;
        Ok(Some(Self { states, log_z: c.read_note("log_z").ok(), failed_checks: None, evaluations: None }))
    }

    /// A reference whose halves share no walker, of states that were recorded in turn over `walkers` chains: what a
    /// chain remembers, the two halves do not have in common, and a floor between them is one of independent samples.
    /// Without chains the states are dealt out at random.
    pub(super) fn new(states: &[f64], geometry: Geometry, walkers: Option<usize>, wanted: usize) -> Self {
        let d = geometry.dim();
        let mut states = states.to_vec();
        let mut stream = Stream::new(0, "reference order", 0, 0);
        let Some(walkers) = walkers.filter(|w| *w > 1) else {
            stream.shuffle_columns(&mut states, d);
            return Self { states, log_z: None, failed_checks: None, evaluations: None };
        };
        let mut halves = [Vec::new(), Vec::new()];
        for (i, state) in states.chunks_exact(d).enumerate() {
            halves[usize::from(i % walkers >= walkers.div_ceil(2))].extend_from_slice(state);
        }
        halves.iter_mut().for_each(|half| stream.shuffle_columns(half, d));
        let [(first, more), (second, rest)] =
            halves.each_ref().map(|half| half.split_at((wanted / 2 * d).min(half.len())));
        let states = [first, second, more, rest].concat();
        Self { states, log_z: None, failed_checks: None, evaluations: None }
    }

    /// At least `wanted` states of a target, from the folder `cache` or made now by parallel tempering and kept there.
    pub fn cached(
        target: &TargetConfig,
        wanted: usize,
        cache: &Path,
        interrupt: &Interrupt,
        options: Options,
    ) -> Result<Self, CliError> {
        let recipe = Recipe::new(target, wanted)?;
        let path = recipe.folder(cache)?;
        let geometry = recipe.settings.target()?.single().geometry();
        let (made, states) = match found(&path, geometry, wanted)? {
            Some(found) => found,
            None => {
                // What has the folder's name and is none of ours stays.
                if path.is_symlink() || (path.exists() && !path.is_dir()) {
                    let what = if path.is_symlink() { "a link" } else { "a file" };
                    let path = path.display();
                    return Err(CliError::usage(format!("{path}: {what} is in the way; move it away")));
                }
                let folder = wait(&path, interrupt, options.quiet)?;
                match found(&path, geometry, wanted)? {
                    Some(found) => found,
                    None => {
                        make(&recipe, folder.path(), interrupt, options)?;
                        let lost = || CliError::Failed(format!("{}: the states are gone", path.display()));
                        found(&path, geometry, wanted)?.ok_or_else(lost)?
                    }
                }
            }
        };
        if let (Some(why), false) = (made.failures.first(), options.quiet) {
            console::note(format_args!(
                "note: the reference is small and one of its checks failed ({why}); give a better one with --reference"
            ));
        }
        let (log_z, failed_checks) = (Some(made.log_z), Some(made.failures.len()));
        let evaluations = Some(made.evaluations);
        let new = Self::new(&states, geometry, recipe.walkers(), wanted);
        Ok(Self { log_z, failed_checks, evaluations, ..new })
    }
}

/// Waits until no other process makes this reference, and takes its folder.
fn wait(path: &Path, interrupt: &Interrupt, quiet: bool) -> Result<RunFolder, CliError> {
    let mut told = quiet;
    RunFolder::wait(path, |holder| {
        if interrupt.requested() {
            let text = format!("stopped while another process makes {}", path.display());
            return Err(CliError::Interrupted(text));
        }
        if !std::mem::replace(&mut told, true) {
            console::note(format_args!("another run{holder} makes {}; waiting for it", path.display()));
        }
        Ok(())
    })
}

/// The states that a folder holds, if they are made. Those that are not what was made are an error: they may be the
/// user's.
fn found(path: &Path, geometry: Geometry, wanted: usize) -> Result<Option<(Made, Vec<f64>)>, CliError> {
    let (made, file) = (path.join(MADE), path.join(STATES));
    if !made.is_file() || !file.exists() {
        return Ok(None);
    }
    let made: Made = load_exact(&made)?;
    let bytes = read::bytes(&file, read::DATA)?;
    if sha256(&bytes) != made.sha256 {
        return Err(CliError::usage(format!(
            "{}: is not what was made here; move {} away, or give the states with --reference",
            file.display(),
            path.display()
        )));
    }
    Ok(Some((made, decode(&file, &bytes, geometry, wanted)?)))
}

/// States of a file's bytes: finite, at least as many as wanted.
pub(super) fn decode(
    path: &Path,
    bytes: &[u8],
    geometry: Geometry,
    wanted: usize,
) -> Result<Vec<f64>, CliError> {
    let wrong = |why: String| CliError::usage(format!("{}: {why}", path.display()));
    let (n, d, mut x) = npy::decode(bytes).map_err(wrong)?;
    if d != geometry.dim() {
        return Err(wrong(format!("its states have {d} numbers, {} are wanted", geometry.dim())));
    }
    if n < wanted {
        return Err(wrong(format!("it holds {n} states, {wanted} are wanted; lower evaluation.sets")));
    }
    if x.iter().any(|v| !v.is_finite()) {
        return Err(wrong("it holds a number that is not finite".into()));
    }
    geometry.project(&mut x);
    Ok(x)
}

/// Makes the states in a folder that this process has; from a checkpoint, if it was stopped before.
fn make(recipe: &Recipe, path: &Path, interrupt: &Interrupt, options: Options) -> Result<(), CliError> {
    let (target, config) = (recipe.settings.target()?, &recipe.settings);
    let folder = match RunFolder::open(path, KIND) {
        Ok(folder) => folder,
        // Not begun, killed while it began, or no longer what it was.
        Err(_) => {
            let folder = RunFolder::create(&Place::Named(path.into()), true).map_err(|_| {
                let path = path.display();
                CliError::usage(format!(
                    "{path}: holds what this program did not make; move it away, or choose another --reference-cache"
                ))
            })?;
            folder.begin(KIND, &[(PLAN, &to_plain_toml(recipe)?)], Inputs::new())?;
            folder
        }
    };
    let build =
        || config.method.config().build(&*target, recipe.states(), config.seed).map_err(sampler_failure);
    let mut sampler = build()?;
    let steps = Steps {
        folder: &folder,
        subject: "reference samples, once:",
        options: Options { save_every: SAVE_EVERY, ..options },
        interrupt,
        ranks: &Solo,
        curve: None,
    };
    let mut past = match steps.begin(&mut *sampler) {
        Ok(past) => past,
        // Its checkpoint is damaged: only time is lost.
        Err(e) => {
            console::note(format_args!("note: {e}; the reference is made from its beginning"));
            folder.remove(CHECKPOINT)?;
            sampler = build()?;
            steps.begin(&mut *sampler)?
        }
    };
    steps.run(&mut *sampler, &mut past, |_| Ok((Vec::new(), String::new())))?;
    let states = sampler.draw(recipe.states(), 0, (0, 0)).map_err(sampler_failure)?;
    let states: Vec<f32> = states.iter().map(|v| *v as f32).collect();
    let bytes = npy::encode(target.single().geometry().dim(), &states);
    folder.write(STATES, &bytes)?;
    let diagnostics = sampler.diagnostics();
    let log_z = diagnostics.log_z.map_or(f64::NAN, |z| z.value);
    let evaluations = sampler.evaluations();
    let made = Made { sha256: sha256(&bytes), log_z, evaluations, failures: diagnostics.failures };
    folder.write(MADE, to_plain_toml(&made)?.as_bytes())?;
    folder.remove(CHECKPOINT)
}

#[cfg(test)]
mod tests {
    use models::target::registry::Parameter;

    use super::*;

    #[test]
    fn settings_that_came_later_leave_older_references_their_place() {
        let recipe = Recipe::new(&TargetConfig::of("dw4").unwrap(), 10_000).unwrap();
        assert_eq!(recipe.folder(Path::new("cache")).unwrap(), Path::new("cache/dw4-10000-22373308"));
        // The networks that ship with the program were trained before lj13 and lj55 had a temperature.
        let target = TargetConfig::of("lj13").unwrap();
        let older = TargetConfig { parameters: Default::default(), ..target.clone() };
        let of = |t: &TargetConfig| Recipe::new(t, 100).unwrap().folder(Path::new("cache")).unwrap();
        assert_eq!(of(&target), of(&older));
        let mut cold = target.clone();
        cold.parameters.insert("temperature".into(), Parameter::Real(0.5));
        assert_ne!(of(&target), of(&cold));
    }

    #[test]
    fn the_halves_share_no_walker_and_each_holds_enough() {
        // State i is (i, walker): recorded in turn over the walkers.
        for (walkers, wanted) in [(32, 200), (5, 7), (2, 10), (3, 4)] {
            let mut recipe = Recipe::new(&TargetConfig::of("dw4").unwrap(), wanted).unwrap();
            let Method::Pt(settings) = &mut recipe.settings.method else { panic!() };
            settings.sampler.walkers = walkers;
            let made = recipe.states();
            assert!(made >= wanted && made.is_multiple_of(walkers), "{made}");
            let states: Vec<f64> = (0..made).flat_map(|i| [i as f64, (i % walkers) as f64]).collect();
            let reference = Reference::new(&states, Geometry::Euclidean(2), recipe.walkers(), wanted);
            let of = |half: &[f64]| half.chunks_exact(2).map(|s| s[1] as usize).collect::<Vec<_>>();
            let half = wanted / 2 * 2;
            let (first, second) = (of(&reference.states[..half]), of(&reference.states[half..2 * half]));
            assert!(first.iter().all(|w| !second.contains(w)), "{first:?} {second:?}");
            let mut all: Vec<usize> = reference.states.chunks_exact(2).map(|s| s[0] as usize).collect();
            all.sort_unstable();
            assert_eq!(all, (0..made).collect::<Vec<_>>());
        }
        let known = Reference::new(&[0.0; 8], Geometry::Euclidean(2), None, 4);
        assert_eq!(known.states.len(), 8);
    }

    #[test]
    fn states_are_found_where_they_were_made_with_the_same_settings_and_are_still_what_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = |samples| Recipe::new(&TargetConfig::of("dw4").unwrap(), samples).unwrap();
        let path = recipe(10).folder(dir.path()).unwrap();
        let others = [recipe(20), Recipe { format: FORMAT + 1, ..recipe(10) }];
        assert!(others.iter().all(|other| other.folder(dir.path()).unwrap() != path));
        let geometry = recipe(10).settings.target().unwrap().single().geometry();
        let find = || found(&path, geometry, 10);
        assert!(find().unwrap().is_none());
        std::fs::create_dir(&path).unwrap();
        let bytes = npy::encode(8, &[0.5_f32; 80]);
        let made =
            Made { sha256: sha256(&bytes), log_z: 1.5, evaluations: 7, failures: vec!["R-hat".into()] };
        std::fs::write(path.join(STATES), &bytes).unwrap();
        assert!(find().unwrap().is_none(), "not yet made");
        std::fs::write(path.join(MADE), to_plain_toml(&made).unwrap()).unwrap();
        let (made, states) = find().unwrap().unwrap();
        assert_eq!((made.log_z, made.evaluations, made.failures.len(), states.len()), (1.5, 7, 1, 80));
        let changed = npy::encode(8, &[0.6_f32; 80]);
        std::fs::write(path.join(STATES), &changed).unwrap();
        let error = find().err().unwrap().to_string();
        assert!(error.contains("is not what was made here"), "{error}");
        assert_eq!(std::fs::read(path.join(STATES)).unwrap(), changed);
    }
}
