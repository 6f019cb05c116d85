//! The node half of an EGNN layer as one op.
//!
//! Hidden features are packed in panels, as in [`Messages`](super::Messages), so that [h; m] is never formed. z
//! is stored, silu(z) recomputed.

use std::sync::Arc;

use engine::buffer_pool::BufferPool;
use engine::ops::activation::{Activation, Silu};
use engine::packed_gemm::{self, LANES, Lanes, Operand, Output, Packed};
use engine::simd::add;
use engine::tape::{Cotangent, Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape, View, simd_fn};

use super::{Pairs, kernels};

/// The node half of an EGNN layer (Satorras, Hoogeboom and Welling 2021, eq. 6),
///
/// h'_i = h_i + N2 silu(z_i) + n2,  z_i = N1 \[h_i; m_i\] + n1 = N1_a h_i + N1_b m_i + n1,
///
/// m_i the upper rows of the output of [`Messages`](super::Messages). With g the cotangent of h':
///
/// N2_bar += g silu(z)^T,  n2_bar += g 1,  z_bar = silu'(z) o N2^T g,  N1_a_bar += z_bar h^T,
/// N1_b_bar += z_bar m^T,  n1_bar += z_bar 1,  h_bar += g + N1_a^T z_bar,  m_bar += N1_b^T z_bar.
///
/// Inputs: h (H x nodes), the output of the messages ((H + space) x nodes), N1 (H x 2H), n1, N2 (H x H), n2.
/// Cost of a node: 6 H^2 flops forward, 12 H^2 backward. For uniform nodes the product N1_a h is over states.
pub struct Update<T> {
    pairs: Pairs,
    /// All nodes of a state have the same h.
    uniform: bool,
    scratch: Arc<BufferPool<Scratch<T>>>,
}

const H: usize = 0;
const MESSAGES: usize = 1;
const N1: usize = 2;
const B1: usize = 3;
const N2: usize = 4;
const B2: usize = 5;

/// Scratch of a call, reused by later calls.
#[derive(Default)]
struct Scratch<T> {
    /// N1_a, N1_b and N2, plain (forward) or transposed (backward).
    weights: [Packed<T>; 3],
    /// n1 and n2.
    biases: [Packed<T>; 2],
    /// silu(z), and for uniform nodes N1_a h of each state.
    s: Packed<T>,
    of_states: Packed<T>,
    /// g, and z_bar.
    bars: [Packed<T>; 2],
    /// Cotangent of a weight or a bias.
    sum: Packed<T>,
    /// h with one column for each column of N1_a h, and its cotangent.
    seen: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn load(&mut self, v: &Inputs<T>, transposed: bool) {
        let h = v.get(H).shape.rows;
        let (of_h, of_m) = v.get(N1).data.split_at(h * h);
        for (packed, data) in self.weights.iter_mut().zip([of_h, of_m, v.get(N2).data]) {
            let square = View { data, shape: Shape::new(h, h) };
            if transposed {
                packed_gemm::pack_transposed(square, packed)
            } else {
                packed_gemm::pack(square, packed)
            }
        }
        for (packed, k) in self.biases.iter_mut().zip([B1, B2]) {
            packed_gemm::pack(v.get(k), packed);
        }
    }
}

impl<T: Real> Update<T> {
    /// For states of this shape.
    pub fn new(pairs: Pairs) -> Self {
        Self { pairs, uniform: false, scratch: Arc::default() }
    }

    /// The op for nodes of which all of a state have the same h, with the scratch memory of this one.
    pub fn for_uniform_nodes(&self) -> Self {
        Self { pairs: self.pairs, uniform: true, scratch: self.scratch.clone() }
    }
}

impl<T: Real> Op<T> for Update<T> {
    fn name(&self) -> &'static str {
        "node update of an equivariant layer"
    }

    fn shape(&self, s: &[Shape]) -> Result<Shape, String> {
        let [h, messages, n1, b1, n2, b2] = s else {
            return Err("wants h, the messages, N1, n1, N2 and n2".into());
        };
        let hidden = h.rows;
        if hidden == 0 || messages.rows < hidden || messages.cols != h.cols {
            return Err("the messages have a column for each node, and at least its rows".into());
        }
        if !h.cols.is_multiple_of(self.pairs.particles) {
            return Err(format!("{} particles make a state", self.pairs.particles));
        }
        let column = Shape::new(hidden, 1);
        let fits = *n1 == Shape::new(hidden, 2 * hidden) && *n2 == Shape::new(hidden, hidden);
        if fits && *b1 == column && *b2 == column { Ok(*h) } else { Err("a weight has another size".into()) }
    }

    /// z.
    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        packed_gemm::count(inputs[H].rows) * LANES * inputs[H].cols
    }

    fn forward(&self, v: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (h, messages) = (v.get(H), v.get(MESSAGES));
        let (hidden, nodes) = (h.shape.rows, h.shape.cols);
        if nodes == 0 {
            return;
        }
        let z = aux.as_chunks_mut().0;
        let mut scratch = self.scratch.take();
        scratch.load(v, false);
        let Scratch { weights: [of_h, of_m, n2], biases: [b1, b2], s, of_states, seen, .. } = &mut scratch;
        s.resize(z.len());
        packed_gemm::product(of_m, Operand::top(messages, hidden), Output::panels(z, nodes, false));
        if self.uniform {
            let h = self.pairs.first_of_each(h, seen);
            of_states.resize(b1.len() * h.shape.cols);
            packed_gemm::product(of_h, Operand::columns(h), Output::panels(of_states, h.shape.cols, false));
            activate(b1, of_states, self.pairs.particles, z, s);
        } else {
            packed_gemm::product(of_h, Operand::columns(h), Output::panels(z, nodes, true));
            activate(b1, &[], 1, z, s);
        }
        out.copy_from_slice(h.data);
        kernels::add_bias_to_columns(b2, hidden, out);
        packed_gemm::product(n2, Operand::panels(s, hidden, nodes), Output::columns(out, hidden, true));
        self.scratch.give_back(scratch);
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], bars: &mut Cotangents<T>) {
        let v = &saved.x;
        let (h, messages, even) = (v.get(H), v.get(MESSAGES), self.uniform);
        let (hidden, nodes) = (h.shape.rows, h.shape.cols);
        if nodes == 0 {
            return;
        }
        let z = saved.aux.as_chunks().0;
        let mut scratch = self.scratch.take();
        scratch.load(v, true);
        let Scratch { weights: [of_h, of_m, n2], biases, s, of_states, bars: [g, z_bar], sum, seen } =
            &mut scratch;
        let high = biases[0].len();
        let out_bar = View { data: out_bar, shape: h.shape };
        packed_gemm::pack(out_bar, g);
        z_bar.resize(z.len());
        s.resize(z.len());
        packed_gemm::product(n2, Operand::columns(out_bar), Output::panels(z_bar, nodes, false));
        activate_back(z, s, z_bar);
        for (k, bar) in [(B2, &*g), (B1, z_bar)] {
            if let Some(b_bar) = bars.get(k) {
                sum.clear(high);
                kernels::add_columns(bar, sum);
                packed_gemm::add_unpacked(sum, hidden, b_bar);
            }
        }
        let mut outer = |a: &[Lanes<T>], b: Operand<T>, bar: &mut [T]| {
            sum.clear(high * hidden);
            packed_gemm::outer(a, b, sum);
            packed_gemm::add_unpacked(sum, hidden, bar);
        };
        if let Some(bar) = bars.get(N2) {
            outer(g, Operand::panels(s, hidden, nodes), bar);
        }
        // z_bar for the columns of h: with `even` the sums over each state's particles.
        let (of_seen, h) = if even {
            of_states.clear(high * (nodes / self.pairs.particles));
            add_particles(self.pairs.particles, nodes, z_bar, of_states);
            (&*of_states, self.pairs.first_of_each(h, seen))
        } else {
            (&*z_bar, h)
        };
        if let Some(bar) = bars.get(N1) {
            let (h_part, m_part) = bar.split_at_mut(hidden * hidden);
            outer(of_seen, Operand::columns(h), h_part);
            outer(z_bar, Operand::top(messages, hidden), m_part);
        }
        if let Some(Cotangent { data, overwrite }) = bars.get_uninit(MESSAGES) {
            let rows = messages.shape.rows;
            if overwrite {
                data.chunks_exact_mut(rows).for_each(|column| column[hidden..].fill(T::ZERO));
            }
            let z_bar = Operand::panels(z_bar, hidden, nodes);
            packed_gemm::product(of_m, z_bar, Output::top(data, rows, hidden, !overwrite));
        }
        let cols = h.shape.cols;
        let of_seen = Operand::panels(of_seen, hidden, cols);
        if let Some(Cotangent { data, overwrite }) = bars.get_uninit(H) {
            if overwrite {
                data.copy_from_slice(out_bar.data);
            } else {
                add(out_bar.data, data);
            }
            // With `even` the whole sum is added to a state's first particle.
            let rows = hidden * nodes / cols;
            packed_gemm::product(of_h, of_seen, Output::top(data, rows, hidden, true));
        }
        self.scratch.give_back(scratch);
    }
}

simd_fn! {
    /// z += b, and the column of the node's state in `of_states` unless that is empty; s = silu(z).
    fn activate<T: Real>(
        b: &[Lanes<T>], of_states: &[Lanes<T>], particles: usize, z: &mut [Lanes<T>], s: &mut [Lanes<T>],
    ) {
        let n = z.len() / b.len();
        for (k, (z, s)) in z.chunks_exact_mut(n).zip(s.chunks_exact_mut(n)).enumerate() {
            let states = of_states.chunks_exact(n / particles).nth(k);
            for (i, (z, s)) in z.chunks_mut(particles).zip(s.chunks_mut(particles)).enumerate() {
                let mut first = b[k];
                if let Some(states) = states {
                    for l in 0..LANES {
                        first[l] += states[i][l];
                    }
                }
                for (z, s) in z.iter_mut().zip(s) {
                    for l in 0..LANES {
                        z[l] += first[l];
                        s[l] = Silu::value_and_slope(z[l]).0;
                    }
                }
            }
        }
    }

    /// s = silu(z); bar *= silu'(z).
    fn activate_back<T: Real>(z: &[Lanes<T>], s: &mut [Lanes<T>], bar: &mut [Lanes<T>]) {
        for ((z, s), bar) in z.iter().zip(s).zip(bar) {
            for l in 0..LANES {
                let (value, slope) = Silu::value_and_slope(z[l]);
                s[l] = value;
                bar[l] *= slope;
            }
        }
    }

    /// The sum over each state's particles.
    fn add_particles<T: Real>(particles: usize, nodes: usize, x: &[Lanes<T>], sums: &mut [Lanes<T>]) {
        for (x, sums) in x.chunks_exact(nodes).zip(sums.chunks_exact_mut(nodes / particles)) {
            for (x, sum) in x.chunks_exact(particles).zip(sums) {
                for x in x {
                    for l in 0..LANES {
                        sum[l] += x[l];
                    }
                }
            }
        }
    }
}
