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
            let (taken, acceptance) = accepted(&new, &old, &mut stream);
            for k in taken {
                x[k * d..(k + 1) * d].copy_from_slice(&fresh[k * d..(k + 1) * d]);
            }
            sum += acceptance * n as f64;
        }
        Ok(sum / total.max(1) as f64)
    }
}

/// Which of the new paths are taken in the place of the old ones, by the logarithms of their weights, and the mean
/// probability of it.
pub(crate) fn accepted(new: &[f64], old: &[f64], stream: &mut Stream) -> (Vec<usize>, f64) {
    let (mut taken, mut sum) = (Vec::new(), 0.0);
    for (k, (new, old)) in new.iter().zip(old).enumerate() {
        // A path of the model that ends outside the support is never taken, nor one where a weight is no number.
        let ratio = new - old;
        let chance = if *new == f64::NEG_INFINITY || ratio.is_nan() { 0.0 } else { ratio.exp().min(1.0) };
        sum += chance;
        if stream.uniform() < chance {
            taken.push(k);
        }
    }
    (taken, sum / new.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_by_the_ratio_of_their_weights() {
        let (out, none) = (f64::NEG_INFINITY, f64::NAN);
        let cases =
            [(1.0, 0.0, 1.0), (0.0, 1.0, (-1f64).exp()), (0.0, out, 1.0), (out, 0.0, 0.0), (out, out, 0.0)];
        for (new, old, want) in cases.into_iter().chain([(none, 0.0, 0.0), (0.0, none, 0.0)]) {
            let n = 10_000;
            let (taken, chance) = accepted(&vec![new; n], &vec![old; n], &mut Stream::new(1, "jumps", 0, 0));
            assert!((chance - want).abs() < 1e-9, "{new} {old}: {chance}");
            // Five standard errors of a share of a half are 0.025.
            assert!((taken.len() as f64 / n as f64 - want).abs() < 0.025, "{new} {old}: {}", taken.len());
        }
    }
}
