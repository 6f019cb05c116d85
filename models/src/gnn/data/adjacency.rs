//! Normalised adjacency matrices. A_ij is the weight with which receiver i takes from sender j.

use engine::Real;
use engine::ops::index::Moves;
use engine::sparse::Sparse;
use serde::{Deserialize, Serialize};
use sprs::CsMat;

/// How weights are made from degrees d (loops counted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// D^-1/2 A D^-1/2.
    Symmetric,
    /// D^-1 A: each node takes the mean of its neighbours; rows sum to 1.
    Row,
    /// A D^-1: each node shares itself out; columns sum to 1, so that total mass is conserved.
    Column,
    /// Plain ones.
    Ones,
}

/// A normalised adjacency matrix, ready for the ops on its edges.
#[derive(Clone)]
pub struct Adjacency<T> {
    /// Its structure.
    pub sparse: Sparse,
    /// Its values (1 x nnz).
    pub weights: Vec<T>,
    /// The sum of each row (1 x nodes).
    pub row_sums: Vec<T>,
    /// Number of entries in each row.
    pub degrees: Vec<usize>,
    /// Edge -> its receiver.
    pub receiver: Moves,
    /// Edge -> its sender.
    pub sender: Moves,
}

impl<T: Real> Adjacency<T> {
    /// From directed pairs (receiver i, sender j), sorted and without duplicates; loops are added to every
    /// node if `loops`. A node without neighbours has a row of zeros.
    pub fn new(nodes: usize, edges: &[(u32, u32)], normalisation: Normalisation, loops: bool) -> Self {
        let own = (0..if loops { nodes as u32 } else { 0 }).map(|i| (i, i));
        let mut pairs: Vec<(u32, u32)> = edges.iter().copied().chain(own).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let (mut rows, mut columns) = (vec![0_usize; nodes], vec![0_usize; nodes]);
        for (i, j) in &pairs {
            rows[*i as usize] += 1;
            columns[*j as usize] += 1;
        }
        let power = |d: usize, p: f64| (d.max(1) as f64).powf(p);
        let weight = |(i, j): &(u32, u32)| {
            let (d_i, d_j) = (rows[*i as usize], columns[*j as usize]);
            T::of(match normalisation {
                Normalisation::Symmetric => power(d_i, -0.5) * power(d_j, -0.5),
                Normalisation::Row => power(d_i, -1.0),
                Normalisation::Column => power(d_j, -1.0),
                Normalisation::Ones => 1.0,
            })
        };
        let weights: Vec<T> = pairs.iter().map(weight).collect();
        let mut starts = vec![0; nodes + 1];
        (0..nodes).for_each(|i| starts[i + 1] = starts[i] + rows[i]);
        let mut row_sums = vec![T::ZERO; nodes];
        pairs.iter().zip(&weights).for_each(|((i, _), w)| row_sums[*i as usize] += *w);
        let sender: Vec<usize> = pairs.iter().map(|(_, j)| *j as usize).collect();
        let receiver: Vec<usize> = pairs.iter().map(|(i, _)| *i as usize).collect();
        let matrix = CsMat::new((nodes, nodes), starts, sender.clone(), weights);
        let (sparse, weights) = Sparse::new(&matrix);
        Self {
            sparse,
            weights,
            row_sums,
            degrees: rows,
            receiver: moves(receiver, nodes),
            sender: moves(sender, nodes),
        }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.degrees.len()
    }
}

/// Indices into `n` columns, all of them known to be below.
pub(crate) fn moves(indices: Vec<usize>, n: usize) -> Moves {
    match Moves::new(indices, n) {
        Ok(moves) => moves,
        Err(e) => panic!("an edge of the graph: {e}"),
    }
}

/// As many pairs at a distance of two as there can be: those of neighbours of each node, and no more than all.
pub fn most_two_hops(nodes: usize, edges: &[(u32, u32)]) -> u128 {
    let mut degrees = vec![0_u128; nodes];
    edges.iter().for_each(|(i, _)| degrees[*i as usize] += 1);
    let (nodes, paths) = (nodes as u128, edges.iter().map(|(_, j)| degrees[*j as usize].saturating_sub(1)));
    paths.sum::<u128>().min(nodes * nodes.saturating_sub(1))
}

/// Pairs at a distance of exactly two.
pub fn two_hops(nodes: usize, edges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut starts = vec![0; nodes + 1];
    edges.iter().for_each(|(i, _)| starts[*i as usize + 1] += 1);
    (0..nodes).for_each(|i| starts[i + 1] += starts[i]);
    let of = |i: u32| &edges[starts[i as usize]..starts[i as usize + 1]];
    let mut out = Vec::new();
    // The last node that saw each node: itself, its neighbours, or a pair already listed.
    let mut seen = vec![u32::MAX; nodes];
    for i in 0..nodes as u32 {
        seen[i as usize] = i;
        of(i).iter().for_each(|(_, j)| seen[*j as usize] = i);
        let first = out.len();
        for (_, j) in of(i) {
            for (_, k) in of(*j) {
                if seen[*k as usize] != i {
                    seen[*k as usize] = i;
                    out.push((i, *k));
                }
            }
        }
        out[first..].sort_unstable();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path 0 - 1 - 2.
    const PATH: [(u32, u32); 4] = [(0, 1), (1, 0), (1, 2), (2, 1)];

    #[test]
    fn weights_of_a_path() {
        let row = Adjacency::<f64>::new(3, &PATH, Normalisation::Row, false);
        assert_eq!(row.weights, [1.0, 0.5, 0.5, 1.0]);
        let column = Adjacency::<f64>::new(3, &PATH, Normalisation::Column, false);
        assert_eq!(column.weights, [0.5, 1.0, 1.0, 0.5]);
        let s = 0.5_f64.sqrt();
        let symmetric = Adjacency::<f64>::new(3, &PATH, Normalisation::Symmetric, false);
        assert!(symmetric.weights.iter().all(|w| (w - s).abs() < 1e-15));
        let loops = Adjacency::<f64>::new(3, &PATH, Normalisation::Row, true);
        assert_eq!(loops.degrees, [2, 3, 2]);
        assert!(loops.row_sums.iter().all(|s| (s - 1.0).abs() < 1e-15));
    }

    #[test]
    fn two_hops_of_a_path_and_a_triangle() {
        assert_eq!(two_hops(3, &PATH), [(0, 2), (2, 0)]);
        assert_eq!(two_hops(3, &[(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]), []);
    }

    #[test]
    fn there_are_no_more_two_hops_than_are_counted_on() {
        assert_eq!(most_two_hops(3, &PATH), 2);
        let star: Vec<(u32, u32)> = (1..2000).flat_map(|i| [(0, i), (i, 0)]).collect();
        assert_eq!(most_two_hops(2000, &star), 1999 * 1998);
        let mut sorted = star;
        sorted.sort_unstable();
        assert_eq!(two_hops(2000, &sorted).len(), 1999 * 1998);
    }
}
