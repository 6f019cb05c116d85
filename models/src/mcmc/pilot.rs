//! Where a target lies and how wide it is, when nothing is known of it: an ensemble of short chains.
//!
//! Chains start in Gaussians of widths 10^-2 to 10^2 around the origin and move by Hamiltonian Monte Carlo in affine
//! coordinates x = m + L z that are chosen anew for each round from the chains themselves,
//!
//! L L^T = A # B = A^1/2 (A^-1/2 B A^-1/2)^1/2 A^1/2,  A = cov(x),  B = cov(grad E)^-1,
//!
//! over the half of the chains with the lowest energies, m their mean. For a Gaussian target grad E = H (x - m), so that
//! A # B = H^-1 wherever the chains are: they need not have arrived. (The metric of least Fisher divergence; Seyboldt,
//! Carlson and Carpenter 2026, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence".) Groups of
//! chains of about the same start have step sizes of their own.

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::parallel::Tasks;
use engine::rng::Stream;
use faer::{Mat, Side};
use rayon::prelude::*;

use super::hmc::{Density, States, adapted};
use crate::sampler::consistent;
use crate::target::{Affine, Target, TargetError, Whitened};

/// Chains of a group, which have one step size.
const GROUP: usize = 16;
/// Chains at least and at most; between, four for each dimension.
const CHAINS: [usize; 2] = [64, 1024];
/// Decimal logarithms of the least and largest width of starts.
const WIDTHS: [f64; 2] = [-2.0, 2.0];
/// Rounds.
pub(crate) const ROUNDS: u64 = 14;
/// Trajectories in a round.
const TRAJECTORIES: usize = 12;
/// Leapfrog steps of a trajectory at most; at least half as many.
const LEAPFROG: usize = 10;
/// First step size in the coordinates of a round, while coordinates still change much.
const STEP: f64 = 0.3;
const SETTLING: u64 = 4;
/// Rate of the adaptation of step sizes.
const ADAPTATION: f64 = 1.0;
/// Largest dimension in which coordinates are correlated.
const DENSE: usize = 256;
/// The least share by which correlations are made smaller.
const SHRINKAGE: f64 = 0.02;

/// The ensemble.
pub(crate) struct Pilot {
    seed: u64,
    affine: Affine,
    /// Groups of chains, in the coordinates.
    groups: Vec<States<f64>>,
    steps: Vec<f64>,
    round: u64,
    pub evaluations: u64,
}

impl Pilot {
    /// Chains at their starts.
    ///
    /// # Errors
    /// If the target cannot be evaluated.
    pub fn start(target: &dyn Target<f64>, seed: u64) -> Result<Self, TargetError> {
        let d = target.dim();
        let chains = (4 * d).clamp(CHAINS[0], CHAINS[1]).next_multiple_of(GROUP);
        let mut stream = Stream::new(seed, "pilot starts", 0, 0);
        let mut groups = Vec::new();
        for first in (0..chains).step_by(GROUP) {
            let mut states = States::zeros(GROUP, d);
            stream.fill_normal(&mut states.x);
            for l in 0..GROUP {
                let share = (first + l) as f64 / (chains - 1) as f64;
                let width = 10f64.powf(WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share);
                states.x.iter_mut().skip(l).step_by(GROUP).for_each(|x| *x *= width);
            }
            states.evaluate(target)?;
            groups.push(states);
        }
        let steps = vec![STEP; groups.len()];
        Ok(Self { seed, affine: Affine::identity(d), groups, steps, round: 0, evaluations: chains as u64 })
    }

    /// Rounds done.
    pub fn done(&self) -> u64 {
        self.round
    }

    /// Rounds in all.
    pub fn total(&self) -> u64 {
        ROUNDS
    }

    /// One round: new coordinates, and trajectories in them.
    ///
    /// # Errors
    /// If the target cannot be evaluated, or no chain has a state of finite energy.
    pub fn advance(&mut self, target: &dyn Target<f64>) -> Result<(), TargetError> {
        TargetError::unless_inside(
            self.log_p().into_iter(),
            "starts of chains",
            "their widths go from 0.01 to 100 about the origin; give network.sigma_data, or shift the energy's origin",
        )?;
        self.rescue();
        self.choose_coordinates();
        let own = Whitened::new(target, self.affine.clone(), 0.0);
        if self.round < SETTLING {
            self.steps.fill(STEP);
        }
        let (seed, round, count) = (self.seed, self.round, self.groups.len());
        let moved: Vec<Result<u64, TargetError>> =
            self.groups.par_iter_mut().zip(&mut self.steps).tasks(|g, (states, step)| {
                let mut stream = Stream::new(seed, "pilot moves", round, (count + g) as u64);
                states.evaluate(&own)?;
                let mut evaluations = 1;
                for _ in 0..TRAJECTORIES {
                    let size = *step * (0.8 + 0.4 * stream.uniform());
                    let leapfrog = LEAPFROG / 2 + stream.index(LEAPFROG / 2 + 1);
                    let density = Density { target: &own, tempering: None };
                    states.trajectory(density, size, leapfrog, &mut stream)?;
                    let mean = states.acceptance.iter().sum::<f64>() / states.n as f64;
                    *step = adapted(*step, mean, ADAPTATION);
                    evaluations += leapfrog;
                }
                Ok((evaluations * states.n) as u64)
            });
        for part in moved {
            self.evaluations += part?;
        }
        self.round += 1;
        Ok(())
    }

    /// -E of the chains, up to a constant.
    pub fn log_p(&self) -> Vec<f64> {
        self.groups.iter().flat_map(|s| &s.log_p).copied().collect()
    }

    /// The states (columns) of all chains but those that have not arrived, whose energy is beyond the upper quartile by
    /// five times the distance of the quartiles, and by 5; and the coordinates that whiten them.
    pub fn arrived(&self) -> Option<(Vec<f64>, Affine)> {
        let z = self.arrivals();
        let (center, covariance) = self.moments_of(&z)?;
        Some((self.affine.forward(&z), self.affine.of(&Affine::of_covariance(center, &covariance)?)))
    }

    /// Coordinates for a method that explores: those of the moves, in units of the largest width that the chains have in
    /// them in any direction. Chains that found few of many modes lie in a few directions only, and coordinates that
    /// whiten them would leave the others out.
    pub fn surroundings(&self) -> Option<Affine> {
        let (center, covariance) = self.moments_of(&self.arrivals())?;
        let largest = match self.affine.dim() > DENSE {
            true => (0..center.len()).map(|a| covariance[(a, a)]).fold(0.0, f64::max),
            false => covariance.self_adjoint_eigenvalues(Side::Lower).ok()?.into_iter().fold(0.0, f64::max),
        };
        let d = center.len();
        let isotropic = Mat::from_fn(d, d, |a, b| if a == b { largest } else { 0.0 });
        Some(self.affine.of(&Affine::of_covariance(center, &isotropic)?))
    }

    /// The states of the chains that have arrived, in the coordinates.
    fn arrivals(&self) -> Vec<f64> {
        let (z, log_p) = (self.columns(|s| &s.x), self.log_p());
        let mut e: Vec<f64> = log_p.iter().map(|l| -l).collect();
        e.sort_by(f64::total_cmp);
        let (low, high) = (e[e.len() / 4], e[3 * e.len() / 4]);
        let most = high + 5.0 * (high - low) + 5.0;
        z.chunks_exact(self.affine.dim())
            .zip(&log_p)
            .filter(|(_, l)| -**l <= most)
            .flat_map(|(z, _)| z.iter().copied())
            .collect()
    }

    fn moments_of(&self, z: &[f64]) -> Option<(Vec<f64>, Mat<f64>)> {
        let d = self.affine.dim();
        let (center, covariance) = moments(z, d)?;
        Some((center, shrunk(covariance, z.len() / d, DENSE)))
    }

    fn columns(&self, part: fn(&States<f64>) -> &[f64]) -> Vec<f64> {
        let column = |s: &States<f64>, l: usize| -> Vec<f64> {
            part(s).iter().skip(l).step_by(s.n).copied().collect()
        };
        self.groups.iter().flat_map(|s| (0..s.n).flat_map(move |l| column(s, l))).collect()
    }

    /// Puts chains outside the support onto others.
    fn rescue(&mut self) {
        let inside: Vec<Vec<f64>> = self
            .groups
            .iter()
            .flat_map(|s| (0..s.n).filter(|l| s.log_p[*l].is_finite()).map(|l| s.state(l).collect()))
            .collect();
        let mut next = 0;
        for states in &mut self.groups {
            for l in 0..states.n {
                if !states.log_p[l].is_finite() {
                    let from = &inside[next % inside.len()];
                    (0..from.len()).for_each(|a| states.x[a * states.n + l] = from[a]);
                    next += 1;
                }
            }
        }
    }

    /// The metric of the chains of low energy; chains are put into the new coordinates.
    fn choose_coordinates(&mut self) {
        let d = self.affine.dim();
        let (z, score) = (self.columns(|s| &s.x), self.columns(|s| &s.score));
        let log_p = self.log_p();
        let mut order: Vec<usize> = (0..log_p.len()).collect();
        order.sort_by(|a, b| log_p[*b].total_cmp(&log_p[*a]));
        order.truncate(log_p.len() / 2);
        let of = |columns: &[f64]| -> Vec<f64> {
            order.iter().flat_map(|l| &columns[l * d..(l + 1) * d]).copied().collect()
        };
        let dense = if self.round == 0 { 0 } else { DENSE };
        let inner = moments(&of(&z), d).zip(moments(&of(&score), d)).and_then(|((center, x), (_, g))| {
            let n = order.len();
            let metric = geometric_mean(&shrunk(x, n, dense), &shrunk(g, n, dense))?;
            Affine::of_covariance(center, &metric)
        });
        let Some(inner) = inner else { return };
        let whole = self.affine.of(&inner);
        if Affine::from_parts(whole.parts().0.to_vec(), whole.parts().1.to_vec()).is_none() {
            return;
        }
        let z = inner.inverse(&z);
        for (g, states) in self.groups.iter_mut().enumerate() {
            for l in 0..states.n {
                let from = &z[(g * GROUP + l) * d..][..d];
                (0..d).for_each(|a| states.x[a * states.n + l] = from[a]);
            }
        }
        self.affine = whole;
    }

    /// The state.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut c = Checkpoint::new();
        c.put_vec("pilot.x", &self.columns(|s| &s.x));
        c.put_vec("pilot.score", &self.columns(|s| &s.score));
        c.put_vec("pilot.log_p", &self.log_p());
        c.put_vec("pilot.steps", &self.steps);
        let (center, factor) = self.affine.parts();
        c.put_vec("pilot.center", center);
        c.put_vec("pilot.factor", factor);
        c.note("pilot.round", self.round);
        c.note("pilot.evaluations", self.evaluations);
        c
    }

    /// Restores a saved state.
    pub fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        let (d, n) = (self.affine.dim(), self.groups.len() * GROUP);
        let (x, score) = (c.get_vec::<f64>("pilot.x", n * d)?, c.get_vec::<f64>("pilot.score", n * d)?);
        let log_p = c.get_vec::<f64>("pilot.log_p", n)?;
        for (g, states) in self.groups.iter_mut().enumerate() {
            for l in 0..GROUP {
                let column = (g * GROUP + l) * d;
                for a in 0..d {
                    (states.x[a * GROUP + l], states.score[a * GROUP + l]) =
                        (x[column + a], score[column + a]);
                }
                states.log_p[l] = log_p[g * GROUP + l];
            }
        }
        self.steps = c.get_vec("pilot.steps", self.groups.len())?;
        let (center, factor) = (c.get_vec("pilot.center", d)?, c.get_vec("pilot.factor", d * d)?);
        self.round = c.read_note("pilot.round")?;
        self.evaluations = c.read_note("pilot.evaluations")?;
        consistent(&[
            (self.round <= ROUNDS, format!("the pilot is at round {} of {ROUNDS}", self.round)),
            (
                self.steps.iter().all(|s| s.is_finite() && *s > 0.0),
                "pilot.steps has a step that is none".into(),
            ),
        ])?;
        self.affine = Affine::from_parts(center, factor)
            .ok_or_else(|| CheckpointError::Contradiction("pilot.factor is no factor".into()))?;
        Ok(())
    }
}

/// Mean and covariance of columns; None if they are not finite.
fn moments(x: &[f64], dim: usize) -> Option<(Vec<f64>, Mat<f64>)> {
    let n = x.len() / dim;
    let mut mean = vec![0.0; dim];
    for x in x.chunks_exact(dim) {
        mean.iter_mut().zip(x).for_each(|(m, x)| *m += x / n as f64);
    }
    let centred = Mat::from_fn(dim, n, |a, l| (x[l * dim + a] - mean[a]) / (n as f64).sqrt());
    let covariance = &centred * centred.transpose();
    covariance.is_all_finite().then_some((mean, covariance))
}

/// The covariance of `n` states with its correlations r smaller, by the share lambda of least error in the mean square,
///
/// lambda = sum_{a != b} Var(r_ab) / sum_{a != b} r_ab^2,  Var(r) = (1 - r^2)^2 / n
///
/// (Schaefer and Strimmer 2005, "A shrinkage approach to large-scale covariance matrix estimation"): all of them where
/// they are noise. Only its diagonal in more than `dense` dimensions.
fn shrunk(covariance: Mat<f64>, n: usize, dense: usize) -> Mat<f64> {
    let dim = covariance.nrows();
    let (mut noise, mut squares) = (0.0, 0.0);
    for (a, b) in (0..dim).flat_map(|a| (0..a).map(move |b| (a, b))) {
        let square = covariance[(a, b)].powi(2) / (covariance[(a, a)] * covariance[(b, b)]);
        noise += (1.0 - square).powi(2) / n as f64;
        squares += square;
    }
    let share = if noise < squares { (noise / squares).max(SHRINKAGE) } else { 1.0 };
    let keep = if dim > dense { 0.0 } else { 1.0 - share };
    Mat::from_fn(dim, dim, |a, b| if a == b { covariance[(a, a)] } else { keep * covariance[(a, b)] })
}

/// a # g^-1 of two covariances; None if one is not positive.
fn geometric_mean(a: &Mat<f64>, g: &Mat<f64>) -> Option<Mat<f64>> {
    // With equal diagonals, by the scales that the variances alone give; in many dimensions these are the metric.
    let dim = a.nrows();
    let scales: Vec<f64> = (0..dim).map(|k| (a[(k, k)] / g[(k, k)]).powf(0.25)).collect();
    if !scales.iter().all(|s| s.is_finite() && *s > 0.0) {
        return None;
    }
    if dim > DENSE {
        return Some(Mat::from_fn(dim, dim, |i, j| if i == j { scales[i].powi(2) } else { 0.0 }));
    }
    let a = Mat::from_fn(dim, dim, |i, j| a[(i, j)] / (scales[i] * scales[j]));
    let g = Mat::from_fn(dim, dim, |i, j| g[(i, j)] * scales[i] * scales[j]);
    // a # b = g^-1/2 (g^1/2 a g^1/2)^1/2 g^-1/2 for b = g^-1.
    let (root, inverse) = (power(&g, 0.5)?, power(&g, -0.5)?);
    let middle = power(&(&root * &a * &root), 0.5)?;
    let mean = &inverse * &middle * &inverse;
    Some(Mat::from_fn(dim, dim, |i, j| 0.5 * (mean[(i, j)] + mean[(j, i)]) * scales[i] * scales[j]))
}

/// A power of a positive symmetric matrix; eigenvalues below 1e-12 of the largest count as that.
fn power(m: &Mat<f64>, exponent: f64) -> Option<Mat<f64>> {
    let eigen = m.self_adjoint_eigen(Side::Lower).ok()?;
    let (u, s) = (eigen.U(), eigen.S().column_vector());
    let most = s.iter().copied().fold(0.0, f64::max);
    if !(most.is_finite() && most > 0.0) {
        return None;
    }
    let scaled = Mat::from_fn(m.nrows(), m.nrows(), |i, k| u[(i, k)] * s[k].max(1e-12 * most).powf(exponent));
    Some(&scaled * u.transpose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Mixture, Pointwise};

    /// Variances of coordinates that whiten what a pilot found, in the coordinates of the truth.
    fn found(target: &dyn Target<f64>, truth: &Affine) -> (Vec<f64>, Vec<f64>) {
        let mut pilot = Pilot::start(target, 1).unwrap();
        while pilot.done() < pilot.total() {
            pilot.advance(target).unwrap();
        }
        let d = truth.dim();
        let (center, covariance) =
            moments(&truth.inverse(&pilot.affine.forward(&pilot.columns(|s| &s.x))), d).unwrap();
        assert!(pilot.arrived().is_some());
        (center, (0..d).map(|a| covariance[(a, a)]).collect())
    }

    #[test]
    fn a_narrow_and_long_gaussian_far_from_the_origin_is_found() {
        // Widths 1e-3 and 1e3, correlated, 1000 from the origin.
        let truth =
            Affine::from_parts(vec![1e3, -5.0, 20.0], vec![1e-3, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0, -300.0, 1e3])
                .unwrap();
        let inner = Mixture::new(3, vec![0.0; 3], vec![1.0], vec![1.0]).unwrap();
        let to = truth.clone();
        let target = Pointwise::new(3, move |x: &[f64], g: &mut [f64]| {
            let z = to.inverse(x);
            let mut log_p = [0.0];
            let mut score = vec![0.0; 3];
            Target::<f64>::evaluate(&inner, &z, &mut log_p, &mut score).unwrap();
            // grad E in x = L^-T z, by back substitution.
            let l = to.parts().1;
            for a in (0..3).rev() {
                let known: f64 = (a + 1..3).map(|b| l[b * 3 + a] * g[b]).sum();
                g[a] = (-score[a] - known) / l[a * 3 + a];
            }
            -log_p[0]
        });
        let (center, variances) = found(&target, &truth);
        // 64 chains: five standard errors.
        for a in 0..3 {
            assert!(center[a].abs() < 5.0 / 8.0, "{center:?}");
            assert!((variances[a] - 1.0).abs() < 5.0 * (2.0f64 / 64.0).sqrt(), "{variances:?}");
        }
    }

    #[test]
    fn the_geometric_mean_is_that_of_commuting_matrices_and_of_affine_maps() {
        let a = Mat::from_fn(2, 2, |i, j| if i == j { [4.0, 9.0][i] } else { 0.0 });
        let g = Mat::from_fn(2, 2, |i, j| if i == j { [0.25, 1.0][i] } else { 0.0 });
        let mean = geometric_mean(&a, &g).unwrap();
        assert!((mean[(0, 0)] - 4.0).abs() < 1e-12 && (mean[(1, 1)] - 3.0).abs() < 1e-12, "{mean:?}");
        // x = T y: covariances T a T^t and T^-t g T^-1.
        let t = Mat::from_fn(2, 2, |i, j| [[2.0, 0.0], [5.0, 0.1]][i][j]);
        let inverse = Mat::from_fn(2, 2, |i, j| [[0.5, 0.0], [-25.0, 10.0]][i][j]);
        let moved =
            geometric_mean(&(&t * &a * t.transpose()), &(inverse.transpose() * &g * &inverse)).unwrap();
        let want = &t * &mean * t.transpose();
        assert!(
            (0..4).all(|k| (moved[(k / 2, k % 2)] / want[(k / 2, k % 2)] - 1.0).abs() < 1e-8),
            "{moved:?}"
        );
    }
}
