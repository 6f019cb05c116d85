//! A mixture of Student-t distributions: modes with heavy tails.

use std::sync::Arc;

use engine::Real;
use engine::rng::Stream;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "student-t",
    about: "three Student-t distributions of unequal weights: modes with heavy tails",
    parameters: &[
        ("dim", Parameter::Integer(10), [2.0, 1000.0]),
        ("degrees", Parameter::Integer(5), [1.0, 1000.0]),
    ],
    // The variance of a coordinate is n / (n - 2), infinite for n <= 2, where 3 stands for it.
    scales: |c| {
        let n = c.real("degrees");
        let variance = if n > 2.0 { (n / (n - 2.0)).min(3.0) } else { 3.0 };
        Some([(CENTRE * CENTRE + variance).sqrt(), 1.0])
    },
    build: |c| Ok(Arc::new(StudentT::new(c.count("dim"), c.count("degrees"))?)),
    page: Page {
        log_z: Some((0.0, 0.0)),
        how: "exact",
        values: &[(At::All(1.0), -37.480_427_304)],
        source: "Kotz and Nadarajah 2004, Multivariate t distributions",
        traps: &["tails fall by a power: weights of a Gaussian proposal have no variance"],
    },
}];

/// Weights of the components.
const WEIGHTS: [f64; 3] = [0.2, 0.3, 0.5];
/// The size of every coordinate of every centre.
const CENTRE: f64 = 6.0;

/// A mixture of three multivariate Student-t distributions of n degrees of freedom with unit scale matrix (Kotz and
/// Nadarajah 2004, "Multivariate t distributions"), weights w = (0.2, 0.3, 0.5), Z = 1:
///
/// p = sum_k w_k c (1 + |x - m_k|^2 / n)^(-(n + d) / 2),  c = Gamma((n + d) / 2) / (Gamma(n / 2) (n pi)^(d / 2)).
///
/// The centres are m_1 = (6, 6, 6, ...), m_2 = -m_1 and m_3 = (6, -6, 6, -6, ...): 12 sqrt d and about
/// 12 sqrt(d / 2) apart, where a component is sqrt d wide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentT {
    dim: usize,
    degrees: usize,
    /// log c.
    log_norm: f64,
}

impl StudentT {
    /// The mixture in R^`dim` with `degrees` degrees of freedom.
    ///
    /// # Errors
    /// For fewer than 2 dimensions, where centres coincide, and for no degree of freedom.
    pub fn new(dim: usize, degrees: usize) -> Result<Self, TargetError> {
        if dim < 2 {
            return Err(TargetError::Parameter(format!(
                "dim = {dim}: the centres of student-t differ in 2 dimensions and more"
            )));
        }
        if degrees == 0 {
            return Err(TargetError::Parameter("degrees = 0 must be at least 1".into()));
        }
        let spread = 0.5 * dim as f64 * (degrees as f64 * std::f64::consts::PI).ln();
        let log_norm = ln_gamma_half(degrees + dim) - ln_gamma_half(degrees) - spread;
        Ok(Self { dim, degrees, log_norm })
    }
}

/// log Gamma(n / 2) for n > 0, from Gamma(1/2) = sqrt pi, Gamma(1) = 1 and Gamma(z + 1) = z Gamma(z).
fn ln_gamma_half(n: usize) -> f64 {
    let first = if n % 2 == 1 { 0.5 * std::f64::consts::PI.ln() } else { 0.0 };
    let begin = if n % 2 == 1 { 1 } else { 2 };
    (begin..n).step_by(2).fold(first, |sum, k| sum + (0.5 * k as f64).ln())
}

/// Coordinate `a` of centre `k`.
fn centre(k: usize, a: usize) -> f64 {
    match (k, a % 2) {
        (0, _) | (2, 0) => CENTRE,
        _ => -CENTRE,
    }
}

impl<T: Real> Target<T> for StudentT {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.dim)
    }

    /// The score is -sum_k r_k (n + d) (x - m_k) / (n + |x - m_k|^2), r_k the share of component k in p.
    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let degrees = T::of(self.degrees as f64);
        let power = T::of(0.5 * (self.degrees + self.dim) as f64);
        scratch.clear();
        scratch.resize(6 * n, T::ZERO);
        let (squares, logs) = scratch.split_at_mut(3 * n);
        for (a, x) in x.chunks_exact(n).enumerate() {
            for (k, squares) in squares.chunks_exact_mut(n).enumerate() {
                let m = T::of(centre(k, a));
                squares.iter_mut().zip(x).for_each(|(sum, x)| *sum += (*x - m) * (*x - m));
            }
        }
        log_p.fill(T::NEG_INFINITY);
        for (k, (squares, logs)) in squares.chunks_exact(n).zip(logs.chunks_exact_mut(n)).enumerate() {
            let log_norm = T::of(WEIGHTS[k].ln() + self.log_norm);
            for l in 0..n {
                logs[l] = log_norm - power * (T::ONE + squares[l] / degrees).ln();
                log_p[l] = logs[l].max(log_p[l]);
            }
        }
        // So far away that every square overflows: density 0, where the sum is NaN.
        for l in 0..n {
            let most = log_p[l];
            let mut sum = T::ZERO;
            for k in 0..3 {
                logs[k * n + l] = (logs[k * n + l] - most).exp();
                sum += logs[k * n + l];
            }
            if most != T::NEG_INFINITY {
                log_p[l] = most + sum.ln();
            }
            for k in 0..3 {
                // From here on the pull of component k.
                let share = logs[k * n + l] / sum;
                logs[k * n + l] = share * (T::of(2.0) * power) / (degrees + squares[k * n + l]);
            }
        }
        score.fill(T::ZERO);
        for (a, (x, score)) in x.chunks_exact(n).zip(score.chunks_exact_mut(n)).enumerate() {
            for (k, pull) in logs.chunks_exact(n).enumerate() {
                let m = T::of(centre(k, a));
                score.iter_mut().zip(x).zip(pull).for_each(|((s, x), pull)| *s += *pull * (m - *x));
            }
        }
        Ok(())
    }

    fn log_z(&self) -> Option<f64> {
        Some(0.0)
    }

    /// x = m_k + z sqrt(n / chi^2_n), z a standard Gaussian and chi^2_n the sum of n squares of others.
    fn sample(&self, stream: &mut Stream, out: &mut [T]) -> bool {
        let mut others = vec![0.0; self.degrees];
        for x in out.chunks_exact_mut(self.dim) {
            let u = stream.uniform();
            let k = if u < WEIGHTS[0] { 0 } else { 1 + usize::from(u >= WEIGHTS[0] + WEIGHTS[1]) };
            stream.fill_normal(&mut others);
            let chi_square: f64 = others.iter().map(|z| z * z).sum();
            let scale = T::of((self.degrees as f64 / chi_square).sqrt());
            stream.fill_normal(x);
            x.iter_mut().enumerate().for_each(|(a, x)| *x = *x * scale + T::of(centre(k, a)));
        }
        true
    }

    /// Any coordinates of a Student-t distribution have one of as many degrees of freedom.
    fn first_plane(&self) -> Option<Box<dyn Target<T>>> {
        Some(Box::new(Self::new(2, self.degrees).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importance;
    use crate::metrics::{mean, sd};

    #[test]
    fn gamma_functions_of_halves() {
        // Gamma(1/2) = sqrt pi, Gamma(7/2) = 15 sqrt pi / 8, Gamma(5) = 24.
        let root = std::f64::consts::PI.sqrt();
        for (n, want) in [(1, root), (2, 1.0), (3, 0.5 * root), (7, 15.0 * root / 8.0), (10, 24.0)] {
            assert!((ln_gamma_half(n).exp() / want - 1.0).abs() < 1e-13, "{n}");
        }
    }

    #[test]
    fn a_centre_has_the_density_worked_out_by_hand() {
        // In the plane c = Gamma((n + 2) / 2) / (Gamma(n / 2) n pi) = 1 / (2 pi). At m_1 the others, 12 sqrt 2 and 12
        // away, have (1 + 288 / 5)^-3.5 and (1 + 144 / 5)^-3.5 of it.
        let mut log_p = [0.0];
        StudentT::new(2, 5).unwrap().evaluate(&[6.0, 6.0], &mut log_p, &mut [0.0; 2]).unwrap();
        let want: f64 = 0.2 + 0.3 * (1.0 + 57.6_f64).powf(-3.5) + 0.5 * (1.0 + 28.8_f64).powf(-3.5);
        assert!((log_p[0] - (want / std::f64::consts::TAU).ln()).abs() < 1e-13, "{}", log_p[0]);
    }

    #[test]
    fn z_is_one_by_quadrature_in_the_plane() {
        // Of 30 degrees of freedom: beyond +-26 lies less than 1e-12. The trapezoidal rule.
        let target = StudentT::new(2, 30).unwrap();
        let (n, h) = (521, 0.1);
        let at = |i: usize| h * (i as f64 - 260.0);
        let x: Vec<f64> = (0..n * n).flat_map(|i| [at(i % n), at(i / n)]).collect();
        let mut log_p = vec![0.0; n * n];
        target.evaluate(&x, &mut log_p, &mut []).unwrap();
        let z: f64 = log_p.iter().map(|l| l.exp()).sum::<f64>() * h * h;
        assert!((z - 1.0).abs() < 1e-9, "{z}");
    }

    #[test]
    fn exact_samples_have_the_weights_the_variance_and_the_density() {
        let (n, d) = (40_000, 10);
        let target = StudentT::new(d, 5).unwrap();
        let mut x = vec![0.0_f64; n * d];
        assert!(target.sample(&mut Stream::new(7, "test", 0, 0), &mut x));
        // The mean of coordinate 0 is 6 (0.2 - 0.3 + 0.5), of its square 36 + 5/3.
        let first: Vec<f64> = x.iter().step_by(d).copied().collect();
        let squares: Vec<f64> = first.iter().map(|x| x * x).collect();
        for (figure, want) in [(&first, 2.4), (&squares, 36.0 + 5.0 / 3.0)] {
            let error = sd(figure) / (n as f64).sqrt();
            assert!((mean(figure) - want).abs() < 5.0 * error, "{} {want} {error}", mean(figure));
        }
        // Weights q / p with q a density that is narrower than p: Gaussians of width 1 at the centres.
        let mut log_p = vec![0.0; n];
        target.evaluate(&x, &mut log_p, &mut []).unwrap();
        let log_q = |x: &[f64]| {
            let part = |k: usize| {
                let r2: f64 = x.iter().enumerate().map(|(a, x)| (x - centre(k, a)).powi(2)).sum();
                WEIGHTS[k] * (-0.5 * r2).exp()
            };
            (0..3).map(part).sum::<f64>().ln() - 0.5 * d as f64 * std::f64::consts::TAU.ln()
        };
        let log_w: Vec<f64> = x.chunks_exact(d).zip(&log_p).map(|(x, l)| log_q(x) - l).collect();
        let (log_z, error) = importance::log_z(&log_w);
        assert!(error < 0.02 && log_z.abs() < 5.0 * error, "{log_z} +- {error}");
    }

    #[test]
    fn far_away_nothing_breaks() {
        let target = StudentT::new(10, 5).unwrap();
        for far in [1e10_f32, 1e18, 1e19, 1e30] {
            let (mut log_p, mut score) = ([0.0], [0.0; 10]);
            target.evaluate(&[far; 10], &mut log_p, &mut score).unwrap();
            assert!(!log_p[0].is_nan() && score.iter().all(|s| s.is_finite()), "{far}: {log_p:?} {score:?}");
        }
    }
}
