//! A training step of an EGNN on all pairs: an embedding of the time for every particle, layers of hidden
//! 128, weighted squared error of how far particles move, backward, Adam.

use engine::Params;
use engine::data_parallel::DataParallel;
use engine::optim::Adam;
use engine::rng::Stream;
use models::score::{Egnn, EgnnConfig, Pairs};

use super::Step;

const HIDDEN: usize = 128;

/// `columns` states make a shard.
pub(super) fn build(batch: usize, pairs: Pairs, layers: usize, columns: usize) -> Step {
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
    let t: Vec<f32> = t.iter().flat_map(|t| vec![*t; n]).collect();
    let mut shards = DataParallel::new(columns);
    let mut adam = Adam::new(params.len());
    let scale = 1.0 / (batch * d) as f32;
    Box::new(move || {
        let (_, gradient) = shards.gradient(params.values(), batch, |g, range, gradient| {
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
    })
}
