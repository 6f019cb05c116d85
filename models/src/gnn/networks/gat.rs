//! GAT (Velickovic et al. 2018): x_i <- relu of sum_j softmax_j(LeakyReLU(a . [W x_i || W x_j])) W x_j,
//! heads side by side, in the last layer one head.

use std::sync::Arc;

use engine::{ParamId, Params, Real, Recording, Var};

use super::{Network, Outputs};
use crate::gnn::layers::{Features, Linear};
use crate::gnn::settings::Model;
use crate::gnn::{Adjacency, Dataset, Dropout};

pub(super) struct Gat<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    layers: Vec<Linear>,
    attention: Vec<Scores>,
    rates: (f64, f64),
}

/// a of each head, for the listening and the heard end (rows x 1).
struct Scores {
    listening: ParamId,
    heard: ParamId,
    heads: usize,
}

impl<T: Real> Gat<T> {
    pub fn new(
        m: &Model,
        data: &Dataset,
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        seed: u64,
    ) -> Self {
        let shape = |l: usize| if l == m.layers { (data.classes, 1) } else { (m.hidden, m.heads) };
        let features = Features::new(params, "layer.1", data, shape(1).0, seed);
        let layers =
            (2..=m.layers).map(|l| Linear::new(params, &format!("layer.{l}"), m.hidden, shape(l).0, seed));
        let layers = layers.collect();
        let mut scores = |l: usize| {
            let (rows, heads) = shape(l);
            let gain = (rows as f64).recip().sqrt() * (heads as f64).sqrt();
            let mut side = |name: &str| params.add_weight(format!("layer.{l}.{name}"), rows, 1, gain, seed);
            Scores { listening: side("listening"), heard: side("heard"), heads }
        };
        let attention = (1..=m.layers).map(&mut scores).collect();
        Self { adjacency, features, layers, attention, rates: (m.input_dropout, m.dropout) }
    }

    fn attend(&self, g: &mut Recording<T>, x: Var, scores: &Scores) -> Var {
        let (rows, nodes) = (g.shape(x).rows, g.shape(x).cols);
        let mut side = |a: ParamId| {
            let a = g.param(a);
            let products = g.mul(x, a);
            let products = g.reshape(products, rows / scores.heads, scores.heads * nodes);
            let sums = g.column_sum(products);
            g.reshape(sums, scores.heads, nodes)
        };
        let (p, q) = (side(scores.listening), side(scores.heard));
        let (p, q) = (g.gather(p, &self.adjacency.listener), g.gather(q, &self.adjacency.heard));
        let s = g.add(p, q);
        let s = g.leaky_relu(s);
        g.attend(&self.adjacency.sparse, s, x)
    }
}

impl<T: Real> Network<T> for Gat<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let first = self.features.apply(g, dropout, self.rates.0);
        let (mut x, mut last) = (self.attend(g, first, &self.attention[0]), first);
        for (layer, scores) in self.layers.iter().zip(&self.attention[1..]) {
            last = g.relu(x);
            let kept = dropout.apply(g, last, self.rates.1);
            let h = layer.apply(g, kept);
            x = self.attend(g, h, scores);
        }
        Outputs { first, last, logits: x }
    }
}
