//! Reference samples: from a file, or made once by parallel tempering and kept.

use std::path::Path;

use engine::checkpoint::write_atomic;
use engine::rng::Stream;
use models::energy::ParticleSystem;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::npy;
use crate::reference::{ReferenceConfig, Watch, sample};

/// Seconds between checkpoints of a reference in the making.
const SAVE_EVERY: f64 = 30.0;

/// Equilibrium samples, mean-free, in random order.
pub struct Reference {
    /// Columns.
    pub states: Vec<f64>,
    /// log Z along the ladder, where it is known.
    pub log_z: Option<f64>,
}

/// At least `wanted` states of `target`: from `file`, or from the cache folder, or made now and cached.
pub fn reference(
    target: &str,
    system: ParticleSystem,
    wanted: usize,
    (file, cache): (Option<&Path>, &Path),
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<Reference, Failure> {
    if let Some(path) = file {
        return Ok(Reference { states: shuffle(read(path, system, wanted)?, system), log_z: None });
    }
    let (path, side) =
        (cache.join(format!("{target}-{wanted}.npy")), cache.join(format!("{target}-{wanted}.txt")));
    if !path.is_file() {
        make(target, wanted, (&path, &side), interrupt, quiet)?;
    }
    let log_z = std::fs::read_to_string(&side).ok().and_then(|t| t.trim().parse().ok());
    Ok(Reference { states: shuffle(read(&path, system, wanted)?, system), log_z })
}

fn read(path: &Path, system: ParticleSystem, wanted: usize) -> Result<Vec<f64>, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let (n, d, mut x) = npy::decode(&bytes).map_err(wrong)?;
    if d != system.dim() {
        return Err(wrong(format!("its states have {d} numbers, {} are wanted", system.dim())));
    }
    if n < wanted {
        return Err(wrong(format!("it holds {n} states, {wanted} are wanted; lower evaluation.sets")));
    }
    if x.iter().any(|v| !v.is_finite()) {
        return Err(wrong("it holds a number that is not finite".into()));
    }
    system.center(&mut x);
    Ok(x)
}

/// States of one walker follow each other: in random order the halves of the reference are alike.
fn shuffle(mut x: Vec<f64>, system: ParticleSystem) -> Vec<f64> {
    Stream::new(0, "reference order", 0, 0).shuffle_columns(&mut x, system.dim());
    x
}

fn make(
    target: &str,
    wanted: usize,
    (path, side): (&Path, &Path),
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<(), Failure> {
    let config = ReferenceConfig::preset(target)?;
    let (energy, system) = config.energy();
    let mut sampler = config.sampler(&*energy, system)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))?;
    }
    let checkpoint = path.with_extension("partial.safetensors");
    let watch = Watch {
        checkpoint: &checkpoint,
        advice: "the reference goes on when the command is given again (with --force or another --out)"
            .into(),
        save_every: SAVE_EVERY,
        interrupt,
        subject: "reference samples, once",
        quiet,
    };
    sample(&mut sampler, wanted, &watch)?;
    let report = sampler.report();
    if let (Some(why), false) = (report.failures().first(), quiet) {
        eprintln!(
            "note: the reference is small and one of its checks failed ({why}); give a better one with --reference"
        );
    }
    let dim = system.dim();
    let states: Vec<f32> = sampler.states()[..wanted * dim].iter().map(|v| *v as f32).collect();
    let write = |path: &Path, bytes: &[u8]| write_atomic(path, bytes).map_err(|e| Failure::io(path, &e));
    write(side, format!("{}\n", report.log_z.value).as_bytes())?;
    write(path, &npy::encode(dim, &states))?;
    // A short run ends before its first checkpoint.
    let _ = std::fs::remove_file(&checkpoint);
    Ok(())
}
