//! The memory that a training takes.

use engine::{Params, Real};

use super::{Config, Kind, network};
use crate::memory::Part;
use crate::target::Target;

impl Config {
    /// What grows with the settings: networks, gradients, batches, the buffer.
    pub(crate) fn memory<T: Real>(&self, target: &dyn Target<T>) -> Vec<Part> {
        let geometry = target.geometry();
        let (t, replay, net, d) = (&self.train, &self.replay, &self.network, geometry.dim());
        let mut params = Params::<T>::counting();
        if net.kind == Kind::Mlp || geometry.particles().is_some() {
            network::build(net, geometry, &mut params, 0);
        }
        let (parameters, number) = (params.len() as f64, size_of::<T>() as f64);
        let shards = t.batch.div_ceil(network::shard(net.kind, geometry)) as f64;
        let network = format!("network.hidden = {}, network.layers = {}", net.hidden, net.layers);
        let states = |count: usize, numbers: usize| number * count as f64 * (numbers * d) as f64;
        vec![
            // With a gradient, Adam's moments and the moving average.
            (format!("{network} with {} parameters", params.len()), 5.0 * number * parameters),
            // Each shard has a gradient of its own, so that sums have an order.
            (format!("train.batch = {}, {network}", t.batch), shards * number * parameters),
            // States and targets, and of the estimates three vectors.
            (format!("train.batch = {} in {d} dimensions", t.batch), states(t.batch, 5)),
            // As they are drawn, stored, and moved.
            (format!("replay.capacity = {} in {d} dimensions", replay.capacity), states(replay.capacity, 2)),
            (
                format!("replay.refresh_samples = {} in {d} dimensions", replay.refresh_samples),
                states(replay.refresh_samples, 1),
            ),
        ]
    }
}
