//! Monte Carlo log-density and score of 13 noised Lennard-Jones particles, fresh noise in every step.

use models::target::{Geometry, LennardJones};

use super::cost::Cost;
use super::score::Score;
use super::{Given, Step};

const PARTICLES: usize = 13;

fn score() -> Score {
    Score { geometry: Geometry::Euclidean(3 * PARTICLES), batch: 128, draws: 200, scale: 1.5, sigma: 0.3 }
}

pub(super) fn build() -> Step {
    score().build(LennardJones::lj13())
}

pub(super) fn given() -> Given {
    score().given(&LennardJones::lj13())
}

/// A pair of a draw, each once: differences and squared distance (8), its inverse to the third power (3), energy (4),
/// strength of the force (4), forces on both (9); the trap, 5 operations a coordinate; then what every [`Score`] takes.
pub(super) fn cost() -> Cost {
    let n = PARTICLES as f64;
    score().cost(n * (n - 1.0) / 2.0 * 28.0 + 15.0 * n)
}
