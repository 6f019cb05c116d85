//! GCN (Kipf and Welling 2017): x <- relu(W x A + b), A symmetric with loops.

use std::sync::Arc;

use engine::{Params, Real, Recording};

use super::{Network, Outputs};
use crate::gnn::layers::{Features, Linear};
use crate::gnn::settings::Model;
use crate::gnn::{Adjacency, Dataset, Dropout};

pub(super) struct Gcn<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    layers: Vec<Linear>,
    rates: (f64, f64),
}

impl<T: Real> Gcn<T> {
    pub fn new(
        m: &Model,
        data: &Dataset,
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        seed: u64,
    ) -> Self {
        let width = |l: usize| if l == m.layers { data.classes } else { m.hidden };
        let features = Features::new(params, "layer.1", data, width(1), seed);
        let layers =
            (2..=m.layers).map(|l| Linear::new(params, &format!("layer.{l}"), m.hidden, width(l), seed));
        let layers = layers.collect();
        Self { adjacency, features, layers, rates: (m.input_dropout, m.dropout) }
    }
}

impl<T: Real> Network<T> for Gcn<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.features.apply(g, dropout, self.rates.0);
        let (mut x, mut last) = (g.sparse_columns(&self.adjacency.sparse, weights, first), first);
        for layer in &self.layers {
            last = g.relu(x);
            let kept = dropout.apply(g, last, self.rates.1);
            let h = layer.apply(g, kept);
            x = g.sparse_columns(&self.adjacency.sparse, weights, h);
        }
        Outputs { first, last, logits: x }
    }
}
