//! How good scores of classes are on some nodes: cross-entropy, accuracy, area under the ROC curve.

use std::borrow::Cow;
use std::ops::Range;

use engine::parallel::Tasks;
use engine::{Real, parallel};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::gnn::Split;

/// The figure that a model is selected and judged by; larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of nodes whose class has the highest score.
    Accuracy,
    /// Area under the ROC curve of class 1 of two.
    RocAuc,
}

impl Metric {
    /// What an axis or a table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::RocAuc => "ROC AUC",
        }
    }

    /// What keeps the figure from being measured on a split, if anything: the ROC curve is one of two classes.
    pub fn problem(self, labels: &[u32], split: &Split) -> Option<String> {
        let alone = |nodes: &[u32]| nodes.iter().all(|i| labels[*i as usize] == labels[nodes[0] as usize]);
        let parts = [("validation", &split.validation), ("test", &split.test)];
        let (part, _) = parts.into_iter().find(|(_, nodes)| self == Self::RocAuc && alone(nodes))?;
        Some(format!("all nodes of the {part} part are of one class, and the ROC curve wants two"))
    }

    /// The figure on `nodes` of `logits` (classes x all nodes).
    ///
    /// # Errors
    /// A score of one of the nodes is not finite: no class is predicted then.
    pub fn of<T: Real>(
        self,
        logits: &[T],
        classes: usize,
        labels: &[u32],
        nodes: &[u32],
    ) -> Result<f64, NotFinite> {
        let own = |i: &u32| logits[*i as usize * classes..][..classes].iter();
        if let Some(node) = nodes.iter().find(|i| own(i).any(|v| !v.f64().is_finite())) {
            return Err(NotFinite(*node));
        }
        Ok(match self {
            Self::Accuracy => accuracy(logits, classes, labels, nodes),
            Self::RocAuc => roc_auc(logits, classes, labels, nodes),
        })
    }
}

/// A node with a score that is not finite.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a score of node {0} is not finite")]
pub struct NotFinite(pub u32);

/// The class with the highest score (the first of equal ones).
pub fn predicted<T: Real>(scores: &[T]) -> u32 {
    let mut best = 0;
    for (k, v) in scores.iter().enumerate() {
        if *v > scores[best] {
            best = k;
        }
    }
    best as u32
}

/// The probability of each class (softmax) from the scores of some nodes, node after node.
pub fn probabilities<T: Real>(logits: &[T], classes: usize) -> Vec<f64> {
    let mut out: Vec<f64> = logits.iter().map(|v| v.f64()).collect();
    for own in out.chunks_exact_mut(classes) {
        let top = own.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        own.iter_mut().for_each(|v| *v = (*v - top).exp());
        let total: f64 = own.iter().sum();
        own.iter_mut().for_each(|v| *v /= total);
    }
    out
}

fn accuracy<T: Real>(logits: &[T], classes: usize, labels: &[u32], nodes: &[u32]) -> f64 {
    let right = |i: &&u32| predicted(&logits[**i as usize * classes..][..classes]) == labels[**i as usize];
    nodes.iter().filter(right).count() as f64 / nodes.len().max(1) as f64
}

/// The probability that a node of class 1 has a higher score of class 1 against 0 than one of class 0:
/// the rank sum of Mann and Whitney, equal scores counted half.
fn roc_auc<T: Real>(logits: &[T], classes: usize, labels: &[u32], nodes: &[u32]) -> f64 {
    let score = |i: &u32| {
        let own = &logits[*i as usize * classes..][..classes];
        ((own[1] - own[0]).f64(), labels[*i as usize] == 1)
    };
    let mut scored: Vec<(f64, bool)> = nodes.iter().map(score).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs, mut positives) = (0.0, 0.0, 0.0);
    for equal in scored.chunk_by(|a, b| a.0 == b.0) {
        let p = equal.iter().filter(|s| s.1).count() as f64;
        let n = equal.len() as f64 - p;
        pairs += p * (below + 0.5 * n);
        below += n;
        positives += p;
    }
    pairs / (below * positives)
}

/// The mean cross-entropy on `nodes`; writes its gradient in the logits to `gradient` (zero elsewhere)
/// unless that is empty.
pub fn cross_entropy<T: Real>(
    logits: &[T],
    classes: usize,
    labels: &[u32],
    nodes: &[u32],
    gradient: &mut [T],
) -> f64 {
    let share = 1.0 / nodes.len().max(1) as f64;
    if gradient.is_empty() {
        let part = |of: Range<usize>| {
            nodes[of].iter().map(|i| loss_of((logits, classes), labels, *i, share, &mut [])).sum()
        };
        return parallel::sum(nodes.len(), NODES, part);
    }
    // A task has the columns of some nodes, and finds those of the list among them.
    let sorted: Cow<[u32]> = if nodes.is_sorted() { nodes.into() } else { sorted(nodes).into() };
    let parts = gradient.par_chunks_mut(NODES * classes.max(1)).tasks(|c, gradient| {
        gradient.fill(T::ZERO);
        let (first, end) = (c * NODES, (c + 1) * NODES);
        let [from, to] = [first, end].map(|at| sorted.partition_point(|i| (*i as usize) < at));
        let loss = |i: &u32| {
            let own = &mut gradient[(*i as usize - first) * classes..][..classes];
            loss_of((logits, classes), labels, *i, share, own)
        };
        sorted[from..to].iter().map(loss).sum::<f64>()
    });
    parts.iter().sum()
}

/// Nodes of a task.
const NODES: usize = 256;

fn sorted(nodes: &[u32]) -> Vec<u32> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes
}

/// The cross-entropy of node i times `share`; writes its gradient in the node's scores unless that is empty.
fn loss_of<T: Real>(
    (logits, classes): (&[T], usize),
    labels: &[u32],
    i: u32,
    share: f64,
    gradient: &mut [T],
) -> f64 {
    let (i, label) = (i as usize, labels[i as usize] as usize);
    let own = &logits[i * classes..(i + 1) * classes];
    let top = own.iter().fold(f64::NEG_INFINITY, |m, v| m.max(v.f64()));
    let total: f64 = own.iter().map(|v| (v.f64() - top).exp()).sum();
    for ((k, v), gradient) in own.iter().enumerate().zip(gradient) {
        *gradient = T::of(share * ((v.f64() - top).exp() / total - f64::from(u8::from(k == label))));
    }
    share * (top + total.ln() - own[label].f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_one_class_is_a_problem() {
        let labels = [0, 1, 0, 0];
        let split = |validation: &[u32], test: &[u32]| Split {
            train: vec![],
            validation: validation.to_vec(),
            test: test.to_vec(),
        };
        let problem = |metric: Metric, split: &Split| metric.problem(&labels, split).unwrap_or_default();
        assert!(problem(Metric::RocAuc, &split(&[2, 3], &[0, 1])).contains("the validation part"));
        assert!(problem(Metric::RocAuc, &split(&[0, 1], &[2])).contains("the test part"));
        assert_eq!(problem(Metric::RocAuc, &split(&[1, 3], &[0, 1])), "");
        assert_eq!(problem(Metric::Accuracy, &split(&[2, 3], &[0])), "");
    }

    #[test]
    fn probabilities_are_shares_of_exponentials() {
        let p = probabilities(&[0.0, 3f64.ln(), 1000.0, 1000.0], 2);
        assert!(p.iter().zip([0.25, 0.75, 0.5, 0.5]).all(|(a, b)| (a - b).abs() < 1e-15), "{p:?}");
    }

    #[test]
    fn scores_that_are_no_numbers_have_no_figure() {
        for metric in [Metric::Accuracy, Metric::RocAuc] {
            for bad in [f64::NAN, f64::INFINITY] {
                let logits = [1.0, 2.0, 0.0, 1.0, bad, 0.0];
                assert_eq!(metric.of(&logits, 2, &[0, 1, 0], &[1, 2]), Err(NotFinite(2)));
                assert!(metric.of(&logits, 2, &[0, 1, 0], &[0, 1]).is_ok());
            }
        }
    }

    #[test]
    fn figures_worked_out_by_hand() {
        let logits = [1.0, 2.0, 3.0, 0.0, 0.5, 0.5];
        let labels = [1, 1, 0];
        assert_eq!(Metric::Accuracy.of(&logits, 2, &labels, &[0, 1, 2]), Ok(2.0 / 3.0));
        // Scores 1, -3, 0 of classes 1, 1, 0: one of two pairs is in order.
        assert_eq!(Metric::RocAuc.of(&logits, 2, &labels, &[0, 1, 2]), Ok(0.5));
        assert_eq!(Metric::RocAuc.of(&[0.0; 6], 2, &labels, &[0, 1, 2]), Ok(0.5));
        let mut gradient = [9.0; 6];
        let loss = cross_entropy(&logits, 2, &labels, &[0, 2], &mut gradient);
        let want = 0.5 * ((1.0 + (-1f64).exp()).ln() + 2f64.ln());
        assert!((loss - want).abs() < 1e-15);
        let p = 1.0 / (1.0 + 1f64.exp());
        let expected = [0.5 * p, -0.5 * p, 0.0, 0.0, -0.25, 0.25];
        assert!(gradient.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
    }
}
