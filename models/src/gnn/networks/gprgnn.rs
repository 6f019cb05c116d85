//! GPRGNN (Chien et al. 2021): logits = sum_k gamma_k A^k f(features), f an MLP; gamma learned, from
//! personalised PageRank: gamma_k = a (1 - a)^k, the last (1 - a)^K.

use std::sync::Arc;

use engine::{ParamId, Params, Real, Recording};

use super::mlp::Mlp;
use super::{Network, Outputs};
use crate::gnn::settings::Model;
use crate::gnn::{Adjacency, Dataset, Dropout};

pub(super) struct Gprgnn<T> {
    mlp: Mlp<T>,
    adjacency: Arc<Adjacency<T>>,
    gammas: Vec<ParamId>,
}

/// The highest power of A.
const POWERS: usize = 10;

impl<T: Real> Gprgnn<T> {
    pub fn new(
        m: &Model,
        data: &Dataset,
        params: &mut Params<T>,
        adjacency: Arc<Adjacency<T>>,
        seed: u64,
    ) -> Self {
        let mlp = Mlp::new(m, data, params, seed);
        let a = m.teleport;
        let start =
            |k: usize| if k == POWERS { (1.0 - a).powi(k as i32) } else { a * (1.0 - a).powi(k as i32) };
        let gammas =
            (0..=POWERS).map(|k| params.add(format!("gamma.{k}"), 1, 1, || T::of(start(k)))).collect();
        Self { mlp, adjacency, gammas }
    }
}

impl<T: Real> Network<T> for Gprgnn<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let weights = g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights);
        let outputs = self.mlp.forward(g, dropout);
        let mut x = outputs.logits;
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
}
