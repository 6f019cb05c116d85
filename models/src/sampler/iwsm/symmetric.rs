//! The proposal's density averaged over the symmetries of a few particles in the plane.
//!
//! Unlike the target, q(x) = (1/M) sum_b N(x; b, sigma^2 I) is not invariant under rotations, reflections and
//! permutations of a state. Its average over O(2) and the permutations,
//!
//! qbar(x) = (1/M) sum_b (1 / 2 N!) sum_{p, +-} N_0(x, b) I_0(|w_{p, +-}| / sigma^2),
//!     w_{p,+} = sum_i x_i conj(b_p(i)),  w_{p,-} = sum_i x_i b_p(i)  (points as complex numbers),
//!
//! N_0(x, b) = exp(-(|x|^2 + |b|^2) / 2 sigma^2) up to the normaliser of N, is exact: the integral over angles
//! is a Bessel function. Losses of an equivariant network have the same expectation under x ~ q and x ~ qbar, so
//! that p_t / qbar is a valid weight too, and by Jensen's inequality its variance is no larger than that of p_t / q
//! (Rao-Blackwell: p_t / qbar is the mean of p_t / q over the orbit under q).

use crate::target::ParticleSystem;

/// Largest number of particles: 5! = 120 permutations.
pub const MOST: usize = 5;

/// Whether the sum over the symmetries of `system` is supported: at most [`MOST`] particles in the plane.
pub fn applies(system: ParticleSystem) -> bool {
    system.space == 2 && system.particles <= MOST
}

/// The group O(2) x S_N, represented by all permutations.
#[derive(Clone)]
pub(super) struct Symmetric {
    particles: usize,
    permutations: Vec<Vec<usize>>,
}

impl Symmetric {
    /// The symmetries of `system`; None if it is not planar or has more than [`MOST`] particles.
    pub fn of(system: ParticleSystem) -> Option<Self> {
        applies(system)
            .then(|| Self { particles: system.particles, permutations: permutations(system.particles) })
    }

    /// log of the mean over the group of exp(-|x - g b|^2 / 2 sigma^2), x and b mean-free.
    pub fn log_kernel(&self, x: &[f64], b: &[f64], sigma: f64) -> f64 {
        let (n, s2) = (self.particles, sigma * sigma);
        let mut products = [[[0.0; 2]; MOST * MOST]; 2];
        for i in 0..n {
            let (xr, xi) = (x[2 * i], x[2 * i + 1]);
            for j in 0..n {
                let (br, bi) = (b[2 * j], b[2 * j + 1]);
                products[0][i * n + j] = [xr * br + xi * bi, xi * br - xr * bi];
                products[1][i * n + j] = [xr * br - xi * bi, xr * bi + xi * br];
            }
        }
        let square = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        let base = -0.5 * (square(x) + square(b)) / s2;
        let (mut max, mut total) = (f64::NEG_INFINITY, 0.0);
        for products in &products {
            for p in &self.permutations {
                let w = p.iter().enumerate().fold([0.0, 0.0], |w, (i, j)| {
                    let v = products[i * n + j];
                    [w[0] + v[0], w[1] + v[1]]
                });
                let l = log_bessel_i0(w[0].hypot(w[1]) / s2);
                if l > max {
                    total = total * (max - l).exp() + 1.0;
                    max = l;
                } else {
                    total += (l - max).exp();
                }
            }
        }
        base + max + (total / (2 * self.permutations.len()) as f64).ln()
    }
}

/// All permutations of 0..n.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for k in 0..n {
        all = all
            .iter()
            .flat_map(|p: &Vec<usize>| {
                (0..=k).map(move |at| {
                    let mut p = p.clone();
                    p.insert(at, k);
                    p
                })
            })
            .collect();
    }
    all
}

/// log I_0(k), k >= 0: the power series below 12, the asymptotic one above (DLMF 10.25.2, 10.40.1); the relative
/// error of I_0 is below 1e-6 at 12 and far smaller elsewhere.
fn log_bessel_i0(k: f64) -> f64 {
    if k < 12.0 {
        let (q, mut term, mut sum) = (0.25 * k * k, 1.0, 1.0);
        for m in 1..40 {
            term *= q / (m * m) as f64;
            sum += term;
            if term < 1e-12 * sum {
                break;
            }
        }
        return sum.ln();
    }
    // Terms (1 . 3 ... (2m - 1))^2 / (m! (8k)^m).
    let (mut term, mut sum) = (1.0, 1.0);
    for m in 1..8 {
        term *= ((2 * m - 1) * (2 * m - 1)) as f64 / (m as f64 * 8.0 * k);
        sum += term;
    }
    k - 0.5 * (std::f64::consts::TAU * k).ln() + sum.ln()
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;
    use crate::sampler::iwsm::{Buffer, Proposal, Weights};

    #[test]
    fn bessel_functions_are_right() {
        // I_0 at 0, 1, 5 (DLMF tables) and both series at the seam.
        for (k, want) in [(0.0, 1.0_f64), (1.0, 1.266_065_877_752_008), (5.0, 27.239_871_823_604_44)] {
            assert!((log_bessel_i0(k) - want.ln()).abs() < 1e-12, "{k}");
        }
        assert!((log_bessel_i0(12.0 - 1e-12) - log_bessel_i0(12.0)).abs() < 1e-6);
    }

    #[test]
    fn the_average_has_the_same_mean_and_lowers_the_variance_of_weights() {
        // States of N(0, I), noised by 0.4: p_t = N(0, 1.16 I) on the mean-free states, exactly.
        let system = ParticleSystem { particles: 3, space: 2 };
        let proposal = Proposal::<f64>::new(system.into(), Buffer::new(6, 200, false), (1.0, 0.0), 7);
        const N: usize = 20_000;
        let (sigma, mut x, mut stream) = (vec![0.4; N], vec![0.0; 6 * N], Stream::new(8, "states", 0, 0));
        proposal.draw(&sigma, &mut stream, &mut x, &mut Vec::new());
        let mut log_q = vec![0.0; N];
        let mut weights = |symmetric| {
            let settings = Weights { symmetric, ..crate::sampler::iwsm::Config::default().weights };
            proposal.log_density(&x, &sigma, &settings, &mut stream, &mut log_q);
            let log_p = |x: &[f64]| {
                let square: f64 = x.iter().map(|v| v * v).sum();
                -0.5 * square / 1.16 - 2.0 * (std::f64::consts::TAU * 1.16).ln()
            };
            x.chunks_exact(6).zip(&log_q).map(|(x, q)| (log_p(x) - q).exp()).collect::<Vec<f64>>()
        };
        let moments = |w: Vec<f64>| {
            let mean = w.iter().sum::<f64>() / N as f64;
            (mean, w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / N as f64)
        };
        let (plain, averaged) = (moments(weights(false)), moments(weights(true)));
        // E[w] = 1 for both; five standard errors.
        for (mean, variance) in [plain, averaged] {
            assert!((mean - 1.0).abs() < 5.0 * (variance / N as f64).sqrt(), "{mean}");
        }
        assert!(averaged.1 < 0.1 * plain.1, "{averaged:?} against {plain:?}");
    }

    #[test]
    fn the_kernel_is_the_mean_over_rotations_reflections_and_renumberings() {
        let system = ParticleSystem { particles: 3, space: 2 };
        let group = Symmetric::of(system).unwrap();
        let mut stream = Stream::new(4, "states", 0, 0);
        let mut states = vec![0.0; 12];
        stream.fill_normal(&mut states);
        system.center(&mut states);
        let (x, b) = states.split_at(6);
        for sigma in [0.3, 1.0, 3.0] {
            let (angles, mut sum) = (4000, 0.0);
            for p in &group.permutations {
                for k in 0..angles {
                    let (sin, cos) = (std::f64::consts::TAU * k as f64 / angles as f64).sin_cos();
                    for mirror in [1.0, -1.0] {
                        let square: f64 = (0..3)
                            .map(|i| {
                                let (u, v) = (b[2 * p[i]], mirror * b[2 * p[i] + 1]);
                                (x[2 * i] - cos * u + sin * v).powi(2)
                                    + (x[2 * i + 1] - sin * u - cos * v).powi(2)
                            })
                            .sum();
                        sum += (-0.5 * square / (sigma * sigma)).exp();
                    }
                }
            }
            let want = (sum / (12 * angles) as f64).ln();
            let got = group.log_kernel(x, b, sigma);
            assert!((got - want).abs() < 1e-6, "{sigma}: {got} against {want}");
        }
    }
}
