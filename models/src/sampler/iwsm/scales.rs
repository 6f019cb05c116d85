//! Scales of a network, measured on states of the target whose covariance is about I.

use engine::rng::Stream;

use super::Network;
use crate::target::{Target, TargetError};

/// Divergence of the noised target from the prior that is passed over, in nats.
const DIVERGENCE: f64 = 0.01;
/// Least and largest noise level to begin with, in units of the target's width.
const LARGEST: [f64; 2] = [3.0, 100.0];
/// States whose products are taken, and states at which curvatures are.
const PRODUCTS: usize = 2000;
const CURVED: usize = 64;
/// Products of the Hessian with a vector at each.
const POWERS: usize = 12;
/// Half the distance of the gradients of such a product.
const STEP: f64 = 1e-5;
/// The least noise level in units of a narrow width: a tenth of the states are narrower.
const LEAST: f64 = 0.1;
const NARROW: f64 = 0.1;

/// The divergence KL(p_T || N(0, (sigma^2 + 1) I)), p_T the target of covariance I with noise of level sigma, to the
/// order of the third and fourth cumulants (Edgeworth; McCullagh 1987, "Tensor methods in statistics"),
///
/// |kappa_3|^2 / 12 s^6 + |kappa_4|^2 / 48 s^8,  s^2 = sigma^2 + 1.
///
/// The squares, summed over all indices, follow from pairs of independent states x, y:
/// |kappa_3|^2 = E (x . y)^3 and |kappa_4|^2 = E (x . y)^4 - 6 E |x|^4 + 3 d^2 + 6 d.
struct Cumulants {
    third: f64,
    fourth: f64,
}

impl Cumulants {
    fn of(states: &[f64], dim: usize) -> Self {
        let n = (states.len() / dim).min(PRODUCTS);
        // States of a chain lie beside each other.
        let stride = states.len() / dim / n.max(1);
        let state = |l: usize| &states[l * stride * dim..][..dim];
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let (mut cubes, mut fourths, mut pairs) = (0.0, 0.0, 0.0);
        for l in 0..n {
            for m in 0..l {
                let product = dot(state(l), state(m));
                cubes += product.powi(3);
                fourths += product.powi(4);
                pairs += 1.0;
            }
        }
        let squares: f64 = (0..n).map(|l| dot(state(l), state(l)).powi(2)).sum::<f64>() / n as f64;
        let d = dim as f64;
        Self {
            third: (cubes / pairs).max(0.0),
            fourth: (fourths / pairs - 6.0 * squares + 3.0 * d * d + 6.0 * d).max(0.0),
        }
    }

    fn divergence(&self, sigma: f64) -> f64 {
        let s2 = sigma * sigma + 1.0;
        self.third / (12.0 * s2.powi(3)) + self.fourth / (48.0 * s2.powi(4))
    }
}

/// Sets what is 0 of `network`, from `states` (columns) of the target, which have mean 0 and covariance I; returns the
/// number of energies that it took.
///
/// - `sigma_data`: 1;
/// - `sigma_max`: the least from 3 to 100 at which the noised target is within 0.01 nats of the prior;
/// - `mode_scale`: the median of h^-1/2, h the largest eigenvalue of the Hessian of E at a state, at most 1;
/// - `sigma_min`: a tenth of the width h^-1/2 that one state in ten falls short of.
///
/// # Errors
/// If the target cannot be evaluated.
pub(super) fn measure(
    network: &mut Network,
    target: &dyn Target<f64>,
    states: &[f64],
    seed: u64,
) -> Result<u64, TargetError> {
    let d = target.dim();
    let mut evaluations = 0;
    let set = |value: &mut f64, measured: f64| {
        if *value == 0.0 {
            *value = measured;
        }
    };
    set(&mut network.sigma_data, 1.0);
    if network.sigma_max == 0.0 {
        let cumulants = Cumulants::of(states, d);
        let mut sigma = LARGEST[0];
        while sigma < LARGEST[1] && cumulants.divergence(sigma) > DIVERGENCE {
            sigma *= 1.05;
        }
        network.sigma_max = sigma.min(LARGEST[1]);
    }
    if network.mode_scale == 0.0 || network.sigma_min == 0.0 {
        let (widths, spent) = widths(target, states, seed)?;
        evaluations += spent;
        let at = |share: f64| widths.get((share * widths.len() as f64) as usize).copied().unwrap_or(1.0);
        set(&mut network.mode_scale, at(0.5).clamp(1e-6, 1.0));
        set(&mut network.sigma_min, LEAST * at(NARROW).clamp(1e-6, 1.0));
    }
    Ok(evaluations)
}

/// h^-1/2 at some of the states, sorted, h the largest eigenvalue of the Hessian by its powers; states where it is not
/// positive are left out.
fn widths(target: &dyn Target<f64>, states: &[f64], seed: u64) -> Result<(Vec<f64>, u64), TargetError> {
    let d = target.dim();
    let whole = states.len() / d;
    let n = whole.min(CURVED);
    let x: Vec<f64> = (0..n).flat_map(|l| &states[l * (whole / n) * d..][..d]).copied().collect();
    let mut v = vec![0.0; n * d];
    Stream::new(seed, "curvatures", 0, 0).fill_normal(&mut v);
    let (mut log_p, mut ends) = (vec![0.0; n], [vec![0.0; n * d], vec![0.0; n * d]]);
    let mut largest = vec![0.0; n];
    for _ in 0..POWERS {
        for v in v.chunks_exact_mut(d) {
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            v.iter_mut().for_each(|v| *v /= norm);
        }
        for (end, step) in ends.iter_mut().zip([STEP, -STEP]) {
            let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + step * v).collect();
            target.evaluate(&moved, &mut log_p, end)?;
            // Beyond a wall there is no curvature.
            for (end, _) in end.chunks_exact_mut(d).zip(&log_p).filter(|(_, l)| !l.is_finite()) {
                end.fill(f64::NAN);
            }
        }
        for (l, h) in largest.iter_mut().enumerate() {
            let column = l * d..(l + 1) * d;
            let product: Vec<f64> = ends[1][column.clone()]
                .iter()
                .zip(&ends[0][column.clone()])
                .map(|(minus, plus)| (minus - plus) / (2.0 * STEP))
                .collect();
            *h = product.iter().zip(&v[column.clone()]).map(|(p, v)| p * v).sum();
            if product.iter().any(|p| *p != 0.0) && product.iter().all(|p| p.is_finite()) {
                v[column].copy_from_slice(&product);
            }
        }
    }
    let mut widths: Vec<f64> =
        largest.into_iter().filter(|h| h.is_finite() && *h > 0.0).map(|h| h.powf(-0.5)).collect();
    widths.sort_by(f64::total_cmp);
    Ok((widths, (2 * POWERS * n) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::iwsm::Config;
    use crate::target::{ManyWell, Mixture};

    /// -+c in each of two coordinates, with a width of w: c^2 + w^2 = 1.
    fn four_modes(c: f64) -> Mixture {
        let means: Vec<f64> =
            (0..4).flat_map(|k| [c * f64::from(k % 2 * 2 - 1), c * f64::from(k / 2 * 2 - 1)]).collect();
        Mixture::new(2, means, vec![(1.0 - c * c).sqrt(); 4], vec![0.25; 4]).unwrap()
    }

    #[test]
    fn cumulants_of_known_laws() {
        let n = 2000;
        let mut x = vec![0.0; 2 * n];
        let mut stream = Stream::new(1, "cumulants", 0, 0);
        stream.fill_normal(&mut x);
        let gaussian = Cumulants::of(&x, 2);
        assert!(gaussian.divergence(0.0) < 0.01, "{}", gaussian.divergence(0.0));
        // Independent signs: kappa_4 = -2 in each coordinate, so that |kappa_4|^2 = 8.
        x.iter_mut().for_each(|x| *x = x.signum());
        let signs = Cumulants::of(&x, 2);
        assert!((signs.fourth - 8.0).abs() < 0.5 && signs.third < 0.1, "{} {}", signs.fourth, signs.third);
        assert!((signs.divergence(1.0) - 8.0 / (48.0 * 16.0)).abs() < 1e-3);
    }

    #[test]
    fn scales_of_narrow_modes_are_measured_and_given_ones_stay() {
        let target = four_modes(0.995);
        let mut x = vec![0.0; 2 * 1000];
        assert!(Target::<f64>::sample(&target, &mut Stream::new(2, "states", 0, 0), &mut x));
        let mut network = Config::default().network;
        (network.sigma_data, network.sigma_min, network.mode_scale) = (0.0, 0.0, 0.0);
        let spent = measure(&mut network, &target, &x, 0).unwrap();
        let width = (1.0f64 - 0.995 * 0.995).sqrt();
        assert_eq!((network.sigma_data, network.sigma_max, spent), (1.0, 80.0, 64 * 24));
        assert!((network.mode_scale / width - 1.0).abs() < 0.05, "{} {width}", network.mode_scale);
        assert!((network.sigma_min / (0.1 * width) - 1.0).abs() < 0.05, "{}", network.sigma_min);
    }

    #[test]
    fn the_steepest_direction_counts() {
        // Of a well a has curvature 12 a^2 - 12, at its bottom 24, and b has 1.
        let target = ManyWell::new(2).unwrap();
        let x = [3f64.sqrt(), 0.3, -3f64.sqrt(), -0.2];
        let (widths, _) = widths(&target, &x, 0).unwrap();
        assert!((widths[0] - 24f64.powf(-0.5)).abs() < 1e-3, "{widths:?}");
    }
}
