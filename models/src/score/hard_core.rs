//! Hard cores: a repulsive score for pairs of particles that are nearer than any noised pair of the target.
//!
//! If no two particles of the target are nearer than r_0, hardly any pair at noise level sigma is nearer
//! than r_g = r_0 - 3 sqrt(2) sigma (three standard deviations of a distance). Such pairs do not occur in
//! training, and the network may not separate them. This op moves them to the distance r_g in the denoised
//! state y = x + sigma^2 score: score_i += sum_j (r_g - r_ij)_+ u_ij / (2 sigma^2).

use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape};

use crate::target::ParticleSystem;

/// (r_0 - r_g) in standard deviations of a distance.
const DEVIATIONS: f64 = 3.0;

/// factor sum_j (r_g - r_ij)_+ u_ij / 2; inputs x (N D x n) and the rows factor and r_g (2 x n), output
/// N D x n.
pub(super) struct HardCore(pub ParticleSystem);

/// r_g at noise level sigma, 0 where it would be negative.
pub(super) fn reach(core: f64, sigma: f64) -> f64 {
    (core - DEVIATIONS * std::f64::consts::SQRT_2 * sigma).max(0.0)
}

impl HardCore {
    /// Calls `f(i, j, r, difference)` for each pair of one state nearer than `reach`.
    fn near<T: Real>(&self, x: &[T], reach: T, mut f: impl FnMut(usize, usize, T, [T; 3])) {
        let (n, d) = (self.0.particles, self.0.space);
        let tiny = T::of(1e-6) * reach;
        for i in 0..n {
            for j in i + 1..n {
                let mut u = [T::ZERO; 3];
                (0..d).for_each(|a| u[a] = x[i * d + a] - x[j * d + a]);
                let r = (u[0] * u[0] + u[1] * u[1] + u[2] * u[2] + tiny * tiny).sqrt();
                if r < reach {
                    f(i, j, r, u);
                }
            }
        }
    }
}

impl<T: Real> Op<T> for HardCore {
    fn name(&self) -> &'static str {
        "hard core"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs {
            [x, c] if x.rows == self.0.dim() && *c == Shape::new(2, x.cols) && self.0.space <= 3 => Ok(*x),
            _ => Err(format!("wants states of {} numbers, a factor and a reach for each", self.0.dim())),
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (d, dim) = (self.0.space, self.0.dim());
        out.fill(T::ZERO);
        for (s, out) in out.chunks_exact_mut(dim).enumerate() {
            let [factor, reach] = *x.get(1).col(s) else { continue };
            if reach <= T::ZERO {
                continue;
            }
            self.near(x.get(0).col(s), reach, |i, j, r, u| {
                let push = T::HALF * factor * (reach - r) / r;
                for a in 0..d {
                    out[i * d + a] += push * u[a];
                    out[j * d + a] -= push * u[a];
                }
            });
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let Some(x_bar) = x_bar.get(0) else { return };
        let (d, dim) = (self.0.space, self.0.dim());
        for (s, (bar, out)) in x_bar.chunks_exact_mut(dim).zip(out_bar.chunks_exact(dim)).enumerate() {
            let [factor, reach] = *saved.x.get(1).col(s) else { continue };
            if reach <= T::ZERO {
                continue;
            }
            // p(r) delta with p = factor (reach - r) / 2 r: p v + p' (delta . v / r) delta, p' = -factor reach / 2 r^2.
            self.near(saved.x.get(0).col(s), reach, |i, j, r, u| {
                let mut v = [T::ZERO; 3];
                (0..d).for_each(|a| v[a] = out[i * d + a] - out[j * d + a]);
                let along = (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]) / r;
                let (p, slope) = (T::HALF * factor * (reach - r) / r, -T::HALF * factor * reach / (r * r));
                for a in 0..d {
                    let g = p * v[a] + slope * along * u[a];
                    bar[i * d + a] += g;
                    bar[j * d + a] -= g;
                }
            });
        }
    }
}
