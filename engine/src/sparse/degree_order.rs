//! The nodes of a graph sorted by degree among their neighbours in memory.
//!
//! Sums over the entries of a node then have nearly the same length for one node after the other, so that the
//! processor predicts the end of each, and columns are still read nearly in their order.

use super::pattern::{CompressedAxis, Pattern};

/// Nodes of a group that is sorted by degree: few enough for their columns to be close in memory.
const NEAR: u32 = 64;

/// A permutation of the columns of a matrix.
#[derive(Debug)]
pub(crate) struct Permutation(Vec<u32>);

impl Permutation {
    /// The numbers below `count` in the order of `key`.
    fn sorted_by<K: Ord>(count: usize, key: impl FnMut(&u32) -> K) -> Self {
        let mut nodes: Vec<u32> = (0..count as u32).collect();
        nodes.sort_by_key(key);
        Self(nodes)
    }

    /// The column at each position.
    pub(crate) fn columns(&self) -> &[u32] {
        &self.0
    }
}

/// A square pattern with its nodes permuted.
#[derive(Debug)]
pub(crate) struct DegreeOrder {
    /// The node at each position.
    pub(crate) nodes: Permutation,
    /// Entries of each row, rows and columns named by position.
    pub(crate) by_row: CompressedAxis,
    /// Entries of each column.
    pub(crate) by_col: CompressedAxis,
    /// Where each entry of the graph is in `by_col`.
    pub(crate) places: Vec<u32>,
}

impl DegreeOrder {
    /// Sorts the nodes of a square pattern.
    pub(crate) fn new(pattern: &Pattern) -> Self {
        let count = pattern.shape().rows;
        let nodes = Permutation::sorted_by(count, |i| (i / NEAR, pattern.row(*i as usize).len()));
        let mut positions = vec![0; count];
        nodes.columns().iter().zip(0..).for_each(|(i, position)| positions[*i as usize] = position);
        let by_row = pattern.by_row.renamed(nodes.columns(), &positions);
        let by_col = pattern.by_col.renamed(nodes.columns(), &positions);
        let mut places = vec![0; pattern.len()];
        by_col.numbers().iter().zip(0..).for_each(|(number, place)| places[*number as usize] = place);
        Self { nodes, by_row, by_col, places }
    }
}
