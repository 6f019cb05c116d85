//! Floors: the figures of exact samples against exact samples.
//!
//! One pair of sets has one value, and values scatter (X-W2 of gmm40 by a fifth). Exact samples are free, so that a
//! floor is a mean over many independent pairs, with the standard error of that mean.

use engine::parallel;

use super::{EvaluationError, exact_samples, set_figures, transport};
use crate::target::Target;

/// Pairs of 1000 points that may be transported: some 20 seconds on two cores. An assignment of n points takes
/// O(n^3).
const TRANSPORTS: f64 = 300.0;

/// A value for each name.
type Values = Vec<(&'static str, f64)>;

/// Values by name, one for each pair of sets; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floors(Vec<(&'static str, Vec<f64>)>);

impl Floors {
    /// Of `pairs` pairs of sets from the target's exact sampler, each pair with draws of its own; None if it has no
    /// such sampler. Of large sets fewer are transported ([`counts`](Self::counts)), but not fewer than
    /// `least`.
    ///
    /// # Errors
    /// A target that cannot be evaluated, or a metric that cannot be computed.
    pub fn exact(
        target: &dyn Target<f64>,
        set_size: usize,
        (pairs, least): (usize, usize),
        seed: u64,
    ) -> Result<Option<Self>, EvaluationError> {
        let transported = pairs.min(affordable(set_size).max(least));
        let draw = |k: usize| exact_samples(target, set_size, seed, 3 + k as u64);
        let of_pair = |k: usize| -> Result<Option<Values>, EvaluationError> {
            let (Some(x), Some(r)) = (draw(2 * k), draw(2 * k + 1)) else { return Ok(None) };
            let mut figures = set_figures(target, &x, &r)?;
            if k < transported {
                figures.push(transport(&x, &r, target.dim())?);
            }
            Ok(Some(figures))
        };
        let mut floors = Self(Vec::new());
        for pair in parallel::map(pairs, of_pair) {
            let Some(pair) = pair? else { return Ok(None) };
            floors.put(pair);
        }
        Ok(Some(floors))
    }

    /// Of the sets of two halves of a reference.
    ///
    /// # Errors
    /// As [`exact`](Self::exact).
    pub fn between(
        target: &dyn Target<f64>,
        (first, second): (&[f64], &[f64]),
        set_size: usize,
    ) -> Result<Self, EvaluationError> {
        let length = set_size * target.dim();
        let mut floors = Self(Vec::new());
        for (r, x) in first.chunks_exact(length).zip(second.chunks_exact(length)) {
            floors.put(set_figures(target, x, r)?);
            floors.put(vec![transport(x, r, target.dim())?]);
        }
        Ok(floors)
    }

    fn put(&mut self, figures: Values) {
        for (name, value) in figures {
            match self.0.iter_mut().find(|(n, _)| *n == name) {
                Some((_, values)) => values.push(value),
                None => self.0.push((name, vec![value])),
            }
        }
    }

    /// The values of a figure, one for each pair.
    pub fn of(&self, name: &str) -> &[f64] {
        self.0.iter().find(|(n, _)| *n == name).map_or(&[], |(_, values)| values)
    }

    /// Pairs of sets, and of these the ones that were transported.
    pub fn counts(&self) -> (usize, usize) {
        (self.of("e_w2").len(), self.of("x_w2").len())
    }
}

/// Pairs of sets of this size that may be transported.
fn affordable(set_size: usize) -> usize {
    (TRANSPORTS / (set_size as f64 / 1000.0).powi(3)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{mean, sd};
    use crate::target::{DoubleWell, Mixture};

    #[test]
    fn floors_over_many_pairs_agree_with_each_other_within_their_standard_errors() {
        let target = Mixture::gmm40();
        let floors = |seed| Floors::exact(&target, 200, (50, 5), seed).unwrap().unwrap();
        let (a, b) = (floors(1), floors(2));
        assert_eq!(a.counts(), (50, 50));
        for name in ["x_w2", "e_w2", "tv", "in_mode", "mode_kl"] {
            let (a, b) = (a.of(name), b.of(name));
            let error = |v: &[f64]| sd(v) / 50f64.sqrt();
            let z = (mean(a) - mean(b)) / error(a).hypot(error(b));
            assert!(z.abs() < 4.0, "{name}: {z}");
            // Pairs differ: each has draws of its own.
            assert!(sd(a) > 0.0, "{name}");
        }
        assert_eq!(floors(1), a);
        assert_eq!(Floors::exact(&DoubleWell::dw4(), 10, (2, 1), 0).unwrap(), None);
    }

    #[test]
    fn fewer_pairs_of_large_sets_are_transported() {
        assert_eq!([1000, 2000, 5000, 20_000].map(affordable), [300, 37, 2, 0]);
    }
}
