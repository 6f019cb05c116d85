//! Layers that the networks share: linear maps, the first layer of features, the encoder, decoders.

use std::cell::OnceCell;
use std::sync::Arc;

use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{ParamId, Params, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::{Adjacency, Dataset, Dropout, FeatureMatrix, Normalisation};

/// Where a network is built: on a graph, its parameters registered after those that are there.
pub struct Builder<'a, T> {
    /// The graph.
    pub data: &'a Dataset,
    /// The parameters.
    pub params: &'a mut Params<T>,
    /// Seed of the parameters' first values.
    pub seed: u64,
    /// The features as layers take them: made once, however many take them.
    table: OnceCell<Arc<Table<T>>>,
}

impl<'a, T: Real> Builder<'a, T> {
    /// On a graph.
    pub fn new(data: &'a Dataset, params: &'a mut Params<T>, seed: u64) -> Self {
        Self { data, params, seed, table: OnceCell::new() }
    }

    /// A linear map.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        Linear::new(self.params, name, inputs, outputs, self.seed)
    }

    /// A linear map of the features.
    pub fn features(&mut self, name: &str, outputs: usize) -> Features<T> {
        let inputs = self.data.features.cols();
        let map = self.linear(name, inputs, outputs);
        self.features_by(map)
    }

    /// The features and what maps them.
    pub fn features_by(&self, map: Linear) -> Features<T> {
        let table = self.table.get_or_init(|| Arc::new(Table::new(&self.data.features))).clone();
        Features { map, table }
    }

    /// The adjacency matrix of the graph, with the weights of its edges.
    pub fn adjacency(&self, normalisation: Normalisation, loops: bool) -> Arc<Adjacency<T>> {
        let edges = (&self.data.edges[..], &self.data.edge_weights[..]);
        Arc::new(Adjacency::weighted(self.data.nodes(), edges, normalisation, loops))
    }

    /// The symmetric one with loops, as most networks have it.
    pub fn symmetric(&self) -> Arc<Adjacency<T>> {
        self.adjacency(Normalisation::Symmetric, true)
    }
}

/// W x + b.
#[derive(Clone, Copy)]
pub struct Linear {
    w: ParamId,
    b: ParamId,
}

impl Linear {
    /// Weights and biases uniform in +-1 / sqrt(inputs), as torch.nn.Linear begins.
    pub fn new<T: Real>(
        params: &mut Params<T>,
        name: &str,
        inputs: usize,
        outputs: usize,
        seed: u64,
    ) -> Self {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        Self::within(params, name, (inputs, outputs), [bound; 2], seed)
    }

    /// Weights uniform in +-`bounds[0]`, biases in +-`bounds[1]`.
    pub fn within<T: Real>(
        params: &mut Params<T>,
        name: &str,
        (inputs, outputs): (usize, usize),
        bounds: [f64; 2],
        seed: u64,
    ) -> Self {
        let mut stream = Stream::new(seed, name, 0, 0);
        let mut uniform = |bound: f64| T::of(bound * (2.0 * stream.uniform() - 1.0));
        let w = params.add(format!("{name}.weight"), outputs, inputs, || uniform(bounds[0]));
        let b = params.add(format!("{name}.bias"), outputs, 1, || uniform(bounds[1]));
        Self { w, b }
    }

    /// W x.
    pub fn product<T: Real>(&self, g: &mut Recording<T>, x: Var) -> Var {
        let w = g.param(self.w);
        g.matmul(w, x)
    }

    /// x + b.
    pub fn shift<T: Real>(&self, g: &mut Recording<T>, x: Var) -> Var {
        let b = g.param(self.b);
        g.add(x, b)
    }

    /// W x + b.
    pub fn apply<T: Real>(&self, g: &mut Recording<T>, x: Var) -> Var {
        let (w, b) = (g.param(self.w), g.param(self.b));
        g.linear(w, x, b)
    }

    /// max(W x + b, 0).
    pub fn relu<T: Real>(&self, g: &mut Recording<T>, x: Var) -> Var {
        let (w, b) = (g.param(self.w), g.param(self.b));
        g.linear_relu(w, x, b)
    }

    /// tanh(W x + b).
    pub fn tanh<T: Real>(&self, g: &mut Recording<T>, x: Var) -> Var {
        let (w, b) = (g.param(self.w), g.param(self.b));
        g.linear_tanh(w, x, b)
    }
}

/// The nodes' features, a column for each node in the product with weights.
enum Table<T> {
    /// The structure nodes x features, and the entries.
    Sparse(Sparse, Vec<T>),
    /// Number of features, and node after node.
    Dense(usize, Vec<T>),
}

impl<T: Real> Table<T> {
    fn new(features: &FeatureMatrix) -> Self {
        let numbers = |values: &[f32]| values.iter().map(|v| T::of(f64::from(*v))).collect();
        match features {
            FeatureMatrix::Sparse(x) => {
                let (sparse, values) = Sparse::new(x);
                Self::Sparse(sparse, numbers(&values))
            }
            FeatureMatrix::Dense { shape: (_, cols), values } => Self::Dense(*cols, numbers(values)),
        }
    }
}

/// The nodes' features and a linear map of them.
pub struct Features<T> {
    table: Arc<Table<T>>,
    map: Linear,
}

impl<T: Real> Features<T> {
    /// W features (outputs x nodes), after dropout at `rate` of the features.
    pub fn product(&self, g: &mut Recording<T>, dropout: &mut Dropout, rate: f64) -> Var {
        match &*self.table {
            Table::Sparse(sparse, values) => {
                let values = dropout.constant(g, (1, values.len()), values, rate);
                let w = g.param(self.map.w);
                g.sparse_columns(sparse, values, w)
            }
            Table::Dense(cols, values) => {
                let x = dropped((*cols, values), g, dropout, rate);
                self.map.product(g, x)
            }
        }
    }

    /// x + b.
    pub fn shift(&self, g: &mut Recording<T>, x: Var) -> Var {
        self.map.shift(g, x)
    }

    /// W features + b (outputs x nodes), after dropout at `rate` of the features.
    pub fn apply(&self, g: &mut Recording<T>, dropout: &mut Dropout, rate: f64) -> Var {
        if let Table::Dense(cols, values) = &*self.table {
            // As one op, which keeps one matrix of all nodes in place of two.
            let x = dropped((*cols, values), g, dropout, rate);
            return self.map.apply(g, x);
        }
        let x = self.product(g, dropout, rate);
        self.map.shift(g, x)
    }
}

/// Dense features (features x nodes) after dropout.
fn dropped<T: Real>(
    (cols, values): (usize, &[T]),
    g: &mut Recording<T>,
    dropout: &mut Dropout,
    rate: f64,
) -> Var {
    dropout.constant(g, (cols, values.len() / cols.max(1)), values, rate)
}

/// How the residual layers of an encoder and a decoder are made, where there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Ours. Encoder: x + relu(W x + b), x in it dropped at the input's rate.
    #[default]
    Own,
    /// That of the code of GRAND and GREAD. Encoder: x + W relu(x) + b, dropped at the other rate before the first
    /// layer and after each. Decoder: x dropped once more before its layer, and the scores of classes too.
    Gread,
}

/// Features to the state where integration begins.
pub struct Encoder<T> {
    features: Features<T>,
    /// Two residual layers.
    residual: Option<[Linear; 2]>,
    form: Form,
    /// Of the features, and of the states.
    rates: (f64, f64),
}

impl<T: Real> Encoder<T> {
    /// A linear map to `hidden` numbers, with two residual layers if `deep`.
    pub fn new(
        on: &mut Builder<'_, T>,
        hidden: usize,
        (deep, form): (bool, Form),
        rates: (f64, f64),
    ) -> Self {
        let features = on.features("encoder", hidden);
        let residual = deep.then(|| ["encoder.1", "encoder.2"].map(|name| on.linear(name, hidden, hidden)));
        Self { features, residual, form, rates }
    }

    /// hidden x nodes.
    pub fn apply(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Var {
        let mut x = self.features.apply(g, dropout, self.rates.0);
        let Some(layers) = &self.residual else { return x };
        if self.form == Form::Gread {
            x = dropout.apply(g, x, self.rates.1);
        }
        for layer in layers {
            match self.form {
                Form::Own => {
                    let kept = dropout.apply(g, x, self.rates.0);
                    let change = layer.relu(g, kept);
                    x = g.add(x, change);
                }
                Form::Gread => {
                    let positive = g.relu(x);
                    let change = layer.apply(g, positive);
                    x = g.add(x, change);
                    x = dropout.apply(g, x, self.rates.1);
                }
            }
        }
        x
    }
}

/// The final state to one score for each class.
pub struct Decoder {
    /// x + W tanh(x) + b first.
    deep: Option<Linear>,
    last: Linear,
    relu: bool,
    form: Form,
    rate: f64,
}

impl Decoder {
    /// From `hidden` numbers to a score for each class; `relu` on the state first; `deep` with a residual layer.
    pub fn new<T: Real>(
        on: &mut Builder<'_, T>,
        hidden: usize,
        (deep, relu, form): (bool, bool, Form),
        rate: f64,
    ) -> Self {
        let deep = deep.then(|| on.linear("decoder.1", hidden, hidden));
        Self { deep, last: on.linear("decoder", hidden, on.data.classes), relu, form, rate }
    }

    /// classes x nodes.
    pub fn apply<T: Real>(&self, g: &mut Recording<T>, mut x: Var, dropout: &mut Dropout) -> Var {
        if self.relu {
            x = g.relu(x);
        }
        x = dropout.apply(g, x, self.rate);
        let Some(layer) = self.deep else { return self.last.apply(g, x) };
        if self.form == Form::Gread {
            x = dropout.apply(g, x, self.rate);
        }
        let t = g.tanh(x);
        let change = layer.apply(g, t);
        x = g.add(x, change);
        x = dropout.apply(g, x, self.rate);
        x = g.tanh(x);
        let scores = self.last.apply(g, x);
        if self.form == Form::Gread { dropout.apply(g, scores, self.rate) } else { scores }
    }
}

#[cfg(test)]
mod tests {
    use engine::Tape;
    use engine::rng::Stream;

    use super::*;
    use crate::gnn::data::synthetic::karate;

    /// W features + b and its gradient in W and b, after dropout.
    fn layer(features: FeatureMatrix, rate: f64) -> (Vec<f64>, Vec<f64>) {
        let mut data = karate();
        data.features = features;
        let mut params = Params::<f64>::new();
        let layer = Builder::new(&data, &mut params, 3).features("layer", 5);
        let (mut tape, mut dropout) = (Tape::new(), Dropout::new());
        dropout.begin(Stream::new(0, "dropout", 0, 0));
        let mut g = tape.record(params.values());
        let y = layer.apply(&mut g, &mut dropout, rate);
        let y_bar: Vec<f64> = (0..g.shape(y).len()).map(|k| (k as f64).sin()).collect();
        let mut gradient = vec![0.0; params.len()];
        let values = g.value(y).data.to_vec();
        g.backward_from(y, &y_bar, &mut gradient);
        (values, gradient)
    }

    #[test]
    fn dense_features_are_mapped_as_sparse_ones_are() {
        // None is 0, so that both kinds draw the same mask.
        let values: Vec<f32> = (0..34 * 7).map(|k| 0.1 + (k as f32).cos()).collect();
        let sparse = FeatureMatrix::from_rows(34, 7, values.clone());
        assert!(matches!(sparse, FeatureMatrix::Sparse(_)));
        let dense = FeatureMatrix::Dense { shape: (34, 7), values };
        for rate in [0.0, 0.4] {
            let (a, b) = (layer(sparse.clone(), rate), layer(dense.clone(), rate));
            for (a, b) in [(a.0, b.0), (a.1, b.1)] {
                assert!(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12), "{rate}");
            }
        }
        assert_ne!(layer(dense.clone(), 0.4), layer(dense, 0.0));
    }
}
