//! GraphSAGE with the mean (Hamilton, Ying and Leskovec 2017): x_i <- relu(W x_i + V mean of neighbours).

use std::sync::Arc;

use engine::{Params, Real, Recording};

use super::{Network, Outputs};
use crate::gnn::layers::{Features, Linear};
use crate::gnn::settings::Model;
use crate::gnn::{Adjacency, Dataset, Dropout};

pub(super) struct Sage<T> {
    adjacency: Arc<Adjacency<T>>,
    features: [Features<T>; 2],
    layers: Vec<[Linear; 2]>,
    rates: (f64, f64),
}

impl<T: Real> Sage<T> {
    pub fn new(
        m: &Model,
        data: &Dataset,
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        seed: u64,
    ) -> Self {
        let width = |l: usize| if l == m.layers { data.classes } else { m.hidden };
        let features = ["own", "mean"]
            .map(|side| Features::new(params, &format!("layer.1.{side}"), data, width(1), seed));
        let mut layer = |l: usize| {
            let name = |side| format!("layer.{l}.{side}");
            ["own", "mean"].map(|side| Linear::new(params, &name(side), m.hidden, width(l), seed))
        };
        let layers = (2..=m.layers).map(&mut layer).collect();
        Self { adjacency, features, layers, rates: (m.input_dropout, m.dropout) }
    }
}

impl<T: Real> Network<T> for Sage<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.features[0].apply(g, dropout, self.rates.0);
        let mean = self.features[1].apply(g, dropout, self.rates.0);
        let mean = g.sparse_columns(&self.adjacency.sparse, weights, mean);
        let (mut x, mut last) = (g.add(first, mean), first);
        for [own, mean] in &self.layers {
            last = g.relu(x);
            let kept = dropout.apply(g, last, self.rates.1);
            let (a, b) = (own.apply(g, kept), mean.apply(g, kept));
            let b = g.sparse_columns(&self.adjacency.sparse, weights, b);
            x = g.add(a, b);
        }
        Outputs { first, last, logits: x }
    }
}
