//! Four measures of how often neighbours share a class, on the loop-free undirected edges.

use super::Dataset;

/// The measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Homophily {
    /// Share of edges within a class.
    pub edge: f64,
    /// Mean over nodes with neighbours of the share of neighbours in the node's class (Pei et al. 2020).
    pub node: f64,
    /// (edge - sum_k D_k^2 / D^2) / (1 - sum_k D_k^2 / D^2), D_k the degrees in class k (Platonov et al. 2023).
    pub adjusted: f64,
    /// 1 / (C - 1) sum_k max(0, share of edges from class k that stay in it - share of k's nodes) (Lim et
    /// al. 2021).
    pub class_insensitive: f64,
}

/// Measures a graph; NaN without edges.
pub fn homophily(data: &Dataset) -> Homophily {
    let (n, classes) = (data.nodes(), data.classes);
    let (mut same, mut degree) = (vec![0_usize; n], vec![0_usize; n]);
    let (mut stay, mut from) = (vec![0_usize; classes], vec![0_usize; classes]);
    for (u, v) in &data.edges {
        let (u, class) = (*u as usize, data.labels[*u as usize] as usize);
        degree[u] += 1;
        from[class] += 1;
        if data.labels[*v as usize] as usize == class {
            same[u] += 1;
            stay[class] += 1;
        }
    }
    let total = data.edges.len() as f64;
    let edge = stay.iter().sum::<usize>() as f64 / total;
    let shares = (0..n).filter(|i| degree[*i] > 0).map(|i| same[i] as f64 / degree[i] as f64);
    let node = shares.sum::<f64>() / degree.iter().filter(|d| **d > 0).count() as f64;
    let chance: f64 = from.iter().map(|d| (*d as f64 / total).powi(2)).sum();
    let mut members = vec![0_usize; classes];
    data.labels.iter().for_each(|c| members[*c as usize] += 1);
    let excess = |k: usize| (stay[k] as f64 / from[k].max(1) as f64 - members[k] as f64 / n as f64).max(0.0);
    let class_insensitive = (0..classes).map(excess).sum::<f64>() / (classes as f64 - 1.0);
    Homophily { edge, node, adjusted: (edge - chance) / (1.0 - chance), class_insensitive }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::{from_edges, karate};

    #[test]
    fn of_a_path_by_hand() {
        // 0 - 1 - 2 - 3 with classes a a b b: edges aa, ab, bb.
        let data = from_edges("path", 4, &[(0, 1), (1, 2), (2, 3)], vec![0, 0, 1, 1], 2);
        let h = homophily(&data);
        assert!((h.edge - 2.0 / 3.0).abs() < 1e-15);
        assert!((h.node - 0.75).abs() < 1e-15);
        assert!((h.adjusted - 1.0 / 3.0).abs() < 1e-15);
        assert!((h.class_insensitive - 2.0 * (2.0 / 3.0 - 0.5)).abs() < 1e-15);
    }

    #[test]
    fn of_the_karate_club() {
        assert!((homophily(&karate()).edge - 0.8590).abs() < 5e-5);
    }
}
