//! Targets in other coordinates: x = m + L z.

use engine::Real;
use faer::linalg::solvers::Llt;
use faer::{Mat, Side};

use super::{Geometry, Target, TargetError};

/// States per dimension from which correlations are estimated; of fewer, only variances.
const STATES: usize = 20;
/// Standard errors that a correlation must exceed to count.
const ERRORS: f64 = 4.5;
/// Widths from the centre beyond which a whitened target has no density: there an energy may overflow, where only
/// trajectories of much too long steps come.
const BEYOND: f64 = 1e12;

/// Affine coordinates z of R^d: x = m + L z, L lower triangular with a positive diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    center: Vec<f64>,
    /// L, row by row.
    factor: Vec<f64>,
}

impl Affine {
    /// x = z.
    pub fn identity(dim: usize) -> Self {
        let mut factor = vec![0.0; dim * dim];
        (0..dim).for_each(|a| factor[a * dim + a] = 1.0);
        Self { center: vec![0.0; dim], factor }
    }

    /// Whether `n` states are enough to tell correlations.
    pub(crate) fn knows_correlations(n: usize, dim: usize) -> bool {
        n >= STATES * dim
    }

    /// Coordinates in which `states` (columns of length `dim`) have mean 0 and covariance I. Correlations that could be
    /// noise are taken for 0, all of them where there are less than 20 states a dimension. None where a coordinate does
    /// not vary, or is not finite.
    pub fn whitening(states: &[f64], dim: usize) -> Option<Self> {
        let n = states.len() / dim;
        let mut center = vec![0.0; dim];
        for x in states.chunks_exact(dim) {
            center.iter_mut().zip(x).for_each(|(m, x)| *m += x / n as f64);
        }
        let centred = Mat::from_fn(dim, n, |a, l| states[l * dim + a] - center[a]);
        let variance = |a: usize| centred.row(a).squared_norm_l2() / n as f64;
        let scales: Vec<f64> = (0..dim).map(|a| variance(a).sqrt()).collect();
        if !scales.iter().all(|s| s.is_finite() && *s > 0.0) {
            return None;
        }
        let mut correlations = Mat::<f64>::identity(dim, dim);
        if Self::knows_correlations(n, dim) {
            let scaled = Mat::from_fn(dim, n, |a, l| centred[(a, l)] / scales[a]);
            let whole = &scaled * scaled.transpose();
            let least = ERRORS / (n as f64).sqrt();
            let of = |a: usize, b: usize, least: f64| match whole[(a, b)] / n as f64 {
                _ if a == b => 1.0,
                r if r.abs() < least => 0.0,
                r => r,
            };
            correlations = Mat::from_fn(dim, dim, |a, b| of(a, b, least));
            if correlations.llt(Side::Lower).is_err() {
                // Without the small ones it may be no correlation matrix.
                correlations = Mat::from_fn(dim, dim, |a, b| of(a, b, 0.0));
            }
        }
        let covariance = Mat::from_fn(dim, dim, |a, b| correlations[(a, b)] * scales[a] * scales[b]);
        Self::of_covariance(center, &covariance)
    }

    /// Coordinates in which that mean and covariance are 0 and I; None if it is no covariance.
    pub(crate) fn of_covariance(center: Vec<f64>, covariance: &Mat<f64>) -> Option<Self> {
        let dim = center.len();
        let scales: Vec<f64> = (0..dim).map(|a| covariance[(a, a)].sqrt()).collect();
        // Of coordinates of any scale, correlations have a well-conditioned diagonal.
        let correlations = Mat::from_fn(dim, dim, |a, b| covariance[(a, b)] / (scales[a] * scales[b]));
        let llt = Llt::new(correlations.as_ref(), Side::Lower).ok()?;
        let l = llt.L();
        let mut factor = vec![0.0; dim * dim];
        for a in 0..dim {
            (0..=a).for_each(|b| factor[a * dim + b] = scales[a] * l[(a, b)]);
        }
        Self::from_parts(center, factor)
    }

    /// From m and L; None unless L is lower triangular with a positive diagonal, and all is finite.
    pub fn from_parts(center: Vec<f64>, factor: Vec<f64>) -> Option<Self> {
        let dim = center.len();
        let sound = factor.len() == dim * dim
            && center.iter().chain(&factor).all(|v| v.is_finite())
            && (0..dim).all(|a| factor[a * dim + a] > 0.0)
            && (0..dim).all(|a| (a + 1..dim).all(|b| factor[a * dim + b] == 0.0));
        sound.then_some(Self { center, factor })
    }

    /// m and L, row by row.
    pub fn parts(&self) -> (&[f64], &[f64]) {
        (&self.center, &self.factor)
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.center.len()
    }

    /// log det L.
    pub fn log_volume(&self) -> f64 {
        (0..self.dim()).map(|a| self.factor[a * self.dim() + a].ln()).sum()
    }

    /// x = m + L z for each column.
    pub fn forward<T: Real>(&self, z: &[T]) -> Vec<f64> {
        let d = self.dim();
        let mut x = Vec::with_capacity(z.len());
        for z in z.chunks_exact(d) {
            for a in 0..d {
                let row = &self.factor[a * d..=a * d + a];
                x.push(self.center[a] + row.iter().zip(z).map(|(l, z)| l * z.f64()).sum::<f64>());
            }
        }
        x
    }

    /// z with m + L z = x for each column.
    pub fn inverse(&self, x: &[f64]) -> Vec<f64> {
        let d = self.dim();
        let mut out = Vec::with_capacity(x.len());
        for x in x.chunks_exact(d) {
            let at = out.len();
            for a in 0..d {
                let row = &self.factor[a * d..=a * d + a];
                let known: f64 = row.iter().zip(&out[at..]).map(|(l, z): (&f64, &f64)| l * z).sum();
                out.push((x[a] - self.center[a] - known) / row[a]);
            }
        }
        out
    }

    /// L^T s for each column: the score in z of a score in x.
    fn pull_back<T: Real>(&self, score: &[f64], out: &mut [T]) {
        let d = self.dim();
        for (score, out) in score.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            for (b, out) in out.iter_mut().enumerate() {
                *out = T::of((b..d).map(|a| self.factor[a * d + b] * score[a]).sum());
            }
        }
    }

    /// These coordinates of the coordinates `inner`: x = m + L (m' + L' z).
    #[must_use]
    pub fn of(&self, inner: &Self) -> Self {
        let d = self.dim();
        let mut factor = vec![0.0; d * d];
        for a in 0..d {
            for b in 0..=a {
                factor[a * d + b] = (b..=a).map(|c| self.factor[a * d + c] * inner.factor[c * d + b]).sum();
            }
        }
        Self { center: self.forward(&inner.center), factor }
    }
}

/// A target in affine coordinates, with log p(z) = log p(x) + log det L - `offset`: what is integrated over z is
/// exp(-offset) Z. Evaluated in double precision, whatever the precision of z: neither the distance from the origin nor
/// a constant in the energy costs digits.
pub struct Whitened<'t> {
    target: &'t dyn Target<f64>,
    affine: Affine,
    offset: f64,
}

impl<'t> Whitened<'t> {
    /// `target` in the coordinates `affine`.
    pub fn new(target: &'t dyn Target<f64>, affine: Affine, offset: f64) -> Self {
        Self { target, affine, offset }
    }

    fn scaled<T: Real>(&self, z: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
        let d = self.affine.dim();
        let mut x = self.affine.forward(z);
        let inside = |z: &[T]| z.iter().all(|z| z.f64().abs() < BEYOND);
        for (x, _) in x.chunks_exact_mut(d).zip(z.chunks_exact(d)).filter(|(_, z)| !inside(z)) {
            x.copy_from_slice(&self.affine.center);
        }
        let shift = self.affine.log_volume() - self.offset;
        let mut double = vec![0.0; log_p.len()];
        let mut slope = vec![0.0; if score.is_empty() { 0 } else { x.len() }];
        // Checked here, so that an error names the point in the target's coordinates.
        self.target.evaluate(&x, &mut double, &mut slope)?;
        for ((out, l), z) in log_p.iter_mut().zip(double).zip(z.chunks_exact(d)) {
            *out = if inside(z) { T::of(l + shift) } else { T::NEG_INFINITY };
        }
        self.affine.pull_back(&slope, score);
        Ok(())
    }
}

impl<T: Real> Target<T> for Whitened<'_> {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.affine.dim())
    }

    fn log_density_block(
        &self,
        n: usize,
        z: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let d = self.affine.dim();
        let columns: Vec<T> = (0..n * d).map(|k| z[k % d * n + k / d]).collect();
        let mut slope = vec![T::ZERO; n * d];
        self.scaled(&columns, log_p, &mut slope)?;
        slope.iter().enumerate().for_each(|(k, s)| score[k % d * n + k / d] = *s);
        Ok(())
    }

    fn log_density_batch(&self, z: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
        self.scaled(z, log_p, score)
    }

    fn log_z(&self) -> Option<f64> {
        self.target.log_z().map(|z| z - self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Mixture, Pointwise, check_gradient};
    use engine::rng::Stream;

    /// L of a correlated, anisotropic, off-centre law.
    fn affine() -> Affine {
        Affine::from_parts(vec![1e3, -5.0, 0.0], vec![1e-3, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0, -300.0, 1e3])
            .unwrap()
    }

    #[test]
    fn forward_and_inverse_undo_each_other_and_compose() {
        let mut z = vec![0.0; 12];
        Stream::new(1, "affine", 0, 0).fill_normal(&mut z);
        let (a, b) = (
            affine(),
            Affine::from_parts(vec![1.0; 3], vec![2.0, 0.0, 0.0, 1.0, 3.0, 0.0, 0.5, 0.0, 1.0]).unwrap(),
        );
        let close =
            |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-9 * (1.0 + y.abs()));
        assert!(close(&a.inverse(&a.forward(&z)), &z));
        assert!(close(&a.of(&b).forward(&z), &a.forward(&b.forward(&z))));
        assert!((a.of(&b).log_volume() - a.log_volume() - b.log_volume()).abs() < 1e-12);
    }

    #[test]
    fn whitened_states_have_unit_covariance_and_noise_is_no_correlation() {
        let (n, mut z) = (4000, vec![0.0; 3 * 4000]);
        Stream::new(2, "affine", 0, 0).fill_normal(&mut z);
        let found = Affine::whitening(&affine().forward(&z), 3).unwrap();
        let back = found.inverse(&affine().forward(&z));
        for a in 0..3 {
            let of = |k: usize| back.iter().skip(k).step_by(3);
            // Correlations that count as none leave as much as noise.
            let variance = of(a).map(|v| v * v).sum::<f64>() / n as f64;
            assert!((variance - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{variance}");
            for b in 0..a {
                let r = of(a).zip(of(b)).map(|(x, y)| x * y).sum::<f64>() / n as f64;
                assert!(r.abs() < ERRORS / (n as f64).sqrt(), "{a} {b}: {r}");
            }
        }
        let independent = Affine::whitening(&z, 3).unwrap();
        assert!(independent.parts().1.iter().enumerate().all(|(k, l)| (k % 4 == 0) == (*l != 0.0)));
        assert_eq!(Affine::whitening(&[1.0, 2.0, 1.0, 3.0], 2), None);
    }

    #[test]
    fn a_whitened_target_has_the_same_integral_without_its_constant() {
        let inner = affine();
        let target = Pointwise::new(3, move |x: &[f64], _: &mut [f64]| {
            1e8 + 0.5 * inner.inverse(x).iter().map(|z| z * z).sum::<f64>()
        });
        let log_z = 1.5 * std::f64::consts::TAU.ln() + affine().log_volume() - 1e8;
        let whitened = Whitened::new(&target, affine(), log_z);
        let normal = Mixture::new(3, vec![0.0; 3], vec![1.0], vec![1.0]).unwrap();
        let z = [0.5f32, -1.0, 2.0, 0.0, 0.1, -0.2];
        let (mut mine, mut theirs) = ([0f32; 2], [0f32; 2]);
        whitened.evaluate(&z, &mut mine, &mut []).unwrap();
        normal.evaluate(&z, &mut theirs, &mut []).unwrap();
        // 1e8 leaves eight digits of a double.
        assert!(mine.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{mine:?} {theirs:?}");
        // Far out there is no density, whatever an energy would compute there.
        whitened.evaluate(&[0.0, 2e12, 0.0], &mut mine[..1], &mut []).unwrap();
        assert_eq!(mine[0], f32::NEG_INFINITY);
    }

    #[test]
    fn a_whitened_target_has_the_gradient_of_its_energy() {
        let normal = Mixture::new(3, vec![0.0; 3], vec![1.0], vec![1.0]).unwrap();
        let near =
            Affine::from_parts(vec![0.5, -0.2, 0.1], vec![0.7, 0.0, 0.0, 0.3, 1.2, 0.0, -0.6, 0.4, 0.9])
                .unwrap();
        check_gradient::<f64>(&Whitened::new(&normal, near, 0.0), &[0.3, -0.7, 1.1]).unwrap();
    }
}
