//! GAT (Velickovic et al. 2018): x_i <- relu of sum_j softmax_j(LeakyReLU(a . [W x_i || W x_j])) W x_j,
//! heads side by side, in the last layer one head.

use std::sync::Arc;

use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::{Classifier, Evolution, Layers, Outputs};
use crate::gnn::equations::Mixing;
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dropout, Normalisation};
use crate::range::{self, Range};

/// Scores need the pairs of nodes alone.
fn pairs<T: Real>(on: &Builder<'_, T>) -> Arc<Adjacency<T>> {
    on.adjacency(Normalisation::Ones, true)
}

/// Settings of GAT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gat {
    /// Heads of attention.
    pub heads: usize,
}

impl Default for Gat {
    fn default() -> Self {
        Self { heads: 4 }
    }
}

impl Layers for Gat {
    fn check(&self, width: &Width) -> Result<(), String> {
        range::check(&[("model.heads", self.heads as f64, Range::Between(1.0, 64.0))])?;
        if !width.hidden.is_multiple_of(self.heads) {
            return Err(format!("model.heads = {} must divide model.hidden", self.heads));
        }
        Ok(())
    }

    fn draw(&mut self, layers: &mut usize, draw: &mut Draw<'_>) {
        (*layers, self.heads) = (2, draw.one_of(&[1, 4, 8]));
    }

    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let (Width { hidden, input_dropout, dropout }, classes) = (width, on.data.classes);
        let shape = |l: usize| if l == layers { (classes, 1) } else { (hidden, self.heads) };
        let features = on.features("layer.1", shape(1).0);
        let maps = (2..=layers).map(|l| on.linear(&format!("layer.{l}"), hidden, shape(l).0));
        let maps = maps.collect();
        let mut scores = |l: usize| {
            let (rows, heads) = shape(l);
            let gain = (rows as f64).recip().sqrt() * (heads as f64).sqrt();
            let mut side =
                |name: &str| on.params.add_weight(format!("layer.{l}.{name}"), rows, 1, gain, on.seed);
            Scores { receiver: side("listening"), sender: side("heard"), heads }
        };
        let attention = (1..=layers).map(&mut scores).collect();
        Box::new(Net {
            adjacency: pairs(on),
            features,
            layers: maps,
            attention,
            rates: (input_dropout, dropout),
        })
    }

    /// By dot products, in which it has `heads` heads too.
    fn evolution<T: Real>(&self, on: &mut Builder<'_, T>, channels: usize) -> Option<Evolution<T>> {
        Some(Evolution::Layers(Mixing::new(on, pairs(on), channels, self.heads)))
    }
}

struct Net<T> {
    adjacency: Arc<Adjacency<T>>,
    features: Features<T>,
    layers: Vec<Linear>,
    attention: Vec<Scores>,
    rates: (f64, f64),
}

/// a of each head, for receivers and senders (rows x 1).
struct Scores {
    receiver: ParamId,
    sender: ParamId,
    heads: usize,
}

impl<T: Real> Net<T> {
    fn attend(&self, g: &mut Recording<T>, x: Var, scores: &Scores) -> Var {
        let (rows, nodes) = (g.shape(x).rows, g.shape(x).cols);
        let mut side = |a: ParamId| {
            let a = g.param(a);
            let products = g.mul(x, a);
            let products = g.reshape(products, rows / scores.heads, scores.heads * nodes);
            let sums = g.column_sum(products);
            g.reshape(sums, scores.heads, nodes)
        };
        let (p, q) = (side(scores.receiver), side(scores.sender));
        let (p, q) = (g.gather(p, &self.adjacency.receiver), g.gather(q, &self.adjacency.sender));
        let s = g.add(p, q);
        let s = g.leaky_relu(s);
        g.attend(&self.adjacency.sparse, s, x)
    }
}

impl<T: Real> Classifier<T> for Net<T> {
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
