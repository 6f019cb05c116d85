//! Attention weights on the edges of a graph.

use std::sync::Arc;

use engine::rng::Stream;
use engine::{ParamId, Params, Real, Recording, Var};

use crate::gnn::Adjacency;

/// One map in place of a query and a key, for scores that go through a softmax over each receiver's edges:
/// <W_q x_i + b_q, W_k x_j + b_k> = <M x_i + c, x_j> + (what depends on i alone, which softmax takes away),
/// M = W_k^T W_q, c = W_k^T b_q. Returns (M, c), times `scale`.
pub fn merged<T: Real>(g: &mut Recording<T>, (w_q, b_q): (Var, Var), w_k: Var, scale: f64) -> (Var, Var) {
    let (m, c) = (g.matmul_tn(w_k, w_q), g.matmul_tn(w_k, b_q));
    (g.scale(m, scale), g.scale(c, scale))
}

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
    pub fn weights(&self, g: &mut Recording<T>, x: Var) -> Var {
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
        let (p, q) = (g.gather(p, &self.adjacency.receiver), g.gather(q, &self.adjacency.sender));
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
