//! The space that a search draws settings from.

use engine::rng::Stream;
use models::gnn::space::{Draw, GraphFacts, Width, rounded};

use crate::classify::{Edges, GraphConfig};

/// The settings of a trial; what does not belong to the network stays. Trial 0 is `base` itself.
pub(super) fn draw(base: &GraphConfig, graph: &GraphFacts, trial: u64) -> GraphConfig {
    let mut config = base.clone();
    if trial == 0 {
        return config;
    }
    let mut draw = Draw::new(graph, Stream::new(base.seed, "search", trial, 0));
    config.train.learning_rate = rounded(10f64.powf(draw.between(-2.6, -1.5)));
    // Twenty labels a class are learnt by heart unless weights are held back.
    let decay = 10f64.powf(match graph {
        GraphFacts { scarce: true, .. } => draw.between(-3.0, -1.3),
        _ if graph.ample() => draw.between(-6.0, -1.5),
        _ => draw.between(-4.5, -1.5),
    });
    config.train.decay = (decay * 1e6).round() / 1e6;
    let (width, network) = (Width::draw(&mut draw), config.model.settings_mut());
    if let Some(own) = network.width() {
        *own = width;
    }
    // With few labels the protocol's graphs are undirected, and labels go farther in both directions.
    if graph.directed && !graph.scarce && network.uses_edges() {
        config.data.edges = draw.one_of(&[Edges::Undirected, Edges::Directed, Edges::Reversed]);
    }
    network.draw(&mut draw);
    config
}
