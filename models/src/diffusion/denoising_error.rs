//! How far a denoiser is from the states it denoises, at every noise level: what the reverse steps' variances follow
//! from.

use engine::Real;
use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use super::pair_covariance::{MOST, PairCovariance, Step};
use super::pair_covariance_fit;
use super::spacing::Spacing;
use super::{Schedule, ScoreModel};
use crate::target::Geometry;

/// Noise levels of the table, uniform in t; between them log r is linear in t.
pub(super) const KNOTS: usize = 33;
/// States per task.
const STATES: usize = 128;
/// Least r: a step's variance stays above that of its posterior given x_0 by this share at least (with noise along pairs
/// the mean over directions does), so that the weights of paths are finite where a network denoises its own states without
/// an error.
pub(super) const LEAST: f64 = 1e-6;
/// A state whose squared error is more than so many times the median over states, and the square of the noise, is left
/// out.
const OUTLIER: f64 = 100.0;
/// Names in checkpoints.
const TABLE: &str = "denoising_error";
const LEVELS: &str = "level_spacing";

/// The mean squared error of the denoised state D(x_t) = x_t + sigma^2 score(x_t, sigma), in units of sigma^2, for
/// each kind of coordinate,
///
/// r(sigma) = E |x_0 - D(x_t)|^2 / (n sigma^2),
///
/// n the number of coordinates of a kind. All free coordinates of particles are one kind; in R^d each coordinate is one.
///
/// It decides the variance of a reverse step. Given x_0, a step from sigma to sigma' is Gaussian around
/// x_t + (Delta / sigma^2) (x_0 - x_t) with the variance Delta sigma'^2 / sigma^2, Delta = sigma^2 - sigma'^2. A step
/// that has D(x_t) in the place of x_0 is off from it by (Delta / sigma^2) (x_0 - D), so that its mean squared
/// deviation is
///
/// v = Delta (sigma'^2 + Delta r) / sigma^2,
///
/// the variance of least Kullback-Leibler divergence for this mean (Bao et al. 2022, arXiv 2201.06503, theorem 1). With
/// r = 0 it is that of Ho et al. 2020, eq. 7, which is too small for any target but a point.
#[derive(Clone, Debug, PartialEq)]
pub struct DenoisingError {
    geometry: Geometry,
    /// log r, the kinds of one noise level together.
    log_r: Vec<f64>,
    spacing: Spacing,
    pairs: Option<PairCovariance>,
}

impl DenoisingError {
    /// That of the ideal denoiser of N(0, scale^2 I): r = scale^2 / (scale^2 + sigma^2).
    pub fn gaussian(geometry: Geometry, schedule: Schedule, scale: f64) -> Self {
        let kinds = kinds(geometry);
        let r = |knot: usize| scale.powi(2) / (scale.powi(2) + sigma(schedule, knot).powi(2));
        let log_r = (0..KNOTS).flat_map(|knot| std::iter::repeat_n(r(knot).max(LEAST).ln(), kinds)).collect();
        Self { geometry, log_r, spacing: Spacing::uniform(KNOTS), pairs: None }
    }

    /// The table, for a checkpoint: log r, the kinds of one noise level together.
    pub fn table(&self) -> &[f64] {
        &self.log_r
    }

    /// Writes table, levels and covariance into a checkpoint.
    pub fn put(&self, c: &mut Checkpoint) {
        c.put_vec(TABLE, &self.log_r);
        c.put_vec(LEVELS, self.spacing.shares());
        if let Some(pairs) = &self.pairs {
            pairs.put(c);
        }
    }

    /// Reads what [`put`](Self::put) wrote. Levels are even and coordinates independent where an earlier build wrote
    /// nothing of them.
    ///
    /// # Errors
    /// If they are not there, or are no errors and no levels.
    pub fn get(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        let table = c.get_vec::<f64>(TABLE, self.log_r.len())?;
        let spaced = match c.get_vec(LEVELS, self.spacing.shares().len()) {
            Ok(shares) => self.restore_spacing(&shares),
            Err(CheckpointError::Missing { .. }) => {
                self.space_evenly();
                true
            }
            Err(e) => return Err(e),
        };
        self.pairs = match self.geometry.particles() {
            Some(system) => PairCovariance::get(system, c)?,
            None => None,
        };
        let wrong = |what: String| Err(CheckpointError::Contradiction(what));
        match (self.restore(&table), spaced) {
            (true, true) => Ok(()),
            (false, _) => wrong(format!("{TABLE} has numbers that are not finite")),
            (_, false) => wrong(format!("{LEVELS} does not rise from 0 to 1")),
        }
    }

    /// Replaces the table, and leaves the spacing as it is; false if it is not one of as many finite numbers.
    pub fn restore(&mut self, table: &[f64]) -> bool {
        let fits = table.len() == self.log_r.len() && table.iter().all(|v| v.is_finite());
        if fits {
            self.log_r.copy_from_slice(table);
        }
        fits
    }

    /// Where the levels of reverse steps lie: uniform in t before the errors are measured.
    pub fn spacing(&self) -> &Spacing {
        &self.spacing
    }

    /// Levels uniform in t.
    pub(crate) fn space_evenly(&mut self) {
        self.spacing = Spacing::uniform(KNOTS);
    }

    /// Takes the shares of another spacing; false unless they are as many as here and rise from 0 to 1.
    pub fn restore_spacing(&mut self, shares: &[f64]) -> bool {
        self.spacing.restore(shares)
    }

    /// Whether steps have a covariance that depends on the state.
    pub(super) fn is_correlated(&self) -> bool {
        self.pairs.is_some()
    }

    /// The covariance C of the step from `sigma` to `next`, once it was fitted.
    pub(super) fn covariance(&self, schedule: Schedule, (sigma, next): (f64, f64)) -> Option<Step<'_>> {
        let t = schedule.time(sigma);
        let mut error = [0.0];
        self.pairs.as_ref().map(|pairs| {
            self.at(t, &mut error);
            pairs.step(t, (sigma, next), error[0])
        })
    }

    /// With the least variances, those of steps whose x_0 is known (r = 0, Ho et al. 2020, eq. 7), at the same levels.
    /// Paths are narrower than those of noising: their weights are worth nothing, but what a network's errors add to
    /// the energies of its samples is in part made up for.
    pub(crate) fn least(&self) -> Self {
        Self { log_r: vec![LEAST.ln(); self.log_r.len()], pairs: None, ..self.clone() }
    }

    /// Independent coordinates again.
    pub(crate) fn uncorrelate(&mut self) {
        self.pairs = None;
    }

    #[cfg(test)]
    pub(super) fn set_pairs(&mut self, pairs: PairCovariance) {
        self.pairs = Some(pairs);
    }

    /// With the [`PairCovariance`] of `model`'s errors on `states` (columns of the target, or nearly so), for up to 384
    /// coordinates of particles; for more, and in R^d, the same as before. Random numbers are those of `key`.
    pub fn correlated<T: Real>(
        &self,
        model: ScoreModel<T>,
        schedule: Schedule,
        states: &[T],
        key: (u64, u64),
    ) -> Self {
        let mut correlated = self.clone();
        let system = model.network.geometry().particles();
        if let Some(system) = system.filter(|system| system.dim() <= MOST) {
            let errors = self.log_r.iter().map(|l| l.exp()).collect();
            let fitted = pair_covariance_fit::fitted(model, schedule, (states, system), errors, key);
            correlated.pairs = Some(fitted);
        }
        correlated
    }

    /// Number of kinds of coordinates.
    pub fn kinds(&self) -> usize {
        kinds(self.geometry)
    }

    /// r of each kind at t.
    pub(super) fn at(&self, t: f64, out: &mut [f64]) {
        let (below, share) = between(t, KNOTS);
        let kinds = self.kinds();
        let rows = &self.log_r[below * kinds..(below + 2) * kinds];
        for (k, out) in out.iter_mut().enumerate() {
            *out = ((1.0 - share) * rows[k] + share * rows[kinds + k]).exp();
        }
    }

    /// The variance of a step from `sigma` to `next`, which may be 0, for each kind.
    pub fn variances(&self, schedule: Schedule, sigma: f64, next: f64, out: &mut [f64]) {
        let (s2, next2) = (sigma * sigma, next * next);
        self.at(schedule.time(sigma), out);
        out.iter_mut().for_each(|v| *v = variance(s2, next2, (s2 - next2) * *v));
    }

    /// Measures the errors of `model` on `states` (columns of the target, or nearly so), noised anew at each level,
    /// and gives a table whose log r has moved towards them by the share `rate`, with the spacing of levels that it asks
    /// for. Random numbers are those of `key`.
    pub fn fitted<T: Real>(
        &self,
        model: ScoreModel<T>,
        schedule: Schedule,
        states: &[T],
        rate: f64,
        (seed, step): (u64, u64),
    ) -> Self {
        let mut fitted = self.clone();
        let geometry = model.network.geometry();
        let (d, kinds) = (geometry.dim(), self.kinds());
        for knot in 0..KNOTS {
            let level = sigma(schedule, knot);
            let denoised: Vec<(Vec<T>, Vec<f64>)> = (states.par_chunks(STATES * d)).tasks(|chunk, states| {
                let mut stream = Stream::new(seed, "denoising error", step, (chunk * KNOTS + knot) as u64);
                let denoised = model.noised_and_denoised(states, level, &mut stream);
                let squares = squares(&denoised, states, d);
                (denoised, squares)
            });
            let (denoised, squares): (Vec<Vec<T>>, Vec<Vec<f64>>) = denoised.into_iter().unzip();
            let kept = kept(squares, geometry.free_dim() as f64 * level * level);
            let sums: Vec<Vec<f64>> = (denoised.iter().zip(states.chunks(STATES * d)).zip(&kept))
                .map(|((y, x), kept)| {
                    let mut sums = vec![0.0; kinds];
                    let columns = y.chunks_exact(d).zip(x.chunks_exact(d)).zip(kept);
                    columns.filter(|(_, kept)| **kept).for_each(|((y, x), _)| add_squares(y, x, &mut sums));
                    sums
                })
                .collect();
            let count = kept.iter().flatten().filter(|kept| **kept).count() as f64 * per_kind(geometry);
            for kind in 0..kinds {
                let r = sums.iter().map(|s| s[kind]).sum::<f64>() / (count * level * level);
                let log_r = &mut fitted.log_r[knot * kinds + kind];
                if r.is_finite() {
                    *log_r += rate * (r.max(LEAST).ln() - *log_r);
                }
            }
        }
        let r: Vec<f64> = fitted.log_r.iter().map(|l| l.exp()).collect();
        fitted.spacing = Spacing::of(&r, kinds, schedule);
        fitted
    }

    /// Multiplies r at each knot by exp(f(t)).
    pub(super) fn scale(&mut self, f: impl Fn(f64) -> f64) {
        let kinds = self.kinds();
        for (knot, row) in self.log_r.chunks_exact_mut(kinds).enumerate() {
            let by = f(knot as f64 / (KNOTS - 1) as f64);
            row.iter_mut().for_each(|v| *v = (*v + by).max(LEAST.ln()));
        }
    }
}

/// The variance of a step from s to s', of which the denoiser's error adds `own` = (s^2 - s'^2) r to s'^2.
pub(super) fn variance(s2: f64, next2: f64, own: f64) -> f64 {
    (s2 - next2) * (next2 + own) / s2
}

/// The knot below `t` of `knots` knots that are uniform in [0, 1], and the share of the one above in a line through
/// both.
pub(super) fn between(t: f64, knots: usize) -> (usize, f64) {
    let place = t.clamp(0.0, 1.0) * (knots - 1) as f64;
    let below = (place as usize).min(knots - 2);
    (below, place - below as f64)
}

pub(super) fn sigma(schedule: Schedule, knot: usize) -> f64 {
    schedule.sigma(knot as f64 / (KNOTS - 1) as f64)
}

/// Kinds of coordinates.
pub(super) fn kinds(geometry: Geometry) -> usize {
    match geometry {
        Geometry::Euclidean(d) => d,
        Geometry::Particles(_) => 1,
    }
}

/// Free coordinates of each kind.
pub(super) fn per_kind(geometry: Geometry) -> f64 {
    geometry.free_dim() as f64 / kinds(geometry) as f64
}

/// |a - b|^2 of each state, a column of d numbers.
pub(super) fn squares<T: Real>(a: &[T], b: &[T], d: usize) -> Vec<f64> {
    let of = |(a, b)| {
        let mut sum = [0.0];
        add_squares::<T>(a, b, &mut sum);
        sum[0]
    };
    a.chunks_exact(d).zip(b.chunks_exact(d)).map(of).collect()
}

/// Which of some squared errors are not beyond all measure: [`OUTLIER`] times both their median and `noise`, the mean
/// square of the noise. A network may lose a state in a million, and a mean over squares would be that of this state
/// alone. Where modes are mixed up or a tail is wide, errors are some times the noise, and count.
pub(super) fn kept(squares: Vec<Vec<f64>>, noise: f64) -> Vec<Vec<bool>> {
    let mut sorted: Vec<f64> = squares.iter().flatten().copied().filter(|s| s.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let limit = OUTLIER * sorted.get(sorted.len() / 2).map_or(noise, |median| median.max(noise));
    squares.into_iter().map(|s| s.into_iter().map(|s| s <= limit).collect()).collect()
}

/// Adds |a - b|^2 of one state to the sums of its kinds.
pub(super) fn add_squares<T: Real>(a: &[T], b: &[T], sums: &mut [f64]) {
    let kinds = sums.len();
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        sums[if kinds == 1 { 0 } else { i }] += (a.f64() - b.f64()).powi(2);
    }
}
