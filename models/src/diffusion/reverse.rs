//! The reverse SDE, by the exact posterior of each step. For particles all noise is mean-free, and densities are
//! on that subspace.

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
        let mut rec = tape.record(self.params);
        rec.freeze_params();
        let input = rec.constant(d, n, x);
        let f = self.network.record(&mut rec, input, &vec![sigma; n]);
        let (a, b) = self.network.scaling(sigma);
        for ((out, x), f) in out.iter_mut().zip(x).zip(rec.value(f).data) {
            *out = a * *x + b * *f;
        }
    }
}

/// States per task.
const STATES: usize = 128;

/// Fills `out` (d x n) with samples of the reverse SDE: from N(0, prior_scale^2 I) at sigma_max,
/// prior_scale^2 = sigma_max^2 + sigma_data^2, in `steps` steps to data.
///
/// A step from sigma to sigma' < sigma, with the denoised state D = x + sigma^2 score(x, sigma), is
///
/// x' = x + (sigma^2 - sigma'^2) score + sqrt((sigma^2 - sigma'^2) sigma'^2 / sigma^2) z,
///
/// the distribution of x' given x and x_0 = D (Ho et al. 2020, eq. 6; Song et al. 2021, appendix F). The last
/// step returns D.
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
        let (mut tape, mut score) = (Tape::new(), vec![T::ZERO; x.len()]);
        walk(model, schedule, prior_scale, steps, &mut stream, (&mut tape, &mut score), x, &mut []);
        let last = schedule.sigma_min;
        model.score(&mut tape, x, T::of(last), &mut score);
        x.iter_mut().zip(&score).for_each(|(x, s)| *x += T::of(last * last) * *s);
    });
}

/// Fills `out` with states at sigma_min, by the steps of [`reverse_sde`] without the last one, and `log_ratio`
/// with log(forward / backward), the densities of each path under noising and under the reverse SDE:
///
/// backward = prior(x_T) prod_k N(x_k; mean(x_k+1), v_k),
///
/// forward = prod_k N(x_k+1; x_k, sigma_k+1^2 - sigma_k^2).
///
/// For any score, exp(-E(x_0)) forward / backward has the expectation Z, and weights x_0 properly for exp(-E)
/// (Neal 2001; Doucet et al. 2022).
pub fn reverse_paths<T: Real>(
    model: ScoreModel<T>,
    schedule: Schedule,
    prior_scale: f64,
    steps: usize,
    (seed, step): (u64, u64),
    out: &mut [T],
    log_ratio: &mut [f64],
) {
    let d = model.network.dim();
    (out.par_chunks_mut(STATES * d), log_ratio.par_chunks_mut(STATES)).into_par_iter().enumerate().for_each(
        |(chunk, (x, log_ratio))| {
            let mut stream = Stream::new(seed, "reverse paths", step, chunk as u64);
            let (mut tape, mut score) = (Tape::new(), vec![T::ZERO; x.len()]);
            walk(model, schedule, prior_scale, steps, &mut stream, (&mut tape, &mut score), x, log_ratio);
        },
    );
}

/// From the prior to sigma_min; sums the paths' log ratios unless `log_ratio` is empty.
fn walk<T: Real>(
    model: ScoreModel<T>,
    schedule: Schedule,
    prior_scale: f64,
    steps: usize,
    stream: &mut Stream,
    (tape, score): (&mut Tape<T>, &mut [T]),
    x: &mut [T],
    log_ratio: &mut [f64],
) {
    let geometry = model.network.geometry();
    let (d, free) = (geometry.dim(), geometry.free_dim() as f64);
    let square = |x: &[T]| x.iter().map(|x| x.f64().powi(2)).sum::<f64>();
    let mut noise = vec![T::ZERO; x.len()];
    geometry.fill_normal(stream, x);
    for (ratio, z) in log_ratio.iter_mut().zip(x.chunks_exact(d)) {
        *ratio = 0.5 * (square(z) + free * (std::f64::consts::TAU * prior_scale * prior_scale).ln());
    }
    x.iter_mut().for_each(|x| *x *= T::of(prior_scale));
    let levels: Vec<f64> = schedule.levels(steps).collect();
    for pair in levels.windows(2) {
        let (s2, next2) = (pair[0] * pair[0], pair[1] * pair[1]);
        model.score(tape, x, T::of(pair[0]), score);
        geometry.fill_normal(stream, &mut noise);
        let (drift, diffusion) = (T::of(s2 - next2), T::of(((s2 - next2) * next2 / s2).sqrt()));
        for ((x, s), z) in x.iter_mut().zip(&mut *score).zip(&noise) {
            let change = drift * *s + diffusion * *z;
            *x += change;
            *s = change;
        }
        // The normalisers of N(.; s2 - next2) and N(.; (s2 - next2) next2 / s2) leave (free / 2) log(next2 / s2).
        let steps = score.chunks_exact(d).zip(noise.chunks_exact(d));
        for (ratio, (change, z)) in log_ratio.iter_mut().zip(steps) {
            *ratio += 0.5 * (square(z) - square(change) / (s2 - next2) + free * (next2 / s2).ln());
        }
    }
}
