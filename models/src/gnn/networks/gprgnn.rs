//! GPRGNN (Chien et al. 2021): logits = sum_k gamma_k A^k f(features), f an MLP; gamma learned, from
//! personalised PageRank: gamma_k = a (1 - a)^k, the last (1 - a)^K. The authors hold no weight decay on gamma, and
//! drop what the MLP gives.

use std::sync::Arc;

use engine::{ParamId, Real, Recording};
use serde::{Deserialize, Serialize};

use super::mlp::Perceptron;
use super::{Classifier, Layers, Outputs};
use crate::gnn::layers::Builder;
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dropout};
use crate::range::{self, Range};

/// The highest power of A.
const POWERS: usize = 10;

/// Settings of GPRGNN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gprgnn {
    /// a, with which gamma begins.
    pub teleport: f64,
    /// Whether weight decay reaches gamma.
    #[serde(default = "yes")]
    pub gamma_decay: bool,
    /// Dropout of what the MLP gives.
    #[serde(default)]
    pub propagation_dropout: f64,
}

fn yes() -> bool {
    true
}

impl Default for Gprgnn {
    fn default() -> Self {
        Self { teleport: 0.1, gamma_decay: true, propagation_dropout: 0.0 }
    }
}

impl Layers for Gprgnn {
    /// Its layers are those of the MLP.
    const ONCE: bool = false;

    fn check(&self, _: &Width) -> Result<(), String> {
        range::check(&[
            ("model.teleport", self.teleport, Range::Between(0.0, 1.0)),
            ("model.propagation_dropout", self.propagation_dropout, Range::Below(0.0, 1.0)),
        ])
    }

    fn draw(&mut self, _: &mut usize, draw: &mut Draw<'_>) {
        self.teleport = draw.one_of(&[0.1, 0.2, 0.5, 0.9]);
    }

    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let mlp = Perceptron::new(width, layers, on);
        let a = self.teleport;
        let start =
            |k: usize| if k == POWERS { (1.0 - a).powi(k as i32) } else { a * (1.0 - a).powi(k as i32) };
        let gammas =
            (0..=POWERS).map(|k| on.params.add(format!("gamma.{k}"), 1, 1, || T::of(start(k)))).collect();
        let (decay, rate) = (self.gamma_decay, self.propagation_dropout);
        Box::new(Powers { mlp, adjacency: on.symmetric(), gammas, decay, rate })
    }
}

struct Powers<T> {
    mlp: Perceptron<T>,
    adjacency: Arc<Adjacency<T>>,
    gammas: Vec<ParamId>,
    decay: bool,
    rate: f64,
}

impl<T: Real> Classifier<T> for Powers<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let outputs = self.mlp.forward(g, dropout);
        let mut x = dropout.apply(g, outputs.logits, self.rate);
        let gamma = g.param(self.gammas[0]);
        let mut sum = g.mul(x, gamma);
        for gamma in &self.gammas[1..] {
            x = g.sparse_columns(&self.adjacency.sparse, weights, x);
            let gamma = g.param(*gamma);
            let term = g.mul(x, gamma);
            sum = g.add(sum, term);
        }
        Outputs { logits: sum, ..outputs }
    }

    fn undecayed(&self) -> Vec<ParamId> {
        if self.decay { Vec::new() } else { self.gammas.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::karate;
    use engine::Params;

    #[test]
    fn decay_spares_gamma_where_it_is_asked_to() {
        let spared = |gamma_decay: bool| {
            let (data, mut params) = (karate(), Params::<f32>::new());
            let on = &mut Builder::new(&data, &mut params, 0);
            let own = Gprgnn { gamma_decay, ..Default::default() };
            own.build(Width::default(), 2, on).undecayed()
        };
        assert_eq!((spared(true).len(), spared(false).len()), (0, POWERS + 1));
    }
}
