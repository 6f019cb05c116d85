//! GCNII (Chen et al. 2020): x <- relu( (1 - b_l) z + b_l W_l z ), z = (1 - a) A x + a x_0,
//! b_l = log(lambda / l + 1).

use std::sync::Arc;

use engine::{ParamId, Real, Recording};
use serde::{Deserialize, Serialize};

use super::{Classifier, Layers, Outputs};
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dropout};
use crate::range::{self, Range};

/// Settings of GCNII.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gcnii {
    /// a, the share of the initial state in each layer.
    pub teleport: f64,
    /// Strength of the identity in the weights.
    pub lambda: f64,
}

impl Default for Gcnii {
    fn default() -> Self {
        Self { teleport: 0.1, lambda: 0.5 }
    }
}

impl Layers for Gcnii {
    const LAYERS: usize = 16;

    fn check(&self, _: &Width) -> Result<(), String> {
        range::check(&[
            ("model.teleport", self.teleport, Range::Between(0.0, 1.0)),
            ("model.lambda", self.lambda, Range::NotNegative),
        ])
    }

    fn draw(&mut self, layers: &mut usize, draw: &mut Draw<'_>) {
        *layers = draw.one_of(&[4, 8, 16, 32]);
        (self.teleport, self.lambda) = (draw.one_of(&[0.1, 0.3, 0.5]), draw.one_of(&[0.5, 1.0, 1.5]));
    }

    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let Width { hidden, input_dropout, dropout } = width;
        let features = on.features("encoder", hidden);
        let weight = |l: usize| on.params.add_weight(format!("layer.{l}"), hidden, hidden, 0.6, on.seed);
        let weights = (1..=layers).map(weight).collect();
        let last = on.linear("decoder", hidden, on.data.classes);
        let (rates, teleport, lambda) = ((input_dropout, dropout), self.teleport, self.lambda);
        Box::new(Net { adjacency: on.symmetric(), features, weights, last, teleport, lambda, rates })
    }
}

struct Net<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    weights: Vec<ParamId>,
    last: Linear,
    teleport: f64,
    lambda: f64,
    rates: (f64, f64),
}

impl<T: Real> Classifier<T> for Net<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
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
