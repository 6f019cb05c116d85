//! Attention weights on the edges of a graph.

use std::sync::Arc;

use engine::ops::index::Moves;
use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{ParamId, Params, Real, Recording, Var};
use serde::{Deserialize, Serialize};
use sprs::CsMatI;

use crate::gnn::Adjacency;
use crate::gnn::data::adjacency::moves;
use crate::range::{self, Range};

/// One map in place of a query and a key, for scores that go through a softmax over each receiver's edges:
/// <W_q x_i + b_q, W_k x_j + b_k> = <M x_i + c, x_j> + (what depends on i alone, which softmax takes away),
/// M = W_k^T W_q, c = W_k^T b_q. Returns (M, c), times `scale`.
pub fn merged<T: Real>(g: &mut Recording<T>, (w_q, b_q): (Var, Var), w_k: Var, scale: f64) -> (Var, Var) {
    let (m, c) = (g.matmul_tn(w_k, w_q), g.matmul_tn(w_k, b_q));
    (g.scale(m, scale), g.scale(c, scale))
}

/// Over which edges attention weights sum to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// Those of each receiver: rows of A sum to 1.
    #[default]
    Receivers,
    /// Those of each sender: columns of A sum to 1.
    Senders,
}

/// How scores become weights, before they are divided by their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// e^s.
    #[default]
    Softmax,
    /// (d + sqrt(d^2 + 4)) / 2, d = s - the largest score of all edges and heads.
    Squareplus,
}

/// Settings of attention by dot products.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DotSettings {
    /// Heads of attention.
    pub heads: usize,
    /// Numbers of a query and a key, in all heads together.
    #[serde(default = "usual_size")]
    pub attention_size: usize,
    /// Whether queries and keys have biases, as in the code of GRAND and GREAD.
    #[serde(default)]
    pub attention_bias: bool,
    /// receivers or senders: over which edges weights sum to 1.
    #[serde(default)]
    pub attention_over: Over,
    /// softmax or squareplus.
    #[serde(default)]
    pub attention_weights: Weights,
}

fn usual_size() -> usize {
    64
}

impl DotSettings {
    /// Softmax over each receiver's edges of dot products of 64 numbers.
    pub fn of(heads: usize) -> Self {
        let (attention_over, attention_weights) = (Over::Receivers, Weights::Softmax);
        let attention_size = usual_size();
        Self { heads, attention_size, attention_bias: false, attention_over, attention_weights }
    }

    /// An error if a value is outside its range.
    pub fn check(&self) -> Result<(), String> {
        range::check(&[
            ("model.heads", self.heads as f64, Range::Between(1.0, 64.0)),
            ("model.attention_size", self.attention_size as f64, Range::Between(1.0, 16_384.0)),
        ])
    }

    /// An error if heads do not share the numbers out.
    pub fn check_heads(&self) -> Result<(), String> {
        if !self.attention_size.is_multiple_of(self.heads) {
            return Err(format!("model.heads = {} must divide {}", self.heads, self.attention_size));
        }
        Ok(())
    }
}

/// Scaled dot products, softmax over each node's edges, mean over heads (Chamberlain et al. 2021):
/// A_ij = mean over heads of softmax_j( <W_q x_i, W_k x_j> / sqrt(size of a head) ); the settings have the
/// variants.
pub struct DotAttention<T> {
    adjacency: Arc<Adjacency<T>>,
    q: ParamId,
    k: ParamId,
    biases: Option<[ParamId; 2]>,
    senders: Option<BySender>,
    settings: DotSettings,
}

impl<T: Real> DotAttention<T> {
    /// From states of `channels`; weights begin at 1e-5, so that all neighbours count the same. Where there are no
    /// biases a little noise tells the rows apart.
    pub fn new(
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        channels: usize,
        settings: DotSettings,
        seed: u64,
    ) -> Self {
        let size = settings.attention_size;
        let noise = T::of(if settings.attention_bias { 0.0 } else { 1e-6 });
        let mut weight = |name: &str| {
            let mut stream = Stream::new(seed, name, 0, 0);
            let mut small = vec![T::ZERO; size * channels];
            stream.fill_normal(&mut small);
            let mut small = small.into_iter().map(|v| T::of(1e-5) + v * noise);
            params.add(name, size, channels, || small.next().unwrap_or(T::ZERO))
        };
        let (q, k) = (weight("attention.query"), weight("attention.key"));
        let bound = 1.0 / (channels.max(1) as f64).sqrt();
        let mut bias = |name: &str| {
            let mut stream = Stream::new(seed, name, 0, 0);
            params.add(name, size, 1, || T::of(bound * (2.0 * stream.uniform() - 1.0)))
        };
        let biases =
            settings.attention_bias.then(|| ["attention.query.bias", "attention.key.bias"].map(&mut bias));
        let senders = (settings.attention_over == Over::Senders).then(|| BySender::new(&adjacency));
        Self { adjacency, q, k, biases, senders, settings }
    }

    /// 1 x nnz; each row sums to 1, or each column.
    pub fn weights(&self, g: &mut Recording<T>, x: Var) -> Var {
        let (q, k) = (g.param(self.q), g.param(self.k));
        let (q, k) = match self.biases {
            None => (g.matmul(q, x), g.matmul(k, x)),
            Some(biases) => {
                let [b_q, b_k] = biases.map(|b| g.param(b));
                (g.linear(q, x, b_q), g.linear(k, x, b_k))
            }
        };
        let DotSettings { heads, attention_size: size, .. } = self.settings;
        let s = g.edge_dot(&self.adjacency.sparse, q, k, heads);
        let s = g.scale(s, 1.0 / (size as f64 / heads as f64).sqrt());
        let p = match (self.settings.attention_weights, &self.senders) {
            (Weights::Softmax, None) => g.edge_softmax(&self.adjacency.sparse, s),
            (Weights::Softmax, Some(senders)) => senders.softmax(g, s),
            (Weights::Squareplus, None) => squareplus(g, s, self.adjacency.receiver()),
            (Weights::Squareplus, Some(_)) => squareplus(g, s, self.adjacency.sender()),
        };
        if heads == 1 { p } else { g.column_mean(p) }
    }
}

/// (d + sqrt(d^2 + 4)) / 2 over its sum over the edges of one node, d = s - max s; `ends` is that node of each edge.
/// As d <= 0 it is taken as 2 / (sqrt(d^2 + 4) - d), in which nothing cancels.
fn squareplus<T: Real>(g: &mut Recording<T>, s: Var, ends: &Moves) -> Var {
    let top = g.max(s);
    let d = g.sub(s, top);
    let square = g.square(d);
    let square = g.affine(square, 1.0, 4.0);
    let root = g.sqrt(square);
    let below = g.sub(root, d);
    let two = g.affine(below, 0.0, 2.0);
    let value = g.div(two, below);
    let sums = g.scatter_add(value, ends);
    let sums = g.gather(sums, ends);
    g.div(value, sums)
}

/// The edges in the order of their senders.
struct BySender {
    sparse: Sparse,
    /// The edges that stand at each place of that order, and the place of each edge.
    order: Moves,
    back: Moves,
}

impl BySender {
    fn new<T: Real>(adjacency: &Adjacency<T>) -> Self {
        let pattern = adjacency.sparse.pattern();
        let ends: Vec<(u32, u32)> = pattern.columns().iter().copied().zip(pattern.rows()).collect();
        let mut order: Vec<u32> = (0..ends.len() as u32).collect();
        order.sort_unstable_by_key(|e| ends[*e as usize]);
        let mut back = vec![0; order.len()];
        (0..).zip(&order).for_each(|(place, e)| back[*e as usize] = place);
        let mut starts = vec![0; adjacency.nodes() + 1];
        ends.iter().for_each(|(sender, _)| starts[*sender as usize + 1] += 1);
        (0..adjacency.nodes()).for_each(|j| starts[j + 1] += starts[j]);
        let receivers: Vec<u32> = order.iter().map(|e| ends[*e as usize].1).collect();
        let (nodes, edges) = (adjacency.nodes(), order.len());
        let (sparse, _) = Sparse::new(&CsMatI::new((nodes, nodes), starts, receivers, vec![T::ZERO; edges]));
        Self { sparse, order: moves(order, edges), back: moves(back, edges) }
    }

    /// Softmax over the edges of each sender.
    fn softmax<T: Real>(&self, g: &mut Recording<T>, s: Var) -> Var {
        let s = g.gather(s, &self.order);
        let p = g.edge_softmax(&self.sparse, s);
        g.gather(p, &self.back)
    }
}

/// Softmax over each node's edges of LeakyReLU_0.2(a . [W x_i || W x_j]) (Velickovic et al. 2018).
pub struct PairAttention<T> {
    adjacency: Arc<Adjacency<T>>,
    w: ParamId,
    receiver: ParamId,
    sender: ParamId,
}

impl<T: Real> PairAttention<T> {
    /// One head of `size` numbers, from states of `channels`.
    pub fn new(
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        channels: usize,
        size: usize,
        seed: u64,
    ) -> Self {
        // Xavier's normal with gain 1.414: variance 2 gain^2 / (inputs + outputs).
        let gain = |rows: usize, cols: usize| 2.0 * (cols as f64 / (rows + cols) as f64).sqrt();
        let w = params.add_weight("kernel.weight", size, channels, gain(size, channels), seed);
        let mut side = |name: &str| params.add_weight(name, 1, size, gain(1, 2 * size) / 2f64.sqrt(), seed);
        let (receiver, sender) = (side("kernel.listening"), side("kernel.heard"));
        Self { adjacency, w, receiver, sender }
    }

    /// 1 x nnz; each row sums to 1.
    pub fn weights(&self, g: &mut Recording<T>, x: Var) -> Var {
        let (w, a, b) = (g.param(self.w), g.param(self.receiver), g.param(self.sender));
        // a (W x) = (a W) x: two numbers a node instead of `size`.
        let (a, b) = (g.matmul(a, w), g.matmul(b, w));
        let (p, q) = (g.matmul(a, x), g.matmul(b, x));
        let (p, q) = (g.gather(p, self.adjacency.receiver()), g.gather(q, self.adjacency.sender()));
        let s = g.add(p, q);
        let s = g.leaky_relu(s);
        g.edge_softmax(&self.adjacency.sparse, s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::{Adjacency, Normalisation};
    use engine::{Matrix, Tape};

    #[test]
    fn one_map_gives_the_weights_and_gradients_of_query_and_key() {
        let edges = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1), (3, 0), (0, 3)];
        let graph = Adjacency::<f64>::new(4, &edges, Normalisation::Ones, true);
        let random = |rows: usize, cols: usize, seed: u64| {
            let mut m = Matrix::<f64>::zeros(rows, cols);
            Stream::new(seed, "merged", 0, 0).fill_normal(m.data_mut());
            m
        };
        let inputs = [random(3, 3, 1), random(3, 1, 2), random(3, 3, 3), random(3, 1, 4), random(3, 4, 5)];
        let run = |together: bool| {
            let mut tape = Tape::new();
            let mut g = tape.record(&[]);
            let v: Vec<Var> = inputs.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
            let [w_q, b_q, w_k, b_k, x] = v[..] else { unreachable!() };
            let scores = if together {
                let (m, c) = merged(&mut g, (w_q, b_q), w_k, 0.7);
                let q = g.linear(m, x, c);
                g.edge_dot(&graph.sparse, q, x, 1)
            } else {
                let (q, k) = (g.linear(w_q, x, b_q), g.linear(w_k, x, b_k));
                let s = g.edge_dot(&graph.sparse, q, k, 1);
                g.scale(s, 0.7)
            };
            let p = g.edge_softmax(&graph.sparse, scores);
            let mut all = g.value(p).data.to_vec();
            let bar: Vec<f64> = (0..all.len()).map(|k| (k as f64).sin()).collect();
            g.backward_from(p, &bar, &mut []);
            v.iter().for_each(|v| all.extend(g.grad(*v).data));
            all
        };
        let (plain, one) = (run(false), run(true));
        assert!(plain.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-12), "{plain:?} {one:?}");
    }
}
