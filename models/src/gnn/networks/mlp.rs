//! A multilayer perceptron of each node's own features: no graph at all.

use engine::{Real, Recording};
use serde::{Deserialize, Serialize};

use super::{Classifier, Layers, Outputs};
use crate::gnn::Dropout;
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::Width;

/// A multilayer perceptron has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mlp {}

impl Layers for Mlp {
    const EDGES: bool = false;

    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        Box::new(Perceptron::new(width, layers, on))
    }
}

pub(super) struct Perceptron<T> {
    features: Features<T>,
    layers: Vec<Linear>,
    last: Linear,
    rates: (f64, f64),
}

impl<T: Real> Perceptron<T> {
    pub(super) fn new(width: Width, layers: usize, on: &mut Builder<'_, T>) -> Self {
        let Width { hidden, input_dropout, dropout } = width;
        let features = on.features("encoder", hidden);
        let layers = (2..layers).map(|l| on.linear(&format!("layer.{l}"), hidden, hidden));
        let layers = layers.collect();
        let last = on.linear("decoder", hidden, on.data.classes);
        Self { features, layers, last, rates: (input_dropout, dropout) }
    }
}

impl<T: Real> Classifier<T> for Perceptron<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
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
