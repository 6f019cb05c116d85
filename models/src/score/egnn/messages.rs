//! The edge half of an EGNN layer as one op.
//!
//! Edges are processed in blocks whose operands stay in cache, packed in panels ([`engine::packed_gemm`]) that all six
//! products of a step read directly. Forward stores z2 and z3 of an edge, the arguments of the second and third
//! SiLU (2 H numbers; recomputing them would cost two of the six products), g and c. The rest is recomputed.

use std::sync::Arc;

use engine::aligned::padded;
use engine::buffer_pool::BufferPool;
use engine::packed_gemm::{self, LANES, Lanes, Operand, Output, Packed};
use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, View};

use super::edges::{Columns, Edge, Pairs};
use super::{coordinates, kernels};

/// The edge half of an EGNN layer (Satorras, Hoogeboom and Welling 2021, eqs. 3 and 4, with the attention gate
/// of their section 3.3). For every edge (i, j), with d = x_i - x_j, r2 = |d|^2 and e0 the squared distance in
/// the network's input:
///
/// m_ij = g u,  u = silu(E2 silu(E1 \[h_i; h_j; r2; e0\] + b1) + b2),  g = sigmoid(a . u + a0),
///
/// c_ij = tanh(w . silu(C m_ij + c1) + w0).
///
/// The output has the rows sum_j m_ij (H) and x_i + sum_j c_ij d / (sqrt(r2 + 1e-8) + 1) (space) for each node.
/// Inputs: h (H x nodes), x and the network's input positions (space x nodes), E1 (H x 2H + 2), b1, E2 (H x H),
/// b2, a (1 x H), a0, C (H x H), c1, w (1 x H), w0.
///
/// E1 \[h_i; h_j; r2; e0\] = E1_a h_i + E1_b h_j + r2 E1_c + e0 E1_d, so that the first product is over nodes,
/// not edges: P = E1_a h + b1 and Q = E1_b h. Cost of an edge: 4 H^2 flops forward, 8 H^2 backward.
///
/// In a first layer all particles of a state have the same h, the embedding of the noise level. Then m_ij = m_ji
/// and c_ij = c_ji, half of the edges suffice ([`Messages::for_uniform_nodes`]), and P and Q have one column for each state.
pub struct Messages<T> {
    pairs: Pairs,
    /// All nodes of a state have the same h: that of the first is read, and the sum of their cotangents goes to it.
    uniform: bool,
    scratch: Arc<BufferPool<Scratch<T>>>,
}

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

/// Scratch of a call, reused by later calls.
#[derive(Default)]
struct Scratch<T> {
    weights: Weights<T>,
    edges: Vec<Edge<T>>,
    /// Hidden features of a block of edges.
    blocks: [Packed<T>; 4],
    t_bars: Vec<T>,
    distance_bars: Vec<[T; 2]>,
    /// Sums over edges: cotangents of vectors, of E2 and C, of E1's halves, of P and of Q.
    sums: [Packed<T>; 6],
    /// h with one column for each column of P.
    seen: Vec<T>,
}

/// Packed weights: E1's two halves, E2 and C, plain (forward) or transposed (backward), and vectors.
#[derive(Default)]
struct Weights<T> {
    matrices: [Packed<T>; 4],
    /// b1, b2, a, c1, w, and E1's columns for r2 and e0.
    vectors: [Packed<T>; 7],
}

impl<T: Real> Weights<T> {
    fn load(&mut self, v: &Inputs<T>, transposed: bool) {
        let h = v.get(H).shape.rows;
        let square = |data| View { data, shape: Shape::new(h, h) };
        let e1 = v.get(E1);
        let halves = [part(e1, 0..h), part(e1, h..2 * h)].map(square);
        let matrices = [halves[0], halves[1], v.get(E2), v.get(C)];
        for (packed, matrix) in self.matrices.iter_mut().zip(matrices) {
            if transposed {
                packed_gemm::pack_transposed(matrix, packed);
            } else {
                packed_gemm::pack(matrix, packed);
            }
        }
        let of_r2 = part(e1, 2 * h..2 * h + 1);
        let of_e0 = part(e1, 2 * h + 1..2 * h + 2);
        let [b1, b2, a, c1, w] = [B1, B2, A, C1, W].map(|k| v.get(k).data);
        for (packed, data) in self.vectors.iter_mut().zip([b1, b2, a, c1, w, of_r2, of_e0]) {
            packed_gemm::pack(View { data, shape: Shape::new(h, 1) }, packed);
        }
    }
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
        Self { pairs, uniform: false, scratch: Arc::default() }
    }

    /// The op for nodes of which all of a state have the same h, with the scratch memory of this one: the h of each
    /// state's first node is read, and the sum of their cotangents goes to it.
    pub fn for_uniform_nodes(&self) -> Self {
        Self { pairs: self.pairs, uniform: true, scratch: self.scratch.clone() }
    }

    fn borrow(&self, hidden: usize, even: bool) -> Scratch<T> {
        let most = self.pairs.most_edges(even);
        let mut scratch = self.scratch.take();
        // A reused buffer may come from a layer of another width, or with other edges.
        scratch.t_bars.resize(most, T::ZERO);
        scratch.distance_bars.resize(most, [T::ZERO; 2]);
        for block in &mut scratch.blocks {
            block.resize(most * packed_gemm::count(hidden));
        }
        scratch
    }

    /// Size of P and Q of the nodes.
    fn node_room(hidden: usize, nodes: usize) -> usize {
        2 * packed_gemm::count(hidden) * LANES * nodes
    }

    /// Size of the values stored for a block's edges.
    fn edge_room(hidden: usize, edges: usize) -> usize {
        2 * packed_gemm::count(hidden) * LANES * edges + padded(2 * edges)
    }

    /// h with one column for each column of P: all of them, or each state's first.
    fn seen<'a>(&self, h: View<'a, T>, even: bool, space: &'a mut Vec<T>) -> View<'a, T> {
        if even { self.pairs.first_of_each(h, space) } else { h }
    }
}

/// Columns a..b of E1.
fn part<T: Real>(e1: View<'_, T>, range: std::ops::Range<usize>) -> &[T] {
    &e1.data[range.start * e1.shape.rows..range.end * e1.shape.rows]
}

impl<T: Real> Op<T> for Messages<T> {
    fn name(&self) -> &'static str {
        "messages of an equivariant layer"
    }

    fn shape(&self, s: &[Shape]) -> Result<Shape, String> {
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
        let nodes = inputs[H].cols;
        let (hidden, edges) = (inputs[H].rows, self.pairs.edges(nodes, false));
        let blocks = nodes.div_ceil(self.pairs.block(false).min(self.pairs.block(true)));
        Self::node_room(hidden, nodes) + Self::edge_room(hidden, edges) + padded(1) * blocks
    }

    fn forward(&self, v: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (hidden, nodes) = (v.get(H).shape.rows, v.get(H).shape.cols);
        let (x, origin) = (v.get(X).data, v.get(ORIGIN).data);
        let node_room = Self::node_room(hidden, nodes);
        let (node, mut free) = aux.split_at_mut(node_room);
        let (p, q) = node.as_chunks_mut().0.split_at_mut(node_room / (2 * LANES));
        let (columns, even) = (Columns { hidden, space: self.pairs.space }, self.uniform);
        let mut scratch = self.borrow(hidden, even);
        let Scratch { weights, edges, blocks: [u, m, ..], seen, .. } = &mut scratch;
        weights.load(v, false);
        let [e1_i, e1_j, e2, c] = &weights.matrices;
        let [b1, b2, a, c1, w, of_r2, of_e0] = &weights.vectors;
        for (out, x) in out.chunks_exact_mut(columns.len()).zip(x.chunks_exact(columns.space)) {
            out[..hidden].fill(T::ZERO);
            out[hidden..].copy_from_slice(x);
        }
        let h = self.seen(v.get(H), even, seen);
        let (cols, h) = (h.shape.cols, Operand::columns(h));
        let (p, q) = (&mut p[..b1.len() * cols], &mut q[..b1.len() * cols]);
        packed_gemm::product(e1_i, h, Output::panels(p, cols, false));
        packed_gemm::product(e1_j, h, Output::panels(q, cols, false));
        kernels::add_bias(b1, p);
        let block = self.pairs.block(even);
        for first in (0..nodes).step_by(block) {
            self.pairs.list(first..(first + block).min(nodes), x, origin, even, edges);
            let n = edges.len();
            let (u, m) = (&mut u[..n * b1.len()], &mut m[..n * b1.len()]);
            let (room, rest) = free.split_at_mut(Self::edge_room(hidden, n));
            free = rest;
            let ([z2, z3], [gates, steps]) = kept_mut(room, n);
            kernels::first(edges, p, q, of_r2, of_e0, u);
            packed_gemm::product(e2, Operand::panels(u, hidden, n), Output::panels(z2, n, false));
            kernels::gate(b2, a, v.get(A0).data[0], z2, m, gates);
            packed_gemm::product(c, Operand::panels(m, hidden, n), Output::panels(z3, n, false));
            kernels::weigh(c1, w, v.get(W0).data[0], z3, steps);
            kernels::hear(edges, m, even, columns, out);
            coordinates::push(edges, steps, even, columns, out);
        }
        self.scratch.give_back(scratch);
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], bars: &mut Cotangents<T>) {
        let v = &saved.x;
        let (hidden, nodes) = (v.get(H).shape.rows, v.get(H).shape.cols);
        let (x, origin) = (v.get(X).data, v.get(ORIGIN).data);
        let (columns, even) = (Columns { hidden, space: self.pairs.space }, self.uniform);
        if let Some(x_bar) = bars.get(X) {
            for (bar, out) in x_bar.chunks_exact_mut(columns.space).zip(out_bar.chunks_exact(columns.len())) {
                bar.iter_mut().zip(&out[hidden..]).for_each(|(b, o)| *b += *o);
            }
        }
        let mut scratch = self.borrow(hidden, even);
        let Scratch { weights, edges, blocks, t_bars, distance_bars, sums, seen } = &mut scratch;
        weights.load(v, true);
        let [e1_i, e1_j, e2, c] = &weights.matrices;
        let [_, _, a, _, w, of_r2, of_e0] = &weights.vectors;
        let h = self.seen(v.get(H), even, seen);
        let (cols, high) = (h.shape.cols, w.len());
        let node_room = Self::node_room(hidden, nodes);
        let (node, mut left) = saved.aux.split_at(node_room);
        let (p, q) = node.as_chunks().0.split_at(node_room / (2 * LANES));
        let (p, q) = (&p[..high * cols], &q[..high * cols]);
        let sizes = [7 * high, high * hidden, high * hidden, high * hidden, high * cols, high * cols];
        for (sum, size) in sums.iter_mut().zip(sizes) {
            sum.clear(size);
        }
        let [vectors, e2_bar, c_bar, e1_bar, p_bar, q_bar] = sums;
        let mut vectors = vectors.chunks_exact_mut(high);
        let mut next = || vectors.next().unwrap_or_default();
        let (w_bar, c1_bar, a_bar, b2_bar, b1_bar) = (next(), next(), next(), next(), next());
        let (r2_sum, e0_sum) = (next(), next());
        let (mut w0_bar, mut a0_bar) = (T::ZERO, T::ZERO);
        let block = self.pairs.block(even);
        for first in (0..nodes).step_by(block) {
            self.pairs.list(first..(first + block).min(nodes), x, origin, even, edges);
            let n = edges.len();
            let (room, rest) = left.split_at(Self::edge_room(hidden, n));
            left = rest;
            let ([z2, z3], [gates, steps]) = kept(room, n);
            let [u, m, bar, slope] = blocks.each_mut().map(|block| &mut block[..n * high]);
            let (t_bars, distance_bars) = (&mut t_bars[..n], &mut distance_bars[..n]);
            coordinates::weights_back(edges, steps, even, columns, out_bar, t_bars);
            w0_bar = t_bars.iter().fold(w0_bar, |sum, t| sum + *t);
            // u holds z3_bar, then u1 and its cotangent; m holds m, then slopes; bar holds m_bar, then z2_bar.
            kernels::weigh_back(w, z3, t_bars, u, w_bar, c1_bar);
            kernels::gated(z2, gates, m, slope);
            if bars.wants(C) {
                packed_gemm::outer(u, Operand::panels(m, hidden, n), c_bar);
            }
            packed_gemm::product(c, Operand::panels(u, hidden, n), Output::panels(bar, n, false));
            kernels::hear_back(edges, out_bar, even, columns, bar);
            kernels::gate_back(a, m, slope, gates, bar, a_bar, b2_bar, &mut a0_bar, distance_bars);
            kernels::first_again(edges, p, q, of_r2, of_e0, u, m);
            if bars.wants(E2) {
                packed_gemm::outer(bar, Operand::panels(u, hidden, n), e2_bar);
            }
            packed_gemm::product(e2, Operand::panels(bar, hidden, n), Output::panels(u, n, false));
            kernels::spread(edges, m, u, of_r2, of_e0, p_bar, q_bar, r2_sum, e0_sum, distance_bars);
            if let Some(x_bar) = bars.get(X) {
                coordinates::push_back(edges, steps, distance_bars, even, columns, out_bar, x_bar);
            }
            if let Some(origin_bar) = bars.get(ORIGIN) {
                coordinates::origin_back(edges, distance_bars, columns.space, origin, origin_bar);
            }
        }
        kernels::add_columns(p_bar, b1_bar);
        let matrices = [(E2, &**e2_bar), (C, c_bar)];
        let vectors = [(W, &*w_bar), (C1, c1_bar), (A, a_bar), (B2, b2_bar), (B1, b1_bar)];
        for (k, sum) in matrices.into_iter().chain(vectors) {
            if let Some(bar) = bars.get(k) {
                packed_gemm::add_unpacked(sum, hidden, bar);
            }
        }
        for (k, sum) in [(W0, w0_bar), (A0, a0_bar)] {
            if let Some(bar) = bars.get(k) {
                bar[0] += sum;
            }
        }
        if let Some(bar) = bars.get(E1) {
            let (of_i, rest) = bar.split_at_mut(hidden * hidden);
            let (of_j, rest) = rest.split_at_mut(hidden * hidden);
            for (sum, of) in [(&*p_bar, of_i), (q_bar, of_j)] {
                e1_bar.fill([T::ZERO; LANES]);
                packed_gemm::outer(sum, Operand::columns(h), e1_bar);
                packed_gemm::add_unpacked(e1_bar, hidden, of);
            }
            packed_gemm::add_unpacked(r2_sum, hidden, &mut rest[..hidden]);
            packed_gemm::add_unpacked(e0_sum, hidden, &mut rest[hidden..]);
        }
        if let Some(h_bar) = bars.get(H) {
            let add = |h_bar: &mut [T]| {
                for (e1, sum) in [(e1_i, p_bar), (e1_j, q_bar)] {
                    let sum = Operand::panels(sum, hidden, cols);
                    packed_gemm::product(e1, sum, Output::columns(h_bar, hidden, true));
                }
            };
            if even {
                // `seen` is free again, and as large as the result.
                seen.fill(T::ZERO);
                add(seen);
                let states = h_bar.chunks_exact_mut(hidden * self.pairs.particles);
                for (bar, sum) in states.zip(seen.chunks_exact(hidden)) {
                    bar[..hidden].iter_mut().zip(sum).for_each(|(b, s)| *b += *s);
                }
            } else {
                add(h_bar);
            }
        }
        self.scratch.give_back(scratch);
    }
}

/// The values stored for a block's edges: z2, z3, gates and weights.
fn kept<T>(block: &[T], edges: usize) -> ([&[Lanes<T>]; 2], [&[T]; 2]) {
    let (hidden, scalars) = block.split_at(block.len() - padded(2 * edges));
    let (z2, z3) = hidden.as_chunks().0.split_at(hidden.len() / (2 * LANES));
    let (gates, weights) = scalars[..2 * edges].split_at(edges);
    ([z2, z3], [gates, weights])
}

/// [`kept`], mutable.
fn kept_mut<T>(block: &mut [T], edges: usize) -> ([&mut [Lanes<T>]; 2], [&mut [T]; 2]) {
    let (hidden, scalars) = block.split_at_mut(block.len() - padded(2 * edges));
    let half = hidden.len() / (2 * LANES);
    let (z2, z3) = hidden.as_chunks_mut().0.split_at_mut(half);
    let (gates, weights) = scalars[..2 * edges].split_at_mut(edges);
    ([z2, z3], [gates, weights])
}
