//! GraphSAGE with the mean (Hamilton, Ying and Leskovec 2017): x_i <- relu(W x_i + V mean of neighbours).

use std::sync::Arc;

use engine::{Real, Recording};
use serde::{Deserialize, Serialize};

use super::{Classifier, Layers, Outputs};
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::Width;
use crate::gnn::{Adjacency, Dropout, Normalisation};

/// GraphSAGE has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sage {}

impl Layers for Sage {
    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let (Width { hidden, input_dropout, dropout }, classes) = (width, on.data.classes);
        let width = |l: usize| if l == layers { classes } else { hidden };
        let features = ["own", "mean"].map(|side| on.features(&format!("layer.1.{side}"), width(1)));
        let mut layer = |l: usize| {
            let name = |side| format!("layer.{l}.{side}");
            ["own", "mean"].map(|side| on.linear(&name(side), hidden, width(l)))
        };
        let layers = (2..=layers).map(&mut layer).collect();
        let adjacency = on.adjacency(Normalisation::Row, false);
        Box::new(Net { adjacency, features, layers, rates: (input_dropout, dropout) })
    }
}

struct Net<T> {
    adjacency: Arc<Adjacency<T>>,
    features: [Features<T>; 2],
    layers: Vec<[Linear; 2]>,
    rates: (f64, f64),
}

impl<T: Real> Classifier<T> for Net<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.features[0].apply(g, dropout, self.rates.0);
        let mean = self.features[1].apply(g, dropout, self.rates.0);
        let mean = g.sparse_columns(&self.adjacency.sparse, weights, mean);
        let (mut x, mut last) = (g.add(first, mean), first);
        for [own, mean] in &self.layers {
            last = g.relu(x);
            let before = g.mark();
            let kept = dropout.apply(g, last, self.rates.1);
            let (a, b) = (own.apply(g, kept), mean.apply(g, kept));
            let b = g.sparse_columns(&self.adjacency.sparse, weights, b);
            let sum = g.add(a, b);
            x = g.release(before, sum);
        }
        Outputs { first, last, logits: x }
    }
}
