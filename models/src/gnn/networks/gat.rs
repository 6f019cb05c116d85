//! GAT (Velickovic et al. 2018): x_i <- f(sum_j softmax_j(LeakyReLU(a . [W x_i || W x_j])) W x_j), f a ReLU or an
//! ELU, heads side by side, in the last layer one head. Attention weights may be dropped.

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

/// The nonlinearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nonlinearity {
    /// max(x, 0).
    #[default]
    Relu,
    /// x above 0, e^x - 1 below: the authors'.
    Elu,
}

/// Settings of GAT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gat {
    /// Heads of attention.
    pub heads: usize,
    /// relu or elu.
    #[serde(default)]
    pub nonlinearity: Nonlinearity,
    /// Dropout of attention weights.
    #[serde(default)]
    pub attention_dropout: f64,
}

impl Default for Gat {
    fn default() -> Self {
        Self { heads: 4, nonlinearity: Nonlinearity::Relu, attention_dropout: 0.0 }
    }
}

impl Layers for Gat {
    const WEIGHTS: bool = false;

    fn check(&self, width: &Width) -> Result<(), String> {
        range::check(&[
            ("model.heads", self.heads as f64, Range::Between(1.0, 64.0)),
            ("model.attention_dropout", self.attention_dropout, Range::Below(0.0, 1.0)),
        ])?;
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
        let attention = (1..=layers).map(|l| {
            let (rows, heads) = shape(l);
            scores(on, &format!("layer.{l}"), rows, heads)
        });
        let attention = attention.collect();
        let rates = (input_dropout, dropout, self.attention_dropout);
        let (adjacency, nonlinearity) = (pairs(on), self.nonlinearity);
        Box::new(Net { adjacency, features, layers: maps, attention, nonlinearity, rates })
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
    nonlinearity: Nonlinearity,
    /// Of features, states and attention weights.
    rates: (f64, f64, f64),
}

/// a of each head, for receivers and senders (rows x 1).
pub(super) struct Scores {
    receiver: ParamId,
    sender: ParamId,
    heads: usize,
}

/// Those of a layer with `rows` numbers in `heads` heads.
pub(super) fn scores<T: Real>(on: &mut Builder<'_, T>, layer: &str, rows: usize, heads: usize) -> Scores {
    let gain = (rows as f64).recip().sqrt() * (heads as f64).sqrt();
    let mut side = |name: &str| on.params.add_weight(format!("{layer}.{name}"), rows, 1, gain, on.seed);
    Scores { receiver: side("listening"), sender: side("heard"), heads }
}

impl Scores {
    /// sum_j softmax_j(LeakyReLU(a . [x_i || x_j])) x_j, head by head, weights dropped at `rate`.
    pub(super) fn attend<T: Real>(
        &self,
        g: &mut Recording<T>,
        pairs: &Adjacency<T>,
        x: Var,
        dropout: &mut Dropout,
        rate: f64,
    ) -> Var {
        let (rows, nodes) = (g.shape(x).rows, g.shape(x).cols);
        let mut side = |a: ParamId| {
            let a = g.param(a);
            let products = g.mul(x, a);
            let products = g.reshape(products, rows / self.heads, self.heads * nodes);
            let sums = g.column_sum(products);
            g.reshape(sums, self.heads, nodes)
        };
        let (p, q) = (side(self.receiver), side(self.sender));
        let (p, q) = (g.gather(p, pairs.receiver()), g.gather(q, pairs.sender()));
        let s = g.add(p, q);
        let s = g.leaky_relu(s);
        if rate == 0.0 {
            return g.attend(&pairs.sparse, s, x);
        }
        let weights = g.edge_softmax(&pairs.sparse, s);
        let weights = dropout.apply(g, weights, rate);
        g.sparse_columns(&pairs.sparse, weights, x)
    }
}

impl<T: Real> Classifier<T> for Net<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let (pairs, (input, between, weights)) = (&*self.adjacency, self.rates);
        let first = self.features.apply(g, dropout, input);
        let (mut x, mut last) = (self.attention[0].attend(g, pairs, first, dropout, weights), first);
        for (layer, scores) in self.layers.iter().zip(&self.attention[1..]) {
            last = match self.nonlinearity {
                Nonlinearity::Relu => g.relu(x),
                Nonlinearity::Elu => g.elu(x),
            };
            let kept = dropout.apply(g, last, between);
            let h = layer.apply(g, kept);
            x = scores.attend(g, pairs, h, dropout, weights);
        }
        Outputs { first, last, logits: x }
    }
}
