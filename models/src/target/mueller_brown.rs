//! The surface of Mueller and Brown, a classic of reaction paths.

use std::sync::Arc;

use engine::Real;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "mueller-brown",
    about: "the plane of Mueller and Brown: three bent wells, of which two hold nearly all of the mass",
    parameters: &[("temperature", Parameter::Real(20.0), [1.0, 1000.0])],
    // At temperature 20; the narrowest direction of the deepest well.
    scales: |c| Some([0.9, 0.03 * c.real("temperature").sqrt()]),
    build: |c| Ok(Arc::new(MuellerBrown::new(c.real("temperature"))?)),
    page: Page {
        log_z: Some((5.366_133, 1e-6)),
        how: "quadrature",
        values: &[(At::All(0.0), 2.420_063_708_659)],
        source: "Mueller and Brown 1979, Theoretica Chimica Acta 53, 75; 0.822 of the mass lies above y = 0.8 x + 0.75",
        traps: &[
            "papers scale the energy by factors from 0.05 to 1: compare log Z and shares at one temperature only",
        ],
    },
}];

/// (A, a, b, c, x, y) of each term.
const TERMS: [[f64; 6]; 4] = [
    [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
    [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
    [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
    [15.0, 0.7, 0.6, 0.7, -1.0, 1.0],
];
/// The largest exponent that is taken: where the rising term is e^60, the density is 0 in every precision.
const HIGHEST: f64 = 60.0;

/// The potential of Mueller and Brown (1979, "Location of saddle points and minimum energy paths by a constrained
/// simplex optimization procedure") at a temperature T, in the plane:
///
/// E = (1 / T) sum_k A_k exp(a_k (x - x_k)^2 + b_k (x - x_k) (y - y_k) + c_k (y - y_k)^2),
///
/// with minima of -146.70 at (-0.558, 1.442), -108.17 at (0.623, 0.028) and -80.77 at (-0.050, 0.467), in units of T = 1.
/// E = +inf where the last term's exponent is above 60.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuellerBrown {
    temperature: f64,
}

impl MuellerBrown {
    /// The potential over `temperature`.
    ///
    /// # Errors
    /// For a temperature that is no positive number.
    pub fn new(temperature: f64) -> Result<Self, TargetError> {
        match temperature.is_finite() && temperature > 0.0 {
            true => Ok(Self { temperature }),
            false => {
                Err(TargetError::Parameter(format!("temperature = {temperature} must be a positive number")))
            }
        }
    }
}

impl<T: Real> Target<T> for MuellerBrown {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(2)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        let scale = T::of(-1.0 / self.temperature);
        log_p.fill(T::ZERO);
        score.fill(T::ZERO);
        let ((x, y), (score_x, score_y)) = (x.split_at(n), score.split_at_mut(n));
        for term in TERMS {
            let [height, a, b, c, x0, y0] = term.map(T::of);
            for l in 0..n {
                let (u, v) = (x[l] - x0, y[l] - y0);
                let exponent = a * u * u + b * u * v + c * v * v;
                if exponent <= T::of(HIGHEST) {
                    let e = scale * height * exponent.exp();
                    log_p[l] += e;
                    score_x[l] += e * (T::of(2.0) * a * u + b * v);
                    score_y[l] += e * (b * u + T::of(2.0) * c * v);
                } else {
                    log_p[l] = T::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_p(x: &[f64]) -> Vec<f64> {
        let mut log_p = vec![0.0; x.len() / 2];
        MuellerBrown::new(20.0).unwrap().evaluate(x, &mut log_p, &mut []).unwrap();
        log_p
    }

    #[test]
    fn minima_are_those_of_the_papers() {
        for (x, energy) in [([-0.558, 1.442], -146.7), ([0.623, 0.028], -108.17), ([-0.05, 0.467], -80.77)] {
            assert!((-20.0 * log_p(&x)[0] - energy).abs() < 5e-3, "{x:?}");
        }
        assert_eq!(log_p(&[30.0, 30.0, f64::NAN, 0.0])[0], f64::NEG_INFINITY);
    }

    #[test]
    fn log_z_and_the_share_of_the_deep_well_by_quadrature() {
        // Trapezoids over a box at whose sides the density is below e^-20 of its largest: errors fall faster than any
        // power of the width.
        let n = 1201;
        let at = |k: usize, low: f64| low + 5.5 * k as f64 / (n - 1) as f64;
        let x: Vec<f64> = (0..n * n).flat_map(|k| [at(k / n, -3.0), at(k % n, -2.0)]).collect();
        let p: Vec<f64> = log_p(&x).into_iter().map(f64::exp).collect();
        let cell = (5.5 / (n - 1) as f64).powi(2);
        let z: f64 = p.iter().sum::<f64>() * cell;
        assert!((z.ln() - 5.366_133).abs() < 1e-6, "{}", z.ln());
        let above: f64 =
            p.iter().zip(x.chunks(2)).filter(|(_, x)| x[1] > 0.8 * x[0] + 0.75).map(|(p, _)| p).sum();
        assert!((above * cell / z - 0.822).abs() < 5e-4, "{}", above * cell / z);
    }

    #[test]
    fn a_temperature_must_be_positive() {
        assert!(MuellerBrown::new(0.0).unwrap_err().to_string().contains("temperature = 0 must be"));
    }
}
