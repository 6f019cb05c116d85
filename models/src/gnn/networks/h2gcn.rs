//! H2GCN (Zhu et al. 2020): x_0 = relu(W features); x_k = [A_1 x_{k-1} || A_2 x_{k-1}] over neighbours at
//! distance one and two, without the node itself; logits = W [x_0 || x_1 || ...].

use engine::{Params, Real, Recording};

use super::{Network, Outputs};
use crate::gnn::adjacency::{Adjacency, Normalisation, two_hops};
use crate::gnn::layers::{Features, Linear};
use crate::gnn::settings::Model;
use crate::gnn::{Dataset, Dropout};

pub(super) struct H2gcn<T> {
    features: Features<T>,
    hops: [Adjacency<T>; 2],
    rounds: usize,
    last: Linear,
    rates: (f64, f64),
}

impl<T: Real> H2gcn<T> {
    /// `layers` is the number of rounds; settings allow 3 at most, because widths double and double again.
    pub fn new(m: &Model, data: &Dataset, params: &mut Params<T>, seed: u64) -> Self {
        let features = Features::new(params, "encoder", data, m.hidden, seed);
        let far = two_hops(data.nodes(), &data.edges);
        let hop = |edges: &[(u32, u32)]| Adjacency::new(data.nodes(), edges, Normalisation::Symmetric, false);
        let rounds = m.layers;
        let width = m.hidden * ((1 << (rounds + 1)) - 1);
        let last = Linear::new(params, "decoder", width, data.classes, seed);
        let rates = (m.input_dropout, m.dropout);
        Self { features, hops: [hop(&data.edges), hop(&far)], rounds, last, rates }
    }
}

impl<T: Real> Network<T> for H2gcn<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let weights = [0, 1].map(|k| g.constant(1, self.hops[k].weights.len(), &self.hops[k].weights));
        let first = self.features.apply(g, dropout, self.rates.0);
        let mut x = g.relu(first);
        let mut all = vec![x];
        for _ in 0..self.rounds {
            let parts = [0, 1].map(|k| g.sparse_columns(&self.hops[k].sparse, weights[k], x));
            x = g.concat_rows(&parts);
            all.push(x);
        }
        let last = g.concat_rows(&all);
        let kept = dropout.apply(g, last, self.rates.1);
        Outputs { first, last, logits: self.last.apply(g, kept) }
    }
}
