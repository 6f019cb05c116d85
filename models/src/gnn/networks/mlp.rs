//! A multilayer perceptron of each node's own features: no graph at all.

use engine::{Params, Real, Recording};

use super::{Network, Outputs};
use crate::gnn::layers::{Features, Linear};
use crate::gnn::settings::Model;
use crate::gnn::{Dataset, Dropout};

pub(super) struct Mlp<T> {
    features: Features<T>,
    layers: Vec<Linear>,
    last: Linear,
    rates: (f64, f64),
}

impl<T: Real> Mlp<T> {
    pub fn new(m: &Model, data: &Dataset, params: &mut Params<T>, seed: u64) -> Self {
        let features = Features::new(params, "encoder", data, m.hidden, seed);
        let layers =
            (2..m.layers).map(|l| Linear::new(params, &format!("layer.{l}"), m.hidden, m.hidden, seed));
        let layers = layers.collect();
        let last = Linear::new(params, "decoder", m.hidden, data.classes, seed);
        Self { features, layers, last, rates: (m.input_dropout, m.dropout) }
    }
}

impl<T: Real> Network<T> for Mlp<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let first = self.features.apply(g, dropout, self.rates.0);
        let mut x = g.relu(first);
        for layer in &self.layers {
            let kept = dropout.apply(g, x, self.rates.1);
            x = layer.relu(g, kept);
        }
        let kept = dropout.apply(g, x, self.rates.1);
        Outputs { first, last: x, logits: self.last.apply(g, kept) }
    }
}
