//! The passes over a block of edges between its matrix products. Arrays of hidden numbers have one column of
//! `h` numbers for each edge; P, Q one for each node, or for each state whose
//! nodes are alike. Slices are cut to h before a loop: a check of bounds inside of it would leave the last
//! numbers of every column to scalar code (a third of the time of these passes).

use engine::ops::activation::{Activation, Silu};
use engine::{Real, simd_fn};

use super::edges::Edge;

/// Numbers that a dot product adds side by side.
const LANES: usize = 16;

simd_fn! {
    /// u = silu(P_i + Q_j + r2 c + e0 d): the first layer, split by linearity.
    pub(super) fn first<T: Real>(edges: &[Edge<T>], p: &[T], q: &[T], c: &[T], d: &[T], u: &mut [T]) {
        let h = c.len();
        let d = &d[..h];
        for (e, u) in edges.iter().zip(u.chunks_exact_mut(h)) {
            let (p, q) = (&p[e.p as usize * h..][..h], &q[e.q as usize * h..][..h]);
            for k in 0..h {
                let z = e.r2.mul_add(c[k], e.e0.mul_add(d[k], p[k] + q[k]));
                u[k] = Silu::value_and_slope(z).0;
            }
        }
    }

    /// The same, with the slope of silu beside its value.
    pub(super) fn first_again<T: Real>(
        edges: &[Edge<T>], p: &[T], q: &[T], c: &[T], d: &[T], u: &mut [T], slope: &mut [T],
    ) {
        let h = c.len();
        let d = &d[..h];
        for ((e, u), slope) in edges.iter().zip(u.chunks_exact_mut(h)).zip(slope.chunks_exact_mut(h)) {
            let (p, q) = (&p[e.p as usize * h..][..h], &q[e.q as usize * h..][..h]);
            for k in 0..h {
                let z = e.r2.mul_add(c[k], e.e0.mul_add(d[k], p[k] + q[k]));
                (u[k], slope[k]) = Silu::value_and_slope(z);
            }
        }
    }

    /// z += b; m = g silu(z) with the gate g = sigmoid(a . silu(z) + a0).
    pub(super) fn gate<T: Real>(b: &[T], a: &[T], a0: T, z: &mut [T], m: &mut [T], gates: &mut [T]) {
        let h = b.len();
        for ((z, m), gate) in z.chunks_exact_mut(h).zip(m.chunks_exact_mut(h)).zip(gates) {
            for k in 0..h {
                z[k] += b[k];
                m[k] = Silu::value_and_slope(z[k]).0;
            }
            *gate = (dot(a, m) + a0).sigmoid();
            for m in m.iter_mut() {
                *m *= *gate;
            }
        }
    }

    /// m = g silu(z) again, from z with its bias and the gates, and the slopes of silu.
    pub(super) fn gated<T: Real>(h: usize, z: &[T], gates: &[T], m: &mut [T], slope: &mut [T]) {
        let edges = z.chunks_exact(h).zip(gates).zip(m.chunks_exact_mut(h)).zip(slope.chunks_exact_mut(h));
        for (((z, g), m), slope) in edges {
            for k in 0..h {
                let (u, s) = Silu::value_and_slope(z[k]);
                (m[k], slope[k]) = (*g * u, s);
            }
        }
    }

    /// From m_bar to z_bar in place. With u = silu(z) and m = g u, the gate's argument has the cotangent
    /// l_bar = (m_bar . m) (1 - g), and u_bar = g m_bar + l_bar a; a_bar += l_bar u, a0_bar += l_bar.
    pub(super) fn gate_back<T: Real>(
        a: &[T], m: &[T], slope: &[T], gates: &[T], bar: &mut [T], a_bar: &mut [T], a0_bar: &mut T,
    ) {
        let h = a.len();
        let a_bar = &mut a_bar[..h];
        let edges = m.chunks_exact(h).zip(slope.chunks_exact(h)).zip(gates).zip(bar.chunks_exact_mut(h));
        for (((m, slope), g), bar) in edges {
            let l_bar = dot(bar, m) * (T::ONE - *g);
            // u = m / g; a gate that is 0 has left nothing of u, and l_bar is 0 with it.
            let per_gate = l_bar / g.max(T::of(1e-30));
            for k in 0..h {
                a_bar[k] = per_gate.mul_add(m[k], a_bar[k]);
                bar[k] = l_bar.mul_add(a[k], *g * bar[k]) * slope[k];
            }
            *a0_bar += l_bar;
        }
    }

    /// z += b; the coordinate weight tanh(w . silu(z) + w0) of each edge.
    pub(super) fn weigh<T: Real>(b: &[T], w: &[T], w0: T, z: &mut [T], weights: &mut [T]) {
        let h = b.len();
        for (z, weight) in z.chunks_exact_mut(h).zip(weights) {
            let mut lanes = [T::ZERO; LANES];
            let (blocks, rest) = z.as_chunks_mut::<LANES>();
            let (bs, b_rest) = b.as_chunks::<LANES>();
            let (ws, w_rest) = w.as_chunks::<LANES>();
            for ((z, b), w) in blocks.iter_mut().zip(bs).zip(ws) {
                for l in 0..LANES {
                    z[l] += b[l];
                    lanes[l] = w[l].mul_add(Silu::value_and_slope(z[l]).0, lanes[l]);
                }
            }
            let mut sum = w0;
            for l in 0..LANES {
                sum += lanes[l];
            }
            for ((z, b), w) in rest.iter_mut().zip(b_rest).zip(w_rest) {
                *z += *b;
                sum += *w * Silu::value_and_slope(*z).0;
            }
            *weight = sum.tanh();
        }
    }

    /// z_bar of the coordinate weight's layer from t_bar, the cotangent of what tanh is taken of:
    /// z_bar = t_bar w silu'(z), w_bar += t_bar silu(z).
    pub(super) fn weigh_back<T: Real>(w: &[T], z: &[T], t_bars: &[T], z_bar: &mut [T], w_bar: &mut [T]) {
        let h = w.len();
        let w_bar = &mut w_bar[..h];
        for ((z, t), z_bar) in z.chunks_exact(h).zip(t_bars).zip(z_bar.chunks_exact_mut(h)) {
            for k in 0..h {
                let (u, slope) = Silu::value_and_slope(z[k]);
                w_bar[k] = t.mul_add(u, w_bar[k]);
                z_bar[k] = *t * w[k] * slope;
            }
        }
    }

    /// sum += x.
    pub(super) fn add<T: Real>(x: &[T], sum: &mut [T]) {
        for (x, sum) in x.iter().zip(sum) {
            *sum += *x;
        }
    }

    /// x *= y.
    pub(super) fn multiply<T: Real>(y: &[T], x: &mut [T]) {
        for (y, x) in y.iter().zip(x) {
            *x *= *y;
        }
    }

    /// sum += every column of x.
    pub(super) fn add_columns<T: Real>(x: &[T], sum: &mut [T]) {
        for x in x.chunks_exact(sum.len()) {
            for (x, sum) in x.iter().zip(sum.iter_mut()) {
                *sum += *x;
            }
        }
    }

    /// Spreads z_bar of the first layer: to P_i and Q_j, to c and d, and returns in `bars` the cotangents of
    /// r2 and e0 of each edge.
    pub(super) fn spread<T: Real>(
        edges: &[Edge<T>], z_bar: &[T], c: &[T], d: &[T], p_bar: &mut [T], q_bar: &mut [T], c_bar: &mut [T],
        d_bar: &mut [T], bars: &mut [[T; 2]],
    ) {
        let h = c.len();
        let (d, c_bar, d_bar) = (&d[..h], &mut c_bar[..h], &mut d_bar[..h]);
        for ((e, z), bars) in edges.iter().zip(z_bar.chunks_exact(h)).zip(bars) {
            let (p, q) = (&mut p_bar[e.p as usize * h..][..h], &mut q_bar[e.q as usize * h..][..h]);
            for k in 0..h {
                p[k] += z[k];
                q[k] += z[k];
                c_bar[k] = e.r2.mul_add(z[k], c_bar[k]);
                d_bar[k] = e.e0.mul_add(z[k], d_bar[k]);
            }
            *bars = [dot(c, z), dot(d, z)];
        }
    }
}

/// <x, y>, summed in a fixed order over lanes.
#[inline(always)]
fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [T::ZERO; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            lanes[l] = x[l].mul_add(y[l], lanes[l]);
        }
    }
    let mut sum = T::ZERO;
    for l in lanes {
        sum += l;
    }
    x_rest.iter().zip(y_rest).fold(sum, |sum, (x, y)| x.mul_add(*y, sum))
}
