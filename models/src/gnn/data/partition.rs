//! A partition of the nodes into parts of nearly equal size with few edges between them.
//!
//! Parts grow from a first node by breadth, one after the other, each beginning at a neighbour of those before it. Then
//! sweeps over the nodes move each to the part that most of its neighbours are in, if sizes allow it (label
//! propagation with bounds, as in Ugander and Backstrom 2013). Everything is in whole numbers, in the order of the
//! nodes: a graph has one partition.

use std::collections::VecDeque;
use std::ops::Range;

/// Sweeps over the nodes at most.
const SWEEPS: usize = 20;
/// A part may be larger or smaller than the mean by one node in so many.
const SLACK: usize = 10;

/// No part.
const NONE: u32 = u32::MAX;

/// The neighbours of each node in a list of edges that is sorted by the first end.
pub struct Neighbours<'a> {
    edges: &'a [(u32, u32)],
    starts: Vec<usize>,
}

impl<'a> Neighbours<'a> {
    /// Of so many nodes.
    pub fn new(nodes: usize, edges: &'a [(u32, u32)]) -> Self {
        let mut starts = vec![0; nodes + 1];
        edges.iter().for_each(|(i, _)| starts[*i as usize + 1] += 1);
        (0..nodes).for_each(|i| starts[i + 1] += starts[i]);
        Self { edges, starts }
    }

    /// The places of a node's edges in the list.
    pub fn places(&self, node: u32) -> Range<usize> {
        self.starts[node as usize]..self.starts[node as usize + 1]
    }

    /// A node's edges.
    pub fn of(&self, node: u32) -> &'a [(u32, u32)] {
        &self.edges[self.places(node)]
    }

    fn nodes(&self) -> usize {
        self.starts.len() - 1
    }
}

/// The nodes of each of `parts` parts, in order. Each part has a node at least if there are as many nodes.
pub fn partition(graph: &Neighbours, parts: usize) -> Vec<Vec<u32>> {
    let mut part = grown(graph, parts);
    refine(graph, parts, &mut part);
    let mut lists = vec![Vec::new(); parts];
    (0..).zip(&part).for_each(|(node, part): (u32, _)| lists[*part as usize].push(node));
    lists
}

/// The part of each node: parts whose sizes differ by one at most.
fn grown(graph: &Neighbours, parts: usize) -> Vec<u32> {
    let n = graph.nodes();
    let mut part = vec![NONE; n];
    // Nodes beside those taken, and the first node that may be free.
    let (mut beside, mut first) = (VecDeque::new(), 0);
    for k in 0..parts {
        let size = n / parts + usize::from(k < n % parts);
        // The part grows from one node that the last part left beside it.
        let mut own: VecDeque<u32> = VecDeque::new();
        for _ in 0..size {
            let free = |node: &u32| part[*node as usize] == NONE;
            let next = std::iter::from_fn(|| own.pop_front())
                .find(free)
                .or_else(|| std::iter::from_fn(|| beside.pop_front()).find(free))
                .or_else(|| {
                    first += part[first..].iter().position(|part| *part == NONE)?;
                    Some(first as u32)
                });
            let Some(node) = next else { break };
            part[node as usize] = k as u32;
            own.extend(graph.of(node).iter().map(|(_, j)| *j).filter(|j| part[*j as usize] == NONE));
        }
        beside.extend(own);
    }
    part
}

/// Moves nodes to the parts that most of their neighbours are in.
fn refine(graph: &Neighbours, parts: usize, part: &mut [u32]) {
    let n = graph.nodes();
    let slack = n / parts / SLACK;
    let (least, most) = ((n / parts - slack).max(1), n.div_ceil(parts) + slack);
    let mut sizes = vec![0; parts];
    part.iter().for_each(|k| sizes[*k as usize] += 1);
    let mut links = vec![0_u32; parts];
    for _ in 0..SWEEPS {
        let mut moved = 0;
        for node in 0..n as u32 {
            let own = part[node as usize];
            let neighbours = || graph.of(node).iter().map(|(_, j)| *j).filter(|j| *j != node);
            neighbours().for_each(|j| links[part[j as usize] as usize] += 1);
            if sizes[own as usize] > least {
                let fits = |k: &u32| *k == own || sizes[*k as usize] < most;
                // Of equal ones its own, then the first: nothing depends on the order of neighbours.
                let key = |k: &u32| (links[*k as usize], *k == own, std::cmp::Reverse(*k));
                let best = neighbours().map(|j| part[j as usize]).chain([own]).filter(fits).max_by_key(key);
                if let Some(best) = best.filter(|best| *best != own) {
                    (sizes[own as usize], sizes[best as usize]) =
                        (sizes[own as usize] - 1, sizes[best as usize] + 1);
                    part[node as usize] = best;
                    moved += 1;
                }
            }
            links[own as usize] = 0;
            neighbours().for_each(|j| links[part[j as usize] as usize] = 0);
        }
        if moved * 1000 <= n {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{BlockModel, both_ways, grid, karate};
    use super::super::{Dataset, FeatureMatrix};
    use super::*;

    fn divided(data: &Dataset, parts: usize) -> Vec<Vec<u32>> {
        partition(&Neighbours::new(data.nodes(), &data.edges), parts)
    }

    /// The share of edges between parts.
    fn cut(data: &Dataset, parts: &[Vec<u32>]) -> f64 {
        let mut part = vec![0; data.nodes()];
        (0..parts.len()).for_each(|k| parts[k].iter().for_each(|i| part[*i as usize] = k));
        let between = data.edges.iter().filter(|(u, v)| part[*u as usize] != part[*v as usize]);
        between.count() as f64 / data.edges.len() as f64
    }

    #[test]
    fn every_node_is_in_one_part_and_sizes_are_balanced() {
        let model =
            BlockModel { nodes: 1003, classes: 5, degree: 8.0, homophily: 0.9, features: 2, signal: 1.0 };
        for (data, counts) in [(model.draw(3), [1, 2, 7, 100]), (karate(), [1, 2, 5, 34])] {
            for count in counts {
                let parts = divided(&data, count);
                let mut all: Vec<u32> = parts.concat();
                all.sort_unstable();
                assert_eq!(all, (0..data.nodes() as u32).collect::<Vec<_>>());
                let mean = data.nodes() / count;
                let sizes = parts.iter().map(Vec::len);
                assert!(sizes.clone().all(|s| s >= 1 && s + mean / 10 >= mean && s <= mean + mean / 10 + 1));
                assert!(parts.iter().all(|part| part.is_sorted()));
                assert_eq!(divided(&data, count), parts);
            }
        }
    }

    #[test]
    fn parts_are_where_edges_are() {
        // Six cliques in a row: none is divided.
        let clique = |k: u32| (0..10).flat_map(move |i| (0..i).map(move |j| (10 * k + i, 10 * k + j)));
        let edges: Vec<(u32, u32)> =
            (0..6).flat_map(clique).chain((0..5).map(|k| (10 * k, 10 * k + 10))).collect();
        let edges = both_ways(&edges);
        let parts = partition(&Neighbours::new(60, &edges), 6);
        let data = Dataset::new("cliques", edges, FeatureMatrix::zero(60, 1), vec![0; 60], 1);
        assert!(cut(&data, &parts) < 0.03, "{}", cut(&data, &parts));
        // Eight random parts would cut seven edges in eight, squares of seven by seven one in seven.
        let grid = grid(20);
        assert!(cut(&grid, &divided(&grid, 8)) < 0.25, "{}", cut(&grid, &divided(&grid, 8)));
    }

    #[test]
    fn a_graph_without_edges_is_divided_too() {
        let parts = partition(&Neighbours::new(5, &[]), 3);
        assert_eq!(parts, [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
