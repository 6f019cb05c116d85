//! Normalised adjacency matrices. A_ij is the weight with which receiver i takes from sender j.

use std::sync::OnceLock;

use engine::Real;
use engine::ops::index::Moves;
use engine::sparse::Sparse;
use serde::{Deserialize, Serialize};
use sprs::CsMatI;

/// How the entries of A are made from the weights w of edges, each 1 unless data say otherwise, and degrees d: a node's
/// sum of weights, its loop of weight 1 counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// D^-1/2 A D^-1/2.
    Symmetric,
    /// D^-1 A: each node takes the mean of its neighbours; rows sum to 1.
    Row,
    /// A D^-1: each node shares itself out; columns sum to 1, so that total mass is conserved.
    Column,
    /// The weights as they are: plain ones.
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
    /// Made on first use: most networks take the structure alone.
    receiver: OnceLock<Moves>,
    sender: OnceLock<Moves>,
}

impl<T: Real> Adjacency<T> {
    /// From directed pairs (receiver i, sender j), sorted and without duplicates; loops are added to every
    /// node if `loops`. A node without neighbours has a row of zeros.
    pub fn new(nodes: usize, edges: &[(u32, u32)], normalisation: Normalisation, loops: bool) -> Self {
        Self::weighted(nodes, (edges, &[]), normalisation, loops)
    }

    /// The same of edges with a positive weight each; without weights each has 1, as loops have.
    pub fn weighted(
        nodes: usize,
        (edges, weights): (&[(u32, u32)], &[f32]),
        normalisation: Normalisation,
        loops: bool,
    ) -> Self {
        let given = weights.iter().copied().chain(std::iter::repeat(1.0));
        let own = (0..if loops { nodes as u32 } else { 0 }).map(|i| ((i, i), 1.0));
        let mut entries: Vec<((u32, u32), f32)> = edges.iter().copied().zip(given).chain(own).collect();
        // Of an edge to itself and the loop the heavier stays.
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        entries.dedup_by_key(|entry| entry.0);
        let mut rows = vec![0_usize; nodes];
        let (mut into, mut out_of) = (vec![0.0_f64; nodes], vec![0.0_f64; nodes]);
        for ((i, j), w) in &entries {
            rows[*i as usize] += 1;
            into[*i as usize] += f64::from(*w);
            out_of[*j as usize] += f64::from(*w);
        }
        let weight = |((i, j), w): &((u32, u32), f32)| {
            let (d_i, d_j, w) = (into[*i as usize], out_of[*j as usize], f64::from(*w));
            T::of(match normalisation {
                Normalisation::Symmetric => w * (d_i.powf(-0.5) * d_j.powf(-0.5)),
                Normalisation::Row => w * d_i.powf(-1.0),
                Normalisation::Column => w * d_j.powf(-1.0),
                Normalisation::Ones => w,
            })
        };
        let weights: Vec<T> = entries.iter().map(weight).collect();
        let mut starts = vec![0; nodes + 1];
        (0..nodes).for_each(|i| starts[i + 1] = starts[i] + rows[i]);
        let mut row_sums = vec![T::ZERO; nodes];
        entries.iter().zip(&weights).for_each(|(((i, _), _), w)| row_sums[*i as usize] += *w);
        let senders: Vec<u32> = entries.iter().map(|((_, j), _)| *j).collect();
        drop(entries);
        let (sparse, weights) = Sparse::new(&CsMatI::new((nodes, nodes), starts, senders, weights));
        let (receiver, sender) = Default::default();
        Self { sparse, weights, row_sums, degrees: rows, receiver, sender }
    }

    /// Edge -> its receiver.
    pub fn receiver(&self) -> &Moves {
        self.receiver.get_or_init(|| moves(self.sparse.pattern().rows().collect(), self.nodes()))
    }

    /// Edge -> its sender.
    pub fn sender(&self) -> &Moves {
        self.sender.get_or_init(|| moves(self.sparse.pattern().columns().to_vec(), self.nodes()))
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.degrees.len()
    }
}

/// Indices into `n` columns, all of them known to be below.
pub(crate) fn moves(indices: Vec<u32>, n: usize) -> Moves {
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

    /// 0 receives from 1 with weight 2 and from 2 with weight 6, 1 from 0 with weight 4; loops of weight 1.
    #[test]
    fn weights_of_edges_enter_degrees_and_entries() {
        let (edges, weights) = ([(0, 1), (0, 2), (1, 0)], [2.0, 6.0, 4.0]);
        let matrix =
            |how: Normalisation| Adjacency::<f64>::weighted(3, (&edges, &weights), how, true).weights;
        let near = |got: &[f64], want: [f64; 6]| {
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-15), "{got:?}, not {want:?}");
        };
        // Row by row: (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2). Sums of rows 9, 5, 1, of columns 5, 3, 7.
        assert_eq!(matrix(Normalisation::Ones), [1.0, 2.0, 6.0, 4.0, 1.0, 1.0]);
        near(&matrix(Normalisation::Row), [1.0 / 9.0, 2.0 / 9.0, 6.0 / 9.0, 0.8, 0.2, 1.0]);
        near(&matrix(Normalisation::Column), [0.2, 2.0 / 3.0, 6.0 / 7.0, 0.8, 1.0 / 3.0, 1.0 / 7.0]);
        let s = |d: f64| d.sqrt().recip();
        near(
            &matrix(Normalisation::Symmetric),
            [s(45.0), 2.0 * s(27.0), 6.0 * s(63.0), 4.0 * s(25.0), s(15.0), s(7.0)],
        );
        // A sum of weights below 1 divides all the same.
        let small = (&[(0, 1), (1, 0)][..], &[0.25, 0.25][..]);
        assert_eq!(Adjacency::<f64>::weighted(2, small, Normalisation::Row, false).weights, [1.0, 1.0]);
    }

    #[test]
    fn weights_of_one_are_no_weights() {
        for how in [Normalisation::Symmetric, Normalisation::Row, Normalisation::Column, Normalisation::Ones]
        {
            for loops in [false, true] {
                let plain = Adjacency::<f32>::new(3, &PATH, how, loops);
                let ones = Adjacency::<f32>::weighted(3, (&PATH, &[1.0; 4]), how, loops);
                assert_eq!((plain.weights, plain.degrees), (ones.weights, ones.degrees));
            }
        }
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
