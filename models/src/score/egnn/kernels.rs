//! The passes over a block of edges between its matrix products. Hidden features are packed in panels
//! ([`engine::packed_gemm`]): panel k of edge e is `x[k * n + e]` among n edges. P and Q have a column for each node,
//! or for each state (`even`). A pass runs panel by panel if it sums over edges, so that the sums stay in
//! registers, and edge by edge if it sums over features. The padding of the last panel is zero in weights and
//! cotangents.

use engine::ops::activation::{Activation, Silu};
use engine::packed_gemm::{LANES, Lanes};
use engine::simd::round_by_round;
use engine::{Real, simd_fn};

use super::edges::{Columns, Edge};

simd_fn! {
    /// x += b, b added to every column.
    pub(super) fn add_bias<T: Real>(b: &[Lanes<T>], x: &mut [Lanes<T>]) {
        let n = x.len() / b.len().max(1);
        for (b, x) in b.iter().zip(x.chunks_exact_mut(n.max(1))) {
            let b = *b;
            for x in x {
                add(&b, x);
                round_by_round();
            }
        }
    }

    /// x += b for columns of `rows` entries.
    pub(super) fn add_bias_to_columns<T: Real>(b: &[Lanes<T>], rows: usize, x: &mut [T]) {
        for column in x.chunks_exact_mut(rows) {
            for (x, b) in column.chunks_mut(LANES).zip(b) {
                add_to(b, x);
            }
        }
    }

    /// sum += sum of all columns of x.
    pub(super) fn add_columns<T: Real>(x: &[Lanes<T>], sum: &mut [Lanes<T>]) {
        let n = x.len() / sum.len().max(1);
        for (x, sum) in x.chunks_exact(n.max(1)).zip(sum) {
            let mut lanes = *sum;
            for x in x {
                add(x, &mut lanes);
            }
            *sum = lanes;
        }
    }

    /// u = silu(P_i + Q_j + r2 c + e0 d): the first layer, split by linearity.
    pub(super) fn first<T: Real>(
        edges: &[Edge<T>], p: &[Lanes<T>], q: &[Lanes<T>], c: &[Lanes<T>], d: &[Lanes<T>], u: &mut [Lanes<T>],
    ) {
        let (n, nodes) = (edges.len().max(1), p.len() / c.len().max(1));
        for (k, u) in u.chunks_exact_mut(n).enumerate() {
            let (p, q) = (&p[k * nodes..][..nodes], &q[k * nodes..][..nodes]);
            for (e, u) in edges.iter().zip(u) {
                let z = argument(e, p, q, &c[k], &d[k]);
                for l in 0..LANES {
                    u[l] = Silu::value_and_slope(z[l]).0;
                }
            }
        }
    }

    /// [`first`] with the slopes of silu.
    pub(super) fn first_again<T: Real>(
        edges: &[Edge<T>], p: &[Lanes<T>], q: &[Lanes<T>], c: &[Lanes<T>], d: &[Lanes<T>], u: &mut [Lanes<T>],
        slope: &mut [Lanes<T>],
    ) {
        let (n, nodes) = (edges.len().max(1), p.len() / c.len().max(1));
        for (k, (u, slope)) in u.chunks_exact_mut(n).zip(slope.chunks_exact_mut(n)).enumerate() {
            let (p, q) = (&p[k * nodes..][..nodes], &q[k * nodes..][..nodes]);
            for ((e, u), slope) in edges.iter().zip(u).zip(slope) {
                let z = argument(e, p, q, &c[k], &d[k]);
                for l in 0..LANES {
                    (u[l], slope[l]) = Silu::value_and_slope(z[l]);
                }
            }
        }
    }

    /// z += b; m = g silu(z) with the gate g = sigmoid(a . silu(z) + a0).
    pub(super) fn gate<T: Real>(
        b: &[Lanes<T>], a: &[Lanes<T>], a0: T, z: &mut [Lanes<T>], m: &mut [Lanes<T>], gates: &mut [T],
    ) {
        let n = gates.len();
        for (e, gate) in gates.iter_mut().enumerate() {
            let mut sum = [T::ZERO; LANES];
            for ((k, b), a) in b.iter().enumerate().zip(a) {
                let (z, m) = (&mut z[k * n + e], &mut m[k * n + e]);
                for l in 0..LANES {
                    z[l] += b[l];
                    m[l] = Silu::value_and_slope(z[l]).0;
                    sum[l] = a[l].mul_add(m[l], sum[l]);
                }
            }
            *gate = (total(sum) + a0).sigmoid();
            for k in 0..b.len() {
                for m in &mut m[k * n + e] {
                    *m *= *gate;
                }
            }
        }
    }

    /// Recomputes m = g silu(z), z with its bias, from the gates; and the slopes of silu.
    pub(super) fn gated<T: Real>(
        z: &[Lanes<T>], gates: &[T], m: &mut [Lanes<T>], slope: &mut [Lanes<T>],
    ) {
        let n = gates.len().max(1);
        let panels = z.chunks_exact(n).zip(m.chunks_exact_mut(n)).zip(slope.chunks_exact_mut(n));
        for ((z, m), slope) in panels {
            for (((z, g), m), slope) in z.iter().zip(gates).zip(m).zip(slope) {
                for l in 0..LANES {
                    let (u, s) = Silu::value_and_slope(z[l]);
                    (m[l], slope[l]) = (*g * u, s);
                }
            }
        }
    }

    /// From m_bar to z_bar in place. With u = silu(z) and m = g u, the gate's argument has the cotangent
    /// l_bar = (m_bar . m) (1 - g), and u_bar = g m_bar + l_bar a; a_bar += l_bar u, a0_bar += l_bar,
    /// b_bar += z_bar. `spare` has one entry for each edge.
    pub(super) fn gate_back<T: Real>(
        a: &[Lanes<T>], m: &[Lanes<T>], slope: &[Lanes<T>], gates: &[T], bar: &mut [Lanes<T>],
        a_bar: &mut [Lanes<T>], b_bar: &mut [Lanes<T>], a0_bar: &mut T, spare: &mut [[T; 2]],
    ) {
        let n = gates.len();
        for ((e, g), spare) in gates.iter().enumerate().zip(spare.iter_mut()) {
            let l_bar = dot(n, e, bar, m, a.len()) * (T::ONE - *g);
            // u = m / g. If g is 0, m and with it l_bar are 0 too.
            *spare = [l_bar, l_bar / g.max(T::of(1e-30))];
            *a0_bar += l_bar;
        }
        for (((k, a), a_bar), b_bar) in a.iter().enumerate().zip(a_bar).zip(b_bar) {
            let at = k * n..(k + 1) * n;
            let (mut a_sum, mut b_sum) = (*a_bar, *b_bar);
            let edges = m[at.clone()].iter().zip(&slope[at.clone()]).zip(&mut bar[at]).zip(gates.iter().zip(&*spare));
            for (((m, slope), bar), (g, [l_bar, per_gate])) in edges {
                for l in 0..LANES {
                    a_sum[l] = per_gate.mul_add(m[l], a_sum[l]);
                    bar[l] = l_bar.mul_add(a[l], *g * bar[l]) * slope[l];
                    b_sum[l] += bar[l];
                }
            }
            (*a_bar, *b_bar) = (a_sum, b_sum);
        }
    }

    /// z += b; the coordinate weight tanh(w . silu(z) + w0) of each edge.
    pub(super) fn weigh<T: Real>(
        b: &[Lanes<T>], w: &[Lanes<T>], w0: T, z: &mut [Lanes<T>], weights: &mut [T],
    ) {
        let n = weights.len();
        for (e, weight) in weights.iter_mut().enumerate() {
            let mut sum = [T::ZERO; LANES];
            for ((k, b), w) in b.iter().enumerate().zip(w) {
                let z = &mut z[k * n + e];
                for l in 0..LANES {
                    z[l] += b[l];
                    sum[l] = w[l].mul_add(Silu::value_and_slope(z[l]).0, sum[l]);
                }
            }
            *weight = (total(sum) + w0).tanh();
        }
    }

    /// z_bar of the coordinate weight's layer from t_bar, the cotangent of the argument of tanh:
    /// z_bar = t_bar w silu'(z), w_bar += t_bar silu(z), b_bar += z_bar.
    pub(super) fn weigh_back<T: Real>(
        w: &[Lanes<T>], z: &[Lanes<T>], t_bars: &[T], z_bar: &mut [Lanes<T>], w_bar: &mut [Lanes<T>],
        b_bar: &mut [Lanes<T>],
    ) {
        let n = t_bars.len();
        for (((k, w), w_bar), b_bar) in w.iter().enumerate().zip(w_bar).zip(b_bar) {
            let (mut w_sum, mut b_sum) = (*w_bar, *b_bar);
            let edges = z[k * n..][..n].iter().zip(t_bars).zip(&mut z_bar[k * n..][..n]);
            for ((z, t), z_bar) in edges {
                for l in 0..LANES {
                    let (u, slope) = Silu::value_and_slope(z[l]);
                    w_sum[l] = t.mul_add(u, w_sum[l]);
                    z_bar[l] = *t * w[l] * slope;
                    b_sum[l] += z_bar[l];
                }
            }
            (*w_bar, *b_bar) = (w_sum, b_sum);
        }
    }

    /// Adds each edge's m to its receiver, and with `even` to its sender too.
    pub(super) fn hear<T: Real>(edges: &[Edge<T>], m: &[Lanes<T>], even: bool, columns: Columns, out: &mut [T]) {
        for (k, m) in m.chunks_exact(edges.len().max(1)).enumerate() {
            for (e, m) in edges.iter().zip(m) {
                add_to(m, &mut out[columns.panel(e.i, k)]);
                if even {
                    add_to(m, &mut out[columns.panel(e.j, k)]);
                }
            }
        }
    }

    /// The transpose of `hear`: adds the cotangents of the receivers' sums to each edge's m_bar.
    pub(super) fn hear_back<T: Real>(
        edges: &[Edge<T>], out_bar: &[T], even: bool, columns: Columns, bar: &mut [Lanes<T>],
    ) {
        for (k, bar) in bar.chunks_exact_mut(edges.len().max(1)).enumerate() {
            for (e, bar) in edges.iter().zip(bar) {
                add_from(&out_bar[columns.panel(e.i, k)], bar);
                if even {
                    add_from(&out_bar[columns.panel(e.j, k)], bar);
                }
            }
        }
    }

    /// In place from the cotangent of u in the first layer to that of its argument z, and from there to the
    /// cotangents of P_i and Q_j, of c and d, and of r2 and e0 of each edge (`bars`).
    pub(super) fn spread<T: Real>(
        edges: &[Edge<T>], slope: &[Lanes<T>], bar: &mut [Lanes<T>], c: &[Lanes<T>], d: &[Lanes<T>],
        p_bar: &mut [Lanes<T>], q_bar: &mut [Lanes<T>], c_bar: &mut [Lanes<T>], d_bar: &mut [Lanes<T>],
        bars: &mut [[T; 2]],
    ) {
        let (n, nodes) = (edges.len(), p_bar.len() / c.len().max(1));
        for ((k, c_bar), d_bar) in c_bar.iter_mut().enumerate().zip(d_bar) {
            let (p, q) = (&mut p_bar[k * nodes..][..nodes], &mut q_bar[k * nodes..][..nodes]);
            let (mut c_sum, mut d_sum) = (*c_bar, *d_bar);
            for ((e, slope), z) in edges.iter().zip(&slope[k * n..][..n]).zip(&mut bar[k * n..][..n]) {
                let (p, q) = (&mut p[e.p as usize], &mut q[e.q as usize]);
                for l in 0..LANES {
                    z[l] *= slope[l];
                    p[l] += z[l];
                    q[l] += z[l];
                    c_sum[l] = e.r2.mul_add(z[l], c_sum[l]);
                    d_sum[l] = e.e0.mul_add(z[l], d_sum[l]);
                }
            }
            (*c_bar, *d_bar) = (c_sum, d_sum);
        }
        // Lanes are added up in a second loop over many edges: next to the first, the compiler would keep both
        // sums in one register, number by number.
        const GROUP: usize = 32;
        let mut sums = [[[T::ZERO; LANES]; 2]; GROUP];
        for (first, bars) in (0..).step_by(GROUP).zip(bars.chunks_mut(GROUP)) {
            for (e, sums) in (first..).zip(&mut sums[..bars.len()]) {
                let (mut by_r2, mut by_e0) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                for ((k, c), d) in c.iter().enumerate().zip(d) {
                    let z = &bar[k * n + e];
                    for l in 0..LANES {
                        by_r2[l] = c[l].mul_add(z[l], by_r2[l]);
                        by_e0[l] = d[l].mul_add(z[l], by_e0[l]);
                    }
                }
                *sums = [by_r2, by_e0];
            }
            for (bars, sums) in bars.iter_mut().zip(&sums) {
                *bars = sums.map(total);
            }
        }
    }
}

/// P_i + Q_j + r2 c + e0 d.
#[inline(always)]
fn argument<T: Real>(e: &Edge<T>, p: &[Lanes<T>], q: &[Lanes<T>], c: &Lanes<T>, d: &Lanes<T>) -> Lanes<T> {
    let (p, q) = (&p[e.p as usize], &q[e.q as usize]);
    let mut z = [T::ZERO; LANES];
    for l in 0..LANES {
        z[l] = e.r2.mul_add(c[l], e.e0.mul_add(d[l], p[l] + q[l]));
    }
    z
}

/// sum += x.
#[inline(always)]
fn add<T: Real>(x: &Lanes<T>, sum: &mut Lanes<T>) {
    for l in 0..LANES {
        sum[l] += x[l];
    }
}

/// sum += x, where x may be shorter.
#[inline(always)]
fn add_from<T: Real>(x: &[T], sum: &mut Lanes<T>) {
    match x.first_chunk() {
        Some(x) => add(x, sum),
        None => sum.iter_mut().zip(x).for_each(|(s, x)| *s += *x),
    }
}

/// sum += x, where sum may be shorter.
#[inline(always)]
fn add_to<T: Real>(x: &Lanes<T>, sum: &mut [T]) {
    match sum.first_chunk_mut() {
        Some(sum) => add(x, sum),
        None => sum.iter_mut().zip(x).for_each(|(s, x)| *s += *x),
    }
}

/// <x, y> over the features of edge `e` of `n`.
#[inline(always)]
fn dot<T: Real>(n: usize, e: usize, x: &[Lanes<T>], y: &[Lanes<T>], panels: usize) -> T {
    let mut sum = [T::ZERO; LANES];
    for k in 0..panels {
        let (x, y) = (&x[k * n + e], &y[k * n + e]);
        for l in 0..LANES {
            sum[l] = x[l].mul_add(y[l], sum[l]);
        }
    }
    total(sum)
}

/// The sum of all lanes, in order.
#[inline(always)]
fn total<T: Real>(lanes: Lanes<T>) -> T {
    lanes.into_iter().fold(T::ZERO, |sum, v| sum + v)
}
