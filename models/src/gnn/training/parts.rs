//! Training in parts, as in Cluster-GCN (Chiang et al. 2019): a step is on the subgraph of some parts of a partition,
//! normalised by its own degrees. In every epoch each part is in one step; which are together is drawn anew.

use engine::rng::Stream;

use super::Training;
use crate::gnn::data::partition::{Neighbours, partition};
use crate::gnn::{Dataset, Split};

/// A graph whose nodes are divided.
pub(super) struct Parts<'a> {
    data: &'a Dataset,
    graph: Neighbours<'a>,
    parts: Vec<Vec<u32>>,
    per_step: usize,
    /// Whether each node is one to learn from.
    taught: Vec<bool>,
    /// The place of each node in the subgraph that is made; beyond all where it is in none.
    places: Vec<u32>,
}

/// What one step is on.
pub(super) struct Piece {
    /// The subgraph.
    pub data: Dataset,
    /// Its nodes to learn from.
    pub train: Vec<u32>,
}

impl<'a> Parts<'a> {
    /// Divides the nodes; none where every step is on the whole graph.
    ///
    /// # Errors
    /// There are fewer nodes than parts.
    pub fn new(data: &'a Dataset, split: &Split, training: &Training) -> Result<Option<Self>, String> {
        if training.parts == 1 {
            return Ok(None);
        }
        if training.parts > data.nodes() {
            return Err(format!(
                "train.parts = {} is more than the {} nodes of {}; lower it",
                training.parts,
                data.nodes(),
                data.name
            ));
        }
        let graph = Neighbours::new(data.nodes(), &data.edges);
        let parts = partition(&graph, training.parts);
        let mut taught = vec![false; data.nodes()];
        split.train.iter().for_each(|i| taught[*i as usize] = true);
        let places = vec![u32::MAX; data.nodes()];
        Ok(Some(Self { data, graph, parts, per_step: training.parts_per_step, taught, places }))
    }

    /// The nodes of each step of an epoch, sorted.
    pub fn steps(&self, seed: u64, epoch: usize) -> Vec<Vec<u32>> {
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        let mut stream = Stream::new(seed, "parts", epoch as u64, 0);
        (1..order.len()).for_each(|k| order.swap(k, stream.index(k + 1)));
        let nodes = |group: &[usize]| {
            let mut nodes: Vec<u32> = group.iter().flat_map(|k| &self.parts[*k]).copied().collect();
            nodes.sort_unstable();
            nodes
        };
        order.chunks(self.per_step).map(nodes).collect()
    }

    /// The subgraph of some nodes; none if there is nothing to learn from.
    pub fn piece(&mut self, nodes: &[u32]) -> Option<Piece> {
        let train: Vec<u32> =
            (0..).zip(nodes).filter(|(_, i)| self.taught[**i as usize]).map(|(k, _)| k).collect();
        if train.is_empty() {
            return None;
        }
        (0..).zip(nodes).for_each(|(k, i)| self.places[*i as usize] = k);
        let (mut edges, mut edge_weights) = (Vec::new(), Vec::new());
        for (k, i) in (0..).zip(nodes) {
            for e in self.graph.places(*i) {
                let place = self.places[self.data.edges[e].1 as usize];
                if place != u32::MAX {
                    edges.push((k, place));
                    edge_weights.extend(self.data.edge_weights.get(e));
                }
            }
        }
        nodes.iter().for_each(|i| self.places[*i as usize] = u32::MAX);
        let labels = nodes.iter().map(|i| self.data.labels[*i as usize]).collect();
        let features = self.data.features.select(nodes);
        let plain = Dataset::new(&self.data.name, edges, features, labels, self.data.classes);
        Some(Piece { data: Dataset { edge_weights, ..plain }, train })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::Network;
    use crate::gnn::data::synthetic::{BlockModel, karate};
    use crate::gnn::training::classification::Metric;
    use crate::gnn::training::train::{Outcome, fit};

    fn trained(data: &Dataset, name: &str, training: &Training) -> Outcome {
        let network = Network::named(name).unwrap();
        fit(data, &data.splits[0], (&network, training), Metric::Accuracy, 5, &|| false).unwrap()
    }

    #[test]
    fn all_parts_in_one_step_are_the_whole_graph() {
        let data = karate();
        for name in ["gcn", "grade", "tuned-sage"] {
            let of = |parts| {
                let training = Training { epochs: 5, parts, parts_per_step: parts, ..Training::default() };
                let outcome = trained(&data, name, &training);
                let figures = outcome.epochs.iter().map(|e| (e.validation_loss, e.test)).collect::<Vec<_>>();
                (figures, outcome.params.values().to_vec())
            };
            assert_eq!(of(4), of(1), "{name}");
            assert_ne!(
                of(4).1,
                trained(&data, name, &Training { epochs: 5, parts: 4, ..Training::default() })
                    .params
                    .values()
            );
        }
    }

    #[test]
    fn a_block_model_is_learned_in_parts() {
        let data =
            BlockModel { nodes: 600, classes: 3, degree: 8.0, homophily: 0.8, features: 8, signal: 1.0 };
        let data = data.draw(1);
        for name in ["tuned-gcn", "grade"] {
            let test = |parts, parts_per_step| {
                let training = Training { epochs: 30, parts, parts_per_step, ..Training::default() };
                trained(&data, name, &training).figures().test
            };
            let (whole, in_parts) = (test(1, 1), test(8, 2));
            assert!(
                in_parts > 0.6 && in_parts > whole - 0.1,
                "{name}: {in_parts}, {whole} on the whole graph"
            );
        }
    }

    #[test]
    fn an_epoch_sees_every_node_once_and_a_piece_is_a_subgraph() {
        let mut data = karate();
        data.edge_weights = data.edges.iter().map(|(u, v)| (u + v) as f32).collect();
        let training = Training { parts: 6, parts_per_step: 4, ..Training::default() };
        let mut parts = Parts::new(&data, &data.splits[0], &training).unwrap().unwrap();
        let steps = parts.steps(0, 0);
        assert_eq!(steps.len(), 2);
        let mut all = steps.concat();
        all.sort_unstable();
        assert_eq!(all, (0..34).collect::<Vec<u32>>());
        assert!((1..9).any(|epoch| parts.steps(0, epoch) != steps));
        for nodes in steps {
            // As the graph is restricted elsewhere.
            let want = data.restrict(&nodes);
            let piece = parts.piece(&nodes).unwrap();
            assert_eq!((&piece.data.edges, &piece.data.edge_weights), (&want.edges, &want.edge_weights));
            assert_eq!((&piece.data.labels, &piece.data.features), (&want.labels, &want.features));
            assert_eq!(piece.train, want.splits[0].train);
        }
        let untaught: Vec<u32> = data.splits[0].test.clone();
        assert!(parts.piece(&untaught).is_none());
    }

    #[test]
    fn more_parts_than_nodes_are_refused() {
        let data = karate();
        let of = |parts| Parts::new(&data, &data.splits[0], &Training { parts, ..Training::default() });
        assert!(of(1).unwrap().is_none());
        assert!(of(35).err().unwrap().contains("train.parts = 35 is more than the 34 nodes of karate"));
    }
}
