//! Clusters of nodes by their states, and how well they agree with classes.

use std::collections::BTreeMap;

use engine::Real;

use crate::gnn::Dataset;

/// The sum over nodes of the squared distance of the state x (channels x nodes) from its mean.
pub fn spread<T: Real>(x: &[T], nodes: usize) -> f64 {
    let rows = (x.len() / nodes.max(1)).max(1);
    let mut mean = vec![0.0; rows];
    x.chunks(rows).for_each(|c| mean.iter_mut().zip(c).for_each(|(m, v)| *m += v.f64() / nodes as f64));
    x.chunks(rows).map(|c| c.iter().zip(&mean).map(|(v, m)| (v.f64() - m).powi(2)).sum::<f64>()).sum()
}

/// The cluster of each node, and their number: connected groups of nodes that are joined by edges shorter than a tenth
/// of the root mean square distance of the states from their mean.
pub fn clusters<T: Real>(data: &Dataset, x: &[T]) -> (Vec<usize>, usize) {
    let n = data.nodes();
    let rows = x.len() / n.max(1);
    let near = 0.01 * spread(x, n) / n as f64;
    let column = |i: u32| &x[i as usize * rows..(i as usize + 1) * rows];
    let close = |(u, v): &&(u32, u32)| {
        column(*u).iter().zip(column(*v)).map(|(p, q)| (p.f64() - q.f64()).powi(2)).sum::<f64>() <= near
    };
    let edges = data.edges.iter().filter(close).copied().collect();
    let joined = Dataset { edges, ..crate::gnn::data::synthetic::from_edges("", n, &[], vec![0; n], 1) };
    joined.components()
}

/// How well two partitions of the same things agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Mutual information over the mean of both entropies; 1 for two partitions of one part.
    pub nmi: f64,
    /// The adjusted Rand index (Hubert and Arabie 1985): 0 by chance, 1 for equal partitions.
    pub ari: f64,
}

/// Compares the partitions of pairs (part of the one, part of the other).
pub fn agreement(pairs: impl IntoIterator<Item = (usize, usize)>) -> Agreement {
    let (mut both, mut left, mut right) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut total = 0.0_f64;
    for (a, b) in pairs {
        *both.entry((a, b)).or_insert(0.0_f64) += 1.0;
        *left.entry(a).or_insert(0.0_f64) += 1.0;
        *right.entry(b).or_insert(0.0_f64) += 1.0;
        total += 1.0;
    }
    let entropy = |counts: &BTreeMap<usize, f64>| -> f64 {
        counts.values().map(|c| -c / total * (c / total).ln()).sum()
    };
    let information: f64 =
        both.iter().map(|((a, b), c)| c / total * (c * total / (left[a] * right[b])).ln()).sum();
    let mean = 0.5 * (entropy(&left) + entropy(&right));
    let pairs_in = |c: &f64| 0.5 * c * (c - 1.0);
    let together: f64 = both.values().map(pairs_in).sum();
    let (own, other): (f64, f64) = (left.values().map(pairs_in).sum(), right.values().map(pairs_in).sum());
    let chance = own * other / pairs_in(&total);
    let most = 0.5 * (own + other);
    Agreement {
        nmi: if mean > 0.0 { information / mean } else { 1.0 },
        // Both of one part, or both of single things.
        ari: if most > chance { (together - chance) / (most - chance) } else { 1.0 },
    }
}

/// The agreement of groups of nodes with the classes, over nodes with a label.
pub fn against_classes(data: &Dataset, groups: &[usize]) -> Agreement {
    let labelled = data.labelled();
    let known = (0..data.nodes()).filter(|i| labelled[*i]);
    agreement(known.map(|i| (groups[i], data.labels[i] as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::from_edges;

    #[test]
    fn a_path_with_a_gap_has_two_clusters() {
        let data = from_edges("path", 4, &[(0, 1), (1, 2), (2, 3)], vec![0; 4], 1);
        assert_eq!(clusters(&data, &[0.0, 0.01, 1.0, 1.01]), (vec![0, 0, 1, 1], 2));
        assert_eq!(spread(&[1.0, 3.0, 1.0, 3.0], 4), 4.0);
    }

    #[test]
    fn agreement_worked_out_by_hand() {
        let of = |a: &[usize], b: &[usize]| agreement(a.iter().copied().zip(b.iter().copied()));
        assert_eq!(of(&[0, 0, 1, 1], &[5, 5, 2, 2]), Agreement { nmi: 1.0, ari: 1.0 });
        // Independent halves: no information; one pair of each four is together by chance, and none is.
        let none = of(&[0, 0, 1, 1], &[0, 1, 0, 1]);
        assert!(none.nmi.abs() < 1e-15 && (none.ari + 0.5).abs() < 1e-15, "{none:?}");
        // A part cut in two: the information is the coarse entropy, log 2; the fine one is 3/2 log 2.
        let cut = of(&[0, 0, 1, 1], &[0, 0, 1, 2]);
        assert!((cut.nmi - 2f64.ln() / (0.5 * (2f64.ln() + 1.5 * 2f64.ln()))).abs() < 1e-15);
        // Pairs together 1, in each 2 and 1 of 6: (1 - 1/3) / (3/2 - 1/3).
        assert!((cut.ari - 4.0 / 7.0).abs() < 1e-15);
        assert_eq!(of(&[0, 0], &[1, 1]), Agreement { nmi: 1.0, ari: 1.0 });
    }
}
