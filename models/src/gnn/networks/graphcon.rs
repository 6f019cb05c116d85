//! GraphCON (Rusch et al. 2022): a network of damped oscillators,
//! y <- y + h (relu(F(x)) - gamma x - damping y), x <- x + h y (implicit in y), coupled by a GCN.
//!
//! `paper`: F(x) = A (W x + b), and x alone is dropped. `code`, that of the authors: x = y = relu(W features + b) at
//! the start, F(x) = A W x + b plus a residual branch, x and y are dropped, each by its own mask, and the decoder is
//! linear.

use std::sync::Arc;

use engine::{Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::continuous::EncoderDecoder;
use super::{Architecture, Build, Classifier, Ends, Outputs, kept_states};
use crate::gnn::equations::Version;
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dataset, Dropout};
use crate::memory::Part;
use crate::range::{self, Range};

/// The residual branch of F, V a linear map of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Branch {
    /// None.
    #[default]
    None,
    /// - (V W x + c).
    First,
    /// - W x + V x + c.
    Second,
}

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
    /// The damping, which the authors call alpha.
    pub teleport: f64,
    /// gamma, the pull towards 0.
    #[serde(default = "one")]
    pub gamma: f64,
    /// paper or code.
    #[serde(default = "paper")]
    pub form: Version,
    /// none, first or second (form code).
    #[serde(default)]
    pub residual_branch: Branch,
}

fn one() -> f64 {
    1.0
}

fn paper() -> Version {
    Version::Paper
}

impl Default for GraphCon {
    fn default() -> Self {
        let ends = Ends { width: Width::default(), ..Default::default() };
        let (gamma, form, residual_branch) = (one(), paper(), Branch::None);
        Self { ends, layers: 3, step: 1.0, teleport: 1.0, gamma, form, residual_branch }
    }
}

impl Architecture for GraphCon {
    fn check(&self) -> Result<(), String> {
        range::check(&self.ends.width.ranges())?;
        range::check(&[
            ("model.layers", self.layers as f64, Range::Between(1.0, 4096.0)),
            ("model.step", self.step, Range::Positive),
            ("model.teleport", self.teleport, Range::Between(0.0, 1.0)),
            ("model.gamma", self.gamma, Range::NotNegative),
        ])?;
        let Ends { deep_encoder, deep_decoder, relu, skip, .. } = self.ends;
        match self.form {
            Version::Code if deep_encoder || deep_decoder || relu || skip => {
                Err("model.form = \"code\" has an encoder and a decoder of its own; set model.deep_encoder, \
                    model.deep_decoder, model.relu and model.skip to false"
                    .into())
            }
            Version::Paper if self.residual_branch != Branch::None => {
                Err("model.residual_branch belongs to model.form = \"code\"".into())
            }
            _ => Ok(()),
        }
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

    fn memory(&self, data: &Dataset, share: f64) -> Vec<Part> {
        let settings = format!("model.layers = {}", self.layers);
        vec![kept_states((data, share), self.ends.width.hidden, self.layers as f64, settings)]
    }

    fn remedy(&self) -> &'static str {
        " or model.step"
    }
}

impl<T: Real> Build<T> for GraphCon {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        let (settings, hidden) = (self.clone(), self.ends.width.hidden);
        if self.form == Version::Code {
            let inputs = on.data.features.cols();
            let usual = |inputs: usize| 1.0 / (inputs.max(1) as f64).sqrt();
            let mut map = |name: &str, inputs: usize, bias: f64| {
                Linear::within(on.params, name, (inputs, hidden), [usual(hidden), bias], on.seed)
            };
            let encoder = map("encoder", inputs, usual(inputs));
            let coupling = map("coupling", hidden, 0.0);
            let branch = map("residual", hidden, usual(hidden));
            let (encoder, decoder) = (on.features_by(encoder), on.linear("decoder", hidden, on.data.classes));
            let adjacency = on.symmetric();
            return Ok(Box::new(OfCode { encoder, decoder, adjacency, coupling, branch, settings }));
        }
        let ends = self.ends.build(on);
        let coupling = on.linear("coupling", hidden, hidden);
        Ok(Box::new(Oscillators { ends, adjacency: on.symmetric(), coupling, settings }))
    }
}

impl GraphCon {
    /// One step of (x, y) under the force relu(F(x)).
    fn step<T: Real>(&self, g: &mut Recording<T>, (x, y): (Var, Var), force: Var) -> (Var, Var) {
        // A factor of one would cost a pass.
        let pull = if self.gamma == 1.0 { x } else { g.scale(x, self.gamma) };
        let force = g.sub(force, pull);
        let drag = g.scale(y, self.teleport);
        let force = g.sub(force, drag);
        let force = g.scale(force, self.step);
        let y = g.add(y, force);
        let moved = g.scale(y, self.step);
        (g.add(x, moved), y)
    }
}

struct Oscillators<T> {
    ends: EncoderDecoder<T>,
    adjacency: Arc<Adjacency<T>>,
    coupling: Linear,
    settings: GraphCon,
}

impl<T: Real> Classifier<T> for Oscillators<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        self.ends.around(g, dropout, |g, dropout, x0| self.integrate(g, dropout, x0))
    }
}

impl<T: Real> Oscillators<T> {
    fn integrate(&self, g: &mut Recording<T>, dropout: &mut Dropout, x0: Var) -> Var {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let (mut x, mut y) = (x0, x0);
        for _ in 0..self.settings.layers {
            let mixed = self.coupling.apply(g, x);
            let mixed = g.sparse_columns(&self.adjacency.sparse, weights, mixed);
            let force = g.relu(mixed);
            (x, y) = self.settings.step(g, (x, y), force);
            x = dropout.apply(g, x, self.settings.ends.width.dropout);
        }
        x
    }
}

/// The form of the authors' code.
struct OfCode<T> {
    encoder: Features<T>,
    decoder: Linear,
    adjacency: Arc<Adjacency<T>>,
    coupling: Linear,
    branch: Linear,
    settings: GraphCon,
}

impl<T: Real> OfCode<T> {
    /// F(x).
    fn coupled(&self, g: &mut Recording<T>, x: Var) -> Var {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let turned = self.coupling.product(g, x);
        let mixed = g.sparse_columns(&self.adjacency.sparse, weights, turned);
        let mixed = self.coupling.shift(g, mixed);
        match self.settings.residual_branch {
            Branch::None => mixed,
            Branch::First => {
                let branch = self.branch.apply(g, turned);
                g.sub(mixed, branch)
            }
            Branch::Second => {
                let branch = self.branch.apply(g, x);
                let branch = g.sub(branch, turned);
                g.add(mixed, branch)
            }
        }
    }
}

impl<T: Real> Classifier<T> for OfCode<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let Width { input_dropout, dropout: rate, .. } = self.settings.ends.width;
        let encoded = self.encoder.apply(g, dropout, input_dropout);
        let first = g.relu(encoded);
        let mut drop_both = |g: &mut Recording<T>, (x, y): (Var, Var)| {
            let y = dropout.apply(g, y, rate);
            (dropout.apply(g, x, rate), y)
        };
        let (mut x, mut y) = drop_both(g, (first, first));
        for _ in 0..self.settings.layers {
            let mixed = self.coupled(g, x);
            let force = g.relu(mixed);
            let moved = self.settings.step(g, (x, y), force);
            (x, y) = drop_both(g, moved);
        }
        Outputs { first, last: x, logits: self.decoder.apply(g, x) }
    }
}
