//! The phi^4 theory on a square lattice: a field with two phases.

use std::sync::Arc;

use engine::Real;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "phi4",
    about: "phi^4 theory on a periodic square lattice: two phases of opposite sign",
    parameters: &[
        ("side", Parameter::Integer(8), [2.0, 64.0]),
        ("kappa", Parameter::Real(0.3), [0.0, 10.0]),
        ("lambda", Parameter::Real(0.022), [1e-6, 10.0]),
    ],
    // Known for the defaults alone: E phi^2 = 4.778, of which the magnetisation is all but 0.6^2.
    scales: |c| {
        let [_, (_, kappa, _), (_, lambda, _)] = ENTRIES[0].parameters else { return None };
        (c.real("kappa") == kappa.real() && c.real("lambda") == lambda.real()).then_some([2.2, 0.6])
    },
    build: |c| Ok(Arc::new(Phi4::new(c.count("side"), c.real("kappa"), c.real("lambda"))?)),
    page: Page {
        log_z: Some((Phi4::REFERENCE[0], Phi4::REFERENCE[1])),
        how: "independent runs of sequential Monte Carlo",
        values: &[(At::All(0.5), 3.816)],
        source: "Nicoli et al. 2021; the mean of the absolute magnetisation is 2.090, of phi^2 4.778",
        traps: &["two parametrisations are in use: this one has kappa and lambda, others a mass"],
    },
}];

/// The phi^4 theory of a real field phi on a periodic lattice of `side` x `side` sites (in this parametrisation
/// Nicoli et al. 2021, "Estimation of thermodynamic observables in lattice field theories with deep generative
/// models"):
///
/// log p = sum_x [2 kappa phi_x (phi_(x+1) + phi_(x+2)) - (1 - 2 lambda) phi_x^2 - lambda phi_x^4],
///
/// phi_(x+1) and phi_(x+2) the field at the next site of the row and of the column. p is even in phi; at kappa = 0.3
/// the field is in one of two phases, of mean +-2.09 at side 8 and lambda = 0.022.
///
/// Z is not known exactly, and what [`Target::log_z`] returns is printed as the exact value that an estimate must
/// meet: it returns None. An estimate is [`Phi4::REFERENCE`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phi4 {
    side: usize,
    kappa: f64,
    lambda: f64,
}

impl Phi4 {
    /// log Z for side 8, kappa 0.3 and lambda 0.022, and its standard error, by independent runs of sequential Monte
    /// Carlo.
    pub const REFERENCE: [f64; 2] = [67.794, 0.023];

    /// The theory with hopping parameter `kappa` and coupling `lambda`.
    ///
    /// # Errors
    /// For a side below 2, a `kappa` that is not finite, and a `lambda` that is no positive number.
    pub fn new(side: usize, kappa: f64, lambda: f64) -> Result<Self, TargetError> {
        let wrong = |what: String| Err(TargetError::Parameter(what));
        match (side, kappa.is_finite(), lambda > 0.0 && lambda.is_finite()) {
            (0 | 1, ..) => wrong(format!("side = {side}: a lattice with neighbours needs at least 2")),
            (_, false, _) => wrong(format!("kappa = {kappa} must be a finite number")),
            (.., false) => wrong(format!("lambda = {lambda} must be a positive number")),
            _ => Ok(Self { side, kappa, lambda }),
        }
    }
}

impl<T: Real> Target<T> for Phi4 {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.side * self.side)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let (side, two) = (self.side, T::of(2.0));
        let (hop, mass, lambda) =
            (T::of(2.0 * self.kappa), T::of(1.0 - 2.0 * self.lambda), T::of(self.lambda));
        let row = |i: usize, j: usize| {
            let at = (i % side * side + j % side) * n;
            &x[at..at + n]
        };
        log_p.fill(T::ZERO);
        for (site, score) in score.chunks_exact_mut(n).enumerate() {
            let (i, j) = (site / side, site % side);
            let (phi, right, down) = (row(i, j), row(i, j + 1), row(i + 1, j));
            let (left, up) = (row(i, j + side - 1), row(i + side - 1, j));
            for l in 0..n {
                let (phi, ahead, behind) = (phi[l], right[l] + down[l], left[l] + up[l]);
                let square = phi * phi;
                log_p[l] += hop * phi * ahead - square * (mass + lambda * square);
                score[l] = hop * (ahead + behind) - two * phi * (mass + two * lambda * square);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_worked_out_by_hand() {
        // phi = 1/2: 64 (0.3 - 0.956 / 4 - 0.022 / 16) = 3.816; score 0.6 * 2 - 2 * 0.5 (0.956 + 0.044 / 4).
        let target = Phi4::new(8, 0.3, 0.022).unwrap();
        let (mut log_p, mut score) = ([0.0], [0.0; 64]);
        target.evaluate(&[0.5; 64], &mut log_p, &mut score).unwrap();
        assert!((log_p[0] - 3.816).abs() < 1e-12, "{}", log_p[0]);
        assert!(score.iter().all(|s| (s - (1.2 - 0.967)).abs() < 1e-12), "{score:?}");
    }

    #[test]
    fn translations_and_signs_change_nothing() {
        let target = Phi4::new(3, 0.3, 0.022).unwrap();
        let x = [0.1, -0.4, 1.2, 0.7, 0.3, -2.0, 0.9, 1.5, -0.6];
        let moved: Vec<f64> = (0..9).map(|s| x[(s / 3 + 1) % 3 * 3 + (s + 2) % 3]).collect();
        let minus = x.map(|x| -x);
        let mut log_p = [0.0; 3];
        target.evaluate(&[&x[..], &moved, &minus].concat(), &mut log_p, &mut []).unwrap();
        assert!((log_p[0] - log_p[1]).abs() < 1e-13 && log_p[0] == log_p[2], "{log_p:?}");
    }

    #[test]
    fn on_four_sites_of_no_coupling_z_is_that_of_free_fields() {
        // At a tiny lambda p is Gaussian with precision 2 (1 - kappa (neighbours' sums)); on 2 x 2 sites each pair of
        // neighbours counts twice, and eigenvalues of the sums are 4, 0, 0, -4. The trapezoidal rule on the grid of
        // four dimensions, at kappa = 0.1: sd of the softest mode is 1.
        let target = Phi4::new(2, 0.1, 1e-9).unwrap();
        let (n, h) = (15_usize, 0.6);
        let at = |i: usize| h * (i as f64 - 7.0);
        let x: Vec<f64> = (0..n.pow(4))
            .flat_map(|i| [at(i % n), at(i / n % n), at(i / n / n % n), at(i / n / n / n)])
            .collect();
        let mut log_p = vec![0.0; n.pow(4)];
        target.evaluate(&x, &mut log_p, &mut []).unwrap();
        let log_z = (log_p.iter().map(|l: &f64| l.exp()).sum::<f64>() * h.powi(4)).ln();
        let gaussian = |sum: f64| 0.5 * (std::f64::consts::PI / (1.0 - 0.1 * sum)).ln();
        let want: f64 = [4.0, 0.0, 0.0, -4.0].map(gaussian).iter().sum();
        assert!((log_z - want).abs() < 1e-4, "{log_z} {want}");
    }
}
