//! The exact score of a noised mixture.

use engine::{Real, Recording, Var};

use super::ScoreNetwork;
use crate::target::{Geometry, Mixture, Target};

/// grad log p_t of a Gaussian mixture in place of a network, without parameters: for studies of what weights can do
/// at best. Recorded as a constant, so that no gradient passes through it.
#[derive(Clone, Debug)]
pub struct MixtureScore(pub Mixture);

impl<T: Real> ScoreNetwork<T> for MixtureScore
where
    Mixture: Target<T>,
{
    fn geometry(&self) -> Geometry {
        Target::<T>::geometry(&self.0)
    }

    /// # Panics
    /// If the states have different noise levels.
    fn record(&self, rec: &mut Recording<T>, x: Var, sigma: &[T]) -> Var {
        let level = sigma.first().map_or(1.0, |s| s.f64());
        assert!(sigma.iter().all(|s| s.f64() == level), "one noise level for all states");
        let x = rec.value(x).data.to_vec();
        let (mut log_p, mut score) = (vec![T::ZERO; sigma.len()], vec![T::ZERO; x.len()]);
        // A mixture computes in this process, and does not fail.
        self.0.noised(level).log_density_batch(&x, &mut log_p, &mut score).expect("a mixture's score");
        rec.constant(<Self as ScoreNetwork<T>>::dim(self), sigma.len(), &score)
    }

    fn scaling(&self, _sigma: T) -> (T, T) {
        (T::ZERO, T::ONE)
    }
}
