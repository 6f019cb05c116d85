//! H2GCN (Zhu et al. 2020): x_0 = relu(W features); x_k = [A_1 x_{k-1} || A_2 x_{k-1}] over neighbours at
//! distance one and two, without the node itself; logits = W [x_0 || x_1 || ...]. Weights of edges are in A_1 alone.

use std::sync::Arc;

use engine::{Real, Recording};
use serde::{Deserialize, Serialize};

use super::{Classifier, Layers, Outputs};
use crate::gnn::data::adjacency::{most_two_hops, two_hops};
use crate::gnn::layers::{Builder, Features, Linear};
use crate::gnn::space::{Draw, Width};
use crate::gnn::{Adjacency, Dataset, Dropout, Normalisation};
use crate::memory::Part;

/// Bytes for each pair at a distance of two: the pair itself and sorted with its weight, that twice more, both ends in
/// an [`Adjacency`] with their moves and those of the transpose.
const PAIR: f64 = 76.0;

/// H2GCN has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct H2gcn {}

impl Layers for H2gcn {
    const LAYERS: usize = 1;
    /// Widths double and double again.
    const MOST: usize = 3;
    /// A round is over two matrices, and all rounds are read.
    const ONCE: bool = false;

    fn draw(&mut self, layers: &mut usize, draw: &mut Draw<'_>) {
        *layers = draw.one_of(&[1, 2]);
    }

    fn memory(&self, data: &Dataset) -> Option<Part> {
        let pairs = most_two_hops(data.nodes(), &data.edges);
        Some((
            format!("model.name = h2gcn with up to {pairs} pairs of nodes at distance two"),
            PAIR * pairs as f64,
        ))
    }

    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>> {
        let Width { hidden, input_dropout, dropout } = width;
        let features = on.features("encoder", hidden);
        let far = two_hops(on.data.nodes(), &on.data.edges);
        let near = on.adjacency(Normalisation::Symmetric, false);
        let far = Arc::new(Adjacency::new(on.data.nodes(), &far, Normalisation::Symmetric, false));
        let width = hidden * ((1 << (layers + 1)) - 1);
        let last = on.linear("decoder", width, on.data.classes);
        let rates = (input_dropout, dropout);
        Box::new(Rounds { features, hops: [near, far], rounds: layers, last, rates })
    }
}

struct Rounds<T> {
    features: Features<T>,
    hops: [Arc<Adjacency<T>>; 2],
    rounds: usize,
    last: Linear,
    rates: (f64, f64),
}

impl<T: Real> Classifier<T> for Rounds<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
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
