//! The space that a search draws settings from.

use engine::rng::Stream;
use models::gnn::Normalisation;
use models::gnn::equations::coefficient::Dependence;
use models::gnn::equations::{Form, Kernel, Mobility};
use models::gnn::networks::settings::Model;

use crate::classify::{Edges, GraphConfig};

/// Graphs with more nodes than this are searched with at most 64 numbers a node, because a training of a
/// wider network takes minutes there.
const LARGE: usize = 6000;
/// Graphs with more nodes than this, and labels enough, are searched with less decay and steps up to 2. Hundreds
/// of labels hold a wide network back by themselves; and where alpha is 1/2, a step of 2 puts A x in the place
/// of x, as a convolution does (Chameleon: 70 % against 63 % with two steps of 1).
pub(super) const AMPLE: usize = 1000;
/// Graphs with more nodes than this are searched with at most 128 numbers a node.
const WIDE: usize = 3000;

/// Graphs with more edges than this (both ways counted) and labels enough are searched with one or two steps.
const CROWDED: usize = 200_000;

/// What the space depends on.
pub(super) struct Graph {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of edges, both ways counted.
    pub edges: usize,
    /// Whether its edges have directions at the source.
    pub directed: bool,
    /// Whether fewer than one node in ten is labelled: labels then have far to go, and equations take long.
    pub scarce: bool,
}

impl Graph {
    /// Whether there are many nodes, and many of them labelled.
    fn ample(&self) -> bool {
        self.nodes > AMPLE && !self.scarce
    }
}

/// The settings of a trial; what does not belong to the network stays. Trial 0 is `base` itself.
pub(super) fn draw(base: &GraphConfig, graph: &Graph, trial: u64) -> GraphConfig {
    if trial == 0 {
        return base.clone();
    }
    let mut s = Stream::new(base.seed, "search", trial, 0);
    let mut config = base.clone();
    let mut between = |low: f64, high: f64| low + (high - low) * s.uniform();
    let t = &mut config.train;
    t.learning_rate = rounded(10f64.powf(between(-2.6, -1.5)));
    // Twenty labels a class are learnt by heart unless weights are held back.
    t.decay = 10f64.powf(match graph {
        Graph { scarce: true, .. } => between(-3.0, -1.3),
        _ if graph.ample() => between(-6.0, -1.5),
        _ => between(-4.5, -1.5),
    });
    t.decay = (t.decay * 1e6).round() / 1e6;
    let m = &mut config.model;
    m.input_dropout = rounded(between(0.0, 0.7));
    m.dropout = rounded(between(0.0, 0.7));
    let mut pick = |n: usize| s.index(n);
    m.hidden = if graph.nodes > LARGE {
        [32, 64][pick(2)]
    } else if graph.ample() {
        [64, 128, 256][pick(if graph.nodes > WIDE { 2 } else { 3 })]
    } else {
        [32, 64, 128][pick(3)]
    };
    if graph.scarce {
        m.hidden = m.hidden.max(64);
    }
    // With few labels the protocol's graphs are undirected, and labels go farther in both directions.
    if graph.directed && !graph.scarce && m.name != "mlp" {
        config.data.edges = [Edges::Undirected, Edges::Directed, Edges::Reversed][pick(3)];
    }
    let on = |k: usize| k == 1;
    match m.name.as_str() {
        "mlp" | "gcn" | "sage" => m.layers = 2 + pick(2),
        "gat" => (m.layers, m.heads) = (2, [1, 4, 8][pick(3)]),
        "gcnii" => {
            m.layers = [4, 8, 16, 32][pick(4)];
            (m.teleport, m.lambda) = ([0.1, 0.3, 0.5][pick(3)], [0.5, 1.0, 1.5][pick(3)]);
        }
        "h2gcn" => m.layers = 1 + pick(2),
        "gprgnn" => m.teleport = [0.1, 0.2, 0.5, 0.9][pick(4)],
        "graphcon" => {
            m.layers = [1, 2, 3, 5][pick(4)];
            m.teleport = [0.0, 0.5, 1.0][pick(3)];
            (m.deep_encoder, m.deep_decoder, m.relu) = (on(pick(2)), on(pick(2)), on(pick(2)));
        }
        _ => continuous(m, graph, &mut pick),
    }
    config
}

/// To four decimals, so that a setting is short to write down.
fn rounded(v: f64) -> f64 {
    (v * 1e4).round() / 1e4
}

/// The part of the space that belongs to differential equations.
fn continuous(m: &mut Model, graph: &Graph, pick: &mut impl FnMut(usize) -> usize) {
    use Normalisation::{Column, Row, Symmetric};
    let scarce = graph.scarce;
    let on = |k: usize| k == 1;
    m.time = match graph {
        // Graphs with so many nodes are dense with edges too, and a label reaches everything sooner.
        Graph { scarce: true, nodes, .. } if *nodes > LARGE => [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0],
        Graph { scarce: true, .. } => [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0],
        _ => [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0],
    }[pick(7)];
    m.step = match graph {
        Graph { scarce: true, .. } => [1.0; 3][pick(3)],
        _ if graph.ample() => [0.5, 1.0, 2.0][pick(3)],
        _ => [0.25, 0.5, 1.0][pick(3)],
    };
    if graph.edges > CROWDED && !scarce {
        (m.time, m.step) = ([0.5, 1.0, 1.5, 2.0][pick(4)], m.step.max(1.0));
    }
    m.normalisation = [Symmetric, Row, Column][pick(3)];
    m.loops = on(pick(2));
    m.attention = pick(4) == 0;
    (m.deep_encoder, m.deep_decoder, m.relu) = (on(pick(2)) && !scarce, on(pick(2)), on(pick(2)));
    let dependence = [Dependence::Scalar, Dependence::Channel, Dependence::Time];
    m.alpha = dependence[pick(3)];
    m.beta = [Dependence::Channel, Dependence::Channel, Dependence::Time][pick(3)];
    m.source = pick(3) == 0;
    if m.name == "frond" {
        (m.order, m.step) = ([0.5, 0.7, 0.85, 0.95][pick(4)], m.step.max(0.5));
    }
    if m.name != "grade" {
        return;
    }
    m.kernel = [Kernel::Gat, Kernel::Log, Kernel::Gauss, Kernel::Sin][pick(4)];
    m.form = if m.kernel == Kernel::Sin || on(pick(2)) { Form::Code } else { Form::Paper };
    m.mobility = [Mobility::Node, Mobility::Mean][pick(2)];
    m.sigma = ["identity", "identity", "learned"][pick(3)].into();
    m.diffusion = rounded(if scarce { 0.2 } else { 0.1 } * (1 + pick(10)) as f64);
    // Over a long time a weaker aggregation does as much, and a strong one blows up.
    let weak = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3];
    m.aggregation = if scarce { weak[pick(10)] } else { rounded(0.1 * (1 + pick(10)) as f64) };
    m.log_eps = [0.01, 0.1, 0.3, 1.0][pick(4)];
    m.width = [1.0, 3.0, 10.0][pick(3)];
    // An addition of ours; the rivals stay as they were published.
    m.skip = on(pick(2));
}
