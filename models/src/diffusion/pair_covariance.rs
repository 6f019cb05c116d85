//! The covariance of what a denoised state of particles leaves open, from the distances of its pairs.

use engine::Real;
use engine::checkpoint::{Checkpoint, CheckpointError};
use faer::linalg::cholesky::llt;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{MatMut, MatRef, Par};

use super::denoising_error::{KNOTS, between};
use crate::target::ParticleSystem;

/// Distances at which the functions of the distance have their nodes.
pub(super) const NODES: usize = 8;
/// Coefficients of a noise level: of the identity, then of both functions.
pub(super) const TERMS: usize = 1 + 2 * NODES;
/// Least square of a pivot of the precision. Below it a state counts as one that the functions do not describe.
pub(super) const LEAST_PIVOT: f64 = 0.05;
/// Names in checkpoints.
const NODES_AT: &str = "pair_covariance.nodes";
const TERMS_OF: &str = "pair_covariance.terms";
const ERRORS: &str = "pair_covariance.errors";

/// The covariance S of (x_0 - D(x_t)) / sigma given x_t, for particles: the inverse of
///
/// P = a I + sum_(i < j) (e_i - e_j) (e_i - e_j)^T (x) (f(d) u u^T + g(d) (I - u u^T)),
///
/// d and u distance and direction of the particles i and j in the denoised state D(x_t), e_i the i-th unit vector; a, f
/// and g are fitted at every noise level. It has the symmetries of particles: it turns and permutes with the state and
/// leaves their mean alone. Of a Gaussian with the Hessian H of an energy of pairs it is the exact one, P = I +
/// sigma^2 H, f = sigma^2 V'' and g = sigma^2 V' / d, up to the truncation of f and g to functions that are linear
/// between nodes.
///
/// In a reverse step from sigma to sigma' the part x_0 - D of the state's deviation has this covariance, times sigma^2,
/// and the rest is sigma'^2 I: with v the variance of [`DenoisingError`](super::DenoisingError), r its mean squared
/// error and tau = Delta r / (sigma'^2 + Delta r) the share that this error has in it, the step's covariance is
///
/// v C, C = (1 - tau) I + (tau / r) S.
///
/// States that are closer together than P describes (no positive definite P) have C = I. C depends on x_t alone, so that
/// weights of paths stay unbiased whatever was fitted.
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

/// A noise level and the step from it, for [`PairCovariance::factor`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    terms: [f64; TERMS],
    /// tau and tau / r.
    own: f64,
    by_error: f64,
}

impl PairCovariance {
    /// P = I / r: what is fitted begins so.
    pub(super) fn isotropic(system: ParticleSystem, nodes: [f64; NODES], errors: Vec<f64>) -> Self {
        let mut terms = vec![0.0; KNOTS * TERMS];
        terms.chunks_exact_mut(TERMS).zip(&errors).for_each(|(terms, r)| terms[0] = 1.0 / r);
        Self { system, nodes, terms, errors }
    }

    /// Coefficients and shares of the step from sigma to sigma' at the time t of sigma.
    pub(super) fn step(&self, t: f64, sigma: f64, next: f64) -> Step {
        let (below, share) = between(t, KNOTS);
        let line = |low: f64, high: f64| (1.0 - share) * low + share * high;
        let rows = &self.terms[below * TERMS..(below + 2) * TERMS];
        let r = line(self.errors[below].ln(), self.errors[below + 1].ln()).exp();
        let terms = std::array::from_fn(|k| line(rows[k], rows[TERMS + k]));
        let (next2, added) = (next * next, (sigma * sigma - next * next) * r);
        let own = added / (next2 + added);
        Step { terms, own, by_error: own / r }
    }

    /// Factorises C of the step for the denoised state `y`.
    pub(super) fn factor<T: Real>(&self, step: &Step, y: &[T], memory: &mut Factor) {
        let (n, d) = (self.system.dim(), self.system.space);
        memory.resize(n);
        memory.y.clear();
        memory.y.extend(y.iter().map(|y| y.f64()));
        memory.of_mean = 1.0;
        memory.log_det = 0.0;
        self.precision(&step.terms, &memory.y, &mut memory.root);
        memory.identity = !memory.cholesky(LEAST_PIVOT);
        if memory.identity {
            return;
        }
        memory.invert();
        let Factor { root, inverse, .. } = memory;
        for (column, (root, s)) in root.chunks_exact_mut(n).zip(inverse.chunks_exact(n)).enumerate() {
            root.iter_mut().zip(s).for_each(|(c, s)| *c = step.by_error * s);
            root[column] += 1.0 - step.own;
        }
        // It is positive definite, but for rounding.
        memory.identity = !memory.cholesky(0.0);
        if memory.identity {
            return;
        }
        memory.of_mean = 1.0 - step.own + step.by_error / step.terms[0];
        let pivots = memory.root.iter().step_by(n + 1);
        memory.log_det = pivots.map(|l| l.ln()).sum::<f64>() - 0.5 * d as f64 * memory.of_mean.ln();
    }

    /// Writes P of the denoised state `y`: its lower triangle, by columns.
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

/// The Cholesky factor L of C for one state, and working memory.
#[derive(Default)]
pub(super) struct Factor {
    /// Of C, by columns; its upper triangle is not used. Before, of P.
    pub(super) root: Vec<f64>,
    /// P^-1.
    pub(super) inverse: Vec<f64>,
    y: Vec<f64>,
    /// A state in double precision.
    z: Vec<f64>,
    scratch: Option<faer::dyn_stack::MemBuffer>,
    /// C of a common translation.
    of_mean: f64,
    /// (1 / 2) log det C on the mean-free states.
    pub(super) log_det: f64,
    /// Whether C = I.
    identity: bool,
}

impl Factor {
    pub(super) fn resize(&mut self, n: usize) {
        if self.root.len() != n * n {
            self.root = vec![0.0; n * n];
            self.inverse = vec![0.0; n * n];
            let factor = llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default());
            let inverse = llt::inverse::inverse_scratch::<f64>(n, Par::Seq);
            self.scratch = Some(faer::dyn_stack::MemBuffer::new(factor.or(inverse)));
        }
    }

    /// The side of the matrices.
    fn side(&self) -> usize {
        self.root.len().isqrt()
    }

    /// Replaces the matrix in `root` by its Cholesky factor; false if a pivot's square is not above `least`.
    pub(super) fn cholesky(&mut self, least: f64) -> bool {
        let n = self.side();
        let Some(scratch) = &mut self.scratch else { return false };
        let matrix = MatMut::from_column_major_slice_mut(&mut self.root, n, n);
        let stack = faer::dyn_stack::MemStack::new(scratch);
        let done =
            llt::factor::cholesky_in_place(matrix, Default::default(), Par::Seq, stack, Default::default());
        done.is_ok() && self.root.iter().step_by(n + 1).all(|l| l * l > least)
    }

    /// Writes the inverse of the matrix whose factor is in `root`, both triangles.
    pub(super) fn invert(&mut self) {
        let n = self.side();
        let Some(scratch) = &mut self.scratch else { return };
        let root = MatRef::from_column_major_slice(&self.root, n, n);
        let inverse = MatMut::from_column_major_slice_mut(&mut self.inverse, n, n);
        llt::inverse::inverse(inverse, root, Par::Seq, faer::dyn_stack::MemStack::new(scratch));
        for column in 0..n {
            for row in column + 1..n {
                self.inverse[row * n + column] = self.inverse[column * n + row];
            }
        }
    }

    /// Writes L z for a mean-free standard Gaussian `z`, which the Gaussians `means`, one for each axis, complete to one
    /// of all states; mean-free again. Returns its square in the metric of C^-1.
    pub(super) fn spread<T: Real>(
        &mut self,
        system: ParticleSystem,
        means: [f64; 3],
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
        spread.clear();
        spread.resize(n, 0.0);
        for (column, z) in self.z.iter().enumerate() {
            let root = &self.root[column * n..(column + 1) * n];
            spread[column..].iter_mut().zip(&root[column..]).for_each(|(out, l)| *out += l * z);
        }
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
        self.z.clear();
        self.z.extend(x.map(|x| x.f64()));
        if !self.identity {
            let n = self.side();
            let root = MatRef::from_column_major_slice(&self.root, n, n);
            let side = MatMut::from_column_major_slice_mut(&mut self.z, n, 1);
            solve_lower_triangular_in_place(root, side, Par::Seq);
        }
        self.z.iter().map(|z| z * z).sum()
    }
}
