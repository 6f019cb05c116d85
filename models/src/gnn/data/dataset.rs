//! A graph with features, labels and splits of its nodes.

use std::borrow::Cow;
use std::collections::HashSet;

use super::FeatureMatrix;

/// Which nodes a model learns from, is selected on, and is judged by: sorted node numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// Nodes whose labels enter the loss.
    pub train: Vec<u32>,
    /// Nodes that choose the epoch and the settings.
    pub validation: Vec<u32>,
    /// Nodes that the reported figure is measured on.
    pub test: Vec<u32>,
}

impl Split {
    /// What the parts are called.
    pub const PARTS: [&str; 3] = ["training", "validation", "test"];

    /// The parts.
    pub fn parts(&self) -> [&Vec<u32>; 3] {
        [&self.train, &self.validation, &self.test]
    }

    /// Only nodes of which `keep` is true.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        for part in [&mut self.train, &mut self.validation, &mut self.test] {
            part.retain(|i| keep(*i));
        }
    }
}

/// A node-classification data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Undirected edges in both directions, sorted, without loops and duplicates.
    pub edges: Vec<(u32, u32)>,
    /// The source's own list, where that is directed or has loops or duplicates.
    pub raw_edges: Option<Vec<(u32, u32)>>,
    /// A positive weight of each edge, in the order of `edges`; empty where each is 1.
    pub edge_weights: Vec<f32>,
    /// The same of `raw_edges`.
    pub raw_weights: Vec<f32>,
    /// Features as in the source, without any normalisation: nodes x features.
    pub features: FeatureMatrix,
    /// The class of each node, below `classes`.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
    /// What the source calls each node; empty where it counts them from 0.
    pub node_names: Vec<String>,
    /// What the source calls each class; empty where it counts them from 0.
    pub class_names: Vec<String>,
    /// Nodes without a label in the source (`labels` holds 0 for them).
    pub unlabelled: Vec<u32>,
    /// Published fixed splits.
    pub splits: Vec<Split>,
    /// Planetoid's public split, where there is one.
    pub public: Option<Split>,
}

impl Dataset {
    /// A graph with features and labels, and nothing that a source may add.
    pub fn new(
        name: &str,
        edges: Vec<(u32, u32)>,
        features: FeatureMatrix,
        labels: Vec<u32>,
        classes: usize,
    ) -> Self {
        Self {
            name: name.into(),
            edges,
            raw_edges: None,
            edge_weights: Vec::new(),
            raw_weights: Vec::new(),
            features,
            labels,
            classes,
            node_names: Vec::new(),
            class_names: Vec::new(),
            unlabelled: Vec::new(),
            splits: Vec::new(),
            public: None,
        }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.labels.len()
    }

    /// Takes nodes without label out of every split: they can neither teach nor judge.
    pub fn leave_out_unlabelled(&mut self) {
        let without: HashSet<u32> = self.unlabelled.iter().copied().collect();
        let splits = self.splits.iter_mut().chain(&mut self.public);
        splits.for_each(|split| split.retain(|i| !without.contains(&i)));
    }

    /// Whether each node has a label in the source.
    pub fn labelled(&self) -> Vec<bool> {
        let mut labelled = vec![true; self.nodes()];
        for i in &self.unlabelled {
            if let Some(own) = labelled.get_mut(*i as usize) {
                *own = false;
            }
        }
        labelled
    }

    /// What the source calls a node.
    pub fn node_name(&self, node: usize) -> Cow<'_, str> {
        name(&self.node_names, node)
    }

    /// What the source calls a class.
    pub fn class_name(&self, class: usize) -> Cow<'_, str> {
        name(&self.class_names, class)
    }

    /// Number of neighbours of each node.
    pub fn degrees(&self) -> Vec<usize> {
        let mut degrees = vec![0; self.nodes()];
        self.edges.iter().for_each(|(u, _)| degrees[*u as usize] += 1);
        degrees
    }
}

/// The name at a place of a list, or the place where the list is empty.
fn name(names: &[String], place: usize) -> Cow<'_, str> {
    names.get(place).map_or_else(|| Cow::Owned(place.to_string()), |name| Cow::Borrowed(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::karate;

    #[test]
    fn nodes_without_label_are_told_apart() {
        let mut data = karate();
        // A node that does not exist is left to the check.
        data.unlabelled = vec![7, 3, 99];
        let labelled = data.labelled();
        assert_eq!(labelled.len(), 34);
        assert!((0..34).all(|i| labelled[i] == (i != 3 && i != 7)));
    }

    #[test]
    fn nodes_without_label_leave_every_split() {
        let mut data = karate();
        let (first, last) = (data.splits[0].train[0], data.splits[0].test[0]);
        data.unlabelled = vec![first, last];
        data.public = Some(data.splits[0].clone());
        data.leave_out_unlabelled();
        for split in data.splits.iter().chain(&data.public) {
            let held: usize = split.parts().iter().map(|part| part.len()).sum();
            assert_eq!(held, 32);
            assert!(split.parts().iter().all(|part| !part.contains(&first) && !part.contains(&last)));
        }
    }
}
