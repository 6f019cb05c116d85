//! The reverse SDE, by the exact posterior of each step.
//!
//! From sigma to sigma' < sigma, given the denoised state D = x + sigma^2 score(x, sigma), the step is
//! x' = x + (sigma^2 - sigma'^2) score + sqrt((sigma^2 - sigma'^2) sigma'^2 / sigma^2) z: the law of
//! x' given x and x_0 = D (Ho et al. 2020, eq. 6; Song et al. 2021, appendix F). The last step returns D.

use engine::rng::Stream;
use engine::{Real, Tape};
use rayon::prelude::*;

use super::Schedule;
use crate::score::ScoreNetwork;

/// A score network with its parameters.
#[derive(Clone, Copy)]
pub struct ScoreModel<'a, T> {
    /// The network.
    pub network: &'a dyn ScoreNetwork<T>,
    /// Its parameters.
    pub params: &'a [T],
}

impl<T: Real> ScoreModel<'_, T> {
    /// Writes score(x, sigma) for each column of `x`, all at one noise level.
    pub fn score(&self, tape: &mut Tape<T>, x: &[T], sigma: T, out: &mut [T]) {
        let d = self.network.dim();
        let n = x.len() / d;
        let mut graph = tape.record(self.params);
        graph.freeze_params();
        let input = graph.constant(d, n, x);
        let f = self.network.record(&mut graph, input, &vec![sigma; n]);
        let (a, b) = self.network.scaling(sigma);
        for ((out, x), f) in out.iter_mut().zip(x).zip(graph.value(f).data) {
            *out = a * *x + b * *f;
        }
    }
}

/// States that one task carries from noise to data.
const STATES: usize = 128;

/// Fills `out` (d x n) with samples: from N(0, (sigma_max^2 + sigma_data^2) I) at sigma_max through
/// `steps` steps to data. `prior_scale` is that standard deviation.
pub fn reverse_sde<T: Real>(
    model: ScoreModel<T>,
    schedule: Schedule,
    prior_scale: f64,
    steps: usize,
    (seed, step): (u64, u64),
    out: &mut [T],
) {
    let d = model.network.dim();
    out.par_chunks_mut(STATES * d).enumerate().for_each(|(chunk, x)| {
        let mut stream = Stream::new(seed, "reverse", step, chunk as u64);
        let mut tape = Tape::new();
        let (mut score, mut noise) = (vec![T::ZERO; x.len()], vec![T::ZERO; x.len()]);
        stream.fill_normal(x);
        x.iter_mut().for_each(|x| *x *= T::of(prior_scale));
        let levels: Vec<f64> = schedule.levels(steps).collect();
        for pair in levels.windows(2) {
            let (s2, next2) = (pair[0] * pair[0], pair[1] * pair[1]);
            model.score(&mut tape, x, T::of(pair[0]), &mut score);
            stream.fill_normal(&mut noise);
            let (drift, diffusion) = (T::of(s2 - next2), T::of(((s2 - next2) * next2 / s2).sqrt()));
            for ((x, s), z) in x.iter_mut().zip(&score).zip(&noise) {
                *x += drift * *s + diffusion * *z;
            }
        }
        let last = schedule.sigma_min;
        model.score(&mut tape, x, T::of(last), &mut score);
        x.iter_mut().zip(&score).for_each(|(x, s)| *x += T::of(last * last) * *s);
    });
}
