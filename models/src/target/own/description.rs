//! What the file of a target says, whatever its kind.

use std::path::{Path, PathBuf};

use super::keys::{Keys, Value};
use crate::target::{Geometry, ParticleSystem, TargetError};

/// Most coordinates of a state.
const MOST_DIM: usize = 4096;

/// What a NaN of the energy means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nan {
    /// A fault, which ends the run and names the point.
    Error,
    /// A point of density 0.
    Outside,
}

/// The keys that all kinds have.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The folder of the file: other files are named from there.
    pub folder: PathBuf,
    /// The space: `dim`, or `particles` and `space`.
    pub geometry: Geometry,
    /// k_B T in units of the energy: the density is exp(-E / temperature).
    pub temperature: f64,
    /// The energy is that of `length` times the sampler's x.
    pub length: f64,
    /// Whether the gradient is compared with differences of the energy when the target is built.
    pub check_gradient: bool,
    /// What a NaN of the energy means.
    pub nan: Nan,
    /// log of the integral of exp(-E / temperature) over the sampler's x, if it is known.
    pub log_z: Option<f64>,
    /// Root mean square of a coordinate and width of a mode, roughly, in the sampler's x; if they are not given they
    /// are measured.
    pub scales: Option<[f64; 2]>,
}

impl Description {
    /// Takes the common keys.
    ///
    /// # Errors
    /// If one is wrong.
    pub fn take(keys: &mut Keys<'_>) -> Result<Self, TargetError> {
        let folder = keys.source().file.parent().map(Path::to_path_buf).unwrap_or_default();
        let geometry = geometry(keys)?;
        let nan = match keys.take("nan").map(|v| v.word(&["error", "outside"])).transpose()? {
            Some(1) => Nan::Outside,
            _ => Nan::Error,
        };
        let positive = |value: Option<Value<'_>>| value.map_or(Ok(1.0), |v| v.positive());
        Ok(Self {
            folder,
            geometry,
            temperature: positive(keys.take("temperature"))?,
            length: positive(keys.take("length"))?,
            check_gradient: keys.take("check_gradient").map_or(Ok(true), |v| v.flag())?,
            nan,
            log_z: keys.take("log_z").map(|v| v.number()).transpose()?,
            scales: keys.take("scales").map(|v| scales(&v)).transpose()?,
        })
    }

    /// A file that the description names.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn geometry(keys: &mut Keys<'_>) -> Result<Geometry, TargetError> {
    let (dim, particles, space) = (keys.take("dim"), keys.take("particles"), keys.take("space"));
    match (dim, particles, space) {
        (Some(dim), None, None) => Ok(Geometry::Euclidean(dim.count(1, MOST_DIM)?)),
        (None, Some(particles), space) => {
            let space = space.map_or(Ok(3), |v| v.count(1, 3))?;
            Ok(ParticleSystem { particles: particles.count(2, MOST_DIM / space)?, space }.into())
        }
        (Some(dim), Some(_), _) => {
            Err(dim.error("and particles are given; keep one: a number of coordinates, or one of particles"))
        }
        (_, None, Some(space)) => Err(space.error("belongs to particles; leave it out, or give particles")),
        (None, None, None) => Err(keys.source().whole(
            "neither dim nor particles is given; write dim = 4 for four coordinates, or particles = 13",
        )),
    }
}

fn scales(value: &Value<'_>) -> Result<[f64; 2], TargetError> {
    let list = value.list()?;
    match &list[..] {
        [size, width] => Ok([size.positive()?, width.positive()?]),
        _ => {
            Err(value
                .error("wants two numbers: the root mean square of a coordinate, and the width of a mode"))
        }
    }
}
