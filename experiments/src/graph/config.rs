//! Settings of the graph experiment.

use engine::rng::Stream;
use models::graph::score::Metric;
use models::graph::settings::{Model, Training};
use models::graph::synthetic::random_split;
use models::graph::{Dataset, Split};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Where splits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// The published fixed ones.
    Fixed,
    /// Planetoid's public one.
    Public,
    /// Drawn by the protocol of GRAND, on the largest component.
    Random,
}

/// Which way edges are used: whom a node listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edges {
    /// Both ends of an edge listen to each other.
    Undirected,
    /// A node listens to the nodes that its own edges in the source's list lead to (a page to the pages that
    /// it links to). GREAD and its kin use WebKB and Film so.
    Directed,
    /// A node listens to the nodes whose edges lead to it.
    Reversed,
}

/// The data and how they are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataChoice {
    /// Name of the data set.
    pub name: String,
    /// undirected, directed or reversed; the latter two where the source's list has directions.
    pub edges: Edges,
    /// Where splits come from.
    pub split: SplitKind,
    /// Number of splits: at most this many fixed ones, or exactly this many random ones.
    pub splits: usize,
    /// Initialisations for each split.
    pub initialisations: usize,
    /// Nodes of the development set of a random split.
    pub development: usize,
    /// Training nodes of each class of a random split.
    pub per_class: usize,
    /// The figure that selects and judges.
    pub metric: Metric,
}

/// All settings of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphConfig {
    /// Seed of every random number.
    pub seed: u64,
    /// The data.
    pub data: DataChoice,
    /// The network.
    pub model: Model,
    /// Its training.
    pub train: Training,
}

impl Default for DataChoice {
    fn default() -> Self {
        Self {
            name: "karate".into(),
            edges: Edges::Undirected,
            split: SplitKind::Fixed,
            splits: 10,
            initialisations: 1,
            development: 1500,
            per_class: 20,
            metric: Metric::Accuracy,
        }
    }
}

impl GraphConfig {
    /// The seed of a training: the same in a search and in a run, so that both see one network.
    pub(super) fn training_seed(&self, split: usize, initialisation: usize) -> u64 {
        Stream::new(self.seed, "training", split as u64, initialisation as u64).next_u64()
    }

    /// An error if some value is outside its range.
    pub fn check(&self) -> Result<(), Failure> {
        let d = &self.data;
        let counts = [
            ("data.splits", d.splits),
            ("data.initialisations", d.initialisations),
            ("data.development", d.development),
            ("data.per_class", d.per_class),
        ];
        if let Some((key, v)) = counts.iter().find(|(_, v)| *v == 0 || *v > 100_000_000) {
            return Err(Failure::usage(format!("{key} = {v} must lie between 1 and 100000000")));
        }
        let problem = self.model.problem().or_else(|| self.train.problem());
        problem.map_or(Ok(()), |p| Err(Failure::usage(p)))
    }
}

/// The graph as it is used, and its splits.
pub fn splits(data: Dataset, choice: &DataChoice) -> Result<(Dataset, Vec<Split>), Failure> {
    let (mut data, splits) = drawn_splits(data, choice)?;
    if choice.edges != Edges::Undirected {
        let Some(raw) = data.raw_edges.take() else {
            return Err(Failure::usage(format!(
                "data.edges: {} has no directions of its edges; use undirected",
                data.name
            )));
        };
        let turned = |(i, j): (u32, u32)| if choice.edges == Edges::Reversed { (j, i) } else { (i, j) };
        data.edges = raw.into_iter().filter(|(i, j)| i != j).map(turned).collect();
        data.edges.sort_unstable();
        data.edges.dedup();
    }
    Ok((data, splits))
}

fn drawn_splits(data: Dataset, choice: &DataChoice) -> Result<(Dataset, Vec<Split>), Failure> {
    if choice.metric == Metric::RocAuc && data.classes != 2 {
        return Err(Failure::usage(format!(
            "data.metric = roc-auc wants two classes; {} has {}",
            data.name, data.classes
        )));
    }
    let none = |what: &str| {
        Failure::usage(format!(
            "data set {} has no {what} split; choose another --split (fixed, public, random)",
            data.name
        ))
    };
    match choice.split {
        SplitKind::Fixed if data.splits.is_empty() => Err(none("fixed")),
        SplitKind::Fixed => {
            let kept = data.splits.iter().take(choice.splits).cloned().collect();
            Ok((data, kept))
        }
        SplitKind::Public => {
            let public = data.public.clone().ok_or_else(|| none("public"))?;
            Ok((data, vec![public]))
        }
        SplitKind::Random => {
            let nodes = data.largest_component();
            let part = data.restrict(&nodes);
            if choice.development >= part.nodes() {
                return Err(Failure::usage(format!(
                    "data.development = {} leaves no test nodes; the largest component of {} has {}",
                    choice.development,
                    part.name,
                    part.nodes()
                )));
            }
            let draw = |k| random_split(&part, choice.development, choice.per_class, k);
            let drawn = (0..choice.splits as u64).map(draw).collect();
            Ok((part, drawn))
        }
    }
}
