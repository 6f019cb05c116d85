//! Sequential Monte Carlo along the reverse SDE.

use engine::Real;
use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use super::ReverseProcess;
use super::reverse::{Walker, square};
use crate::importance::{effective_share, log_mean_exp, log_z, resampled_to};
use crate::metrics::student_factor;
use crate::target::{Target, TargetError};

/// Places along the path at which weights are foretold, at most.
const PLACES: usize = 20;
/// States are resampled where the effective share of their weights is below this.
const SHARE: f64 = 0.5;
/// Slopes that are tried.
const SLOPES: usize = 20;
/// Foretold weights are clipped below this quantile of l: a state of a large energy is lost whatever its energy is.
const CLIPPED: f64 = 0.1;

/// What a state x at a noise level sigma tells of the weight of its path, w = exp(-E(x_0)) forward / backward.
///
/// A path so far has the ratio r = log(forward / backward) from the prior on. With the denoised state D(x) for the data
/// the path leads to,
///
/// l = r - E(D(x)) - |x - D(x)|^2 / (2 sigma^2)
///
/// is log w, but for a constant and for the part of the steps still to come. The foretold weight is exp(slope l), with a
/// slope for each of some places along the path that is chosen on paths of the model; with the slope 0 nothing is
/// foretold.
#[derive(Clone, Debug)]
pub struct Lookahead {
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The number of steps before it.
    step: usize,
    /// In [0, 1].
    slope: f64,
    /// The range of l that was seen, but for the lowest tenth.
    range: (f64, f64),
}

impl Place {
    fn foretold(&self, l: f64) -> f64 {
        // A state that flew apart has no number, and counts as the lowest.
        let l = if l.is_nan() { self.range.0 } else { l };
        self.slope * l.clamp(self.range.0, self.range.1)
    }
}

/// Samples of several independent populations.
#[derive(Clone, Debug)]
pub struct Populations<T> {
    /// The states (columns), population by population.
    pub states: Vec<T>,
    /// Logarithms of their weights; the mean weight of each population estimates Z without bias.
    pub log_w: Vec<f64>,
    /// The logarithm of that mean for each population.
    pub log_z: Vec<f64>,
    /// Energies evaluated.
    pub evaluations: u64,
}

impl<T> Populations<T> {
    /// log Z from the mean over populations, and its standard error from their scatter, which needs no theory of
    /// resampling; it is widened as for so few numbers ([`student_factor`]).
    pub fn log_z(&self) -> (f64, f64) {
        let (value, scatter) = log_z(&self.log_z);
        (value, student_factor(self.log_z.len()) * scatter)
    }

    /// The effective share that as many independent weights would have to have, for an error of Z as large: with the
    /// relative variance v of the populations' estimates and n states in each, 1 / (1 + n v). With c populations v has a
    /// relative error of sqrt(2 / (c - 1)).
    pub fn share(&self) -> f64 {
        let (_, error) = log_z(&self.log_z);
        let count = self.log_z.len() as f64;
        let n = self.log_w.len() as f64 / count;
        1.0 / (1.0 + n * count * error * error)
    }
}

impl<T: Real> ReverseProcess<'_, T> {
    /// Learns from `n` paths of `steps` steps what their states foretell of their weights.
    ///
    /// # Errors
    /// If the target cannot be evaluated.
    pub fn lookahead(
        &self,
        target: &dyn Target<T>,
        steps: usize,
        n: usize,
        (seed, step): (u64, u64),
    ) -> Result<(Lookahead, u64), TargetError> {
        let d = target.dim();
        // Not after the last step, where the weight itself is known.
        let count = PLACES.min(steps);
        let places: Vec<usize> = (1..=count).map(|k| k * steps / count).collect();
        let mut stream = Stream::new(seed, "lookahead", step, 0);
        let (mut x, mut ratios) = (vec![T::ZERO; n * d], vec![0.0; n]);
        let mut told: Vec<Vec<f64>> = Vec::new();
        let mut walker = Walker::new(self, x.len());
        walker.start(&mut stream, &mut x, &mut ratios);
        for (k, pair) in self.pairs(steps).enumerate() {
            walker.score(&x, pair.0);
            if places.contains(&k) {
                let mut l = self.denoised_log_p(target, pair.0, &x, &walker.memory.scores)?;
                l.iter_mut().zip(&ratios).for_each(|(l, r)| *l += r);
                told.push(l);
            }
            walker.step(pair, &mut stream, &mut x, &mut ratios);
        }
        let mut log_p = vec![T::ZERO; n];
        target.evaluate(&x, &mut log_p, &mut [])?;
        let log_w: Vec<f64> = ratios.iter().zip(&log_p).map(|(r, p)| known(r + p.f64())).collect();
        let of = |(step, l): (&usize, &Vec<f64>)| {
            let mut place = Place { step: *step, slope: 0.0, range: range(l) };
            place.slope = steepness(&place, l, &log_w);
            place
        };
        let places = places.iter().zip(&told).map(of).filter(|p| p.slope > 0.0).collect();
        Ok((Lookahead { places }, (n * (told.len() + 1)) as u64))
    }

    /// `count` independent populations of `size` states each, by `steps` steps. States are resampled on their way by the
    /// weights that `lookahead` foretells, where their effective share is below one half (sequential Monte Carlo: Del
    /// Moral, Doucet and Jasra 2006; twisted as in Guarniero, Johansen and Lee 2017).
    ///
    /// With the foretold weight G_k of a path up to place k, each state carries the weight G_k / G_j since place j
    /// before, and in the end w / G_k; at a resampling all get the mean. For any lookahead that does not depend on these
    /// paths the mean final weight has the expectation Z (Del Moral 2004, theorem 7.4.2), and states are weighted
    /// properly for exp(-E).
    ///
    /// # Errors
    /// If the target cannot be evaluated.
    pub fn populations(
        &self,
        target: &dyn Target<T>,
        lookahead: &Lookahead,
        steps: usize,
        (count, size): (usize, usize),
        (seed, step): (u64, u64),
    ) -> Result<Populations<T>, TargetError> {
        let d = target.dim();
        let n = count * size;
        let (mut states, mut log_w) = (vec![T::ZERO; n * d], vec![0.0; n]);
        (states.par_chunks_mut(size * d), log_w.par_chunks_mut(size)).into_par_iter().try_each(
            |k, (x, log_w)| {
                let mut stream = Stream::new(seed, "populations", step, k as u64);
                self.population(target, lookahead, steps, &mut stream, x, log_w)
            },
        )?;
        let log_z = log_w.chunks_exact(size).map(log_mean_exp).collect();
        let evaluations = (n * (lookahead.places.len() + 1)) as u64;
        Ok(Populations { states, log_w, log_z, evaluations })
    }

    fn population(
        &self,
        target: &dyn Target<T>,
        lookahead: &Lookahead,
        steps: usize,
        stream: &mut Stream,
        x: &mut [T],
        log_w: &mut [f64],
    ) -> Result<(), TargetError> {
        let (d, n) = (target.dim(), log_w.len());
        let (mut ratios, mut before) = (vec![0.0; n], vec![0.0; n]);
        let mut walker = Walker::new(self, x.len());
        walker.start(stream, x, &mut ratios);
        let mut places = lookahead.places.iter().peekable();
        for (k, pair) in self.pairs(steps).enumerate() {
            walker.score(x, pair.0);
            if let Some(place) = places.next_if(|p| p.step == k) {
                let told = self.denoised_log_p(target, pair.0, x, &walker.memory.scores)?;
                for (((w, before), told), ratio) in log_w.iter_mut().zip(&mut before).zip(&told).zip(&ratios)
                {
                    let now = place.foretold(told + ratio);
                    *w += now - std::mem::replace(before, now);
                }
                let mean = log_mean_exp(log_w);
                let shares: Vec<f64> = log_w.iter().map(|w| (w - mean).exp()).collect();
                if effective_share(&shares) < SHARE {
                    let picked = resampled_to(&shares, n, stream);
                    let columns = |x: &[T]| -> Vec<T> {
                        picked.iter().flat_map(|i| &x[i * d..(i + 1) * d]).copied().collect()
                    };
                    x.copy_from_slice(&columns(x));
                    walker.memory.scores = columns(&walker.memory.scores);
                    ratios = picked.iter().map(|i| ratios[*i]).collect();
                    before = picked.iter().map(|i| before[*i]).collect();
                    log_w.fill(mean);
                }
            }
            walker.step(pair, stream, x, &mut ratios);
        }
        let mut log_p = vec![T::ZERO; n];
        target.evaluate(x, &mut log_p, &mut [])?;
        for (((w, before), p), ratio) in log_w.iter_mut().zip(&before).zip(&log_p).zip(&ratios) {
            *w = known(*w + ratio + p.f64() - before);
        }
        Ok(())
    }

    /// -E(D) - |x - D|^2 / (2 sigma^2) of each column, D = x + sigma^2 score.
    fn denoised_log_p(
        &self,
        target: &dyn Target<T>,
        sigma: f64,
        x: &[T],
        scores: &[T],
    ) -> Result<Vec<f64>, TargetError> {
        let d = target.dim();
        let s2 = sigma * sigma;
        let denoised: Vec<T> = x.iter().zip(scores).map(|(x, s)| T::of(s2).mul_add(*s, *x)).collect();
        let mut log_p = vec![T::ZERO; x.len() / d];
        target.evaluate(&denoised, &mut log_p, &mut [])?;
        Ok(log_p.iter().zip(scores.chunks_exact(d)).map(|(p, s)| p.f64() - 0.5 * s2 * square(s)).collect())
    }
}

/// A logarithm of a weight; that of a state that flew apart is -inf.
fn known(log_w: f64) -> f64 {
    if log_w.is_nan() { f64::NEG_INFINITY } else { log_w }
}

/// From the quantile [`CLIPPED`] of the finite values to the largest; an empty range without any.
fn range(values: &[f64]) -> (f64, f64) {
    let mut finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    match (finite.get((CLIPPED * finite.len() as f64) as usize), finite.last()) {
        (Some(low), Some(high)) => (*low, *high),
        _ => (0.0, 0.0),
    }
}

/// The slope in [0, 1] for which E(w^2 / G) E(G) is least, G the foretold weights: the second moment that is left after
/// resampling by them (Del Moral 2004, section 9.4). A slope by least squares would be too steep wherever a few states
/// of a low foretold weight end with a large one.
fn steepness(place: &Place, l: &[f64], log_w: &[f64]) -> f64 {
    let left = |slope: f64| {
        let g: Vec<f64> = l.iter().map(|l| Place { slope, ..*place }.foretold(*l)).collect();
        let rest: Vec<f64> = log_w.iter().zip(&g).map(|(w, g)| 2.0 * w - g).collect();
        log_mean_exp(&rest) + log_mean_exp(&g)
    };
    let slopes = (0..=SLOPES).map(|k| k as f64 / SLOPES as f64);
    slopes.map(|slope| (left(slope), slope)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |best| best.1)
}
