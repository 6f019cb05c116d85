//! The edge half of an EGNN layer (Satorras, Hoogeboom and Welling 2021, eqs. 3 and 4, with the attention
//! gate of their section 3.3) as one op. For every edge (i, j), with d = x_i - x_j, r2 = |d|^2 and e0 the
//! squared distance in the network's input:
//!
//! m_ij = g u,  u = silu(E2 silu(E1 [h_i; h_j; r2; e0] + b1) + b2),  g = sigmoid(a . u + a0),
//! c_ij = tanh(w . silu(C m_ij + c1) + w0),
//! output: sum_j m_ij above x_i + sum_j c_ij d / (sqrt(r2 + 1e-8) + 1).
//!
//! E1 [h_i; h_j; r2; e0] = E1_a h_i + E1_b h_j + r2 E1_c + e0 E1_d, so the first product costs nodes, not
//! edges. Edges are worked off in blocks whose operands stay in cache. What forward keeps for an edge is z2
//! and z3, the arguments of the second and third SiLU (2 H numbers; recomputing them would cost two of the
//! six products of a step), g and c. Everything else is computed again.
//!
//! Cost for an edge: 4 H^2 flops forward, 8 H^2 backward.
//!
//! In a first layer all particles of a state have the same h, which is the noise level's embedding. Then
//! m_ij = m_ji and c_ij = c_ji, and half of the edges is enough ([`EVEN`]); P and Q have one column for a state.

use std::sync::Mutex;

use engine::matrix::faer_mut;
use engine::tape::{Attr, Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, View};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};

use super::edges::{Edge, Pairs};
use super::kernels;

/// The op; inputs h (H x nodes), x and the network's input positions (space x nodes), E1 (H x 2H + 2), b1,
/// E2 (H x H), b2, a (1 x H), a0, C (H x H), c1, w (1 x H), w0. The output is (H + space) x nodes.
pub struct Messages<T> {
    pairs: Pairs,
    scratch: Mutex<Vec<Scratch<T>>>,
}

/// The first of an op's scalars where all nodes of a state have the same h: the first one's is read, and the sum
/// of their cotangents goes to it.
pub const EVEN: Attr = [1.0, 0.0];

const H: usize = 0;
const X: usize = 1;
const ORIGIN: usize = 2;
const E1: usize = 3;
const B1: usize = 4;
const E2: usize = 5;
const B2: usize = 6;
const A: usize = 7;
const A0: usize = 8;
const C: usize = 9;
const C1: usize = 10;
const W: usize = 11;
const W0: usize = 12;

/// Memory of a block.
struct Scratch<T> {
    edges: Vec<Edge<T>>,
    u: Vec<T>,
    m: Vec<T>,
    bar: Vec<T>,
    slope: Vec<T>,
    t_bars: Vec<T>,
    distance_bars: Vec<[T; 2]>,
    sums: Vec<T>,
    p_bar: Vec<T>,
    q_bar: Vec<T>,
    /// h, a column for each column of P.
    seen: Vec<T>,
}

impl<T: Real> Messages<T> {
    /// For states of this shape.
    ///
    /// # Panics
    /// For fewer than two particles, or a space of more than three dimensions.
    pub fn new(pairs: Pairs) -> Self {
        assert!(
            pairs.particles >= 2 && (1..=3).contains(&pairs.space),
            "a pair needs two particles in space"
        );
        Self { pairs, scratch: Mutex::default() }
    }

    fn borrow(&self, hidden: usize, even: bool) -> Scratch<T> {
        let most = self.pairs.most_edges(even);
        let spare = self.scratch.lock().ok().and_then(|mut all| all.pop());
        let mut scratch = spare.unwrap_or_else(|| Scratch {
            edges: Vec::new(),
            u: Vec::new(),
            m: Vec::new(),
            bar: Vec::new(),
            slope: Vec::new(),
            t_bars: Vec::new(),
            distance_bars: Vec::new(),
            sums: Vec::new(),
            p_bar: Vec::new(),
            q_bar: Vec::new(),
            seen: Vec::new(),
        });
        // What is spare may come from a layer of another width, or with other edges.
        scratch.t_bars.resize(most, T::ZERO);
        scratch.distance_bars.resize(most, [T::ZERO; 2]);
        for block in [&mut scratch.u, &mut scratch.m, &mut scratch.bar, &mut scratch.slope] {
            block.resize(most * hidden, T::ZERO);
        }
        scratch
    }

    fn give_back(&self, scratch: Scratch<T>) {
        if let Ok(mut all) = self.scratch.lock() {
            all.push(scratch);
        }
    }

    /// Room for P and Q of the nodes, and for what is kept of the most edges that there can be.
    fn room(&self, hidden: usize, nodes: usize) -> (usize, usize) {
        (2 * hidden * nodes, (2 * hidden + 2) * self.pairs.edges(nodes, false))
    }

    /// h with a column for each column of P: all of them, or each state's first.
    fn seen<'a>(&self, h: View<'a, T>, even: bool, space: &'a mut Vec<T>) -> View<'a, T> {
        if !even {
            return h;
        }
        let (rows, n) = (h.shape.rows, self.pairs.particles);
        space.clear();
        h.data.chunks_exact(rows * n).for_each(|state| space.extend_from_slice(&state[..rows]));
        View { data: space, shape: Shape::new(rows, h.shape.cols / n) }
    }
}

fn product<T: Real>(out: &mut [T], accumulate: Accum, a: MatRef<T>, b: MatRef<T>) {
    if out.is_empty() || a.ncols() == 0 {
        return;
    }
    matmul(faer_mut(out, Shape::new(a.nrows(), b.ncols())), accumulate, a, b, T::ONE, Par::Seq);
}

fn columns<T: Real>(data: &[T], rows: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(data, rows, data.len() / rows.max(1))
}

/// Columns a..b of E1.
fn part<T: Real>(e1: View<'_, T>, range: std::ops::Range<usize>) -> &[T] {
    &e1.data[range.start * e1.shape.rows..range.end * e1.shape.rows]
}

/// 1 / (sqrt(r2 + 1e-8) + 1) and its derivative by r2.
fn step_scale<T: Real>(r2: T) -> (T, T) {
    let root = (r2 + T::of(1e-8)).sqrt();
    let scale = T::ONE / (root + T::ONE);
    (scale, -T::HALF * scale * scale / root)
}

impl<T: Real> Op<T> for Messages<T> {
    fn name(&self) -> &'static str {
        "messages of an equivariant layer"
    }

    fn shape(&self, s: &[Shape], _: Attr) -> Result<Shape, String> {
        let [h, x, origin, e1, b1, e2, b2, a, a0, c, c1, w, w0] = s else {
            return Err("wants h, x, the input's x, E1, b1, E2, b2, a, a0, C, c1, w and w0".into());
        };
        let hidden = h.rows;
        let (square, column) = (Shape::new(hidden, hidden), Shape::new(hidden, 1));
        let (row, one) = (Shape::new(1, hidden), Shape::new(1, 1));
        if x.rows != self.pairs.space || x.cols != h.cols || x != origin {
            return Err(format!("positions are {} x nodes, twice", self.pairs.space));
        }
        if hidden == 0 {
            return Err("a node has numbers".into());
        }
        if !h.cols.is_multiple_of(self.pairs.particles) {
            return Err(format!("{} particles make a state", self.pairs.particles));
        }
        let fits = *e1 == Shape::new(hidden, 2 * hidden + 2)
            && [b1, b2, c1].iter().all(|b| **b == column)
            && [e2, c].iter().all(|m| **m == square)
            && [a, w].iter().all(|v| **v == row)
            && [a0, w0].iter().all(|v| **v == one);
        if fits { Ok(Shape::new(hidden + x.rows, h.cols)) } else { Err("a weight has another size".into()) }
    }

    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        let (node, edge) = self.room(inputs[H].rows, inputs[H].cols);
        node + edge
    }

    fn forward(&self, v: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (hidden, nodes, space) = (v.get(H).shape.rows, v.get(H).shape.cols, self.pairs.space);
        let (x, origin, e1) = (v.get(X).data, v.get(ORIGIN).data, v.get(E1));
        let (node_room, edge_room) = self.room(hidden, nodes);
        let (node, edge) = aux.split_at_mut(node_room);
        let (p, q) = node.split_at_mut(node_room / 2);
        let kept = Kept::new(&mut edge[..edge_room], hidden);
        let (rows, even) = (hidden + space, v.attr == EVEN);
        let mut scratch = self.borrow(hidden, even);
        let s = &mut scratch;
        let h = self.seen(v.get(H), even, &mut s.seen);
        let (p, q) = (&mut p[..h.data.len()], &mut q[..h.data.len()]);
        for (out, x) in out.chunks_exact_mut(rows).zip(x.chunks_exact(space)) {
            out[..hidden].fill(T::ZERO);
            out[hidden..].copy_from_slice(x);
        }
        product(p, Accum::Replace, columns(part(e1, 0..hidden), hidden), h.faer());
        product(q, Accum::Replace, columns(part(e1, hidden..2 * hidden), hidden), h.faer());
        for p in p.chunks_exact_mut(hidden) {
            kernels::add(v.get(B1).data, p);
        }
        let (c, d) = (part(e1, 2 * hidden..2 * hidden + 1), part(e1, 2 * hidden + 1..2 * hidden + 2));
        let (mut done, block) = (0, self.pairs.block(even));
        for first in (0..nodes).step_by(block) {
            self.pairs.list(first..(first + block).min(nodes), x, origin, even, &mut s.edges);
            let n = s.edges.len();
            let (u, m) = (&mut s.u[..n * hidden], &mut s.m[..n * hidden]);
            let (z2, z3) =
                (&mut kept.z2[done * hidden..][..n * hidden], &mut kept.z3[done * hidden..][..n * hidden]);
            let (gates, weights) = (&mut kept.gates[done..done + n], &mut kept.weights[done..done + n]);
            done += n;
            kernels::first(&s.edges, p, q, c, d, u);
            product(z2, Accum::Replace, v.get(E2).faer(), columns(u, hidden));
            kernels::gate(v.get(B2).data, v.get(A).data, v.get(A0).data[0], z2, m, gates);
            product(z3, Accum::Replace, v.get(C).faer(), columns(m, hidden));
            kernels::weigh(v.get(C1).data, v.get(W).data, v.get(W0).data[0], z3, weights);
            for ((e, m), weight) in s.edges.iter().zip(m.chunks_exact(hidden)).zip(weights) {
                let scale = *weight * step_scale(e.r2).0;
                for (node, scale) in ends(e, scale, even) {
                    let (sum, place) = out[node * rows..(node + 1) * rows].split_at_mut(hidden);
                    kernels::add(m, sum);
                    place.iter_mut().zip(e.d).for_each(|(x, d)| *x = scale.mul_add(d, *x));
                }
            }
        }
        self.give_back(scratch);
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], bars: &mut Cotangents<T>) {
        let v = &saved.x;
        let (hidden, nodes, space) = (v.get(H).shape.rows, v.get(H).shape.cols, self.pairs.space);
        let (x, origin, e1) = (v.get(X).data, v.get(ORIGIN).data, v.get(E1));
        let (rows, even) = (hidden + space, v.attr == EVEN);
        if let Some(x_bar) = bars.get(X) {
            for (bar, out) in x_bar.chunks_exact_mut(space).zip(out_bar.chunks_exact(rows)) {
                bar.iter_mut().zip(&out[hidden..]).for_each(|(b, o)| *b += *o);
            }
        }
        let (node, edge) = saved.aux.split_at(self.room(hidden, nodes).0);
        let (p, q) = node.split_at(node.len() / 2);
        let most = self.pairs.edges(nodes, false);
        let (z2, rest) = edge.split_at(hidden * most);
        let (z3, rest) = rest.split_at(hidden * most);
        let (gates, weights) = rest.split_at(most);
        let (c, d) = (part(e1, 2 * hidden..2 * hidden + 1), part(e1, 2 * hidden + 1..2 * hidden + 2));
        let mut scratch = self.borrow(hidden, even);
        let s = &mut scratch;
        let h = self.seen(v.get(H), even, &mut s.seen);
        let len = h.data.len();
        for (bar, len) in [(&mut s.p_bar, len), (&mut s.q_bar, len), (&mut s.sums, 6 * hidden)] {
            bar.clear();
            bar.resize(len, T::ZERO);
        }
        let mut sums = s.sums.chunks_exact_mut(hidden);
        let mut next = || sums.next().unwrap_or_default();
        let (w_bar, c1_bar, a_bar, b2_bar, c_bar, d_bar) = (next(), next(), next(), next(), next(), next());
        let (mut w0_bar, mut a0_bar) = (T::ZERO, T::ZERO);
        let (mut done, block) = (0, self.pairs.block(even));
        // The cotangent of c_ij d / (...): that of x_i, less that of x_j where the edge stands for both ways.
        let place_bar = |e: &Edge<T>| -> [T; 3] {
            let at = |node: u32, k: usize| out_bar[node as usize * rows + hidden + k];
            let other = |k| if even { at(e.j, k) } else { T::ZERO };
            std::array::from_fn(|k| if k < space { at(e.i, k) - other(k) } else { T::ZERO })
        };
        for first in (0..nodes).step_by(block) {
            self.pairs.list(first..(first + block).min(nodes), x, origin, even, &mut s.edges);
            let n = s.edges.len();
            let (z2, z3) = (&z2[done * hidden..][..n * hidden], &z3[done * hidden..][..n * hidden]);
            let (gates, weights) = (&gates[done..done + n], &weights[done..done + n]);
            done += n;
            let (u, m, bar) = (&mut s.u[..n * hidden], &mut s.m[..n * hidden], &mut s.bar[..n * hidden]);
            let (slope, t_bars) = (&mut s.slope[..n * hidden], &mut s.t_bars[..n]);
            for ((e, weight), t_bar) in s.edges.iter().zip(weights).zip(t_bars.iter_mut()) {
                *t_bar = along(e, place_bar(e)) * step_scale(e.r2).0 * (T::ONE - *weight * *weight);
                w0_bar += *t_bar;
            }
            // u holds z3_bar, then u1 and its cotangent; m holds m, then slopes; bar holds m_bar, then z2_bar.
            kernels::weigh_back(v.get(W).data, z3, t_bars, u, w_bar);
            kernels::add_columns(u, c1_bar);
            kernels::gated(hidden, z2, gates, m, slope);
            if let Some(bar) = bars.get(C) {
                product(bar, Accum::Add, columns(u, hidden), columns(m, hidden).transpose());
            }
            product(bar, Accum::Replace, v.get(C).faer().transpose(), columns(u, hidden));
            for (e, bar) in s.edges.iter().zip(bar.chunks_exact_mut(hidden)) {
                for (node, _) in ends(e, T::ONE, even) {
                    kernels::add(&out_bar[node * rows..][..hidden], bar);
                }
            }
            kernels::gate_back(v.get(A).data, m, slope, gates, bar, a_bar, &mut a0_bar);
            kernels::add_columns(bar, b2_bar);
            kernels::first_again(&s.edges, p, q, c, d, u, m);
            if let Some(e2_bar) = bars.get(E2) {
                product(e2_bar, Accum::Add, columns(bar, hidden), columns(u, hidden).transpose());
            }
            product(u, Accum::Replace, v.get(E2).faer().transpose(), columns(bar, hidden));
            kernels::multiply(m, u);
            let distance_bars = &mut s.distance_bars[..n];
            kernels::spread(&s.edges, u, c, d, &mut s.p_bar, &mut s.q_bar, c_bar, d_bar, distance_bars);
            if let Some(x_bar) = bars.get(X) {
                for ((e, weight), [r2_bar, _]) in s.edges.iter().zip(weights).zip(&*distance_bars) {
                    let out = place_bar(e);
                    let (scale, slope) = step_scale(e.r2);
                    let by_r2 = T::of(2.0) * (*r2_bar + *weight * slope * along(e, out));
                    for k in 0..space {
                        let bar = by_r2.mul_add(e.d[k], *weight * scale * out[k]);
                        x_bar[e.i as usize * space + k] += bar;
                        x_bar[e.j as usize * space + k] -= bar;
                    }
                }
            }
            if let Some(origin_bar) = bars.get(ORIGIN) {
                for (e, [_, e0_bar]) in s.edges.iter().zip(&*distance_bars) {
                    let (i, j) = (e.i as usize * space, e.j as usize * space);
                    for k in 0..space {
                        let bar = T::of(2.0) * *e0_bar * (origin[i + k] - origin[j + k]);
                        origin_bar[i + k] += bar;
                        origin_bar[j + k] -= bar;
                    }
                }
            }
        }
        let mut give = |k: usize, sum: &[T]| {
            if let Some(bar) = bars.get(k) {
                kernels::add(sum, bar);
            }
        };
        [(W, &*w_bar), (C1, c1_bar), (A, a_bar), (B2, b2_bar)].into_iter().for_each(|(k, sum)| give(k, sum));
        give(W0, &[w0_bar]);
        give(A0, &[a0_bar]);
        if let Some(b1_bar) = bars.get(B1) {
            kernels::add_columns(&s.p_bar, b1_bar);
        }
        let h = h.faer();
        let (p_bar, q_bar) = (columns(&s.p_bar, hidden), columns(&s.q_bar, hidden));
        if let Some(e1_bar) = bars.get(E1) {
            let (of_i, rest) = e1_bar.split_at_mut(hidden * hidden);
            let (of_j, rest) = rest.split_at_mut(hidden * hidden);
            product(of_i, Accum::Add, p_bar, h.transpose());
            product(of_j, Accum::Add, q_bar, h.transpose());
            kernels::add(c_bar, &mut rest[..hidden]);
            kernels::add(d_bar, &mut rest[hidden..]);
        }
        if let Some(h_bar) = bars.get(H) {
            let (of_i, of_j) = (part(e1, 0..hidden), part(e1, hidden..2 * hidden));
            let add = |h_bar: &mut [T]| {
                product(h_bar, Accum::Add, columns(of_i, hidden).transpose(), p_bar);
                product(h_bar, Accum::Add, columns(of_j, hidden).transpose(), q_bar);
            };
            if even {
                // What was spread is in p_bar and q_bar; `seen` has served and is as large as the result.
                s.seen.fill(T::ZERO);
                add(&mut s.seen);
                let states = h_bar.chunks_exact_mut(hidden * self.pairs.particles);
                states
                    .zip(s.seen.chunks_exact(hidden))
                    .for_each(|(bar, sum)| kernels::add(sum, &mut bar[..hidden]));
            } else {
                add(h_bar);
            }
        }
        self.give_back(scratch);
    }
}

/// d . bar.
fn along<T: Real>(e: &Edge<T>, bar: [T; 3]) -> T {
    bar.iter().zip(e.d).fold(T::ZERO, |sum, (b, d)| b.mul_add(d, sum))
}

/// The nodes that hear over an edge, with the sign of d for each: i, and j too where one edge stands for both.
fn ends<T: Real>(e: &Edge<T>, scale: T, even: bool) -> impl Iterator<Item = (usize, T)> {
    [(e.i as usize, scale), (e.j as usize, -scale)].into_iter().take(if even { 2 } else { 1 })
}

/// What is kept of every edge, in the order of the edges.
struct Kept<'a, T> {
    z2: &'a mut [T],
    z3: &'a mut [T],
    gates: &'a mut [T],
    weights: &'a mut [T],
}

impl<'a, T> Kept<'a, T> {
    fn new(room: &'a mut [T], hidden: usize) -> Self {
        let most = room.len() / (2 * hidden + 2);
        let (z2, rest) = room.split_at_mut(hidden * most);
        let (z3, rest) = rest.split_at_mut(hidden * most);
        let (gates, weights) = rest.split_at_mut(most);
        Self { z2, z3, gates, weights }
    }
}
