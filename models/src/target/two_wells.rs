//! Two wells of unequal weight and stiffness, whose shares are known.

use std::sync::Arc;

use super::book::{At, Page};
use super::registry::{Entry, Parameter};
use super::{Mixture, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "two-wells",
    about: "a narrow and a wide Gaussian well of known shares, apart along the diagonal",
    parameters: &[
        ("dim", Parameter::Integer(16), [1.0, 1000.0]),
        ("weight", Parameter::Real(0.875), [1e-6, 1.0 - 1e-6]),
        ("narrow", Parameter::Real(0.24), [1e-3, 1e3]),
        ("wide", Parameter::Real(0.3), [1e-3, 1e3]),
        ("separation", Parameter::Real(4.0), [0.0, 1e6]),
    ],
    scales: |c| {
        let (apart, dim) = (0.5 * c.real("separation"), c.real("dim"));
        Some([(apart / dim.sqrt()).hypot(c.real("wide")), c.real("narrow").min(c.real("wide"))])
    },
    build: |c| {
        let widths = [c.real("narrow"), c.real("wide")];
        Ok(Arc::new(two_wells(c.count("dim"), c.real("weight"), widths, c.real("separation"))?))
    },
    page: Page {
        log_z: Some((0.0, 0.0)),
        how: "exact",
        values: &[(At::All(0.0), -19.740_189_07)],
        source: "made for this program: the free energies of the wells differ by log 7",
        traps: &[
            "at high temperature the lighter well has nearly all of the mass: cooled chains keep it there",
        ],
    },
}];

/// The mixture of two isotropic Gaussians that are `separation` apart along the diagonal of R^dim,
///
/// pi = w N(c, s_0^2 I) + (1 - w) N(-c, s_1^2 I),  c = (separation / 2 sqrt d) (1, ..., 1),  Z = 1,
///
/// w the `weight` and (s_0, s_1) the `widths` of the wells. Near each well E is quadratic with the stiffness 1 / s^2.
///
/// A density pi^b at an inverse temperature b < 1 has the shares of another mixture, w_i^b s_i^((1 - b) d), up to a
/// factor. With the defaults w = 0.875 and widths 0.24 and 0.3, hot states are in the narrow well in proportions
/// 0.8^d, 0.26 to 1 in 6 dimensions, 0.028 in 16 and 6e-7 in 64, but cold ones 7 to 1: samplers that cool must
/// bring the mass over, or know it by its weights.
///
/// # Errors
/// If there is no dimension, or weight or widths are no positive numbers.
pub fn two_wells(dim: usize, weight: f64, widths: [f64; 2], separation: f64) -> Result<Mixture, TargetError> {
    let c = 0.5 * separation / (dim as f64).sqrt();
    let means = [vec![c; dim], vec![-c; dim]].concat();
    let mixture = Mixture::new(dim, means, widths.to_vec(), vec![weight, 1.0 - weight]);
    mixture.map_err(|e| TargetError::Parameter(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importance;
    use crate::target::{Target, TargetConfig};
    use engine::rng::Stream;

    #[test]
    fn the_wells_lie_apart_and_have_their_weights() {
        for dim in [6, 16, 64] {
            let target = two_wells(dim, 0.875, [0.24, 0.3], 4.0).unwrap();
            assert_eq!(target.weights(), [0.875, 0.125]);
            let apart: f64 = (0..dim).map(|a| (target.means()[a] - target.means()[dim + a]).powi(2)).sum();
            assert!((apart - 16.0).abs() < 1e-12);
            // The saddle between the wells is 4 / 2 (0.24 + 0.3) = 7 widths away from both.
            let n = 20_000;
            let mut x = vec![0.0_f64; n * dim];
            assert!(target.sample(&mut Stream::new(1, "test", 0, 0), &mut x));
            let left = x.chunks_exact(dim).filter(|x| x.iter().sum::<f64>() < 0.0).count();
            let error = (0.875 * 0.125 / n as f64).sqrt();
            assert!((left as f64 / n as f64 - 0.125).abs() < 5.0 * error, "{dim}: {left}");
            let square = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
            let want = 4.0 + dim as f64 * (0.875 * 0.24 * 0.24 + 0.125 * 0.09);
            // |x|^2 = 4 + d s^2 + 4 s z + ..: its standard deviation is below 2 within a well, and below 2 between.
            assert!((square - want).abs() < 5.0 * 3.0 / (n as f64).sqrt(), "{dim}: {square} {want}");
        }
    }

    #[test]
    fn z_is_one_by_importance_sampling() {
        // From a mixture with other weights and widths.
        let target = two_wells(6, 0.875, [0.24, 0.3], 4.0).unwrap();
        let from = two_wells(6, 0.5, [0.3, 0.36], 4.0).unwrap();
        let mut x = vec![0.0_f64; 6 * 20_000];
        from.sample(&mut Stream::new(2, "test", 0, 0), &mut x);
        let (mut p, mut q) = (vec![0.0; 20_000], vec![0.0; 20_000]);
        target.evaluate(&x, &mut p, &mut []).unwrap();
        from.evaluate(&x, &mut q, &mut []).unwrap();
        let log_w: Vec<f64> = p.iter().zip(&q).map(|(p, q)| p - q).collect();
        let (log_z, error) = importance::log_z(&log_w);
        assert!(error < 0.02 && log_z.abs() < 5.0 * error, "{log_z} +- {error}");
    }

    #[test]
    fn bad_wells_are_refused() {
        let said = two_wells(2, 1.0, [1.0, 1.0], 1.0).unwrap_err().to_string();
        assert_eq!(said, "component 1: its scale and weight must be positive and its mean finite");
        let scales = TargetConfig::of("two-wells").unwrap().scales().unwrap().unwrap();
        assert!((scales[0] - (0.25_f64 + 0.09).sqrt()).abs() < 1e-12 && scales[1] == 0.24);
    }
}
