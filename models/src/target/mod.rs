//! Targets: unnormalised densities exp(-E(x)), known through E and its gradient.
//!
//! A target implements [`Target`]: its [`Geometry`], and -E and -grad E on *blocks* of up to [`BLOCK`] points laid
//! out coordinate by coordinate (`x[a * n + l]` is coordinate `a` of point `l`), so that a kernel's inner loop runs
//! over points and vectorises in any dimension. What is known exactly (log Z, samples, modes) is given by optional
//! methods, and decides what can be measured.
//!
//! Every use of a target goes through [`Target::evaluate`], for whole batches of columns, or
//! [`Target::evaluate_block`], which check what comes of it:
//!
//! - E = +inf (`log_p` = -inf) is allowed everywhere, and means outside the support, of density 0. The gradient is not
//!   looked at there and counts as 0. Samples may be proposed there; none of them counts. A training takes scores
//!   near such a wall from displacements, because gradients do not know it.
//! - E = NaN or -inf is an error, [`TargetError::Broken`], that names the point, and so is a gradient that is not
//!   finite at a point of finite energy. Only where the square of a coordinate overflows (1.8e19 in single precision),
//!   what cannot be computed lies outside the support.
//! - A gradient may be as large as the type can say; `train.score_clip` bounds what a network learns from.
//! - Where not one state of a step or of a measurement has a finite energy, the run ends with
//!   [`TargetError::Outside`].
//!
//! Targets have names in the [`registry`]: a new one is one file here and one line there.

mod affine;
mod blocks;
pub mod book;
mod checked;
mod double;
mod double_well;
mod function;
mod funnel;
mod geometry;
mod gradient;
mod held;
mod lennard_jones;
mod logistic_regression;
mod logistic_rows;
mod many_well;
mod mixture;
mod mixture_kernel;
mod mueller_brown;
mod multi_well;
mod over_ranks;
pub mod own;
mod pair_energy;
mod particle_system;
mod phi4;
pub mod registry;
mod softened_core;
mod student_t;
mod tabulated;
mod tempered;
mod two_wells;
mod uniform_box;

pub use affine::{Affine, Whitened};
pub use double::Double;
pub use double_well::DoubleWell;
pub use function::Pointwise;
pub use funnel::Funnel;
pub use geometry::Geometry;
pub use gradient::{check_gradient, pilot_states};
pub use held::Held;
pub use lennard_jones::LennardJones;
pub use logistic_regression::LogisticRegression;
pub use many_well::ManyWell;
pub use mixture::{GMM_SCALE, Mixture, MixtureError};
pub use mueller_brown::MuellerBrown;
pub use multi_well::MultiWell;
pub use over_ranks::evaluate_over;
pub use pair_energy::{Pair, PairEnergy};
pub use particle_system::ParticleSystem;
pub use phi4::Phi4;
pub use registry::{AnyTarget, TargetConfig};
pub use softened_core::SoftenedCore;
pub use student_t::StudentT;
pub use tempered::Tempered;
pub use two_wells::two_wells;
pub use uniform_box::UniformBox;

pub(crate) use checked::all_finite;

use engine::Real;
use engine::ranks::RanksError;
use engine::rng::Stream;

use crate::metrics::Modes;

/// Points in a block: few enough for a kernel's working set to stay in the L1 cache.
pub const BLOCK: usize = 128;

/// Why a target cannot be built or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No target has this name.
    #[error("{0}")]
    Unknown(String),
    /// A parameter is unknown or outside its range.
    #[error("{0}")]
    Parameter(String),
    /// The energy could not be computed, for example because an external program failed.
    #[error("the energy could not be evaluated: {0}")]
    Evaluation(String),
    /// Energy or gradient at some point are no numbers that mean anything; the text names the point.
    #[error("{0}")]
    Broken(String),
    /// The gradient is not that of the energy ([`check_gradient`]); the text names a point and what both say there.
    #[error("{0}")]
    Gradient(String),
    /// States lie outside the support, of which one at least must not; the text says which they are, and what to do.
    #[error("{0}")]
    Outside(String),
    /// The ranks that share an evaluation cannot go on together.
    #[error(transparent)]
    Ranks(#[from] RanksError),
}

impl TargetError {
    /// An error unless one of the states has a finite energy; `log_p` is -E of each, or a logarithm of its weight.
    pub(crate) fn unless_inside(
        mut log_p: impl ExactSizeIterator<Item = f64>,
        states: impl std::fmt::Display,
        remedy: &str,
    ) -> Result<(), Self> {
        let count = log_p.len();
        if count == 0 || log_p.any(f64::is_finite) {
            return Ok(());
        }
        Err(Self::Outside(format!("none of the {count} {states} has a finite energy: {remedy}")))
    }
}

/// A target density exp(-E(x)) / Z on R^d, or on the mean-free states of particles.
pub trait Target<T: Real>: Send + Sync {
    /// The space of the states.
    fn geometry(&self) -> Geometry;

    /// The length d of a state.
    fn dim(&self) -> usize {
        self.geometry().dim()
    }

    /// Writes -E to `log_p` (n) and -grad E to `score` (d * n) at `n <= BLOCK` points `x` (d * n), coordinate by
    /// coordinate. `scratch` belongs to the kernel and is kept from call to call. For a target to write; what uses
    /// targets calls [`evaluate_block`](Self::evaluate_block).
    ///
    /// # Errors
    /// [`TargetError::Evaluation`] if the energy cannot be computed. A state of density 0 is no error: its `log_p`
    /// is -infinity or very low.
    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError>;

    /// The same for a whole batch of columns, in parallel blocks. An energy in another program writes its own and
    /// takes the batch at once; what uses targets calls [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    /// As [`log_density_block`](Self::log_density_block).
    ///
    /// # Panics
    /// If the lengths do not fit.
    fn log_density_batch(&self, x: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
        blocks::in_blocks(self, x, log_p, score)
    }

    /// Writes -E to `log_p` (n) and, unless `score` is empty, -grad E to `score` (d x n), for each column of `x`
    /// (d x n), and checks them. Not for a target to write.
    ///
    /// # Errors
    /// As [`log_density_block`](Self::log_density_block), and [`TargetError::Broken`]; see the
    /// [module](crate::target).
    ///
    /// # Panics
    /// If the lengths do not fit.
    fn evaluate(&self, x: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
        self.log_density_batch(x, log_p, score)?;
        checked::columns(self.dim(), x, log_p, score)
    }

    /// [`log_density_block`](Self::log_density_block), checked. Not for a target to write.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    fn evaluate_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        self.log_density_block(n, x, log_p, score, scratch)?;
        checked::block(x, log_p, score)
    }

    /// The known log Z = log of the integral of exp(-E), if there is one.
    fn log_z(&self) -> Option<f64> {
        None
    }

    /// Fills `out` (columns of length d) with exact samples; false if the target has no exact sampler.
    fn sample(&self, _stream: &mut Stream, _out: &mut [T]) -> bool {
        false
    }

    /// The modes with their weights, if the target is a mixture.
    fn modes(&self) -> Option<Modes<'_>> {
        None
    }

    /// The marginal density of the first two coordinates, if it is known: for pictures.
    fn first_plane(&self) -> Option<Box<dyn Target<T>>> {
        None
    }

    /// The target with pairs of particles softened within the radius `core`, for training only; None if it has no
    /// pairs.
    fn softened(&self, _core: f64) -> Option<Box<dyn Target<T>>> {
        None
    }
}
