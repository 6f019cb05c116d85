//! The fused ops of the pair network, over all pairs i < j of each state's particles.
//!
//! - basis: delta = x_i - x_j, r = sqrt(|delta|^2 + eps^2), u = delta / r; with z = r / (r + rho), which
//!   brings all distances into (0, 1), b_k = exp(-((z - c_k) / w)^2 / 2) at K centres c_k. One column
//!   (b, u) of K + D rows for each pair.
//! - gather: for each particle i, with weights g_j in R^K of its partners,
//!   A_i = sum_j b_ij g_j / sqrt N,  V_i = sum_j (b_ij g_j) u_ij / sqrt N,  out (A_i, |V_i|^2): 2 K rows.
//! - force: F_i = sum_j (b_ij . (a_i + a_j)) u_ij + beta_i c (x_i - mean), the mean over i taken away.
//!
//! All are invariant (gather) or equivariant (force) under rotations, reflections, translations and
//! renumbering, since they see only r, u and symmetric sums.

use engine::tape::{Attr, Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, simd_fn};

use crate::energy::ParticleSystem;

/// Sizes that the three ops share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    pub system: ParticleSystem,
    /// K.
    pub basis: usize,
    /// rho: a typical distance.
    pub scale: f64,
}

impl Pairs {
    /// Pairs of a state.
    pub fn count(self) -> usize {
        self.system.particles * (self.system.particles - 1) / 2
    }
    /// Rows of the basis.
    fn rows(self) -> usize {
        self.basis + self.system.space
    }
    /// (i, j) of each pair, in order.
    fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.system.particles).flat_map(move |i| (i + 1..self.system.particles).map(move |j| (i, j)))
    }
    /// Number of states, from the columns of the basis.
    fn states(self, basis: Shape) -> usize {
        basis.cols / self.count()
    }
    /// 1 / w, w the distance of two centres.
    fn sharpness<T: Real>(self) -> T {
        T::of(self.basis as f64)
    }
    fn softening(self) -> f64 {
        1e-3 * self.scale
    }
}

/// Input x (N D x n), output (K + D) x (P n).
pub(super) struct Basis(pub Pairs);
/// Inputs basis and g (K x N n), output 2 K x N n.
pub(super) struct Gather(pub Pairs);
/// Inputs basis, a with beta below it ((K + 1) x N n), and c (x - mean) (N D x n), output N D x n.
pub(super) struct Force(pub Pairs);

impl<T: Real> Op<T> for Basis {
    fn name(&self) -> &'static str {
        "pair basis"
    }

    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        match inputs {
            [x] if x.rows == self.0.system.dim() => Ok(Shape::new(self.0.rows(), self.0.count() * x.cols)),
            _ => Err(format!("wants states of {} numbers", self.0.system.dim())),
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (p, x) = (self.0, x.get(0));
        let (k, d) = (p.basis, p.system.space);
        let (rho, eps2) = (T::of(p.scale), T::of(p.softening().powi(2)));
        for (s, out) in out.chunks_exact_mut(p.rows() * p.count()).enumerate() {
            let x = x.col(s);
            for ((i, j), column) in p.each().zip(out.chunks_exact_mut(p.rows())) {
                let (b, u) = column.split_at_mut(k);
                let mut r2 = eps2;
                for a in 0..d {
                    u[a] = x[i * d + a] - x[j * d + a];
                    r2 += u[a] * u[a];
                }
                let r = r2.sqrt();
                u.iter_mut().for_each(|u| *u /= r);
                bells(r / (r + rho), p.sharpness(), b);
            }
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let Some(x_bar) = x_bar.get(0) else { return };
        let (p, x) = (self.0, saved.x.get(0));
        let (k, d) = (p.basis, p.system.space);
        let (rho, eps2) = (T::of(p.scale), T::of(p.softening().powi(2)));
        let sharp: T = p.sharpness();
        let columns = saved.out.data.chunks_exact(p.rows()).zip(out_bar.chunks_exact(p.rows()));
        let places = (0..x.shape.cols).flat_map(|s| p.each().map(move |pair| (s, pair)));
        for ((column, bar), (s, (i, j))) in columns.zip(places) {
            let x = x.col(s);
            let mut r2 = eps2;
            for a in 0..d {
                let delta = x[i * d + a] - x[j * d + a];
                r2 += delta * delta;
            }
            let r = r2.sqrt();
            let (z, dz) = (r / (r + rho), rho / ((r + rho) * (r + rho)));
            let (b, u) = column.split_at(k);
            let (b_bar, u_bar) = bar.split_at(k);
            let r_bar = -sharp * dz * bells_slope(z, sharp, b, b_bar);
            // u = delta / r: du = (d delta - u (u . d delta)) / r, and dr = u . d delta.
            let along: T = u.iter().zip(u_bar).map(|(u, b)| *u * *b).sum();
            for a in 0..d {
                let g = r_bar * u[a] + (u_bar[a] - u[a] * along) / r;
                x_bar[s * p.system.dim() + i * d + a] += g;
                x_bar[s * p.system.dim() + j * d + a] -= g;
            }
        }
    }
}

impl<T: Real> Op<T> for Gather {
    fn name(&self) -> &'static str {
        "pair gather"
    }

    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let p = self.0;
        match inputs {
            [b, g]
                if b.rows == p.rows() && g.rows == p.basis && g.cols == p.states(*b) * p.system.particles =>
            {
                Ok(Shape::new(2 * p.basis, g.cols))
            }
            _ => Err("wants a basis and K weights for each particle".into()),
        }
    }

    /// V of every particle, D x K of them.
    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        inputs[1].len() * self.0.system.space
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (p, basis, g) = (self.0, x.get(0), x.get(1));
        let (k, d, n) = (p.basis, p.system.space, p.system.particles);
        let scale = T::of(1.0 / (n as f64).sqrt());
        out.fill(T::ZERO);
        aux.fill(T::ZERO);
        for s in 0..p.states(basis.shape) {
            for (pair, (i, j)) in p.each().enumerate() {
                let (b, u) = basis.col(s * p.count() + pair).split_at(k);
                for (to, from, sign) in [(s * n + i, s * n + j, scale), (s * n + j, s * n + i, -scale)] {
                    let v = &mut aux[to * k * d..(to + 1) * k * d];
                    gather_one(b, g.col(from), u, sign, scale, &mut out[2 * k * to..2 * k * to + k], v);
                }
            }
        }
        for (out, v) in out.chunks_exact_mut(2 * k).zip(aux.chunks_exact(k * d)) {
            for v in v.chunks_exact(k) {
                out[k..].iter_mut().zip(v).for_each(|(q, v)| *q += *v * *v);
            }
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (p, basis, g) = (self.0, saved.x.get(0), saved.x.get(1));
        let (k, d, n) = (p.basis, p.system.space, p.system.particles);
        let scale = T::of(1.0 / (n as f64).sqrt());
        // V_bar = 2 q_bar V.
        let mut v_bar = saved.aux.to_vec();
        for (v, bar) in v_bar.chunks_exact_mut(k * d).zip(out_bar.chunks_exact(2 * k)) {
            for v in v.chunks_exact_mut(k) {
                v.iter_mut().zip(&bar[k..]).for_each(|(v, q)| *v *= *q + *q);
            }
        }
        let mut slope = vec![T::ZERO; k];
        for s in 0..p.states(basis.shape) {
            for (pair, (i, j)) in p.each().enumerate() {
                let at = s * p.count() + pair;
                let (b, u) = basis.col(at).split_at(k);
                for (to, from, sign) in [(s * n + i, s * n + j, scale), (s * n + j, s * n + i, -scale)] {
                    // slope = d L / d (b g) = scale A_bar + sign V_bar . u.
                    let v = &v_bar[to * k * d..(to + 1) * k * d];
                    slopes(&out_bar[2 * k * to..2 * k * to + k], v, u, sign, scale, &mut slope);
                    if let Some(g_bar) = x_bar.get(1) {
                        add_product(b, &slope, &mut g_bar[from * k..(from + 1) * k]);
                    }
                    if let Some(bar) = x_bar.get(0) {
                        let bar = &mut bar[at * p.rows()..(at + 1) * p.rows()];
                        add_product(g.col(from), &slope, &mut bar[..k]);
                        for (bar, v) in bar[k..].iter_mut().zip(v.chunks_exact(k)) {
                            let along: T =
                                v.iter().zip(b).zip(g.col(from)).map(|((v, b), g)| *v * *b * *g).sum();
                            *bar += sign * along;
                        }
                    }
                }
            }
        }
    }
}

impl<T: Real> Op<T> for Force {
    fn name(&self) -> &'static str {
        "pair force"
    }

    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let p = self.0;
        match inputs {
            [b, a, x]
                if a.rows == p.basis + 1
                    && x.rows == p.system.dim()
                    && a.cols == x.cols * p.system.particles
                    && *b == Shape::new(p.rows(), x.cols * p.count()) =>
            {
                Ok(*x)
            }
            _ => Err("wants a basis, K + 1 coefficients for each particle, and states".into()),
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (p, basis, a, x) = (self.0, x.get(0), x.get(1), x.get(2));
        let (k, d, n) = (p.basis, p.system.space, p.system.particles);
        for (i, (out, x)) in out.chunks_exact_mut(d).zip(x.data.chunks_exact(d)).enumerate() {
            let beta = a.col(i)[k];
            out.iter_mut().zip(x).for_each(|(out, x)| *out = beta * *x);
        }
        for s in 0..p.states(basis.shape) {
            let out = &mut out[s * p.system.dim()..(s + 1) * p.system.dim()];
            for (pair, (i, j)) in p.each().enumerate() {
                let (b, u) = basis.col(s * p.count() + pair).split_at(k);
                let strength = dot_sum(b, &a.col(s * n + i)[..k], &a.col(s * n + j)[..k]);
                for c in 0..d {
                    out[i * d + c] += strength * u[c];
                    out[j * d + c] -= strength * u[c];
                }
            }
        }
        p.system.center(out);
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (p, basis, a, x) = (self.0, saved.x.get(0), saved.x.get(1), saved.x.get(2));
        let (k, d, n) = (p.basis, p.system.space, p.system.particles);
        // The projection is its own transpose.
        p.system.center(out_bar);
        if let Some(bar) = x_bar.get(2) {
            for (i, (bar, out)) in bar.chunks_exact_mut(d).zip(out_bar.chunks_exact(d)).enumerate() {
                let beta = a.col(i)[k];
                bar.iter_mut().zip(out).for_each(|(bar, out)| *bar += beta * *out);
            }
        }
        if let Some(bar) = x_bar.get(1) {
            let parts = x.data.chunks_exact(d).zip(out_bar.chunks_exact(d));
            for (bar, (x, out)) in bar.chunks_exact_mut(k + 1).zip(parts) {
                bar[k] += x.iter().zip(out).map(|(x, out)| *x * *out).sum::<T>();
            }
        }
        for s in 0..p.states(basis.shape) {
            let out_bar = &out_bar[s * p.system.dim()..(s + 1) * p.system.dim()];
            for (pair, (i, j)) in p.each().enumerate() {
                let at = s * p.count() + pair;
                let (b, u) = basis.col(at).split_at(k);
                let across = |c: usize| out_bar[i * d + c] - out_bar[j * d + c];
                let strength_bar: T = (0..d).map(|c| u[c] * across(c)).sum();
                if let Some(bar) = x_bar.get(1) {
                    for node in [s * n + i, s * n + j] {
                        add_scaled(strength_bar, b, &mut bar[node * (k + 1)..node * (k + 1) + k]);
                    }
                }
                if let Some(bar) = x_bar.get(0) {
                    let bar = &mut bar[at * p.rows()..(at + 1) * p.rows()];
                    let (ai, aj) = (&a.col(s * n + i)[..k], &a.col(s * n + j)[..k]);
                    add_scaled(strength_bar, ai, &mut bar[..k]);
                    add_scaled(strength_bar, aj, &mut bar[..k]);
                    let strength = dot_sum(b, ai, aj);
                    (0..d).for_each(|c| bar[k + c] += strength * across(c));
                }
            }
        }
    }
}

/// Strands of a dot product.
const WIDTH: usize = 16;

simd_fn! {
    /// b_k = exp(-((z - c_k) sharp)^2 / 2), c_k = (k + 1/2) / K.
    fn bells<T: Real>(z: T, sharp: T, b: &mut [T]) {
        let step = T::ONE / T::of(b.len() as f64);
        for (m, b) in b.iter_mut().enumerate() {
            let t = (z - T::of(m as f64 + 0.5) * step) * sharp;
            *b = (T::of(-0.5) * t * t).exp();
        }
    }

    /// sum_k b_bar_k b_k t_k, t_k = (z - c_k) sharp: minus the slope of the bells, over sharp.
    fn bells_slope<T: Real>(z: T, sharp: T, b: &[T], b_bar: &[T]) -> T {
        let step = T::ONE / T::of(b.len() as f64);
        let mut strands = [T::ZERO; WIDTH];
        for (c, (b, bar)) in b.chunks(WIDTH).zip(b_bar.chunks(WIDTH)).enumerate() {
            for (m, ((b, bar), s)) in b.iter().zip(bar).zip(&mut strands).enumerate() {
                let t = (z - T::of((c * WIDTH + m) as f64 + 0.5) * step) * sharp;
                *s = t.mul_add(*b * *bar, *s);
            }
        }
        let mut total = T::ZERO;
        for s in strands {
            total += s;
        }
        total
    }

    /// a += scale b g, v_c += sign u_c b g.
    fn gather_one<T: Real>(b: &[T], g: &[T], u: &[T], sign: T, scale: T, a: &mut [T], v: &mut [T]) {
        for ((b, g), a) in b.iter().zip(g).zip(a) {
            *a = scale.mul_add(*b * *g, *a);
        }
        for (u, v) in u.iter().zip(v.chunks_exact_mut(b.len())) {
            let u = sign * *u;
            for ((b, g), v) in b.iter().zip(g).zip(v) {
                *v = u.mul_add(*b * *g, *v);
            }
        }
    }

    fn slopes<T: Real>(a_bar: &[T], v_bar: &[T], u: &[T], sign: T, scale: T, out: &mut [T]) {
        for (a, out) in a_bar.iter().zip(out.iter_mut()) {
            *out = scale * *a;
        }
        for (u, v) in u.iter().zip(v_bar.chunks_exact(a_bar.len())) {
            let u = sign * *u;
            for (v, out) in v.iter().zip(out.iter_mut()) {
                *out = u.mul_add(*v, *out);
            }
        }
    }

    fn add_product<T: Real>(x: &[T], y: &[T], out: &mut [T]) {
        for ((x, y), out) in x.iter().zip(y).zip(out) {
            *out = x.mul_add(*y, *out);
        }
    }

    fn add_scaled<T: Real>(s: T, x: &[T], out: &mut [T]) {
        for (x, out) in x.iter().zip(out) {
            *out = s.mul_add(*x, *out);
        }
    }

    /// sum_k b_k (x_k + y_k).
    fn dot_sum<T: Real>(b: &[T], x: &[T], y: &[T]) -> T {
        let mut strands = [T::ZERO; WIDTH];
        for ((b, x), y) in b.chunks(WIDTH).zip(x.chunks(WIDTH)).zip(y.chunks(WIDTH)) {
            for (((b, x), y), s) in b.iter().zip(x).zip(y).zip(&mut strands) {
                *s = b.mul_add(*x + *y, *s);
            }
        }
        let mut total = T::ZERO;
        for s in strands {
            total += s;
        }
        total
    }
}
