//! Moves of Markov chains by a model.

use engine::Real;
use engine::rng::Stream;

use super::ReverseProcess;
use crate::target::{Target, TargetError};

/// States whose paths are in memory together.
const STATES: usize = 4096;

impl<T: Real> ReverseProcess<'_, T> {
    /// Independence Metropolis-Hastings on paths: a move of each column of `x` that leaves exp(-E) invariant and
    /// crosses between modes as easily as the model does. Returns the mean probability of acceptance; two energies
    /// for each state.
    ///
    /// The chain's law is exp(-E(x_0)) forward(path | x_0): a path that noises x_0 is drawn anew, and one of the model
    /// is taken in its place with the probability min(1, w' / w), w = exp(-E(x_0)) forward / backward the weight of a
    /// path (Tierney 1994, "Markov chains for exploring posterior distributions", section 2.3.3, on the space of paths).
    ///
    /// # Errors
    /// If the target cannot be evaluated.
    pub fn jump(
        &self,
        target: &dyn Target<T>,
        steps: usize,
        (seed, step): (u64, u64),
        x: &mut [T],
    ) -> Result<f64, TargetError> {
        let d = self.model.network.dim();
        let (mut sum, total) = (0.0, x.len() / d);
        for (chunk, x) in x.chunks_mut(STATES * d).enumerate() {
            let n = x.len() / d;
            let key = (seed, (step << 20) + chunk as u64);
            let (mut fresh, mut ratios) = (vec![T::ZERO; x.len()], vec![0.0; n]);
            self.paths(steps, key, &mut fresh, &mut ratios);
            let weigh = |x: &[T], ratios: Vec<f64>| -> Result<Vec<f64>, TargetError> {
                let mut log_p = vec![T::ZERO; n];
                target.evaluate(x, &mut log_p, &mut [])?;
                Ok(ratios.iter().zip(&log_p).map(|(ratio, p)| ratio + p.f64()).collect())
            };
            let new = weigh(&fresh, ratios)?;
            let old = weigh(x, self.noised_ratios(x, steps, key))?;
            let mut stream = Stream::new(seed, "jumps", step, chunk as u64);
            let states = x.chunks_exact_mut(d).zip(fresh.chunks_exact(d));
            for ((x, fresh), (new, old)) in states.zip(new.iter().zip(&old)) {
                // A path of the model that ends outside the support, or whose weight is no number, is never taken.
                let chance = if *new > f64::NEG_INFINITY { (new - old).exp().min(1.0) } else { 0.0 };
                sum += chance;
                if stream.uniform() < chance {
                    x.copy_from_slice(fresh);
                }
            }
        }
        Ok(sum / total.max(1) as f64)
    }
}
