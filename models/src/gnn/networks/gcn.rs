//! GCN (Kipf and Welling 2017): x <- relu(W x A + b), A symmetric with loops.

use std::sync::Arc;

use engine::{Real, Recording};
use serde::{Deserialize, Serialize};

use super::{Classifier, Evolution, Layers, Outputs};
use crate::gnn::equations::Mixing;
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::Width;
use crate::gnn::{Adjacency, Dropout};

/// GCN has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gcn {}

impl Layers for Gcn {
    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let (Width { hidden, input_dropout, dropout }, classes) = (width, on.data.classes);
        let width = |l: usize| if l == layers { classes } else { hidden };
        let features = on.features("layer.1", width(1));
        let layers = (2..=layers).map(|l| on.linear(&format!("layer.{l}"), hidden, width(l)));
        let layers = layers.collect();
        Box::new(Net { adjacency: on.symmetric(), features, layers, rates: (input_dropout, dropout) })
    }

    fn evolution<T: Real>(&self, on: &mut Builder<'_, T>, channels: usize) -> Option<Evolution<T>> {
        Some(Evolution::Layers(Mixing::new(on, on.symmetric(), channels, 0)))
    }
}

struct Net<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    layers: Vec<Linear>,
    rates: (f64, f64),
}

impl<T: Real> Classifier<T> for Net<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.features.apply(g, dropout, self.rates.0);
        let (mut x, mut last) = (g.sparse_columns(&self.adjacency.sparse, weights, first), first);
        for layer in &self.layers {
            last = g.relu(x);
            let before = g.mark();
            let kept = dropout.apply(g, last, self.rates.1);
            let h = layer.apply(g, kept);
            let mixed = g.sparse_columns(&self.adjacency.sparse, weights, h);
            x = g.release(before, mixed);
        }
        Outputs { first, last, logits: x }
    }
}
