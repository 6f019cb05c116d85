//! GraphCON (Rusch et al. 2022): a network of damped oscillators,
//! y <- y + h (relu(W A x) - gamma x - damping y), x <- x + h y (implicit in y), coupled by a GCN.

use std::sync::Arc;

use engine::{Params, Real, Recording};

use super::ode::Ends;
use super::{Network, Outputs};
use crate::gnn::layers::Linear;
use crate::gnn::settings::Model;
use crate::gnn::{Adjacency, Dataset, Dropout};

pub(super) struct GraphCon<T> {
    ends: Ends<T>,
    adjacency: Arc<Adjacency<T>>,
    coupling: Linear,
    steps: usize,
    h: f64,
    damping: f64,
    rate: f64,
}

impl<T: Real> GraphCon<T> {
    /// `layers` steps of length `step`; `teleport` is the damping, gamma is 1.
    pub fn new(
        m: &Model,
        data: &Dataset,
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        seed: u64,
    ) -> Self {
        let ends = Ends::new(m, data, params, seed);
        let coupling = Linear::new(params, "coupling", m.hidden, m.hidden, seed);
        let (h, damping, rate) = (m.step, m.teleport, m.dropout);
        Self { ends, adjacency, coupling, steps: m.layers, h, damping, rate }
    }
}

impl<T: Real> Network<T> for GraphCon<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let first = self.ends.encoder.apply(g, dropout);
        let (mut x, mut y) = (first, first);
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
        Outputs { first, last: x, logits: self.ends.decode(g, first, x, dropout) }
    }
}
