//! The pair covariance of a denoiser's errors, by maximum likelihood.

use engine::Real;
use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use super::denoising_error::{KNOTS, kept, sigma, squares};
use super::pair_covariance::{Factor, NODES, Pair, PairCovariance, TERMS};
use super::small_matrix as matrix;
use super::{Schedule, ScoreModel};
use crate::target::ParticleSystem;

/// Coordinates of the states that a level is fitted on, to the next whole state.
const COORDINATES: usize = 12_288;
/// Nodes lie at these quantiles of the distances of pairs, dense where particles are near.
const QUANTILES: [f64; NODES] = [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0];
/// Newton steps at most, and tries of one.
const STEPS: usize = 12;
const TRIES: usize = 8;
/// Newton steps end where the likelihood of a state gains less than this many nats.
const GAIN: f64 = 1e-4;

/// The covariance of the errors of `model` on `states` (columns of the target, or nearly so), noised anew at each level
/// of the table, whose mean squared errors are `errors`. Random numbers are those of `key`.
///
/// With e = (x_0 - D) / sigma, mean-free, the mean of (1/2) e^T P e - (1/2) log det P over states is least: a convex
/// function of P's coefficients, which is a sum of them times A_k. Newton steps, damped as by Levenberg, with the
/// average of (1/2) (A_k e)^T P^-1 A_l e for the Hessian (1/2) tr(P^-1 A_k P^-1 A_l): its mean, with no second trace
/// (average information; Gilmour, Thompson and Cullis 1995).
pub(super) fn fitted<T: Real>(
    model: ScoreModel<T>,
    schedule: Schedule,
    (states, system): (&[T], ParticleSystem),
    errors: Vec<f64>,
    (seed, step): (u64, u64),
) -> PairCovariance {
    let d = system.dim();
    let states = &states[..states.len().min(COORDINATES.div_ceil(d) * d)];
    let start = PairCovariance::isotropic(system, nodes(states, system), errors);
    let rows = (0..KNOTS).into_par_iter().tasks(|_, knot| {
        let mut stream = Stream::new(seed, "pair covariance", step, knot as u64);
        let level = sigma(schedule, knot);
        let denoised = model.noised_and_denoised(states, level, &mut stream);
        let noise = model.network.geometry().free_dim() as f64 * level * level;
        let kept = kept(vec![squares(&denoised, states, d)], noise).concat();
        let columns = denoised.chunks_exact(d).zip(states.chunks_exact(d)).zip(kept);
        let columns = columns.filter(|(_, kept)| *kept).map(|(column, _)| column);
        let (y, e): (Vec<f64>, Vec<f64>) = columns
            .flat_map(|(y, x)| y.iter().zip(x))
            .map(|(y, x)| (y.f64(), (x.f64() - y.f64()) / level))
            .unzip();
        let mut terms = [0.0; TERMS];
        terms.copy_from_slice(&start.terms[knot * TERMS..(knot + 1) * TERMS]);
        Level { covariance: &start, y: &y, e: &e }.fit(&mut terms);
        terms
    });
    let rows: Vec<[f64; TERMS]> = rows;
    let mut fitted = start;
    fitted.terms.chunks_exact_mut(TERMS).zip(&rows).for_each(|(to, row)| to.copy_from_slice(row));
    fitted
}

/// Distances at the quantiles, made to rise.
fn nodes<T: Real>(states: &[T], system: ParticleSystem) -> [f64; NODES] {
    let d = system.space;
    let mut distances = Vec::new();
    for state in states.chunks_exact(system.dim()) {
        let y: Vec<f64> = state.iter().map(|x| x.f64()).collect();
        for i in 0..system.particles {
            distances.extend((0..i).map(|j| Pair::of(&y, d, (i, j)).distance));
        }
    }
    distances.retain(|d| d.is_finite());
    distances.sort_by(f64::total_cmp);
    let last = distances.len().saturating_sub(1);
    let mut nodes = QUANTILES.map(|q| distances.get((q * last as f64) as usize).copied().unwrap_or(1.0));
    let least = 1e-3 * (nodes[NODES - 1] - nodes[0]).max(1e-3);
    for k in 1..NODES {
        nodes[k] = nodes[k].max(nodes[k - 1] + least);
    }
    nodes
}

/// What is fitted at one noise level: denoised states and errors.
pub(super) struct Level<'a> {
    pub covariance: &'a PairCovariance,
    pub y: &'a [f64],
    pub e: &'a [f64],
}

/// The objective with its derivatives.
struct Expansion {
    value: f64,
    gradient: [f64; TERMS],
    /// By rows.
    hessian: Vec<f64>,
}

impl Level<'_> {
    /// Moves the coefficients to the least of the objective.
    pub(super) fn fit(&self, terms: &mut [f64; TERMS]) {
        let mut memory = Factor::default();
        let mut damping = 1e-3;
        let Some(mut here) = self.expansion(terms, &mut memory) else { return };
        for _ in 0..STEPS {
            let before = here.value;
            for _ in 0..TRIES {
                let moved = here.moved(terms, damping);
                match moved.and_then(|moved| Some((moved, self.value(&moved, &mut memory)?))) {
                    Some((moved, value)) if value < here.value => {
                        *terms = moved;
                        here.value = value;
                        damping *= 0.2;
                        break;
                    }
                    _ => damping *= 6.0,
                }
            }
            if before - here.value < GAIN {
                break;
            }
            match self.expansion(terms, &mut memory) {
                Some(expansion) => here = expansion,
                None => break,
            }
        }
    }

    fn states(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        let n = self.covariance.system.dim();
        self.y.chunks_exact(n).zip(self.e.chunks_exact(n))
    }

    /// The objective; none where a state has no positive definite P.
    pub(super) fn value(&self, terms: &[f64; TERMS], memory: &mut Factor) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0);
        let mut along = Features::new(self.e.len().min(self.covariance.system.dim()));
        for (y, e) in self.states() {
            let half_log_det = self.covariance.factor_precision(terms, y, memory)?;
            along.compute(self.covariance, y, e);
            sum += 0.5 * along.quadratic.iter().zip(terms).map(|(q, t)| q * t).sum::<f64>() - half_log_det;
            count += 1;
        }
        (count > 0 && sum.is_finite()).then(|| sum / f64::from(count))
    }

    fn expansion(&self, terms: &[f64; TERMS], memory: &mut Factor) -> Option<Expansion> {
        let system = self.covariance.system;
        let n = system.dim();
        let (mut value, mut gradient, mut hessian) = (0.0, [0.0; TERMS], vec![0.0; TERMS * TERMS]);
        let mut features = Features::new(n);
        let (mut solved, mut count) = (vec![0.0; n], 0);
        for (y, e) in self.states() {
            let half_log_det = self.covariance.factor_precision(terms, y, memory)?;
            let inverse = memory.inverse(n);
            features.compute(self.covariance, y, e);
            value +=
                0.5 * features.quadratic.iter().zip(terms).map(|(q, t)| q * t).sum::<f64>() - half_log_det;
            let traces = traces(self.covariance, y, inverse, terms[0]);
            for k in 0..TERMS {
                gradient[k] += 0.5 * (features.quadratic[k] - traces[k]);
            }
            for (b, vector) in features.vectors.chunks_exact(n).enumerate() {
                if vector.iter().all(|v| *v == 0.0) {
                    continue;
                }
                for (solved, column) in solved.iter_mut().zip(inverse.chunks_exact(n)) {
                    *solved = column.iter().zip(vector).map(|(s, v)| s * v).sum();
                }
                for (a, other) in features.vectors.chunks_exact(n).enumerate() {
                    hessian[a * TERMS + b] +=
                        0.5 * other.iter().zip(&solved).map(|(o, s)| o * s).sum::<f64>();
                }
            }
            count += 1;
        }
        if count == 0 || !value.is_finite() {
            return None;
        }
        let by = 1.0 / f64::from(count);
        gradient.iter_mut().for_each(|g| *g *= by);
        hessian.iter_mut().for_each(|h| *h *= by);
        Some(Expansion { value: value * by, gradient, hessian })
    }
}

impl Expansion {
    fn moved(&self, terms: &[f64; TERMS], damping: f64) -> Option<[f64; TERMS]> {
        let mut h = self.hessian.clone();
        let largest = h.iter().step_by(TERMS + 1).fold(0.0, |a: f64, h| a.max(*h));
        h.iter_mut().step_by(TERMS + 1).for_each(|h| *h += damping * *h + 1e-6 * largest);
        let (mut lower, mut step) = (vec![0.0; TERMS * TERMS], self.gradient);
        matrix::cholesky(TERMS, &mut h);
        matrix::transpose(TERMS, &h, &mut lower);
        matrix::solve_transposed(TERMS, &h, &mut step);
        matrix::solve_lower_transposed(TERMS, &lower, &mut step);
        let moved: [f64; TERMS] = std::array::from_fn(|k| terms[k] - step[k]);
        moved.iter().all(|t| t.is_finite()).then_some(moved)
    }
}

/// P is the sum of `terms`_k A_k; what its parts make of an error e.
struct Features {
    /// e^T A_k e.
    quadratic: [f64; TERMS],
    /// A_k e.
    vectors: Vec<f64>,
}

impl Features {
    fn new(n: usize) -> Self {
        Self { quadratic: [0.0; TERMS], vectors: vec![0.0; TERMS * n] }
    }

    fn compute(&mut self, covariance: &PairCovariance, y: &[f64], e: &[f64]) {
        let ParticleSystem { particles, space: d } = covariance.system;
        let n = particles * d;
        self.quadratic.fill(0.0);
        self.vectors.fill(0.0);
        self.quadratic[0] = e.iter().map(|e| e * e).sum();
        self.vectors[..n].copy_from_slice(e);
        for i in 0..particles {
            for j in 0..i {
                let pair = Pair::of(y, d, (i, j));
                let mut parts = [[0.0; 3]; 2];
                let mut length = 0.0;
                for a in 0..d {
                    length += (e[i * d + a] - e[j * d + a]) * pair.direction[a];
                }
                for a in 0..d {
                    parts[0][a] = length * pair.direction[a];
                    parts[1][a] = e[i * d + a] - e[j * d + a] - parts[0][a];
                }
                for (term, share) in hats(covariance, pair.distance) {
                    for (side, part) in parts.iter().enumerate() {
                        let k = 1 + side * NODES + term;
                        self.quadratic[k] += share * part.iter().map(|p| p * p).sum::<f64>();
                        let vector = &mut self.vectors[k * n..(k + 1) * n];
                        for a in 0..d {
                            vector[i * d + a] += share * part[a];
                            vector[j * d + a] -= share * part[a];
                        }
                    }
                }
            }
        }
    }
}

/// tr(S A_k) on the mean-free states; `identity` is the coefficient of the identity in P.
fn traces(covariance: &PairCovariance, y: &[f64], inverse: &[f64], identity: f64) -> [f64; TERMS] {
    let ParticleSystem { particles, space: d } = covariance.system;
    let n = particles * d;
    let mut traces = [0.0; TERMS];
    traces[0] = inverse.iter().step_by(n + 1).sum::<f64>() - d as f64 / identity;
    for i in 0..particles {
        for j in 0..i {
            let pair = Pair::of(y, d, (i, j));
            let (mut all, mut along) = (0.0, 0.0);
            for a in 0..d {
                for b in 0..d {
                    let at = |p: usize, q: usize| inverse[(q * d + b) * n + p * d + a];
                    let m = at(i, i) + at(j, j) - at(i, j) - at(j, i);
                    along += pair.direction[a] * m * pair.direction[b];
                    all += if a == b { m } else { 0.0 };
                }
            }
            for (term, share) in hats(covariance, pair.distance) {
                traces[1 + term] += share * along;
                traces[1 + NODES + term] += share * (all - along);
            }
        }
    }
    traces
}

/// The nodes around a distance, with their shares.
fn hats(covariance: &PairCovariance, distance: f64) -> [(usize, f64); 2] {
    let (below, share) = covariance.place(distance);
    [(below, 1.0 - share), ((below + 1).min(NODES - 1), share)]
}
