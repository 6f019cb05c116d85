//! Layers that the networks share: linear maps, the encoder of sparse features, decoders.

use std::sync::Arc;

use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{ParamId, Params, Real, Recording, Var};

use super::{Adjacency, Dataset, Dropout, Normalisation};

/// Where a network is built: on a graph, its parameters registered after those that are there.
pub struct Builder<'a, T> {
    /// The graph.
    pub data: &'a Dataset,
    /// The parameters.
    pub params: &'a mut Params<T>,
    /// Seed of the parameters' first values.
    pub seed: u64,
}

impl<T: Real> Builder<'_, T> {
    /// A linear map.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        Linear::new(self.params, name, inputs, outputs, self.seed)
    }

    /// A linear map of the features.
    pub fn features(&mut self, name: &str, outputs: usize) -> Features<T> {
        let (sparse, values) = Sparse::new(&self.data.features.map(|v| T::of(f64::from(*v))));
        Features { map: self.linear(name, self.data.features.cols(), outputs), sparse, values }
    }

    /// The adjacency matrix of the graph.
    pub fn adjacency(&self, normalisation: Normalisation, loops: bool) -> Arc<Adjacency<T>> {
        Arc::new(Adjacency::new(self.data.nodes(), &self.data.edges, normalisation, loops))
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
        let mut stream = Stream::new(seed, name, 0, 0);
        let mut uniform = || T::of(bound * (2.0 * stream.uniform() - 1.0));
        let w = params.add(format!("{name}.weight"), outputs, inputs, &mut uniform);
        let b = params.add(format!("{name}.bias"), outputs, 1, uniform);
        Self { w, b }
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

/// The nodes' features, sparse, and a linear map of them.
pub struct Features<T> {
    sparse: Sparse,
    values: Vec<T>,
    map: Linear,
}

impl<T: Real> Features<T> {
    /// W features + b (outputs x nodes), after dropout at `rate` of the features.
    pub fn apply(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>, rate: f64) -> Var {
        let values = g.constant(1, self.values.len(), &self.values);
        let values = dropout.apply(g, values, rate);
        let (w, b) = (g.param(self.map.w), g.param(self.map.b));
        let x = g.sparse_columns(&self.sparse, values, w);
        g.add(x, b)
    }
}

/// Features to the state where integration begins.
pub struct Encoder<T> {
    features: Features<T>,
    /// x + relu(W x + b), twice.
    residual: Option<[Linear; 2]>,
    rate: f64,
}

impl<T: Real> Encoder<T> {
    /// A linear map to `hidden` numbers, with two residual layers if `deep`.
    pub fn new(on: &mut Builder<'_, T>, hidden: usize, deep: bool, rate: f64) -> Self {
        let features = on.features("encoder", hidden);
        let residual = deep.then(|| ["encoder.1", "encoder.2"].map(|name| on.linear(name, hidden, hidden)));
        Self { features, residual, rate }
    }

    /// hidden x nodes.
    pub fn apply(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Var {
        let mut x = self.features.apply(g, dropout, self.rate);
        for layer in self.residual.iter().flatten() {
            let kept = dropout.apply(g, x, self.rate);
            let change = layer.relu(g, kept);
            x = g.add(x, change);
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
    rate: f64,
}

impl Decoder {
    /// From `hidden` numbers to a score for each class; `relu` on the state first; `deep` with a residual layer.
    pub fn new<T: Real>(
        on: &mut Builder<'_, T>,
        hidden: usize,
        (deep, relu): (bool, bool),
        rate: f64,
    ) -> Self {
        let deep = deep.then(|| on.linear("decoder.1", hidden, hidden));
        Self { deep, last: on.linear("decoder", hidden, on.data.classes), relu, rate }
    }

    /// classes x nodes.
    pub fn apply<T: Real>(&self, g: &mut Recording<T>, mut x: Var, dropout: &mut Dropout<T>) -> Var {
        if self.relu {
            x = g.relu(x);
        }
        x = dropout.apply(g, x, self.rate);
        if let Some(layer) = self.deep {
            let t = g.tanh(x);
            let change = layer.apply(g, t);
            x = g.add(x, change);
            x = dropout.apply(g, x, self.rate);
            x = g.tanh(x);
        }
        self.last.apply(g, x)
    }
}
