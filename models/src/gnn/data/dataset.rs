//! A graph with features, labels and splits of its nodes.

use sprs::CsMat;

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

/// A node-classification data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Undirected edges in both directions, sorted, without loops and duplicates.
    pub edges: Vec<(u32, u32)>,
    /// The source's own list, where that is directed or has loops or duplicates.
    pub raw_edges: Option<Vec<(u32, u32)>>,
    /// Features as in the source, without any normalisation: nodes x features, CSR.
    pub features: CsMat<f32>,
    /// The class of each node, below `classes`.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
    /// Nodes without a label in the source (`labels` holds 0 for them).
    pub unlabelled: Vec<u32>,
    /// Published fixed splits.
    pub splits: Vec<Split>,
    /// Planetoid's public split, where there is one.
    pub public: Option<Split>,
}

impl Dataset {
    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.labels.len()
    }

    /// Number of neighbours of each node.
    pub fn degrees(&self) -> Vec<usize> {
        let mut degrees = vec![0; self.nodes()];
        self.edges.iter().for_each(|(u, _)| degrees[*u as usize] += 1);
        degrees
    }
}
