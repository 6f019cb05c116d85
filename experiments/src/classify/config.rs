//! Settings of the graph experiment.

use engine::rng::Stream;
use models::gnn::data::check::split_problem;
use models::gnn::data::synthetic::random_split;
use models::gnn::training::Training;
use models::gnn::training::classification::Metric;
use models::gnn::{Dataset, Network, Split};
use models::range::{self, Range};
use serde::{Deserialize, Serialize};

use super::scale::Scale;
use crate::run::error::CliError;

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

/// Which way edges are used: who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edges {
    /// Both ends of an edge receive from each other.
    Undirected,
    /// A node receives from the nodes that its own edges in the source's list lead to (a page from the pages that
    /// it links to).
    Directed,
    /// A node receives from the nodes whose edges lead to it.
    Reversed,
}

impl Edges {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Undirected, Self::Directed, Self::Reversed];
}

/// What becomes of the weights of edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// They are in the matrix A; a network without a place for them is refused.
    #[default]
    Use,
    /// Every edge has the weight 1.
    Ignore,
}

/// Of which splits files are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Of every split: 100 splits of a graph of 100 000 nodes and 40 classes take 5 GB.
    #[default]
    Every,
    /// Of the first split alone.
    First,
}

/// Most splits. More of them, as of initialisations, are a slip, and would end in want of memory.
const MOST_SPLITS: usize = 10_000;
/// Most initialisations for each split.
pub const MOST_INITIALISATIONS: usize = 1000;

/// The data and how they are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataChoice {
    /// Name of the data set.
    pub name: String,
    /// undirected, directed or reversed; the latter two where the source's list has directions.
    pub edges: Edges,
    /// use or ignore: weights of edges, where the data have some.
    #[serde(default)]
    pub weights: Weights,
    /// Where splits come from.
    pub split: SplitKind,
    /// Number of splits: at most this many fixed ones, or exactly this many random ones.
    pub splits: usize,
    /// How many splits are passed over before those.
    #[serde(default)]
    pub first: usize,
    /// Initialisations for each split.
    pub initialisations: usize,
    /// Nodes of the development set of a random split.
    pub development: usize,
    /// Training nodes of each class of a random split.
    pub per_class: usize,
    /// The figure that selects and judges.
    pub metric: Metric,
    /// What is done to features before they are used. Older files do not say: none.
    #[serde(default)]
    pub scale: Scale,
    /// Whether GRADE is trained without aggregation beside. Older files do not say: they had that as a flag alone.
    #[serde(default = "yes")]
    pub ablation: bool,
    /// Of which splits predictions and a checkpoint are kept: of every one, or of the first alone.
    #[serde(default)]
    pub keep: Keep,
}

fn yes() -> bool {
    true
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
    pub model: Network,
    /// Its training.
    pub train: Training,
}

impl Default for DataChoice {
    fn default() -> Self {
        Self {
            name: "karate".into(),
            edges: Edges::Undirected,
            weights: Weights::Use,
            split: SplitKind::Fixed,
            splits: 10,
            first: 0,
            initialisations: 1,
            development: 1500,
            per_class: 20,
            metric: Metric::Accuracy,
            scale: Scale::None,
            ablation: true,
            keep: Keep::Every,
        }
    }
}

impl GraphConfig {
    /// The seed of a training: the same in a search and in a run, so that both see one network.
    pub(super) fn training_seed(&self, split: usize, initialisation: usize) -> u64 {
        let split = self.data.first + split;
        Stream::new(self.seed, "training", split as u64, initialisation as u64).next_u64()
    }

    /// Whether each training has an ablation beside it.
    pub(super) fn ablated(&self) -> bool {
        self.data.ablation && self.model.ablation().is_some()
    }

    /// An error if some value is outside its range.
    pub fn check(&self) -> Result<(), CliError> {
        let d = &self.data;
        let count = |key, v: usize, most: usize| (key, v as f64, Range::Between(1.0, most as f64));
        range::check(&[
            count("data.splits", d.splits, MOST_SPLITS),
            ("data.first", d.first as f64, Range::Between(0.0, MOST_SPLITS as f64)),
            count("data.initialisations", d.initialisations, MOST_INITIALISATIONS),
            count("data.development", d.development, 100_000_000),
            count("data.per_class", d.per_class, 100_000_000),
        ])
        .and_then(|()| self.model.settings().check())
        .and_then(|()| self.train.check())
        .map_err(CliError::usage)
    }
}

/// The graph as it is used, and its splits, on which the figure can be measured.
pub fn splits(mut data: Dataset, choice: &DataChoice) -> Result<(Dataset, Vec<Split>), CliError> {
    data.leave_out_unlabelled();
    let (data, splits) = drawn_splits(data, choice)?;
    check_splits(&data, &splits, choice)?;
    Ok((used(data, choice, None)?, splits))
}

/// The graph with its features, edges and weights of edges as they are used; features scaled as those of `like`, if
/// given, were.
pub(super) fn used(
    mut data: Dataset,
    choice: &DataChoice,
    like: Option<&Dataset>,
) -> Result<Dataset, CliError> {
    choice.scale.apply(&mut data, like)?;
    if choice.weights == Weights::Ignore {
        (data.edge_weights, data.raw_weights) = (Vec::new(), Vec::new());
    }
    if choice.edges == Edges::Undirected {
        return Ok(data);
    }
    let Some(raw) = data.raw_edges.take() else {
        return Err(CliError::usage(format!(
            "data.edges: {} has no directions of its edges; use undirected",
            data.name
        )));
    };
    let turned = |(i, j): (u32, u32)| if choice.edges == Edges::Reversed { (j, i) } else { (i, j) };
    let weights = std::mem::take(&mut data.raw_weights);
    if weights.is_empty() && !data.edge_weights.is_empty() {
        return Err(CliError::usage(format!(
            "data.edges: {} has no weights of its directed edges; set data.weights=ignore, or use undirected",
            data.name
        )));
    }
    let weighted = !weights.is_empty();
    let given = weights.into_iter().chain(std::iter::repeat(1.0));
    let mut edges: Vec<((u32, u32), f32)> =
        raw.into_iter().zip(given).filter(|((i, j), _)| i != j).map(|(e, w)| (turned(e), w)).collect();
    edges.sort_by_key(|edge| edge.0);
    // The weights of an edge that is listed several times are added up, as in an import.
    edges.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0.0 };
        same
    });
    let (edges, weights) = edges.into_iter().unzip();
    data.edges = edges;
    data.edge_weights = if weighted { weights } else { Vec::new() };
    Ok(data)
}

fn check_splits(data: &Dataset, splits: &[Split], choice: &DataChoice) -> Result<(), CliError> {
    // A random split of few nodes: what it is drawn by is what to change.
    let drawn = choice.split == SplitKind::Random;
    let remedy = |s: &Split| match (drawn, s.validation.is_empty()) {
        (true, true) => format!(
            "; lower data.per_class = {} or raise data.development = {}",
            choice.per_class, choice.development
        ),
        _ => String::new(),
    };
    let problem = |(k, s): (usize, &Split)| {
        split_problem(s, data.nodes()).or_else(|| choice.metric.problem(&data.labels, s)).map(|what| {
            CliError::usage(format!(
                "data set {}: split {}: {what}{}",
                data.name,
                choice.first + k,
                remedy(s)
            ))
        })
    };
    splits.iter().enumerate().find_map(problem).map_or(Ok(()), Err)
}

/// The graph, or the part of it that is used, with its splits.
pub(super) fn drawn_splits(data: Dataset, choice: &DataChoice) -> Result<(Dataset, Vec<Split>), CliError> {
    if choice.metric == Metric::RocAuc && data.classes != 2 {
        return Err(CliError::usage(format!(
            "data.metric = roc-auc wants two classes; {} has {}",
            data.name, data.classes
        )));
    }
    let none = |what: &str| {
        let other = match (what, data.splits.is_empty(), &data.public) {
            ("fixed", _, Some(_)) => "give --split public",
            ("public", false, _) => "give --split fixed",
            _ => {
                "give --split random, with --set data.development=N (nodes to learn from and select on) and --set data.per_class=K"
            }
        };
        CliError::usage(format!("data set {} has no {what} split; {other}", data.name))
    };
    let there = match choice.split {
        SplitKind::Fixed => data.splits.len(),
        SplitKind::Public => usize::from(data.public.is_some()),
        SplitKind::Random => usize::MAX,
    };
    if there > 0 && choice.first >= there {
        return Err(CliError::usage(format!(
            "data.first = {} passes over all {there} splits of {}; lower it",
            choice.first, data.name
        )));
    }
    match choice.split {
        SplitKind::Fixed if data.splits.is_empty() => Err(none("fixed")),
        SplitKind::Fixed => {
            let kept = data.splits.iter().skip(choice.first).take(choice.splits).cloned().collect();
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
                return Err(CliError::usage(format!(
                    "data.development = {} leaves no test nodes; the largest component of {} has {}: give --set data.development={} or another number below, and --set data.per_class=K to fit",
                    choice.development,
                    part.name,
                    part.nodes(),
                    part.nodes() / 2
                )));
            }
            let draw = |k| random_split(&part, choice.development, choice.per_class, k);
            let drawn = (choice.first as u64..).take(choice.splits).map(draw).collect();
            Ok((part, drawn))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{exact, to_toml};
    use models::gnn::data::synthetic::karate;

    #[test]
    fn a_file_from_before_a_key_means_what_it_meant() {
        let config = GraphConfig::default();
        let text = to_toml(&config, &config).unwrap();
        let later =
            ["ablation", "first", "keep", "scale", "weights", "growth", "last_step", "time_by_validation"];
        let later = later.into_iter().chain([
            "ends",
            "attention_over",
            "attention_weights",
            "select",
            "optimiser",
            "parts",
        ]);
        for key in later.chain(["attention_size", "attention_bias", "parts_per_step"]) {
            let own = |l: &&str| !l.starts_with(&format!("{key} ="));
            let old: String = text.lines().filter(own).map(|l| format!("{l}\n")).collect();
            assert_ne!(old, text, "{key}");
            assert_eq!(exact::<GraphConfig>(&old, "old"), Ok(config.clone()), "{key}");
        }
        assert!(config.ablated());
    }

    #[test]
    fn counts_have_limits() {
        let problem = |change: &dyn Fn(&mut DataChoice)| {
            let mut config = GraphConfig::default();
            change(&mut config.data);
            config.check().map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert!(problem(&|d| d.splits = 100_000_000).contains("data.splits = 100000000 must"));
        assert!(problem(&|d| d.initialisations = 1001).contains("between 1 and 1000"));
        assert_eq!(problem(&|d| d.splits = 1000), "");
    }

    #[test]
    fn splits_can_be_passed_over() {
        let taken = |split: SplitKind, first: usize, splits: usize| {
            let choice =
                DataChoice { split, first, splits, development: 20, per_class: 4, ..Default::default() };
            drawn_splits(karate(), &choice).map(|(_, splits)| splits).map_err(|e| e.to_string())
        };
        for kind in [SplitKind::Fixed, SplitKind::Random] {
            let all = taken(kind, 0, 10).unwrap();
            assert_eq!(taken(kind, 3, 2).unwrap(), all[3..5]);
            assert_eq!(taken(kind, 9, 1).unwrap(), all[9..]);
        }
        let error = taken(SplitKind::Fixed, 10, 1).unwrap_err();
        assert!(error.contains("data.first = 10 passes over all 10 splits of karate"), "{error}");
        let seed = |first: usize, split: usize| {
            let mut config = GraphConfig::default();
            config.data.first = first;
            config.training_seed(split, 0)
        };
        assert_eq!(seed(3, 1), seed(0, 4));
    }

    #[test]
    fn weights_go_with_the_directions_of_edges() {
        let mut data = karate();
        data.edges = vec![(0, 1), (0, 2), (1, 0), (2, 0)];
        data.edge_weights = vec![3.0, 5.0, 3.0, 5.0];
        // 1 -> 0 is listed twice; a loop.
        data.raw_edges = Some(vec![(1, 0), (2, 2), (0, 2), (1, 0)]);
        data.raw_weights = vec![1.0, 9.0, 5.0, 2.0];
        let graph = |data: &Dataset, edges: Edges, weights: Weights| {
            let choice = DataChoice { edges, weights, ..Default::default() };
            used(data.clone(), &choice, None).map(|data| (data.edges, data.edge_weights))
        };
        let directed = (vec![(0, 2), (1, 0)], vec![5.0, 3.0]);
        assert_eq!(graph(&data, Edges::Directed, Weights::Use), Ok(directed.clone()));
        let reversed = (vec![(0, 1), (2, 0)], vec![3.0, 5.0]);
        assert_eq!(graph(&data, Edges::Reversed, Weights::Use), Ok(reversed));
        assert_eq!(graph(&data, Edges::Directed, Weights::Ignore), Ok((directed.0, vec![])));
        assert_eq!(graph(&data, Edges::Undirected, Weights::Ignore), Ok((data.edges.clone(), vec![])));
        data.raw_weights.clear();
        let error = graph(&data, Edges::Directed, Weights::Use).unwrap_err().to_string();
        assert!(error.contains("set data.weights=ignore"), "{error}");
    }

    #[test]
    fn a_split_that_cannot_be_measured_is_refused() {
        let error = |change: &dyn Fn(&mut Dataset), metric: Metric| {
            let mut data = karate();
            change(&mut data);
            let choice = DataChoice { metric, ..Default::default() };
            splits(data, &choice).map_or_else(|e| e.to_string(), |_| String::new())
        };
        let one_class = |data: &mut Dataset| {
            let labels = data.labels.clone();
            data.splits[1].validation.retain(|i| labels[*i as usize] == 0);
        };
        assert!(error(&one_class, Metric::RocAuc).contains("split 1: all nodes of the validation part"));
        assert_eq!(error(&one_class, Metric::Accuracy), "");
        assert!(error(&|d| d.splits[0].test.clear(), Metric::Accuracy).contains("the test part is empty"));
    }
}
