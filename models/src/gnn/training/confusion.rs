//! Which classes are taken for which, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers of nodes by their class and the class that is predicted; classes that do not occur take no place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Confusion {
    counts: BTreeMap<(u32, u32), u64>,
}

impl Confusion {
    /// Counts nodes, each with its class and the class that is predicted.
    pub fn of(nodes: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut counts = BTreeMap::new();
        nodes.into_iter().for_each(|pair| *counts.entry(pair).or_insert(0) += 1);
        Self { counts }
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        other.counts.iter().for_each(|(pair, count)| *self.counts.entry(*pair).or_insert(0) += count);
    }

    /// The classes that occur or are predicted, in order.
    pub fn classes(&self) -> Vec<u32> {
        let all: BTreeSet<u32> =
            self.counts.keys().flat_map(|(class, predicted)| [*class, *predicted]).collect();
        all.into_iter().collect()
    }

    /// Nodes of `class` for which `predicted` is predicted.
    pub fn count(&self, class: u32, predicted: u32) -> u64 {
        self.counts.get(&(class, predicted)).copied().unwrap_or(0)
    }

    /// The mean over classes of F1 = 2 right / (nodes of the class + nodes for which it is predicted); a class that
    /// neither occurs nor is predicted has none. 0 without nodes.
    pub fn macro_f1(&self) -> f64 {
        let mut own: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
        for ((class, predicted), count) in &self.counts {
            own.entry(*class).or_default()[1] += count;
            own.entry(*predicted).or_default()[1] += count;
            if class == predicted {
                own.entry(*class).or_default()[0] += count;
            }
        }
        let f1 = own.values().map(|[right, all]| 2.0 * *right as f64 / *all as f64);
        f1.sum::<f64>() / own.len().max(1) as f64
    }
}

/// The share of `nodes` that the largest class has among them: what is right if always that one is predicted.
pub fn majority(labels: &[u32], nodes: &[u32]) -> f64 {
    let mut counts = BTreeMap::new();
    nodes.iter().for_each(|i| *counts.entry(labels[*i as usize]).or_insert(0_usize) += 1);
    counts.into_values().max().unwrap_or(0) as f64 / nodes.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_worked_out_by_hand() {
        // Of class 0 two are right and one is taken for 1; of class 1 one is right; 7 is predicted for a node of 1.
        let seen = Confusion::of([(0, 0), (0, 0), (0, 1), (1, 1), (1, 7)]);
        assert_eq!(seen.classes(), [0, 1, 7]);
        assert_eq!((seen.count(0, 0), seen.count(0, 1), seen.count(1, 0)), (2, 1, 0));
        // 4 / (3 + 2), 2 / (2 + 2), 0.
        assert!((seen.macro_f1() - (0.8 + 0.5 + 0.0) / 3.0).abs() < 1e-15);
        let mut twice = seen.clone();
        twice.add(&seen);
        assert_eq!((twice.count(0, 0), twice.macro_f1()), (4, seen.macro_f1()));
        assert_eq!(Confusion::of([(3, 3)]).macro_f1(), 1.0);
        assert_eq!(Confusion::default().macro_f1(), 0.0);
    }

    #[test]
    fn the_largest_class_has_its_share() {
        let labels = [0, 1, 1, 2, 1];
        assert_eq!(majority(&labels, &[0, 1, 2, 3]), 0.5);
        assert_eq!(majority(&labels, &[0, 3]), 0.5);
        assert_eq!(majority(&labels, &[]), 0.0);
    }
}
