//! Sums over the senders of a particle.

use engine::buffer_pool::BufferPool;
use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, simd_fn};

use super::{LANES, Pairs, column, total};

/// Inputs basis and g (K x N n), output 2 K x N n.
pub(in super::super) struct Gather<T> {
    pairs: Pairs,
    /// V_bar of a call, handed on from one to the next.
    scratch: BufferPool<Vec<T>>,
}

impl<T> Gather<T> {
    pub(in super::super) fn new(pairs: Pairs) -> Self {
        Self { pairs, scratch: BufferPool::default() }
    }
}

impl<T: Real> Op<T> for Gather<T> {
    fn name(&self) -> &'static str {
        "pair gather"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let p = self.pairs;
        match inputs {
            [b, g]
                if b.rows == p.rows() && g.rows == p.basis && g.cols == p.states(*b) * p.system.particles =>
            {
                Ok(Shape::new(2 * p.basis, g.cols))
            }
            _ => Err("wants a basis and K weights for each particle".into()),
        }
    }

    /// V of every particle, D x K numbers each.
    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        inputs[1].len() * self.pairs.system.space
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (p, k) = (self.pairs, self.pairs.basis);
        let (n, pairs) = (p.system.particles, p.rows() * p.count());
        out.fill(T::ZERO);
        aux.fill(T::ZERO);
        let states = x.get(0).data.chunks_exact(pairs).zip(x.get(1).data.chunks_exact(n * k));
        let results = out.chunks_exact_mut(2 * n * k).zip(aux.chunks_exact_mut(n * k * p.system.space));
        for ((basis, g), (out, v)) in states.zip(results) {
            sums(p, basis, g, out, v);
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (p, k) = (self.pairs, self.pairs.basis);
        let (n, d, pairs) = (p.system.particles, p.system.space, p.rows() * p.count());
        // V_bar = 2 q_bar V.
        let mut v_bar = self.scratch.take();
        v_bar.clear();
        v_bar.extend_from_slice(saved.aux);
        for (v, bar) in v_bar.chunks_exact_mut(k * d).zip(out_bar.chunks_exact(2 * k)) {
            for v in v.chunks_exact_mut(k) {
                v.iter_mut().zip(&bar[k..]).for_each(|(v, q)| *v *= *q + *q);
            }
        }
        let states = || {
            (saved.x.get(0).data.chunks_exact(pairs).zip(saved.x.get(1).data.chunks_exact(n * k)))
                .zip(out_bar.chunks_exact(2 * n * k).zip(v_bar.chunks_exact(n * k * d)))
        };
        if let Some(g_bar) = x_bar.get(1) {
            for (((basis, _), (bar, v_bar)), g_bar) in states().zip(g_bar.chunks_exact_mut(n * k)) {
                weights_back(p, basis, bar, v_bar, g_bar);
            }
        }
        if let Some(basis_bar) = x_bar.get(0) {
            for (((basis, g), (bar, v_bar)), basis_bar) in states().zip(basis_bar.chunks_exact_mut(pairs)) {
                basis_back(p, basis, g, bar, v_bar, basis_bar);
            }
        }
        self.scratch.give_back(v_bar);
    }
}

/// The two directions of a pair: receiver, sender, and the sign of u times 1 / sqrt N.
#[inline(always)]
fn directions<T: Real>(i: usize, j: usize, share: T) -> [(usize, usize, T); 2] {
    [(i, j, share), (j, i, -share)]
}

#[inline(always)]
fn sums_of<T: Real, const W: usize>(p: Pairs, basis: &[T], g: &[T], out: &mut [T], aux: &mut [T]) {
    let (w, k, d, share) = (if W > 0 { W } else { p.window() }, p.basis, p.system.space, p.share::<T>());
    for ((i, j), pair) in p.each().zip(basis.chunks_exact(p.rows())) {
        let (b, first, u) = column(pair, w);
        for (to, from, sign) in directions(i, j, share) {
            let g = &g[from * k + first..][..w];
            let a = &mut out[2 * k * to + first..][..w];
            let mut weighted = [T::ZERO; LANES];
            for m in 0..w {
                weighted[m] = b[m] * g[m];
                a[m] = share.mul_add(weighted[m], a[m]);
            }
            for (c, u) in u.iter().enumerate() {
                let (u, v) = (sign * *u, &mut aux[(to * d + c) * k + first..][..w]);
                for m in 0..w {
                    v[m] = u.mul_add(weighted[m], v[m]);
                }
            }
        }
    }
    for (out, v) in out.chunks_exact_mut(2 * k).zip(aux.chunks_exact(k * d)) {
        for v in v.chunks_exact(k) {
            for (q, v) in out[k..].iter_mut().zip(v) {
                *q += *v * *v;
            }
        }
    }
}

/// d L / d (b g) = A_bar / sqrt N + V_bar . u sign.
#[inline(always)]
fn slopes<T: Real>(a_bar: &[T], v_bar: &[T], k: usize, u: &[T], sign: T, share: T, w: usize) -> [T; LANES] {
    let mut slope = [T::ZERO; LANES];
    for m in 0..w {
        slope[m] = share * a_bar[m];
    }
    for (c, u) in u.iter().enumerate() {
        let (u, v) = (sign * *u, &v_bar[c * k..][..w]);
        for m in 0..w {
            slope[m] = u.mul_add(v[m], slope[m]);
        }
    }
    slope
}

#[inline(always)]
fn weights_back_of<T: Real, const W: usize>(p: Pairs, basis: &[T], bar: &[T], v_bar: &[T], g_bar: &mut [T]) {
    let (w, k, d, share) = (if W > 0 { W } else { p.window() }, p.basis, p.system.space, p.share::<T>());
    for ((i, j), pair) in p.each().zip(basis.chunks_exact(p.rows())) {
        let (b, first, u) = column(pair, w);
        for (to, from, sign) in directions(i, j, share) {
            let (a_bar, v_bar) = (&bar[2 * k * to + first..][..w], &v_bar[to * d * k + first..]);
            let slope = slopes(a_bar, v_bar, k, u, sign, share, w);
            let g_bar = &mut g_bar[from * k + first..][..w];
            for m in 0..w {
                g_bar[m] = b[m].mul_add(slope[m], g_bar[m]);
            }
        }
    }
}

#[inline(always)]
fn basis_back_of<T: Real, const W: usize>(
    p: Pairs,
    basis: &[T],
    g: &[T],
    bar: &[T],
    v_bar: &[T],
    basis_bar: &mut [T],
) {
    let (w, k, d, share) = (if W > 0 { W } else { p.window() }, p.basis, p.system.space, p.share::<T>());
    let columns = basis.chunks_exact(p.rows()).zip(basis_bar.chunks_exact_mut(p.rows()));
    for ((i, j), (pair, pair_bar)) in p.each().zip(columns) {
        let (b, first, u) = column(pair, w);
        let (b_bar, rest) = pair_bar.split_at_mut(w);
        for (to, from, sign) in directions(i, j, share) {
            let (a_bar, v_bar) = (&bar[2 * k * to + first..][..w], &v_bar[to * d * k + first..]);
            let slope = slopes(a_bar, v_bar, k, u, sign, share, w);
            let g = &g[from * k + first..][..w];
            for m in 0..w {
                b_bar[m] = g[m].mul_add(slope[m], b_bar[m]);
            }
            for (c, u_bar) in rest[1..].iter_mut().enumerate() {
                let v = &v_bar[c * k..][..w];
                let mut parts = [T::ZERO; LANES];
                for m in 0..w {
                    parts[m] = v[m] * b[m] * g[m];
                }
                *u_bar += sign * total(parts);
            }
        }
    }
}

simd_fn! {
    /// A and |V|^2 into `out`, V into `aux`, of one state; both begin at zero.
    fn sums<T: Real>(p: Pairs, basis: &[T], g: &[T], out: &mut [T], aux: &mut [T]) {
        if p.window() == LANES { sums_of::<T, LANES>(p, basis, g, out, aux) } else { sums_of::<T, 0>(p, basis, g, out, aux) }
    }

    fn weights_back<T: Real>(p: Pairs, basis: &[T], bar: &[T], v_bar: &[T], g_bar: &mut [T]) {
        if p.window() == LANES {
            weights_back_of::<T, LANES>(p, basis, bar, v_bar, g_bar)
        } else {
            weights_back_of::<T, 0>(p, basis, bar, v_bar, g_bar)
        }
    }

    fn basis_back<T: Real>(p: Pairs, basis: &[T], g: &[T], bar: &[T], v_bar: &[T], basis_bar: &mut [T]) {
        if p.window() == LANES {
            basis_back_of::<T, LANES>(p, basis, g, bar, v_bar, basis_bar)
        } else {
            basis_back_of::<T, 0>(p, basis, g, bar, v_bar, basis_bar)
        }
    }
}
