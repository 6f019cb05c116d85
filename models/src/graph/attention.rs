//! Attention weights on the edges of a graph.

use std::sync::Arc;

use engine::rng::Stream;
use engine::{Graph, ParamId, Params, Real, Var};

use super::Adjacency;

/// Scaled dot products, softmax over each node's edges, mean over heads (Chamberlain et al. 2021):
/// A_ij = mean over heads of softmax_j( <W_q x_i, W_k x_j> / sqrt(size of a head) ).
pub struct DotAttention<T> {
    adjacency: Arc<Adjacency<T>>,
    q: ParamId,
    k: ParamId,
    size: usize,
    heads: usize,
}

impl<T: Real> DotAttention<T> {
    /// `size` numbers in `heads` heads, from states of `channels`; weights begin at 1e-5, so that all
    /// neighbours count the same.
    pub fn new(
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        channels: usize,
        (size, heads): (usize, usize),
        seed: u64,
    ) -> Self {
        let mut weight = |name: &str| {
            let mut stream = Stream::new(seed, name, 0, 0);
            let mut small = vec![T::ZERO; size * channels];
            stream.fill_normal(&mut small);
            let mut small = small.into_iter().map(|v| T::of(1e-5) + v * T::of(1e-6));
            params.add(name, size, channels, || small.next().unwrap_or(T::ZERO))
        };
        let (q, k) = (weight("attention.query"), weight("attention.key"));
        Self { adjacency, q, k, size, heads }
    }

    /// 1 x nnz; each row sums to 1.
    pub fn weights(&self, g: &mut Graph<T>, x: Var) -> Var {
        let (q, k) = (g.param(self.q), g.param(self.k));
        let (q, k) = (g.matmul(q, x), g.matmul(k, x));
        let s = g.edge_dot(&self.adjacency.sparse, q, k, self.heads);
        let s = g.scale(s, 1.0 / (self.size as f64 / self.heads as f64).sqrt());
        let p = g.edge_softmax(&self.adjacency.sparse, s);
        if self.heads == 1 { p } else { g.column_mean(p) }
    }
}

/// Softmax over each node's edges of LeakyReLU_0.2(a . [W x_i || W x_j]) (Velickovic et al. 2018).
pub struct PairAttention<T> {
    adjacency: Arc<Adjacency<T>>,
    w: ParamId,
    listening: ParamId,
    heard: ParamId,
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
        let (listening, heard) = (side("kernel.listening"), side("kernel.heard"));
        Self { adjacency, w, listening, heard }
    }

    /// 1 x nnz; each row sums to 1.
    pub fn weights(&self, g: &mut Graph<T>, x: Var) -> Var {
        let (w, a, b) = (g.param(self.w), g.param(self.listening), g.param(self.heard));
        // a (W x) = (a W) x: two numbers a node instead of `size`.
        let (a, b) = (g.matmul(a, w), g.matmul(b, w));
        let (p, q) = (g.matmul(a, x), g.matmul(b, x));
        let (p, q) = (g.gather(p, &self.adjacency.listener), g.gather(q, &self.adjacency.heard));
        let s = g.add(p, q);
        let s = g.leaky_relu(s);
        g.edge_softmax(&self.adjacency.sparse, s)
    }
}
