//! Mixtures of isotropic Gaussians in any dimension.

use std::sync::Arc;

use engine::Real;
use engine::rng::Stream;
use thiserror::Error;

use super::book::{At, Page};
use super::mixture_kernel::{Component, log_density_block};
use super::registry::{AnyTarget, Entry, Parameter, TargetConfig};
use super::{Geometry, Target, TargetError};
use crate::metrics::Modes;

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "gmm40",
        about: "40 Gaussians in the plane, the benchmark of fab-torch",
        parameters: &[],
        scales: |_| box_scales(40.0),
        build: |_| Ok(Arc::new(Mixture::gmm40())),
        page: Page {
            log_z: Some((0.0, 0.0)),
            how: "exact",
            values: &[(At::All(0.0), -23.316_347_944), (At::All(10.0), -22.196_023_425)],
            source: "Midgley et al. 2023, the means of fab-torch",
            traps: &["means drawn by a framework change with its version: these are a list in the source"],
        },
    },
    planar("gmm60", "60 Gaussians in the plane, at random means", |c| equal(60, c)),
    planar("gmm80", "80 Gaussians in the plane, at random means", |c| equal(80, c)),
    planar("gmm100", "100 Gaussians in the plane, at random means", |c| equal(100, c)),
    planar("gmm120", "120 Gaussians in the plane, at random means", |c| equal(120, c)),
    Entry {
        name: "gmm-w",
        about: "gmm40 with unequal weights",
        parameters: &[SEED],
        scales: |_| box_scales(40.0),
        build: |c| Ok(Arc::new(Mixture::gmm_w(c.seed("seed")))),
        page: Page {
            log_z: Some((0.0, 0.0)),
            how: "exact",
            values: &[],
            source: "the means of gmm40, weights drawn by this program from a seed",
            traps: &[],
        },
    },
    Entry {
        name: "gmm-d",
        about: "40 Gaussians with unequal weights in any dimension, at random means",
        parameters: &[
            ("dim", Parameter::Integer(10), [1.0, 1000.0]),
            ("spread", Parameter::Real(10.0), SPREADS),
            SEED,
        ],
        scales: |c| box_scales(c.real("spread")),
        build: |c| {
            let (dim, spread, seed) = (c.count("dim"), c.real("spread"), c.seed("seed"));
            random(40, dim, spread, true, seed)
        },
        page: Page {
            log_z: Some((0.0, 0.0)),
            how: "exact",
            values: &[],
            source: "means and weights drawn by this program from a seed",
            traps: &["with few of the modes every figure but their number can look right"],
        },
    },
];

/// Half the width of the box of random means.
const SPREADS: [f64; 2] = [1e-6, 1e6];
/// Seed of random means and weights: a part of the target, not of the run.
const SEED: (&str, Parameter, [f64; 2]) = ("seed", Parameter::Integer(0), [0.0, 9.3e18]);

type Build = fn(&TargetConfig) -> Result<Arc<dyn AnyTarget>, TargetError>;

const fn planar(name: &'static str, about: &'static str, build: Build) -> Entry {
    const PARAMETERS: &[(&str, Parameter, [f64; 2])] = &[("spread", Parameter::Real(40.0), SPREADS), SEED];
    let page = Page {
        log_z: Some((0.0, 0.0)),
        how: "exact",
        values: &[],
        source: "means drawn by this program from a seed",
        traps: &[],
    };
    Entry { name, about, parameters: PARAMETERS, scales: |c| box_scales(c.real("spread")), build, page }
}

/// Means uniform in the box and components of width s have the root mean square sqrt(spread^2 / 3 + s^2) in each
/// coordinate; somewhat wider where the box is large (spread > 3 s).
fn box_scales(spread: f64) -> Option<[f64; 2]> {
    let rms = (spread / 3f64.sqrt()).hypot(GMM_SCALE);
    Some([rms.max(spread / 1.5).min(1e6), GMM_SCALE])
}

fn equal(components: usize, c: &TargetConfig) -> Result<Arc<dyn AnyTarget>, TargetError> {
    random(components, 2, c.real("spread"), false, c.seed("seed"))
}

fn random(
    components: usize,
    dim: usize,
    spread: f64,
    unequal: bool,
    seed: u64,
) -> Result<Arc<dyn AnyTarget>, TargetError> {
    let mixture = Mixture::random(components, dim, spread, GMM_SCALE, unequal, seed);
    Ok(Arc::new(mixture.map_err(|e| TargetError::Parameter(e.to_string()))?))
}

/// Why a mixture cannot be built.
#[derive(Debug, Error, PartialEq)]
pub enum MixtureError {
    /// Lengths differ.
    #[error(
        "a mixture of {components} components in {dim} dimensions needs {wanted} mean coordinates, got {got}"
    )]
    Means {
        /// Number of components.
        components: usize,
        /// Dimension.
        dim: usize,
        /// components * dim.
        wanted: usize,
        /// What was given.
        got: usize,
    },
    /// Not a positive finite number.
    #[error("component {0}: its scale and weight must be positive and its mean finite")]
    Component(usize),
    /// No component.
    #[error("a mixture needs at least one component and one dimension")]
    Empty,
}

/// A normalised mixture of isotropic Gaussians, E = -log pi, Z = 1:
///
/// pi(x) = sum_j w_j N(x; m_j, s_j^2 I).
///
/// Noised by N(0, sigma^2 I) it is the mixture with s_j^2 + sigma^2 in place of s_j^2: p_t and its score are known
/// exactly.
#[derive(Clone, Debug)]
pub struct Mixture {
    dim: usize,
    means: Vec<f64>,
    scales: Vec<f64>,
    weights: Vec<f64>,
    /// 1 / s_j^2.
    inv_variances: Vec<f64>,
    /// log w_j - (d / 2) log(2 pi s_j^2).
    log_norms: Vec<f64>,
}

/// Scale of each component of `gmm40` and its relatives: softplus(1), as in fab-torch.
pub const GMM_SCALE: f64 = 1.313_261_628_150_94;

/// The 40 means of the benchmark mixture of fab-torch (Midgley et al. 2023; `loc_scaling` 40, seed 0).
const GMM40_MEANS: [[f64; 2]; 40] = [
    [-0.299472809, 21.4577446],
    [-32.9218063, -29.437561],
    [-15.4061747, 10.7262945],
    [-0.792527199, 31.71558],
    [-3.54976177, 10.5845022],
    [-12.0885229, -7.86261559],
    [-38.2139397, -26.4912834],
    [-16.488924, 1.48174286],
    [15.8134079, 24.0009117],
    [-27.1176434, -17.4185143],
    [14.5286846, 33.215519],
    [-8.23200703, 29.9324703],
    [-6.44733429, 4.23256397],
    [36.2190475, -37.1068153],
    [-25.1815186, -10.1266098],
    [-15.5919981, 34.5600319],
    [-25.9271851, -18.4133148],
    [-27.9456177, -37.4624405],
    [-23.3496189, 34.3839226],
    [17.8487358, 19.3869019],
    [2.10366249, -20.5073395],
    [6.76738739, -37.3477898],
    [-28.9026489, -20.6212006],
    [25.2375183, 23.4528503],
    [-17.7398014, -1.44329548],
    [25.582428, 39.7653236],
    [15.8752871, 5.40371418],
    [26.8194542, -23.5520935],
    [7.4537611, -31.0122204],
    [-27.7234459, -20.6633415],
    [18.0989227, 16.0864162],
    [-23.6940994, 12.0842838],
    [21.9588814, -5.04869461],
    [1.52726173, 9.26818848],
    [24.8150635, 38.4077644],
    [-30.8249435, -14.6587896],
    [15.720396, 33.1419754],
    [34.8082924, 35.2942696],
    [7.96058178, -34.7833061],
    [3.6796999, -25.0242138],
];

impl Mixture {
    /// A mixture of `weights.len()` components; `means` has one column of length `dim` for each. Weights are
    /// normalised.
    ///
    /// # Errors
    /// If lengths differ, a scale or weight is not positive, a mean is not finite, or there is no component.
    pub fn new(
        dim: usize,
        means: Vec<f64>,
        scales: Vec<f64>,
        weights: Vec<f64>,
    ) -> Result<Self, MixtureError> {
        check(dim, &means, &scales, &weights)?;
        let total: f64 = weights.iter().sum();
        Ok(Self::assemble(dim, means, scales, weights.iter().map(|w| w / total).collect()))
    }

    fn assemble(dim: usize, means: Vec<f64>, scales: Vec<f64>, weights: Vec<f64>) -> Self {
        let inv_variances = scales.iter().map(|s| 1.0 / (s * s)).collect();
        let log_norm =
            |(s, w): (&f64, &f64)| w.ln() - 0.5 * dim as f64 * (std::f64::consts::TAU * s * s).ln();
        let log_norms = scales.iter().zip(&weights).map(log_norm).collect();
        Self { dim, means, scales, weights, inv_variances, log_norms }
    }

    /// gmm40: 40 equal components in the plane.
    pub fn gmm40() -> Self {
        let means = GMM40_MEANS.as_flattened().to_vec();
        Self::assemble(2, means, vec![GMM_SCALE; 40], vec![1.0 / 40.0; 40])
    }

    /// gmm-w: gmm40 with weights from Dirichlet(1, ..., 1), seeded.
    pub fn gmm_w(seed: u64) -> Self {
        Self::assemble(2, GMM40_MEANS.as_flattened().to_vec(), vec![GMM_SCALE; 40], dirichlet(40, seed))
    }

    /// `components` Gaussians with means uniform in [-spread, spread]^dim, seeded; equal weights, or
    /// Dirichlet(1) if `unequal`.
    ///
    /// # Errors
    /// If there is no component or no dimension, `spread` is not finite, or `scale` is not positive.
    pub fn random(
        components: usize,
        dim: usize,
        spread: f64,
        scale: f64,
        unequal: bool,
        seed: u64,
    ) -> Result<Self, MixtureError> {
        let mut means = vec![0.0; components * dim];
        Stream::new(seed, "mixture means", 0, 0).fill_uniform(&mut means);
        means.iter_mut().for_each(|m| *m = (2.0 * *m - 1.0) * spread);
        let weights =
            if unequal { dirichlet(components, seed) } else { vec![1.0 / components as f64; components] };
        let scales = vec![scale; components];
        check(dim, &means, &scales, &weights)?;
        Ok(Self::assemble(dim, means, scales, weights))
    }

    /// The mixture noised by N(0, sigma^2 I): density p_t and its exact score.
    pub fn noised(&self, sigma: f64) -> Self {
        let scales = self.scales.iter().map(|s| s.hypot(sigma)).collect();
        Self::assemble(self.dim, self.means.clone(), scales, self.weights.clone())
    }

    /// The marginal distribution of the first two coordinates.
    pub fn first_plane(&self) -> Self {
        let means = self.means.chunks_exact(self.dim).flat_map(|m| [m[0], m.get(1).copied().unwrap_or(0.0)]);
        Self::assemble(2, means.collect(), self.scales.clone(), self.weights.clone())
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.weights.len()
    }
    /// Means, one column for each component.
    pub fn means(&self) -> &[f64] {
        &self.means
    }
    /// Standard deviations along each axis.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }
    /// Weights, which sum to 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn kernel_components<T: Real>(&self) -> impl Iterator<Item = Component<'_, T>> + Clone {
        self.means
            .chunks_exact(self.dim)
            .zip(&self.inv_variances)
            .zip(&self.log_norms)
            .map(|((mean, v), c)| Component { mean, inv_variance: T::of(*v), log_norm: T::of(*c) })
    }
}

/// Whether lengths agree and values are in their ranges.
fn check(dim: usize, means: &[f64], scales: &[f64], weights: &[f64]) -> Result<(), MixtureError> {
    let components = weights.len();
    if components == 0 || dim == 0 {
        return Err(MixtureError::Empty);
    }
    if means.len() != components * dim || scales.len() != components {
        return Err(MixtureError::Means { components, dim, wanted: components * dim, got: means.len() });
    }
    let good = |x: f64| x > 0.0 && x.is_finite();
    let sound = |j: usize| {
        good(scales[j]) && good(weights[j]) && means[j * dim..(j + 1) * dim].iter().all(|m| m.is_finite())
    };
    (0..components).find(|j| !sound(*j)).map_or(Ok(()), |j| Err(MixtureError::Component(j)))
}

/// Weights from Dirichlet(1, ..., 1): normalised exponential numbers.
fn dirichlet(n: usize, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, "mixture weights", 0, 0);
    let draws: Vec<f64> = (0..n).map(|_| -stream.uniform().ln()).collect();
    let total: f64 = draws.iter().sum();
    draws.iter().map(|e| e / total).collect()
}

impl<T: Real> Target<T> for Mixture {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.dim)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        log_density_block(self.dim, n, self.kernel_components(), x, log_p, score, scratch);
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        Some(0.0)
    }

    fn sample(&self, stream: &mut Stream, out: &mut [T]) -> bool {
        let mut cumulative = self.weights.clone();
        (1..cumulative.len()).for_each(|j| cumulative[j] += cumulative[j - 1]);
        let chosen: Vec<usize> = (0..out.len() / self.dim)
            .map(|_| {
                let u = stream.uniform();
                cumulative.partition_point(|c| *c < u).min(self.components() - 1)
            })
            .collect();
        stream.fill_normal(out);
        for (x, j) in out.chunks_exact_mut(self.dim).zip(chosen) {
            for (x, m) in x.iter_mut().zip(&self.means[j * self.dim..]) {
                *x = x.mul_add(T::of(self.scales[j]), T::of(*m));
            }
        }
        true
    }

    fn modes(&self) -> Option<Modes<'_>> {
        Some(Modes { d: self.dim, means: &self.means, scales: &self.scales, weights: &self.weights })
    }

    fn first_plane(&self) -> Option<Box<dyn Target<T>>> {
        Some(Box::new(Self::first_plane(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_a_mixture_includes_the_width_of_its_components() {
        for spread in [0.1, 1.0, 5.0, 40.0] {
            let target = Mixture::random(4000, 1, spread, GMM_SCALE, false, 0).unwrap();
            let square = target.means().iter().map(|m| m * m).sum::<f64>() / 4000.0 + GMM_SCALE.powi(2);
            let ratio = box_scales(spread).unwrap()[0] / square.sqrt();
            assert!((0.97..1.2).contains(&ratio), "{spread}: {ratio}");
        }
        // As networks that ship and results that are published were made with.
        assert_eq!(box_scales(10.0), Some([10.0 / 1.5, GMM_SCALE]));
    }

    #[test]
    fn one_component_is_a_gaussian() {
        let g = Mixture::new(2, vec![1.0, -2.0], vec![2.0], vec![5.0]).unwrap();
        let (mut log_p, mut score) = ([0.0], [0.0; 2]);
        g.evaluate(&[3.0, 0.0], &mut log_p, &mut score).unwrap();
        // -|x - m|^2 / 2 s^2 - log(2 pi s^2) = -8/8 - log(8 pi)
        assert!((log_p[0] - (-1.0 - (8.0 * std::f64::consts::PI).ln())).abs() < 1e-14);
        assert_eq!(score, [-0.5, -0.5]);
    }

    #[test]
    fn bad_mixtures_are_refused() {
        assert_eq!(Mixture::new(2, vec![], vec![], vec![]).unwrap_err(), MixtureError::Empty);
        let wrong = Mixture::new(1, vec![0.0, 1.0], vec![1.0, -1.0], vec![0.5, 0.5]).unwrap_err();
        assert_eq!(wrong, MixtureError::Component(1));
        assert!(matches!(Mixture::new(2, vec![0.0], vec![1.0], vec![1.0]), Err(MixtureError::Means { .. })));
    }

    #[test]
    fn exact_samples_have_the_weights_and_the_moments() {
        let target = Mixture::gmm_w(0);
        const N: usize = 40_000;
        let mut x = vec![0.0_f64; 2 * N];
        assert!(Target::<f64>::sample(&target, &mut Stream::new(1, "test", 0, 0), &mut x));
        let square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let modes = target.means().chunks_exact(2).zip(target.scales()).zip(target.weights());
        let want: f64 = modes.map(|((m, s), w)| w * (0.5 * (m[0] * m[0] + m[1] * m[1]) + s * s)).sum();
        assert!((square / want - 1.0).abs() < 0.02);
        // The mean of log p over exact samples is minus the entropy; for gmm40 about -6.861.
        let target = Mixture::gmm40();
        Target::<f64>::sample(&target, &mut Stream::new(1, "test", 0, 0), &mut x);
        let mut log_p = vec![0.0; N];
        target.evaluate(&x, &mut log_p, &mut []).unwrap();
        let entropy = -log_p.iter().sum::<f64>() / N as f64;
        assert!((entropy - 6.861).abs() < 0.02, "{entropy}");
    }
}
