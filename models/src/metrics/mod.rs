//! Quality of samples and of importance weights: distances between sets of points, mode coverage,
//! weight diagnostics.
//!
//! All in f64 on plain slices. A set of `n` points in `d` dimensions is a slice of `n * d` numbers with
//! point `i` at `[i * d..(i + 1) * d]`. A distance between finite sets is positive even if their
//! distributions agree: report it beside its floor, the same distance between two sets of exact samples.
//!
//! Malformed input is a [`MetricError`]. Results are bit-identical for any number of threads.

mod histogram;
mod modes;
mod particles;
mod summary;
mod transport;
mod wasserstein_1d;
mod weighted;

pub use histogram::{tv_1d, tv_2d};
pub use modes::{ModeReport, Modes, covering_radius, mode_report};
pub use particles::{distance_tv, equivariant_w2, pair_distances};
pub use summary::{disjoint_sets, mean, resampled_sets, sd, select, student_factor};
pub use transport::{assigned_cost, assignment, squared_distances, w2};
pub use wasserstein_1d::w2_1d;
pub use weighted::Weighted;
pub(crate) use weighted::error_of_sum;

use thiserror::Error;

/// Why a metric cannot be computed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MetricError {
    /// An input has no points.
    #[error("no points")]
    Empty,
    /// A number is NaN or infinite.
    #[error("the number at position {0} is NaN or infinite")]
    NotFinite(usize),
    /// The length of a slice is not a multiple of the dimension.
    #[error("{length} numbers are not a whole number of points in {d} dimensions")]
    Ragged {
        /// Length of the slice.
        length: usize,
        /// Dimension.
        d: usize,
    },
    /// Two slices must agree in length.
    #[error("sizes differ: {left} and {right}")]
    Sizes {
        /// Size of the first.
        left: usize,
        /// Size of the second.
        right: usize,
    },
    /// More samples were asked for than there are.
    #[error("{needed} samples are needed, {found} given")]
    TooFew {
        /// Samples asked for.
        needed: usize,
        /// Samples given.
        found: usize,
    },
    /// A parameter is outside its range; the text names parameter and range.
    #[error("{0}")]
    Parameter(&'static str),
}

/// Checks that all numbers of `x` are finite.
fn finite(x: &[f64]) -> Result<(), MetricError> {
    match x.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(MetricError::NotFinite(i)),
        None => Ok(()),
    }
}

/// The number of points in `x`; an error unless there is at least one and all are finite.
fn count(x: &[f64], d: usize) -> Result<usize, MetricError> {
    if d == 0 || !x.len().is_multiple_of(d) {
        return Err(MetricError::Ragged { length: x.len(), d });
    }
    if x.is_empty() {
        return Err(MetricError::Empty);
    }
    finite(x)?;
    Ok(x.len() / d)
}
