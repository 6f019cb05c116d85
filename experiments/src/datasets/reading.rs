//! What an importer makes of a source: the data set, and what its user should know of how it came about.

use std::collections::HashMap;
use std::path::Path;

use models::gnn::data::synthetic::both_ways;
use models::gnn::{Dataset, FeatureMatrix};

use super::classes::Classes;
use crate::run::error::CliError;

/// Pairs of nodes.
pub(super) type Pairs = Vec<(u32, u32)>;

/// A source's own list of edges.
#[derive(Default)]
pub(super) struct Listed {
    /// From, to.
    pub pairs: Pairs,
    /// A positive weight of each; empty where the source has none.
    pub weights: Vec<f32>,
    /// Edges left out because an end is no node.
    pub unknown: usize,
    /// Edges left out because their weight is 0.
    pub weightless: usize,
}

impl From<Pairs> for Listed {
    fn from(pairs: Pairs) -> Self {
        Self { pairs, ..Self::default() }
    }
}

/// What was read.
pub(super) struct Reading {
    /// The data set.
    pub data: Dataset,
    /// (what, how it was understood), for the summary.
    pub facts: Vec<(String, String)>,
    /// What may not be meant.
    pub notes: Vec<String>,
}

impl From<Dataset> for Reading {
    fn from(data: Dataset) -> Self {
        Self { data, facts: Vec::new(), notes: Vec::new() }
    }
}

/// The weights of each edge and direction, added up; loops have none.
fn sums(list: &Pairs, weights: &[f32]) -> HashMap<(u32, u32), f64> {
    let mut sums = HashMap::new();
    for (edge, w) in list.iter().zip(weights).filter(|((u, v), _)| u != v) {
        *sums.entry(*edge).or_default() += f64::from(*w);
    }
    sums
}

/// Weights of undirected edges by the sums of their directions: of two the mean is taken, so that a list of both
/// directions has the weights that it gives.
fn weighted(edges: &Pairs, sums: &HashMap<(u32, u32), f64>) -> Vec<f32> {
    let weight = |(u, v): &(u32, u32)| match (sums.get(&(*u, *v)), sums.get(&(*v, *u))) {
        (Some(there), Some(back)) => (0.5 * (there + back)) as f32,
        (one, other) => one.or(other).copied().unwrap_or_default() as f32,
    };
    edges.iter().map(weight).collect()
}

/// The undirected graph of a list.
pub(super) struct Graph {
    /// Both ways, sorted.
    pub edges: Pairs,
    /// Their weights; empty where each is 1.
    pub weights: Vec<f32>,
    /// The list, unless it holds that graph and nothing else.
    pub raw_edges: Option<Pairs>,
    /// Its weights.
    pub raw_weights: Vec<f32>,
    /// How the list became the graph, for the summary.
    pub fact: (String, String),
}

/// Makes it.
pub(super) fn graph(listed: Listed) -> Graph {
    let Listed { pairs, weights, unknown, weightless } = listed;
    let lines = pairs.len() + unknown + weightless;
    let loops = pairs.iter().filter(|(u, v)| u == v).count();
    let mut directed: Pairs = pairs.iter().copied().filter(|(u, v)| u != v).collect();
    directed.sort_unstable();
    directed.dedup();
    let twice = pairs.len() - loops - directed.len();
    let edges = both_ways(&pairs);
    let one_way = edges.len() - directed.len();
    let ways = match one_way {
        _ if edges.is_empty() => "no edge".to_string(),
        0 => "each in both directions".into(),
        _ if 2 * one_way == edges.len() => "each in one direction".into(),
        _ => format!("{one_way} in one direction, others in both"),
    };
    let dropped = [
        (loops, "loops"),
        (twice, "listed again"),
        (unknown, "with an end that is no node"),
        (weightless, "of weight 0"),
    ];
    let dropped = dropped.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    let dropped = dropped.collect::<Vec<_>>().join(", ");
    let dropped = if dropped.is_empty() { "none".into() } else { dropped };
    let fact = ("edges listed".to_string(), format!("{lines}, {ways}; left out: {dropped}"));
    // An edge of weight 1 that is listed again has another.
    let sums = sums(&pairs, &weights);
    let (edge_weights, raw_weights) = match sums.values().all(|sum| *sum as f32 == 1.0) {
        true => (Vec::new(), Vec::new()),
        false => (weighted(&edges, &sums), weights),
    };
    // Sorted, both ways and once: nothing but the graph.
    let same = directed.len() == pairs.len() && one_way == 0;
    let (raw_edges, raw_weights) = if same { (None, Vec::new()) } else { (Some(pairs), raw_weights) };
    Graph { edges, weights: edge_weights, raw_edges, raw_weights, fact }
}

/// A data set of nodes that are listed in the file `source`.
pub(super) fn dataset(
    name: &str,
    source: &Path,
    listed: Listed,
    features: FeatureMatrix,
    classes: Classes,
) -> Result<Reading, CliError> {
    if classes.labels.is_empty() {
        return Err(CliError::usage(format!("{}: holds no nodes", source.display())));
    }
    // Where no node has a label there is nothing to learn, but something to predict.
    let count = classes.count.max(1);
    let graph = graph(listed);
    let data = Dataset {
        raw_edges: graph.raw_edges,
        edge_weights: graph.weights,
        raw_weights: graph.raw_weights,
        unlabelled: classes.unlabelled,
        class_names: classes.names,
        ..Dataset::new(name, graph.edges, features, classes.labels, count)
    };
    Ok(Reading { facts: vec![graph.fact], ..data.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(u32, u32)], weights: &[f32]) -> Reading {
        let listed = Listed { pairs: pairs.to_vec(), weights: weights.to_vec(), unknown: 1, weightless: 0 };
        let classes = Classes::of_codes(&[Some(0), Some(1), Some(1)]).unwrap();
        dataset("a", Path::new("a"), listed, FeatureMatrix::zero(3, 1), classes).unwrap()
    }

    #[test]
    fn weights_of_one_direction_add_up_and_of_two_are_averaged() {
        let read = read(&[(0, 1), (1, 0), (1, 2), (1, 2), (2, 2)], &[1.0, 2.0, 0.5, 0.25, 9.0]);
        assert_eq!(read.data.edges, [(0, 1), (1, 0), (1, 2), (2, 1)]);
        assert_eq!(read.data.edge_weights, [1.5, 1.5, 0.75, 0.75]);
        assert_eq!(read.data.raw_weights, [1.0, 2.0, 0.5, 0.25, 9.0]);
        let what = "6, 1 in one direction, others in both; left out: 1 loops, 1 listed again, 1 with an end that is no node";
        assert_eq!(read.facts[0].1, what);
    }

    #[test]
    fn weights_that_add_up_to_one_are_none() {
        let of = |pairs: &[(u32, u32)], weights: &[f32]| {
            let data = read(pairs, weights).data;
            (data.edge_weights, data.raw_weights)
        };
        assert_eq!(of(&[(0, 1), (1, 2), (2, 2)], &[1.0, 1.0, 3.0]), (vec![], vec![]));
        assert_eq!(of(&[(0, 1), (0, 1)], &[0.5, 0.5]), (vec![], vec![]));
        assert_eq!(of(&[(0, 1), (0, 1), (0, 1)], &[1.0; 3]), (vec![3.0; 2], vec![1.0; 3]));
        // A list without weights has none, however often it lists an edge.
        assert_eq!(of(&[(0, 1), (0, 1)], &[]), (vec![], vec![]));
    }
}
