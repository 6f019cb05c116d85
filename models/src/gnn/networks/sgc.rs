//! SGC (Wu et al. 2019): logits = A^K (W X + b), A symmetric with loops; a GCN with nothing between its layers.

use std::sync::Arc;

use engine::{Real, Recording};
use serde::{Deserialize, Serialize};

use super::{Architecture, Build, Classifier, Outputs};
use crate::gnn::layers::{Builder, Features};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dropout};
use crate::range::{self, Range};

/// Settings of SGC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgc {
    /// K, the power of A.
    pub powers: usize,
    /// Dropout of the features.
    pub input_dropout: f64,
}

impl Default for Sgc {
    fn default() -> Self {
        Self { powers: 2, input_dropout: 0.0 }
    }
}

impl Architecture for Sgc {
    fn check(&self) -> Result<(), String> {
        range::check(&[
            ("model.powers", self.powers as f64, Range::Between(1.0, 4096.0)),
            ("model.input_dropout", self.input_dropout, Range::Below(0.0, 1.0)),
        ])
    }

    /// There is no state between features and classes.
    fn width(&mut self) -> Option<&mut Width> {
        None
    }

    fn set_depth(&mut self, depth: usize) {
        self.powers = depth;
    }

    fn applications(&self) -> Option<usize> {
        Some(self.powers)
    }

    fn draw(&mut self, draw: &mut Draw<'_>) {
        (self.powers, self.input_dropout) = (draw.one_of(&[1, 2, 3, 5]), draw.dropout());
    }
}

impl<T: Real> Build<T> for Sgc {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        let (powers, rate) = (self.powers, self.input_dropout);
        let features = on.features("encoder", on.data.classes);
        Ok(Box::new(Net { adjacency: on.symmetric(), features, powers, rate }))
    }
}

struct Net<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    powers: usize,
    rate: f64,
}

impl<T: Real> Classifier<T> for Net<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.features.apply(g, dropout, self.rate);
        let mut x = first;
        for _ in 0..self.powers {
            x = g.sparse_columns(&self.adjacency.sparse, weights, x);
        }
        Outputs { first, last: x, logits: x }
    }
}
