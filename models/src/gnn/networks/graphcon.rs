//! GraphCON (Rusch et al. 2022): a network of damped oscillators,
//! y <- y + h (relu(W A x) - gamma x - damping y), x <- x + h y (implicit in y), coupled by a GCN.

use std::sync::Arc;

use engine::{Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::continuous::EncoderDecoder;
use super::{Architecture, Build, Classifier, Ends, Outputs, kept_states};
use crate::gnn::layers::{Builder, Linear};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dataset, Dropout};
use crate::memory::Part;
use crate::range::{self, Range};

/// Settings of GraphCON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphCon {
    /// Encoder and decoder.
    #[serde(flatten)]
    pub ends: Ends,
    /// Steps.
    pub layers: usize,
    /// h, the length of a step.
    pub step: f64,
    /// The damping; gamma is 1.
    pub teleport: f64,
}

impl Default for GraphCon {
    fn default() -> Self {
        let ends = Ends { width: Width::default(), ..Default::default() };
        Self { ends, layers: 3, step: 1.0, teleport: 1.0 }
    }
}

impl Architecture for GraphCon {
    fn check(&self) -> Result<(), String> {
        range::check(&self.ends.width.ranges())?;
        range::check(&[
            ("model.layers", self.layers as f64, Range::Between(1.0, 4096.0)),
            ("model.step", self.step, Range::Positive),
            ("model.teleport", self.teleport, Range::Between(0.0, 1.0)),
        ])
    }

    fn width(&mut self) -> Option<&mut Width> {
        Some(&mut self.ends.width)
    }

    fn set_depth(&mut self, depth: usize) {
        (self.layers, self.step) = (depth, 1.0);
    }

    fn draw(&mut self, draw: &mut Draw<'_>) {
        self.layers = draw.one_of(&[1, 2, 3, 5]);
        self.teleport = draw.one_of(&[0.0, 0.5, 1.0]);
        let ends = &mut self.ends;
        (ends.deep_encoder, ends.deep_decoder, ends.relu) = (draw.coin(), draw.coin(), draw.coin());
    }

    fn memory(&self, data: &Dataset) -> Vec<Part> {
        let settings = format!("model.layers = {}", self.layers);
        vec![kept_states(data, self.ends.width.hidden, self.layers as f64, settings)]
    }

    fn remedy(&self) -> &'static str {
        " or model.step"
    }
}

impl<T: Real> Build<T> for GraphCon {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        let (ends, hidden) = (self.ends.build(on), self.ends.width.hidden);
        let coupling = on.linear("coupling", hidden, hidden);
        let (steps, h, damping, rate) = (self.layers, self.step, self.teleport, self.ends.width.dropout);
        Ok(Box::new(Oscillators { ends, adjacency: on.symmetric(), coupling, steps, h, damping, rate }))
    }
}

struct Oscillators<T> {
    ends: EncoderDecoder<T>,
    adjacency: Arc<Adjacency<T>>,
    coupling: Linear,
    steps: usize,
    h: f64,
    damping: f64,
    rate: f64,
}

impl<T: Real> Classifier<T> for Oscillators<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        self.ends.around(g, dropout, |g, dropout, x0| self.integrate(g, dropout, x0))
    }
}

impl<T: Real> Oscillators<T> {
    fn integrate(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>, x0: Var) -> Var {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let (mut x, mut y) = (x0, x0);
        for _ in 0..self.steps {
            let mixed = self.coupling.apply(g, x);
            let mixed = g.sparse_columns(&self.adjacency.sparse, weights, mixed);
            let force = g.relu(mixed);
            let force = g.sub(force, x);
            let drag = g.scale(y, self.damping);
            let force = g.sub(force, drag);
            let force = g.scale(force, self.h);
            y = g.add(y, force);
            let moved = g.scale(y, self.h);
            x = g.add(x, moved);
            x = dropout.apply(g, x, self.rate);
        }
        x
    }
}
