//! GCNII (Chen et al. 2020): x <- relu( (1 - b_l) z + b_l W_l z ), z = (1 - a) A x + a x_0,
//! b_l = log(lambda / l + 1).

use std::sync::Arc;

use engine::{ParamId, Params, Real, Recording};

use super::{Network, Outputs};
use crate::gnn::layers::{Features, Linear};
use crate::gnn::settings::Model;
use crate::gnn::{Adjacency, Dataset, Dropout};

pub(super) struct Gcnii<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    weights: Vec<ParamId>,
    last: Linear,
    teleport: f64,
    lambda: f64,
    rates: (f64, f64),
}

impl<T: Real> Gcnii<T> {
    pub fn new(
        m: &Model,
        data: &Dataset,
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        seed: u64,
    ) -> Self {
        let features = Features::new(params, "encoder", data, m.hidden, seed);
        let weight = |l: usize| params.add_weight(format!("layer.{l}"), m.hidden, m.hidden, 0.6, seed);
        let weights = (1..=m.layers).map(weight).collect();
        let last = Linear::new(params, "decoder", m.hidden, data.classes, seed);
        let rates = (m.input_dropout, m.dropout);
        Self { adjacency, features, weights, last, teleport: m.teleport, lambda: m.lambda, rates }
    }
}

impl<T: Real> Network<T> for Gcnii<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.features.apply(g, dropout, self.rates.0);
        let start = g.relu(first);
        let origin = g.scale(start, self.teleport);
        let mut x = start;
        for (l, w) in self.weights.iter().enumerate() {
            let kept = dropout.apply(g, x, self.rates.1);
            let mixed = g.sparse_columns(&self.adjacency.sparse, weights, kept);
            let mixed = g.scale(mixed, 1.0 - self.teleport);
            let z = g.add(mixed, origin);
            let share = (self.lambda / (l + 1) as f64).ln_1p();
            let w = g.param(*w);
            let (turned, same) = (g.matmul(w, z), g.scale(z, 1.0 - share));
            let turned = g.scale(turned, share);
            let sum = g.add(same, turned);
            x = g.relu(sum);
        }
        let kept = dropout.apply(g, x, self.rates.1);
        Outputs { first, last: x, logits: self.last.apply(g, kept) }
    }
}
