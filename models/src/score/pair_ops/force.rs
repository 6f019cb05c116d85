//! Forces along the directions between particles.

use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, simd_fn};

use super::{LANES, Pairs, column, total};

/// Inputs basis, the rows a and beta ((K + 1) x N n), and c (x - mean) (N D x n), output N D x n.
pub(in super::super) struct Force(pub Pairs);

impl<T: Real> Op<T> for Force {
    fn name(&self) -> &'static str {
        "pair force"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
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
        let (p, a, x, basis) = (self.0, x.get(1), x.get(2), x.get(0).data);
        let (k, d) = (p.basis, p.system.space);
        for (i, (out, x)) in out.chunks_exact_mut(d).zip(x.data.chunks_exact(d)).enumerate() {
            let beta = a.col(i)[k];
            out.iter_mut().zip(x).for_each(|(out, x)| *out = beta * *x);
        }
        let states = basis.chunks_exact(p.rows() * p.count());
        let coefficients = a.data.chunks_exact((k + 1) * p.system.particles);
        for ((basis, a), out) in states.zip(coefficients).zip(out.chunks_exact_mut(p.system.dim())) {
            forces(p, basis, a, out);
            p.system.center(out);
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (p, basis, a, x) = (self.0, saved.x.get(0).data, saved.x.get(1), saved.x.get(2));
        let (k, d) = (p.basis, p.system.space);
        // The projection is symmetric.
        p.system.center(out_bar);
        if let Some(bar) = x_bar.get(2) {
            for (i, (bar, out)) in bar.chunks_exact_mut(d).zip(out_bar.chunks_exact(d)).enumerate() {
                let beta = a.col(i)[k];
                bar.iter_mut().zip(out).for_each(|(bar, out)| *bar += beta * *out);
            }
        }
        let (pairs, nodes) = (p.rows() * p.count(), (k + 1) * p.system.particles);
        let states = || basis.chunks_exact(pairs).zip(out_bar.chunks_exact(p.system.dim()));
        if let Some(bar) = x_bar.get(1) {
            let parts = x.data.chunks_exact(d).zip(out_bar.chunks_exact(d));
            for (bar, (x, out)) in bar.chunks_exact_mut(k + 1).zip(parts) {
                bar[k] += x.iter().zip(out).map(|(x, out)| *x * *out).sum::<T>();
            }
            for ((basis, out_bar), bar) in states().zip(bar.chunks_exact_mut(nodes)) {
                coefficients_back(p, basis, out_bar, bar);
            }
        }
        if let Some(bar) = x_bar.get(0) {
            let coefficients = a.data.chunks_exact(nodes);
            for (((basis, out_bar), a), bar) in states().zip(coefficients).zip(bar.chunks_exact_mut(pairs)) {
                basis_back(p, basis, a, out_bar, bar);
            }
        }
    }
}

/// b . (a_i + a_j).
#[inline(always)]
fn strength<T: Real>(b: &[T], ai: &[T], aj: &[T]) -> T {
    let mut parts = [T::ZERO; LANES];
    for (((b, x), y), part) in b.iter().zip(ai).zip(aj).zip(&mut parts) {
        *part = *b * (*x + *y);
    }
    total(parts)
}

/// u . (F_bar_i - F_bar_j).
#[inline(always)]
fn strength_bar<T: Real>(u: &[T], bar: &[T], i: usize, j: usize) -> T {
    let (d, mut sum) = (u.len(), T::ZERO);
    for (c, u) in u.iter().enumerate() {
        sum += *u * (bar[i * d + c] - bar[j * d + c]);
    }
    sum
}

simd_fn! {
    fn forces<T: Real>(p: Pairs, basis: &[T], a: &[T], out: &mut [T]) {
        let (w, k, d) = (p.window(), p.basis, p.system.space);
        for ((i, j), pair) in p.each().zip(basis.chunks_exact(p.rows())) {
            let (b, first, u) = column(pair, w);
            let strength = strength(b, &a[i * (k + 1) + first..][..w], &a[j * (k + 1) + first..][..w]);
            for c in 0..d {
                out[i * d + c] += strength * u[c];
                out[j * d + c] -= strength * u[c];
            }
        }
    }

    fn coefficients_back<T: Real>(p: Pairs, basis: &[T], out_bar: &[T], a_bar: &mut [T]) {
        let (w, k) = (p.window(), p.basis);
        for ((i, j), pair) in p.each().zip(basis.chunks_exact(p.rows())) {
            let (b, first, u) = column(pair, w);
            let s = strength_bar(u, out_bar, i, j);
            for node in [i, j] {
                for (a, b) in a_bar[node * (k + 1) + first..][..w].iter_mut().zip(b) {
                    *a = s.mul_add(*b, *a);
                }
            }
        }
    }

    fn basis_back<T: Real>(p: Pairs, basis: &[T], a: &[T], out_bar: &[T], basis_bar: &mut [T]) {
        let (w, k, d) = (p.window(), p.basis, p.system.space);
        let columns = basis.chunks_exact(p.rows()).zip(basis_bar.chunks_exact_mut(p.rows()));
        for ((i, j), (pair, bar)) in p.each().zip(columns) {
            let (b, first, u) = column(pair, w);
            let s = strength_bar(u, out_bar, i, j);
            let (ai, aj) = (&a[i * (k + 1) + first..][..w], &a[j * (k + 1) + first..][..w]);
            let strength = strength(b, ai, aj);
            let (b_bar, rest) = bar.split_at_mut(w);
            for ((b, x), y) in b_bar.iter_mut().zip(ai).zip(aj) {
                *b = s.mul_add(*x + *y, *b);
            }
            for (c, u_bar) in rest[1..].iter_mut().enumerate() {
                *u_bar += strength * (out_bar[i * d + c] - out_bar[j * d + c]);
            }
        }
    }
}
