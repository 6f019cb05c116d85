//! The covariance of what a denoised state of particles leaves open, from the distances of its pairs.

use engine::Real;
use engine::checkpoint::{Checkpoint, CheckpointError};

use super::denoising_error::{KNOTS, LEAST, between};
use super::small_matrix as matrix;
use crate::target::ParticleSystem;

/// Distances at which the functions of the distance have their nodes.
pub(super) const NODES: usize = 8;
/// Coefficients of a noise level: of the identity, then of both functions.
pub(super) const TERMS: usize = 1 + 2 * NODES;
/// Least square of a pivot of the precision. Below it a state counts as one that the functions do not describe.
const LEAST_PIVOT: f64 = 0.05;
/// Least variance of a step in any direction, as a share of that of a step whose x_0 is known. Where that is the true
/// variance s^2, the second moment of the step's weight, the integral of N(0, s^2)^2 / N(0, f s^2), is finite for
/// f > 1/2.
const FLOOR: f64 = 0.75;
/// Coordinates of a state at most: the factors take the third power of their number, for each state and step.
pub(super) const MOST: usize = 384;
/// Names in checkpoints.
const NODES_AT: &str = "pair_covariance.nodes";
const TERMS_OF: &str = "pair_covariance.terms";
const ERRORS: &str = "pair_covariance.errors";

/// The covariance S of (x_0 - D(x_t)) / sigma given x_t, for particles: the inverse of
///
/// P = a I + sum_(i < j) (e_i - e_j) (e_i - e_j)^T (x) (f(d) u u^T + g(d) (I - u u^T)),
///
/// d and u distance and direction of the particles i and j in the denoised state D(x_t), e_i the i-th unit vector; a, f
/// and g are fitted at every noise level. P turns and permutes with the state and leaves translations alone. Of a Gaussian with the Hessian H of an energy of pairs it is the exact one, P = I +
/// sigma^2 H, f = sigma^2 V'' and g = sigma^2 V' / d, up to the truncation of f and g to functions that are linear
/// between nodes.
///
/// In a reverse step from sigma to sigma' the part x_0 - D of the state's deviation has this covariance, times sigma^2,
/// and the rest is sigma'^2 I: with v the variance of [`DenoisingError`](super::DenoisingError), r its mean squared
/// error and tau = Delta r / (sigma'^2 + Delta r) the share that this error has in it, the step's covariance is
///
/// v C, C = (1 - tau) I + (tau / r) S.
///
/// r is that of the fit. Where tuning has made v smaller, tau is cut so that v C keeps in every direction a share
/// (`FLOOR`) of the variance that a step has whose x_0 is known. States that P does not describe (it is not positive
/// definite, or hardly) have C = I. C depends on the state before the step alone, so that weights of paths stay unbiased
/// whatever was fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct PairCovariance {
    pub(super) system: ParticleSystem,
    /// Rising distances.
    pub(super) nodes: [f64; NODES],
    /// a, f, g of each noise level of the table of denoising errors.
    pub(super) terms: Vec<f64>,
    /// r when they were fitted.
    pub(super) errors: Vec<f64>,
}

/// The covariance of a step between two noise levels, for any state before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    covariance: &'a PairCovariance,
    terms: [f64; TERMS],
    sigma: f64,
    /// C = `identity` I + `by_error` P^-1.
    identity: f64,
    by_error: f64,
}

impl PairCovariance {
    /// P = I / r: what is fitted begins so.
    pub(super) fn isotropic(system: ParticleSystem, nodes: [f64; NODES], errors: Vec<f64>) -> Self {
        let mut terms = vec![0.0; KNOTS * TERMS];
        terms.chunks_exact_mut(TERMS).zip(&errors).for_each(|(terms, r)| terms[0] = 1.0 / r);
        Self { system, nodes, terms, errors }
    }

    /// What the step from sigma to sigma' needs, at the time t of sigma, where r is now `error`.
    pub(super) fn step(&self, t: f64, (sigma, next): (f64, f64), error: f64) -> Step<'_> {
        let (below, share) = between(t, KNOTS);
        let line = |low: f64, high: f64| (1.0 - share) * low + share * high;
        let rows = &self.terms[below * TERMS..(below + 2) * TERMS];
        let r = line(self.errors[below].ln(), self.errors[below + 1].ln()).exp();
        let terms = std::array::from_fn(|k| line(rows[k], rows[TERMS + k]));
        let (next2, drift) = (next * next, sigma * sigma - next * next);
        // v (1 - tau) over the variance for a known x_0 is at least FLOOR.
        let least = FLOOR * next2 / (next2 + drift * error);
        let own = (drift * r / (next2 + drift * r)).min(1.0 - least);
        let by_error = own / r;
        // As r is at least LEAST, so is what S has in any direction.
        Step { covariance: self, terms, sigma, identity: 1.0 - own + by_error * LEAST, by_error }
    }

    /// Factorises P of the denoised state `y`; (1/2) log det P on the mean-free states. None where P is not positive
    /// definite, or hardly.
    pub(super) fn factor_precision(
        &self,
        terms: &[f64; TERMS],
        y: &[f64],
        memory: &mut Factor,
    ) -> Option<f64> {
        let n = self.system.dim();
        memory.resize(n);
        self.precision(terms, y, &mut memory.precision);
        matrix::cholesky(n, &mut memory.precision);
        let pivots = || memory.precision.iter().step_by(n + 1);
        // A pivot that is no number is not above either.
        if !(terms[0] > 0.0 && pivots().all(|l| l * l > LEAST_PIVOT)) {
            return None;
        }
        // Translations are eigenvectors, with the eigenvalue a.
        let log_det = pivots().map(|l| l.ln()).sum::<f64>() - 0.5 * self.system.space as f64 * terms[0].ln();
        matrix::transpose(n, &memory.precision, &mut memory.lower);
        Some(log_det)
    }

    /// Writes P of the denoised state `y`: its upper triangle, by rows.
    pub(super) fn precision(&self, terms: &[f64; TERMS], y: &[f64], p: &mut [f64]) {
        let ParticleSystem { particles, space: d } = self.system;
        let n = particles * d;
        p.fill(0.0);
        p.iter_mut().step_by(n + 1).for_each(|p| *p = terms[0]);
        for i in 0..particles {
            for j in 0..i {
                let pair = Pair::of(y, d, (i, j));
                let (node, share) = self.place(pair.distance);
                let at = |first: usize| {
                    (1.0 - share) * terms[first + node] + share * terms[first + (node + 1).min(NODES - 1)]
                };
                let (along, across) = (at(1), at(1 + NODES));
                for a in 0..d {
                    for b in 0..d {
                        let same = if a == b { across } else { 0.0 };
                        let block = same + (along - across) * pair.direction[a] * pair.direction[b];
                        p[(j * d + b) * n + i * d + a] -= block;
                        if a >= b {
                            p[(i * d + b) * n + i * d + a] += block;
                            p[(j * d + b) * n + j * d + a] += block;
                        }
                    }
                }
            }
        }
    }

    /// The node below a distance, and the share of the one above.
    pub(super) fn place(&self, distance: f64) -> (usize, f64) {
        let above = self.nodes.partition_point(|node| *node <= distance);
        match above {
            0 => (0, 0.0),
            NODES => (NODES - 1, 0.0),
            _ => {
                let (low, high) = (self.nodes[above - 1], self.nodes[above]);
                (above - 1, (distance - low) / (high - low))
            }
        }
    }

    /// Writes it into a checkpoint.
    pub(super) fn put(&self, c: &mut Checkpoint) {
        c.put_vec(NODES_AT, &self.nodes);
        c.put_vec(TERMS_OF, &self.terms);
        c.put_vec(ERRORS, &self.errors);
    }

    /// Reads what [`put`](Self::put) wrote; none if nothing is there.
    pub(super) fn get(system: ParticleSystem, c: &Checkpoint) -> Result<Option<Self>, CheckpointError> {
        let nodes = match c.get_vec::<f64>(NODES_AT, NODES) {
            Err(CheckpointError::Missing { .. }) => return Ok(None),
            nodes => nodes?,
        };
        let terms = c.get_vec::<f64>(TERMS_OF, KNOTS * TERMS)?;
        let errors = c.get_vec::<f64>(ERRORS, KNOTS)?;
        let rise = nodes.windows(2).all(|n| n[0] < n[1]);
        let finite = terms.iter().chain(&nodes).all(|v| v.is_finite());
        if !(rise && finite && errors.iter().all(|r| *r > 0.0 && r.is_finite())) {
            return Err(CheckpointError::Contradiction(format!(
                "{NODES_AT}, {TERMS_OF} and {ERRORS} are no covariance: distances rise, numbers are finite, errors positive"
            )));
        }
        let mut at = [0.0; NODES];
        at.copy_from_slice(&nodes);
        Ok(Some(Self { system, nodes: at, terms, errors }))
    }
}

impl Step<'_> {
    /// Factorises C for the state `x` with that `score`.
    pub(super) fn factor<T: Real>(&self, x: &[T], score: &[T], memory: &mut Factor) {
        let mut y = std::mem::take(&mut memory.y);
        y.clear();
        y.extend(x.iter().zip(score).map(|(x, s)| x.f64() + self.sigma * self.sigma * s.f64()));
        self.factor_denoised(&y, memory);
        memory.y = y;
    }

    /// The same for a state that is denoised already.
    ///
    /// With P = L L^T and C = c I + b P^-1, W = L^T C L = c L^T L + b I = N N^T, and C = B B^T for B = L^-T N: two
    /// Cholesky factors and no inverse.
    pub(super) fn factor_denoised(&self, y: &[f64], memory: &mut Factor) {
        let (n, d) = (self.system().dim(), self.system().space as f64);
        memory.log_det = 0.0;
        memory.identity = true;
        let Some(log_det_p) = self.covariance.factor_precision(&self.terms, y, memory) else { return };
        matrix::gram(n, &memory.lower, self.identity, self.by_error, &mut memory.root);
        matrix::cholesky(n, &mut memory.root);
        memory.of_mean = self.identity + self.by_error / self.terms[0];
        let pivots = memory.root.iter().step_by(n + 1);
        // W on translations is C P there.
        let log_det_w = pivots.map(|l| l.ln()).sum::<f64>() - 0.5 * d * (memory.of_mean * self.terms[0]).ln();
        if log_det_w.is_finite() {
            memory.log_det = log_det_w - log_det_p;
            memory.identity = false;
        }
    }

    pub(super) fn system(&self) -> ParticleSystem {
        self.covariance.system
    }
}

/// Two particles of a state.
pub(super) struct Pair {
    pub distance: f64,
    /// From the second to the first; of length 0 where they coincide.
    pub direction: [f64; 3],
}

impl Pair {
    pub(super) fn of(y: &[f64], d: usize, (i, j): (usize, usize)) -> Self {
        let mut direction = [0.0; 3];
        for a in 0..d {
            direction[a] = y[i * d + a] - y[j * d + a];
        }
        let distance = direction.iter().map(|u| u * u).sum::<f64>().sqrt();
        if distance > 0.0 {
            direction.iter_mut().for_each(|u| *u /= distance);
        }
        Self { distance, direction }
    }
}

/// The factors of C for one state, and working memory.
#[derive(Default)]
pub(super) struct Factor {
    /// P, then L^T, by rows; or P^-1.
    precision: Vec<f64>,
    /// L.
    lower: Vec<f64>,
    /// N^T.
    root: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
    /// The eigenvalue of C of translations.
    of_mean: f64,
    /// (1 / 2) log det C on the mean-free states.
    pub(super) log_det: f64,
    /// Whether C = I.
    pub(super) identity: bool,
}

impl Factor {
    fn resize(&mut self, n: usize) {
        for matrix in [&mut self.precision, &mut self.lower, &mut self.root] {
            matrix.resize(n * n, 0.0);
        }
    }

    /// P^-1 of the factor that was made last, both triangles.
    pub(super) fn inverse(&mut self, n: usize) -> &[f64] {
        matrix::invert_lower(n, &self.lower, &mut self.root);
        matrix::gram(n, &self.root, 1.0, 0.0, &mut self.precision);
        for i in 0..n {
            for j in 0..i {
                self.precision[i * n + j] = self.precision[j * n + i];
            }
        }
        &self.precision
    }

    /// Writes B z for a mean-free standard Gaussian `z`, which the Gaussians `means`, one for each axis, complete to one
    /// of all states; mean-free again. Returns its square in the metric of C^-1.
    pub(super) fn spread<T: Real>(
        &mut self,
        system: ParticleSystem,
        means: &[f64],
        z: &[T],
        out: &mut Vec<T>,
    ) -> f64 {
        out.clear();
        if self.identity {
            out.extend_from_slice(z);
            return z.iter().map(|z| z.f64().powi(2)).sum();
        }
        let (n, d, particles) = (system.dim(), system.space, system.particles as f64);
        self.z.clear();
        self.z.extend(z.iter().enumerate().map(|(k, z)| z.f64() + means[k % d] / particles.sqrt()));
        let mut square: f64 = self.z.iter().map(|z| z * z).sum();
        let spread = &mut self.y;
        spread.resize(n, 0.0);
        matrix::times_transposed(n, &self.root, &self.z, spread);
        matrix::solve_lower_transposed(n, &self.lower, spread);
        // C leaves translations among themselves, so that their part of the square is known.
        for axis in 0..d {
            let mean = spread.iter().skip(axis).step_by(d).sum::<f64>() / particles;
            square -= particles * mean * mean / self.of_mean;
        }
        out.extend(spread.iter().map(|x| T::of(*x)));
        system.center(out);
        square
    }

    /// The square of a mean-free `x` in the metric of C^-1.
    pub(super) fn square<T: Real>(&mut self, x: impl Iterator<Item = T>) -> f64 {
        self.y.clear();
        self.y.extend(x.map(|x| x.f64()));
        if self.identity {
            return self.y.iter().map(|y| y * y).sum();
        }
        let n = self.y.len();
        self.z.resize(n, 0.0);
        matrix::times_lower_transposed(n, &self.lower, &self.y, &mut self.z);
        matrix::solve_transposed(n, &self.root, &mut self.z);
        self.z.iter().map(|z| z * z).sum()
    }
}
