//! What can be wrong with a data set.

use std::collections::HashMap;

use super::statistics::statistics;
use super::{Dataset, Split};

/// A finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Whether the data cannot be used as they are; otherwise a flaw to know.
    pub fatal: bool,
    /// What it is.
    pub what: String,
}

/// Everything that is wrong, or worth knowing, about a data set.
pub fn check(data: &Dataset) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut fatal = |what: String| found.push(Finding { fatal: true, what });
    let n = data.nodes();
    if let Some((u, v)) = data.edges.iter().find(|(u, v)| *u as usize >= n || *v as usize >= n) {
        fatal(format!("edge ({u}, {v}) leads to a node that does not exist; there are {n} nodes"));
    } else {
        fatal_of_order(&data.edges).into_iter().for_each(&mut fatal);
        if let Some((u, _)) = data.edges.iter().find(|(u, v)| u == v) {
            fatal(format!("node {u} has a loop"));
        }
    }
    if let Some((i, c)) = data.labels.iter().enumerate().find(|(_, c)| **c as usize >= data.classes) {
        fatal(format!("node {i} has class {c}; there are {} classes", data.classes));
    }
    if data.features.rows() != n {
        fatal(format!("there are features of {} nodes, labels of {n}", data.features.rows()));
    }
    if let Some((i, j, v)) = data.features.entries().find(|(.., v)| !v.is_finite()) {
        fatal(format!("feature {j} of node {i} is {v}"));
    }
    for (k, split) in data.splits.iter().enumerate() {
        if let Some(what) = split_problem(split, n) {
            fatal(format!("split {k}: {what}"));
        }
    }
    if let Some(what) = data.public.as_ref().and_then(|s| split_problem(s, n)) {
        fatal(format!("public split: {what}"));
    }
    if found.is_empty() {
        found.extend(duplicates(data));
        found.extend(statistics(data).into_iter().map(|what| Finding { fatal: false, what }));
    }
    found
}

/// What is wrong with the order of edges: one direction is missing, one is stored twice, or they are not sorted.
fn fatal_of_order(edges: &[(u32, u32)]) -> Option<String> {
    const REMEDY: &str = "`data import npz` puts that right";
    let mut sorted = edges.to_vec();
    sorted.sort_unstable();
    if let Some((u, v)) = sorted.iter().find(|(u, v)| sorted.binary_search(&(*v, *u)).is_err()) {
        return Some(format!("edge ({u}, {v}) is stored in one direction only; {REMEDY}"));
    }
    if let Some(&[(u, v), ..]) = sorted.windows(2).find(|w| w[0] == w[1]) {
        return Some(format!("edge ({u}, {v}) is stored twice; {REMEDY}"));
    }
    (sorted != edges).then(|| format!("the edges are not sorted; {REMEDY}"))
}

impl Dataset {
    /// What keeps a network from being built on the data, if anything; [`check`] finds more, and takes longer.
    pub fn problem(&self) -> Option<String> {
        let n = self.nodes();
        if n == 0 || self.classes == 0 {
            return Some(format!("the graph has {n} nodes in {} classes", self.classes));
        }
        if self.features.rows() != n {
            return Some(format!("there are features of {} nodes, labels of {n}", self.features.rows()));
        }
        if let Some((u, v)) = self.edges.iter().find(|(u, v)| *u as usize >= n || *v as usize >= n) {
            return Some(format!("edge ({u}, {v}) leads to a node that does not exist; there are {n} nodes"));
        }
        if self.edges.windows(2).any(|w| w[0] >= w[1]) {
            return Some("the edges are not sorted, or some are stored twice".into());
        }
        if ![0, self.edges.len()].contains(&self.edge_weights.len()) {
            return Some(format!(
                "there are {} weights of {} edges",
                self.edge_weights.len(),
                self.edges.len()
            ));
        }
        if let Some(w) = self.edge_weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return Some(format!("an edge has the weight {w}; weights are positive"));
        }
        let class = self.labels.iter().enumerate().find(|(_, c)| **c as usize >= self.classes)?;
        Some(format!("node {} has class {}; there are {} classes", class.0, class.1, self.classes))
    }
}

/// What keeps a network from being trained on a split, if anything.
pub fn untrainable(split: &Split, nodes: usize) -> Option<String> {
    let parts = [("training", &split.train), ("validation", &split.validation), ("test", &split.test)];
    let beyond = |part: &[u32]| part.iter().find(|i| **i as usize >= nodes).copied();
    let found = parts.iter().find_map(|(name, part)| beyond(part).map(|i| (name, i)));
    match found {
        Some((name, i)) => Some(format!("the {name} part holds node {i}; there are {nodes}")),
        None => split.train.is_empty().then(|| "the training part is empty".into()),
    }
}

/// What is wrong with a split: parts that are empty, overlap, or name nodes beyond `nodes`.
pub fn split_problem(split: &Split, nodes: usize) -> Option<String> {
    let parts = [("training", &split.train), ("validation", &split.validation), ("test", &split.test)];
    let mut owner = vec![""; nodes];
    for (name, part) in parts {
        if part.is_empty() {
            return Some(format!("the {name} part is empty"));
        }
        for i in part {
            match owner.get_mut(*i as usize) {
                None => return Some(format!("the {name} part holds node {i}; there are {nodes}")),
                Some(other) if !other.is_empty() => {
                    return Some(format!("node {i} is in the {other} part and in the {name} part"));
                }
                Some(free) => *free = name,
            }
        }
    }
    None
}

/// Nodes with the neighbourhood and label of another: a test node with such a twin in the training part
/// can be answered by heart (Platonov et al. 2023).
fn duplicates(data: &Dataset) -> Option<Finding> {
    let mut neighbours = vec![Vec::new(); data.nodes()];
    data.edges.iter().for_each(|(u, v)| neighbours[*u as usize].push(*v));
    let mut groups: HashMap<(&[u32], u32), Vec<u32>> = HashMap::new();
    for i in (0..data.nodes()).filter(|i| !neighbours[*i].is_empty()) {
        groups.entry((&neighbours[i], data.labels[i])).or_default().push(i as u32);
    }
    let mut twin = vec![u32::MAX; data.nodes()];
    for (k, group) in groups.values().filter(|g| g.len() > 1).enumerate() {
        group.iter().for_each(|i| twin[*i as usize] = k as u32);
    }
    let count = twin.iter().filter(|k| **k != u32::MAX).count();
    let leaked = data.splits.iter().map(|split| {
        let known: std::collections::HashSet<u32> = split.train.iter().map(|i| twin[*i as usize]).collect();
        let has = |i: &&u32| twin[**i as usize] != u32::MAX && known.contains(&twin[**i as usize]);
        split.test.iter().filter(has).count() as f64 / split.test.len().max(1) as f64
    });
    let leaked = leaked.sum::<f64>() / data.splits.len().max(1) as f64;
    (count > 0).then(|| {
        let nodes = data.nodes();
        let mut what = format!("{count} of {nodes} nodes share neighbourhood and class with another");
        if !data.splits.is_empty() {
            what += &format!("; {:.1} % of test nodes have such a twin in training", 100.0 * leaked);
        }
        Finding { fatal: false, what }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::FeatureMatrix;
    use crate::gnn::data::synthetic::{from_edges, karate};

    fn first(data: &Dataset) -> String {
        check(data).first().map_or(String::new(), |f| f.what.clone())
    }

    #[test]
    fn every_flaw_is_named() {
        let good = karate();
        assert!(check(&good).iter().all(|f| !f.fatal));
        let broken = |change: &dyn Fn(&mut Dataset)| {
            let mut data = good.clone();
            change(&mut data);
            first(&data)
        };
        assert!(broken(&|d| d.edges[0].1 = 99).contains("node that does not exist"));
        assert!(broken(&|d| _ = d.edges.remove(0)).contains("one direction only"));
        assert!(broken(&|d| d.edges.swap(0, 1)).contains("not sorted; `data import npz`"));
        assert!(broken(&|d| d.edges.extend([(0, 1), (1, 0)])).contains("edge (0, 1) is stored twice"));
        assert!(broken(&|d| d.labels[3] = 2).contains("node 3 has class 2"));
        assert!(broken(&|d| d.features.row_mut(5)[0] = f32::NAN).contains("feature 5 of node 5"));
        let dense = |d: &mut Dataset| {
            let mut values = vec![1.0; 34 * 2];
            values[2 * 7 + 1] = f32::INFINITY;
            d.features = FeatureMatrix::Dense { shape: (34, 2), values };
        };
        assert!(broken(&dense).contains("feature 1 of node 7"));
        assert!(broken(&|d| d.splits[2].test.clear()).contains("split 2: the test part is empty"));
        assert!(
            broken(&|d| d.splits[0].test = d.splits[0].train.clone())
                .contains("is in the training part and in the test part")
        );
        assert!(broken(&|d| d.splits[0].test.push(77)).contains("holds node 77"));
    }

    #[test]
    fn twins_are_counted() {
        // A star: the leaves 1, 2 of one class are twins, leaf 3 of the other is not.
        let mut data = from_edges("star", 4, &[(0, 1), (0, 2), (0, 3)], vec![0, 0, 0, 1], 2);
        data.splits = vec![Split { train: vec![0, 1], validation: vec![3], test: vec![2] }];
        assert!(first(&data).starts_with("2 of 4 nodes") && first(&data).contains("100.0 %"));
    }
}
