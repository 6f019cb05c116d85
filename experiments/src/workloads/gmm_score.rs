//! Monte Carlo log-density and score of a noised mixture, fresh noise in every step.

use models::target::{Geometry, Mixture};

use super::cost::{Cost, ELEMENTARY};
use super::score::Score;
use super::{Array, Given, Step};

const COMPONENTS: usize = 40;

fn score() -> (Mixture, Score) {
    let mixture = Mixture::random(COMPONENTS, 2, 40.0, 1.72f64.sqrt(), false, 0).unwrap();
    (mixture, Score { geometry: Geometry::Euclidean(2), batch: 512, draws: 500, scale: 20.0, sigma: 5.0 })
}

pub(super) fn build() -> Step {
    let (mixture, score) = score();
    score.build(mixture)
}

/// Means as (components, 2); components have variance 1.72 and equal weights.
pub(super) fn given() -> Given {
    let (mixture, score) = score();
    let means: Vec<f32> = mixture.means().iter().map(|m| *m as f32).collect();
    let mut given = score.given(&mixture);
    given.arrays.push(Array::floats("means", &[COMPONENTS, 2], &means));
    given
}

/// A component of a draw: two differences, a squared distance (3), its exponent (2) and exponential, a sum for the
/// density and two products with sums for the gradient; then what every [`Score`] takes.
pub(super) fn cost() -> Cost {
    score().1.cost(COMPONENTS as f64 * (12.0 + ELEMENTARY))
}
