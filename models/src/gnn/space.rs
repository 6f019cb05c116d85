//! What a search draws the settings of a network from. The order of the draws is part of a search: another order
//! is another search.

use engine::rng::Stream;
use serde::{Deserialize, Serialize};

use super::Normalisation;
use super::equations::coefficient::Dependence;
use crate::range::Range;

/// Graphs with more nodes than this are searched with at most 64 numbers a node, because a training of a
/// wider network takes minutes there.
const LARGE: usize = 6000;
/// Graphs with more nodes than this, and labels enough, are searched with less decay and steps up to 2. Hundreds
/// of labels hold a wide network back by themselves; and where alpha is 1/2, a step of 2 puts A x in the place
/// of x, as a convolution does (Chameleon: 70 % against 63 % with two steps of 1).
pub const AMPLE: usize = 1000;
/// Graphs with more nodes than this are searched with at most 128 numbers a node.
const WIDE: usize = 3000;
/// Graphs with more edges than this (both ways counted) and labels enough are searched with one or two steps.
const CROWDED: usize = 200_000;

/// What the space depends on.
#[derive(Clone, Copy, Debug)]
pub struct GraphFacts {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of edges, both ways counted.
    pub edges: usize,
    /// Whether its edges have directions at the source.
    pub directed: bool,
    /// Whether fewer than one node in ten is labelled: labels then have far to go, and equations take long.
    pub scarce: bool,
    /// Whether its edges have weights, for which attention has no place.
    pub weighted: bool,
}

impl GraphFacts {
    /// Whether there are many nodes, and many of them labelled.
    pub fn ample(&self) -> bool {
        self.nodes > AMPLE && !self.scarce
    }
}

/// The random choices of one trial.
pub struct Draw<'a> {
    /// The graph that the trial is for.
    pub graph: &'a GraphFacts,
    stream: Stream,
}

impl<'a> Draw<'a> {
    /// The choices that `stream` makes.
    pub fn new(graph: &'a GraphFacts, stream: Stream) -> Self {
        Self { graph, stream }
    }

    /// Uniform between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.stream.uniform()
    }

    /// A share of 0 to 0.7 that is dropped.
    pub fn dropout(&mut self) -> f64 {
        rounded(self.between(0.0, 0.7))
    }

    /// One of `choices`.
    pub fn one_of<V: Copy>(&mut self, choices: &[V]) -> V {
        choices[self.stream.index(choices.len())]
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.one_of(&[false, true])
    }

    /// Settings of a differential equation.
    pub fn continuous(&mut self) -> Continuous {
        use Normalisation::{Column, Row, Symmetric};
        let (graph, scarce) = (self.graph, self.graph.scarce);
        let mut time = self.one_of(&match graph {
            // Graphs with so many nodes are dense with edges too, and a label reaches everything sooner.
            GraphFacts { scarce: true, nodes, .. } if *nodes > LARGE => [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0],
            GraphFacts { scarce: true, .. } => [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0],
            _ => [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0],
        });
        let mut step = self.one_of(&match graph {
            GraphFacts { scarce: true, .. } => [1.0; 3],
            _ if graph.ample() => [0.5, 1.0, 2.0],
            _ => [0.25, 0.5, 1.0],
        });
        if graph.edges > CROWDED && !scarce {
            (time, step) = (self.one_of(&[0.5, 1.0, 1.5, 2.0]), f64::max(step, 1.0));
        }
        Continuous {
            time,
            step,
            normalisation: self.one_of(&[Symmetric, Row, Column]),
            loops: self.coin(),
            attention: self.one_of(&[true, false, false, false]) && !graph.weighted,
            deep_encoder: self.coin() && !scarce,
            deep_decoder: self.coin(),
            relu: self.coin(),
            alpha: self.one_of(&[Dependence::Scalar, Dependence::Channel, Dependence::Time]),
            beta: self.one_of(&[Dependence::Channel, Dependence::Channel, Dependence::Time]),
            source: self.one_of(&[true, false, false]),
        }
    }
}

/// To four decimals, so that a setting is short to write down.
pub fn rounded(v: f64) -> f64 {
    (v * 1e4).round() / 1e4
}

/// What every differential equation draws, whether it has such a setting or not.
#[expect(missing_docs)]
#[derive(Clone, Copy, Debug)]
pub struct Continuous {
    pub time: f64,
    pub step: f64,
    pub normalisation: Normalisation,
    pub loops: bool,
    pub attention: bool,
    pub deep_encoder: bool,
    pub deep_decoder: bool,
    pub relu: bool,
    pub alpha: Dependence,
    pub beta: Dependence,
    pub source: bool,
}

/// Settings of almost every network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Width {
    /// Numbers for each node.
    pub hidden: usize,
    /// Dropout of the features.
    pub input_dropout: f64,
    /// Dropout between layers and before the decoder.
    pub dropout: f64,
}

impl Default for Width {
    fn default() -> Self {
        Self { hidden: 64, input_dropout: 0.5, dropout: 0.5 }
    }
}

impl Width {
    /// Draws them.
    pub fn draw(draw: &mut Draw<'_>) -> Self {
        let (input_dropout, dropout) = (draw.dropout(), draw.dropout());
        let graph = draw.graph;
        let hidden = if graph.nodes > LARGE {
            draw.one_of(&[32, 64])
        } else if graph.ample() {
            draw.one_of(if graph.nodes > WIDE { &[64, 128] } else { &[64, 128, 256] })
        } else {
            draw.one_of(&[32, 64, 128])
        };
        Self { hidden: if graph.scarce { hidden.max(64) } else { hidden }, input_dropout, dropout }
    }

    /// Their ranges.
    pub fn ranges(&self) -> [(&'static str, f64, Range); 3] {
        [
            ("model.hidden", self.hidden as f64, Range::Between(1.0, 16_384.0)),
            ("model.input_dropout", self.input_dropout, Range::Below(0.0, 1.0)),
            ("model.dropout", self.dropout, Range::Below(0.0, 1.0)),
        ]
    }
}
