//! GCN, GAT and GraphSAGE as Luo, Shi and Wu (2024, "Classic GNNs are strong baselines") tune them:
//! x <- dropout(relu(norm(C(x) [+ V x + c]))) in each layer, then logits = W x + b. C(x) is
//!
//! - GCN: A W x + b, A symmetric with loops;
//! - GAT: sum_j softmax_j(LeakyReLU(a . [W x_i || W x_j])) W x_j with loops, one head;
//! - GraphSAGE: V x_i + W mean of x_j + b, the node itself among its neighbours.
//!
//! The features go into the first layer; `input_dropout` is of them (the authors have none).

use std::sync::Arc;

use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::gat::{Scores, scores};
use super::{Classifier, Layers, Outputs};
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::norm::{Norm, Normalised};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dropout, Normalisation};

/// The convolution C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convolution {
    Gcn,
    Gat,
    Sage,
}

/// The convolutions in the order of their numbers.
const CONVOLUTIONS: [Convolution; 3] = [Convolution::Gcn, Convolution::Gat, Convolution::Sage];

/// Settings of a tuned network with the convolution number `C` of `CONVOLUTIONS`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuned<const C: usize> {
    /// none, batch or layer.
    pub norm: Norm,
    /// Whether a linear map of a layer's input is added to its output.
    pub residual: bool,
}

impl<const C: usize> Layers for Tuned<C> {
    const WEIGHTS: bool = !matches!(CONVOLUTIONS[C], Convolution::Gat);

    fn draw(&mut self, layers: &mut usize, draw: &mut Draw<'_>) {
        *layers = draw.one_of(&[2, 3, 4, 5, 7]);
        (self.norm, self.residual) = (draw.one_of(&[Norm::None, Norm::Batch, Norm::Layer]), draw.coin());
    }

    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let hidden = width.hidden;
        let kind = CONVOLUTIONS[C];
        let adjacency = match kind {
            Convolution::Gcn => on.symmetric(),
            Convolution::Gat => on.adjacency(Normalisation::Ones, true),
            Convolution::Sage => on.adjacency(Normalisation::Row, true),
        };
        let layer = |l: usize| {
            let name = |part: &str| format!("layer.{l}.{part}");
            // Glorot's uniform weights and no bias to begin with; GraphSAGE's are those of a linear map.
            let inputs = if l == 1 { on.data.features.cols() } else { hidden };
            let glorot = [(6.0 / (inputs + hidden) as f64).sqrt(), 0.0];
            let usual = [1.0 / (inputs.max(1) as f64).sqrt(); 2];
            let mut map = |part: &str, bounds: [f64; 2]| Map::new(on, &name(part), l == 1, hidden, bounds);
            let main = map("convolution", if kind == Convolution::Sage { usual } else { glorot });
            let own = (kind == Convolution::Sage).then(|| map("own", [usual[0], 0.0]));
            let residual = self.residual.then(|| map("residual", usual));
            let scores = (kind == Convolution::Gat).then(|| scores(on, &format!("layer.{l}"), hidden, 1));
            let norm = Normalised::new(on, &name("norm"), hidden, self.norm);
            Layer { main, own, residual, scores, norm }
        };
        let layers = (1..=layers).map(layer).collect();
        let last = on.linear("decoder", hidden, on.data.classes);
        Box::new(Net { adjacency, layers, last, rates: (width.input_dropout, width.dropout) })
    }
}

/// A linear map of the features, or of a state.
enum Map<T> {
    Features(Features<T>),
    State(Linear),
}

impl<T: Real> Map<T> {
    fn new(on: &mut Builder<'_, T>, name: &str, first: bool, hidden: usize, bounds: [f64; 2]) -> Self {
        let inputs = if first { on.data.features.cols() } else { hidden };
        let map = Linear::within(on.params, name, (inputs, hidden), bounds, on.seed);
        if first { Self::Features(on.features_by(map)) } else { Self::State(map) }
    }

    /// W x; of the features, dropped at `rate`, whatever x is.
    fn product(&self, g: &mut Recording<T>, dropout: &mut Dropout, x: Var, rate: f64) -> Var {
        match self {
            Self::State(map) => map.product(g, x),
            Self::Features(features) => features.product(g, dropout, rate),
        }
    }

    /// x + b.
    fn shift(&self, g: &mut Recording<T>, x: Var) -> Var {
        match self {
            Self::State(map) => map.shift(g, x),
            Self::Features(features) => features.shift(g, x),
        }
    }
}

struct Layer<T> {
    main: Map<T>,
    own: Option<Map<T>>,
    residual: Option<Map<T>>,
    scores: Option<Scores>,
    norm: Option<Normalised>,
}

struct Net<T> {
    adjacency: Arc<Adjacency<T>>,
    layers: Vec<Layer<T>>,
    last: Linear,
    rates: (f64, f64),
}

impl<T: Real> Net<T> {
    /// C(x) [+ V x + c] with the weights of A.
    fn convolve(
        &self,
        g: &mut Recording<T>,
        dropout: &mut Dropout,
        layer: &Layer<T>,
        (x, weights): (Var, Var),
    ) -> Var {
        let rate = self.rates.0;
        let h = layer.main.product(g, dropout, x, rate);
        let mut y = match &layer.scores {
            Some(scores) => scores.attend(g, &self.adjacency, h, dropout, 0.0),
            None => {
                let mixed = g.sparse_columns(&self.adjacency.sparse, weights, h);
                layer.main.shift(g, mixed)
            }
        };
        if let Some(own) = &layer.own {
            let own = own.product(g, dropout, x, rate);
            y = g.add(y, own);
        }
        if let Some(residual) = &layer.residual {
            let kept = residual.product(g, dropout, x, rate);
            let kept = residual.shift(g, kept);
            y = g.add(y, kept);
        }
        y
    }
}

impl<T: Real> Classifier<T> for Net<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        // The first layer maps the features, and no state.
        let mut x = g.constant(0, 0, &[]);
        let mut first = x;
        for (l, layer) in self.layers.iter().enumerate() {
            let mut before = g.mark();
            let mut y = self.convolve(g, dropout, layer, (x, weights));
            if l == 0 {
                first = g.release(before, y);
                (y, before) = (first, g.mark());
            }
            if let Some(norm) = &layer.norm {
                y = norm.apply(g, y, dropout);
            }
            let y = g.relu(y);
            let kept = dropout.apply(g, y, self.rates.1);
            x = g.release(before, kept);
        }
        Outputs { first, last: x, logits: self.last.apply(g, x) }
    }

    fn undecayed(&self) -> Vec<ParamId> {
        self.layers.iter().flat_map(|l| &l.norm).flat_map(Normalised::undecayed).collect()
    }
}
