//! Radial functions and directions of pairs.

use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, simd_fn};

use super::{LANES, Pairs, column, total};

/// Input x (N D x n), output (window + 1 + D) x (P n).
pub(in super::super) struct Basis(pub Pairs);

impl<T: Real> Op<T> for Basis {
    fn name(&self) -> &'static str {
        "pair basis"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs {
            [x] if x.rows == self.0.system.dim() => Ok(Shape::new(self.0.rows(), self.0.count() * x.cols)),
            _ => Err(format!("wants states of {} numbers", self.0.system.dim())),
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let p = self.0;
        for (s, out) in out.chunks_exact_mut(p.rows() * p.count()).enumerate() {
            fill(p, x.get(0).col(s), out);
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let Some(x_bar) = x_bar.get(0) else { return };
        let (p, len) = (self.0, self.0.rows() * self.0.count());
        let states = saved.out.data.chunks_exact(len).zip(out_bar.chunks_exact(len));
        for ((s, x_bar), (out, bar)) in x_bar.chunks_exact_mut(p.system.dim()).enumerate().zip(states) {
            back(p, saved.x.get(0).col(s), out, bar, x_bar);
        }
    }
}

simd_fn! {
    fn fill<T: Real>(p: Pairs, x: &[T], out: &mut [T]) {
        let (w, k, d) = (p.window(), T::of(p.basis as f64), p.system.space);
        let (rho, eps2) = (T::of(p.scale), T::of(p.softening().powi(2)));
        // All lanes are computed for any window: loops of fixed length vectorise.
        let ramp: [T; LANES] = std::array::from_fn(|m| T::of(m as f64));
        for ((i, j), column) in p.each().zip(out.chunks_exact_mut(p.rows())) {
            let (b, rest) = column.split_at_mut(w);
            let (first, u) = rest.split_at_mut(1);
            let mut r2 = eps2;
            for a in 0..d {
                u[a] = x[i * d + a] - x[j * d + a];
                r2 += u[a] * u[a];
            }
            let r = r2.sqrt();
            u.iter_mut().for_each(|u| *u /= r);
            let place = k * (r / (r + rho));
            // For a NaN distance the window begins at 0, and b is NaN.
            let start = (place.f64() - 0.5 * w as f64).max(0.0).min((p.basis - w) as f64).floor();
            first[0] = T::of(start);
            let t = place - T::of(start + 0.5);
            let mut bells = ramp;
            for bell in &mut bells {
                *bell = (T::of(-0.5) * (t - *bell) * (t - *bell)).exp();
            }
            b.copy_from_slice(&bells[..w]);
        }
    }

    /// x_bar of one state.
    fn back<T: Real>(p: Pairs, x: &[T], out: &[T], bar: &[T], x_bar: &mut [T]) {
        let (w, k, d) = (p.window(), T::of(p.basis as f64), p.system.space);
        let (rho, eps2) = (T::of(p.scale), T::of(p.softening().powi(2)));
        let ramp: [T; LANES] = std::array::from_fn(|m| T::of(m as f64));
        let columns = out.chunks_exact(p.rows()).zip(bar.chunks_exact(p.rows()));
        for ((i, j), (out, bar)) in p.each().zip(columns) {
            let mut r2 = eps2;
            for a in 0..d {
                let delta = x[i * d + a] - x[j * d + a];
                r2 += delta * delta;
            }
            let r = r2.sqrt();
            let (b, first, u) = column(out, w);
            let (b_bar, u_bar) = (&bar[..w], &bar[w + 1..]);
            let t = k * (r / (r + rho)) - T::of(first as f64 + 0.5);
            let mut parts = [T::ZERO; LANES];
            for (((b, bar), m), part) in b.iter().zip(b_bar).zip(&ramp).zip(&mut parts) {
                *part = *b * *bar * (t - *m);
            }
            // d b_k = -b_k t_k K dz, dz = rho / (r + rho)^2 dr.
            let r_bar = -k * rho / ((r + rho) * (r + rho)) * total(parts);
            // u = delta / r: du = (d delta - u (u . d delta)) / r, and dr = u . d delta.
            let mut along = T::ZERO;
            for (u, bar) in u.iter().zip(u_bar) {
                along += *u * *bar;
            }
            for a in 0..d {
                let g = r_bar * u[a] + (u_bar[a] - u[a] * along) / r;
                x_bar[i * d + a] += g;
                x_bar[j * d + a] -= g;
            }
        }
    }
}
