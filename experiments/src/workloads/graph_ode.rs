//! Attention-weighted graph diffusion at the size of Cora: 2708 nodes, 10 556 directed edges, 1433
//! features of which 1.27 % are set, hidden 64, 16 steps of RK4 with attention at each step's beginning,
//! cross-entropy, backward through the solver, Adam.

use engine::optim::Adam;
use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{Params, Tape};
use models::gnn::equations::attention::merged;
use models::gnn::training::classification::cross_entropy;
use models::gnn::{Adjacency, Normalisation};
use sprs::{CsMat, TriMat};

use super::cost::{Cost, ELEMENTARY, WORD};
use super::{Array, Given, Step, given};

const NODES: usize = 2708;
const EDGES: usize = 5278;
const FEATURES: usize = 1433;
const CLASSES: usize = 7;
const HIDDEN: usize = 64;
const STEPS: usize = 16;
const DT: f64 = 0.25;
/// The share of features that are set.
const SET: f64 = 0.0127;

pub(super) fn build() -> Step {
    let (_, mut training) = training();
    Box::new(move || {
        training();
    })
}

/// A weight is (inputs, outputs); edges go from `senders` to `receivers`, which are sorted.
pub(super) fn given() -> Given {
    let (arrays, training) = training();
    given::of_training(arrays, training)
}

/// With N nodes, E directed edges, S features that are set, H hidden numbers: the encoder and the gradient in it, 4 S H;
/// for each of the 16 steps a product with H x H (6 H^2 N forward and backward), scores of edges (6 H E), a softmax
/// and its derivative, and four stages, each a sum over edges (2 H E) and of three states (6 H N), with sums and inner
/// products backward (4 H E, 6 H N); the decoder, 6 H C N. Adam. Memory: parameters and moments, features and edges as
/// indices, the states of the steps written and read.
pub(super) fn cost() -> Cost {
    let (n, e, h, c) = (NODES as f64, 2.0 * EDGES as f64, HIDDEN as f64, CLASSES as f64);
    let (set, steps) = (SET * n * FEATURES as f64, STEPS as f64);
    let attention = 6.0 * h * h * n + 6.0 * h * e + e * (ELEMENTARY + 8.0);
    let stages = 4.0 * (6.0 * h * e + 12.0 * h * n);
    let training = Cost {
        flops: 4.0 * set * h + steps * (attention + stages) + n * c * (6.0 * h + ELEMENTARY + 5.0),
        bytes: WORD * (set + e + 2.0 * n + 2.0 * steps * n * h),
    };
    training + Cost::adam(FEATURES as f64 * h + 2.0 * (h + 1.0) * h + (h + 1.0) * c)
}

/// The inputs, and a step of training that returns the loss before it.
fn training() -> (Vec<Array>, impl FnMut() -> f64) {
    let mut s = Stream::new(0, "graph_ode", 0, 0);
    let mut edges = std::collections::BTreeSet::new();
    while edges.len() < 2 * EDGES {
        let (u, v) = (s.index(NODES) as u32, s.index(NODES) as u32);
        edges.extend([(u, v), (v, u)]);
    }
    let edges: Vec<(u32, u32)> = edges.into_iter().collect();
    let graph = Adjacency::<f32>::new(NODES, &edges, Normalisation::Ones, false);
    let mut features = TriMat::new((NODES, FEATURES));
    for i in 0..NODES {
        for j in 0..FEATURES {
            if s.uniform() < SET {
                features.add_triplet(i, j, 1.0_f32);
            }
        }
    }
    let features: CsMat<f32> = features.to_csr();
    let mut arrays = vec![
        Array::indices("receivers", edges.iter().map(|(i, _)| *i)),
        Array::indices("senders", edges.iter().map(|(_, j)| *j)),
        Array::indices("feature_starts", features.indptr().raw_storage().iter().map(|i| *i as u32)),
        Array::indices("feature_indices", features.indices().iter().map(|j| *j as u32)),
    ];
    let (features, set) = Sparse::new(&features);
    let labels: Vec<u32> = (0..NODES).map(|_| s.index(CLASSES) as u32).collect();
    arrays.push(Array::indices("labels", labels.iter().copied()));
    let everyone: Vec<u32> = (0..NODES as u32).collect();

    let mut params = Params::<f32>::new();
    let encoder = params.add_weight("encoder", HIDDEN, FEATURES, 0.03 * (FEATURES as f64).sqrt(), 0);
    let mut linear = |name: &str, rows: usize| {
        let w = params.add_weight(name, rows, HIDDEN, 1.0, 0);
        (w, params.add_zeros(format!("{name}.bias"), rows, 1))
    };
    let (query, key, decoder) = (linear("query", HIDDEN), linear("key", HIDDEN), linear("decoder", CLASSES));
    arrays.extend(given::parameters(&params));
    let mut adam = Adam::new(params.len());
    let (mut tape, mut gradient) = (Tape::new(), vec![0.0; params.len()]);
    let mut seed = vec![0.0; CLASSES * NODES];
    let training = move || {
        let mut g = tape.record(params.values());
        let (values, w) = (g.constant(1, set.len(), &set), g.param(encoder));
        let mut x = g.sparse_columns(&features, values, w);
        let [query, key, decoder] = [query, key, decoder].map(|(w, b)| (g.param(w), g.param(b)));
        let (m, c) = merged(&mut g, query, key.0, 1.0 / (HIDDEN as f64).sqrt());
        for _ in 0..STEPS {
            let a = g.edge_attention(&graph.sparse, m, c, x);
            x = g.diffusion_rk4_step(&graph.sparse, a, x, DT);
        }
        let x = g.relu(x);
        let logits = g.linear(decoder.0, x, decoder.1);
        let loss = cross_entropy(g.value(logits).data, CLASSES, &labels, &everyone, &mut seed);
        gradient.fill(0.0);
        g.backward_from(logits, &seed, &mut gradient);
        adam.step(params.values_mut(), &gradient, 1e-3);
        loss
    };
    (arrays, training)
}
