//! A training step of an EGNN on all pairs: an embedding of the time for every particle, layers of hidden
//! 128, weighted squared error of how far particles move, backward, Adam.

use engine::Params;
use engine::data_parallel::DataParallel;
use engine::optim::Adam;
use engine::rng::Stream;
use models::score::{Egnn, EgnnConfig, Pairs};

use super::cost::{Cost, ELEMENTARY, SILU, SILU_BACK, WORD};
use super::{Array, Given, Step, given};

const HIDDEN: usize = 128;

/// Sizes of a training; `columns` states make a shard.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub batch: usize,
    pub pairs: Pairs,
    pub layers: usize,
    pub columns: usize,
}

pub(super) fn build(size: Size) -> Step {
    let (_, mut training) = training(size);
    Box::new(move || {
        training();
    })
}

/// A weight is (inputs, outputs); names are those of the authors' code.
pub(super) fn given(size: Size) -> Given {
    let (arrays, training) = training(size);
    given::of_training(arrays, training)
}

/// With H hidden numbers: an edge takes two products with H x H (4 H^2 operations), three SiLUs, a gate and two sums
/// over H, a node the two halves of the first layer (4 H^2) and the update (6 H^2), which the last layer lacks; twice
/// as much backward. In the first layer all particles of a state are alike: half of the edges suffice, and one
/// particle of each state for the halves and a third of the update. Adam. Memory: parameters and moments; x, t, y, w.
pub(super) fn cost(size: Size) -> Cost {
    let (h, n, space) = (HIDDEN as f64, size.pairs.particles as f64, size.pairs.space as f64);
    let (states, layers) = (size.batch as f64, size.layers as f64);
    let (nodes, edges) = (states * n, states * n * (n - 1.0));
    // Positions are three numbers at most: their share is that of a few of the H.
    let edge = 12.0 * h * h + h * (3.0 * (SILU + SILU_BACK) + 30.0) + 4.0 * ELEMENTARY;
    let (ends, hear) = (12.0 * h * h, 12.0 * h * h + h * (SILU + SILU_BACK + 6.0));
    let first = edges / 2.0 * edge + states * (ends + 6.0 * h * h) + nodes * hear;
    let middle = edges * edge + nodes * (ends + 6.0 * h * h + hear);
    let last = edges * edge + nodes * ends;
    let layer = 7.0 * h * h + 9.0 * h + 2.0;
    let training = Cost {
        flops: first + (layers - 2.0) * middle + last + 8.0 * nodes * space,
        bytes: WORD * (states + nodes * (2.0 * space + 1.0)),
    };
    training + Cost::adam(2.0 * h + layers * layer)
}

/// The inputs, and a step of training that returns the loss before it.
fn training(size: Size) -> (Vec<Array>, impl FnMut() -> f64) {
    let Size { batch, pairs, layers, columns } = size;
    let (n, d) = (pairs.particles, pairs.particles * pairs.space);
    let mut params = Params::<f32>::new();
    let embedding = params.add_weight("embedding.weight", HIDDEN, 1, 1.0, 0);
    let bias = params.add_zeros("embedding.bias", HIDDEN, 1);
    let network = Egnn::new(EgnnConfig { pairs, hidden: HIDDEN, layers }, &mut params, 0);
    let mut s = Stream::new(0, "egnn", 0, 0);
    let (mut x, mut y) = (vec![0.0; batch * d], vec![0.0; batch * d]);
    s.fill_normal(&mut x);
    s.fill_normal(&mut y);
    let (mut t, mut w) = (vec![0.0; batch], vec![0.0; batch * n]);
    s.fill_uniform(&mut t);
    s.fill_uniform(&mut w);
    let mut arrays = vec![
        Array::floats("x", &[batch * n, pairs.space], &x),
        Array::floats("t", &[batch, 1], &t),
        Array::floats("y", &[batch * n, pairs.space], &y),
        Array::floats("w", &[batch * n, 1], &w),
    ];
    arrays.extend(given::parameters(&params));
    let t: Vec<f32> = t.iter().flat_map(|t| vec![*t; n]).collect();
    let mut shards = DataParallel::new(columns);
    let mut adam = Adam::new(params.len());
    let scale = 1.0 / (batch * d) as f32;
    let training = move || {
        let (loss, gradient) = shards.gradient(params.values(), batch, |g, range, gradient| {
            let nodes = range.start * n..range.end * n;
            let states = range.start * d..range.end * d;
            let time = g.constant(1, nodes.len(), &t[nodes.clone()]);
            let (e, b) = (g.param(embedding), g.param(bias));
            let h = g.linear(e, time, b);
            let from = g.constant(pairs.space, nodes.len(), &x[states.clone()]);
            let to = network.record(g, h, from);
            let mut loss = 0.0;
            let moved = g.value(to).data.iter().zip(&x[states.clone()]).zip(&y[states]);
            let seed: Vec<f32> = (moved.enumerate())
                .map(|(k, ((to, from), y))| {
                    let (error, w) = (to - from - y, w[nodes.start + k / pairs.space] * scale);
                    loss += f64::from(w * error * error);
                    2.0 * w * error
                })
                .collect();
            g.backward_from(to, &seed, gradient);
            loss
        });
        adam.step(params.values_mut(), gradient, 1e-3);
        loss
    };
    (arrays, training)
}
