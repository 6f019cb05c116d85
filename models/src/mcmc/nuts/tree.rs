//! One trajectory of the No-U-Turn Sampler, leaf by leaf, so that many walkers can have their energies evaluated
//! together.
//!
//! A trajectory grows by doubling, forwards or backwards in time as a coin decides, until its ends, or the ends of one
//! of the subtrees of a binary tree over its points, begin to come closer (Hoffman and Gelman 2014, equation 9). Points
//! are drawn in proportion to exp(-H): uniformly within what a doubling adds, and in favour of what it adds between old
//! and new (Betancourt 2017, "A conceptual introduction to Hamiltonian Monte Carlo", appendix A.3). The tree is not
//! recursive: of the points of a doubling only those are kept at which a subtree begins that is not complete, one for
//! each binary digit of the number of points (Phan, Pradhan and Jankowiak 2019, "Composable effects").

use engine::rng::Stream;

use crate::target::Geometry;

/// A trajectory whose H has risen by more is diverging, as in Stan.
const HIGHEST_RISE: f64 = 1000.0;

/// Position, momentum and score; positions in units of the scales.
#[derive(Clone)]
struct Point {
    x: Vec<f64>,
    momentum: Vec<f64>,
    score: Vec<f64>,
}

/// How a trajectory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its ends come closer.
    Turned,
    /// At the largest depth.
    Long,
    /// At a wall: a state of density 0.
    Outside,
    /// H rose without bound.
    Diverged,
}

/// A growing trajectory.
pub(super) struct Tree<'a> {
    scales: &'a [f64],
    step: f64,
    most: u32,
    stream: Stream,
    /// -H at its start.
    joint: f64,
    /// The first point in time, and the last.
    ends: [Point; 2],
    depth: u32,
    /// The logarithm of the sum of exp(-H) over its points, over that at the start.
    log_weight: f64,
    /// The point drawn so far, and its log p.
    pub state: Vec<f64>,
    pub log_p: f64,
    // What the present doubling adds:
    side: usize,
    leaf: u32,
    added_weight: f64,
    added: (Vec<f64>, f64),
    begun: Vec<(Vec<f64>, Vec<f64>)>,
    /// The sum over points of min(1, exp(H_start - H)), and their number.
    pub acceptance: f64,
    pub leaves: u64,
}

impl<'a> Tree<'a> {
    /// A trajectory from a state with its log p and score, with scales of the coordinates, a step size in units of
    /// them, and at most `most` doublings.
    pub fn new(
        geometry: Geometry,
        (x, log_p, score): (Vec<f64>, f64, Vec<f64>),
        (step, scales, most): (f64, &'a [f64], u32),
        mut stream: Stream,
    ) -> Self {
        let mut momentum = vec![0.0; x.len()];
        geometry.fill_normal(&mut stream, &mut momentum);
        let joint = log_p - 0.5 * square(&momentum);
        let start = Point { x: x.clone(), momentum, score };
        let mut tree = Self {
            scales,
            step,
            most,
            stream,
            joint,
            ends: [start.clone(), start],
            depth: 0,
            log_weight: 0.0,
            state: x.clone(),
            log_p,
            side: 0,
            leaf: 0,
            added_weight: f64::NEG_INFINITY,
            added: (x, log_p),
            begun: Vec::new(),
            acceptance: 0.0,
            leaves: 0,
        };
        tree.double();
        tree
    }

    fn double(&mut self) {
        self.side = usize::from(self.stream.uniform() < 0.5);
        (self.leaf, self.added_weight) = (0, f64::NEG_INFINITY);
        self.begun.clear();
    }

    /// Moves the end that grows, half a kick and a drift; returns where its energy is wanted next.
    pub fn advance(&mut self) -> &[f64] {
        let h = if self.side == 1 { self.step } else { -self.step };
        let end = &mut self.ends[self.side];
        kick(0.5 * h, self.scales, end);
        for ((x, p), s) in end.x.iter_mut().zip(&end.momentum).zip(self.scales) {
            *x += h * s * p;
        }
        &end.x
    }

    /// Takes log p and score of the end that has moved; the end of the trajectory, if it is one.
    pub fn take(&mut self, log_p: f64, score: impl Iterator<Item = f64>) -> Option<End> {
        let h = if self.side == 1 { self.step } else { -self.step };
        let end = &mut self.ends[self.side];
        end.score.iter_mut().zip(score).for_each(|(own, s)| *own = s);
        kick(0.5 * h, self.scales, end);
        let change = log_p - 0.5 * square(&end.momentum) - self.joint;
        self.leaves += 1;
        if log_p == f64::NEG_INFINITY {
            return Some(End::Outside);
        }
        // What is no number diverges too.
        let sound = change > -HIGHEST_RISE;
        if !sound {
            return Some(End::Diverged);
        }
        self.acceptance += change.min(0.0).exp();
        self.added_weight = log_sum(self.added_weight, change);
        if self.stream.uniform().ln() < change - self.added_weight {
            self.added.0.copy_from_slice(&end.x);
            self.added.1 = log_p;
        }
        let place = (self.leaf >> 1).count_ones() as usize;
        if self.leaf.is_multiple_of(2) {
            self.begun.truncate(place);
            self.begun.push((end.x.clone(), end.momentum.clone()));
        } else {
            // Each subtree that this point completes.
            let complete = self.leaf.trailing_ones() as usize;
            let end = (&end.x[..], &end.momentum[..]);
            let turned = self.begun[place + 1 - complete..].iter().any(|(x, p)| {
                let other = (&x[..], &p[..]);
                if self.side == 1 {
                    turning(other, end, self.scales)
                } else {
                    turning(end, other, self.scales)
                }
            });
            if turned {
                return Some(End::Turned);
            }
        }
        self.leaf += 1;
        (self.leaf == 1 << self.depth).then(|| self.join()).flatten()
    }

    /// Joins what the doubling has added.
    fn join(&mut self) -> Option<End> {
        if self.stream.uniform().ln() < self.added_weight - self.log_weight {
            self.state.copy_from_slice(&self.added.0);
            self.log_p = self.added.1;
        }
        self.log_weight = log_sum(self.log_weight, self.added_weight);
        self.depth += 1;
        let [first, last] = self.ends.each_ref().map(|end| (&end.x[..], &end.momentum[..]));
        if turning(first, last, self.scales) {
            return Some(End::Turned);
        }
        if self.depth == self.most {
            return Some(End::Long);
        }
        self.double();
        None
    }
}

/// p += h s o score.
fn kick(h: f64, scales: &[f64], end: &mut Point) {
    for ((p, g), s) in end.momentum.iter_mut().zip(&end.score).zip(scales) {
        *p += h * s * g;
    }
}

/// Whether two ends come closer, now or soon: (x_last - x_first) . p <= 0 at one of them, in units of the scales.
fn turning(first: (&[f64], &[f64]), last: (&[f64], &[f64]), scales: &[f64]) -> bool {
    let (mut at_first, mut at_last) = (0.0, 0.0);
    for a in 0..scales.len() {
        let apart = (last.0[a] - first.0[a]) / scales[a];
        at_first += apart * first.1[a];
        at_last += apart * last.1[a];
    }
    at_first <= 0.0 || at_last <= 0.0
}

fn square(p: &[f64]) -> f64 {
    p.iter().map(|p| p * p).sum()
}

/// log(e^a + e^b) for a finite b.
fn log_sum(a: f64, b: f64) -> f64 {
    let most = a.max(b);
    most + ((a - most).exp() + (b - most).exp()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trajectory in the harmonic well |x|^2 / 2.
    fn grown(step: f64, most: u32, seed: u64) -> (Tree<'static>, End) {
        let start = (vec![0.3, -0.8], -0.5 * (0.09 + 0.64), vec![-0.3, 0.8]);
        let mut tree = Tree::new(
            Geometry::Euclidean(2),
            start,
            (step, &[1.0, 1.0], most),
            Stream::new(seed, "tree", 0, 0),
        );
        loop {
            let x = tree.advance().to_vec();
            if let Some(end) = tree.take(-0.5 * square(&x), x.iter().map(|x| -x)) {
                return (tree, end);
            }
        }
    }

    #[test]
    fn trajectories_end_after_about_half_a_period_or_at_the_largest_depth() {
        // A period is 63 steps. A trajectory that begins near an apex of its ellipse turns soon, every one after a half,
        // which a subtree of 32 points has.
        let mut sum = 0;
        for seed in 0..50 {
            let (tree, end) = grown(0.1, 10, seed);
            assert_eq!(end, End::Turned);
            assert!(tree.leaves <= 96, "{}", tree.leaves);
            assert!(tree.acceptance / tree.leaves as f64 > 0.99);
            sum += tree.leaves;
            let (tree, end) = grown(0.01, 3, seed);
            assert_eq!((tree.leaves, end), (7, End::Long));
        }
        assert!((16 * 50..64 * 50).contains(&sum), "{sum}");
    }

    #[test]
    fn energy_is_conserved_along_the_tree() {
        let (tree, _) = grown(0.01, 6, 3);
        for end in &tree.ends {
            let h = 0.5 * (square(&end.x) + square(&end.momentum));
            assert!((h + tree.joint).abs() < 1e-4 * h, "{h} {}", tree.joint);
        }
    }

    #[test]
    fn what_begins_is_kept_for_each_digit_alone() {
        let (tree, _) = grown(1e-4, 9, 0);
        assert_eq!(tree.leaves, 511);
        assert!(tree.begun.len() <= 9, "{}", tree.begun.len());
    }

    #[test]
    fn walls_and_cliffs_end_a_trajectory_and_keep_the_state() {
        let start = || (vec![0.0], 0.0, vec![0.0]);
        let of = |log_p: f64| {
            let mut tree =
                Tree::new(Geometry::Euclidean(1), start(), (1.0, &[1.0], 5), Stream::new(1, "tree", 0, 0));
            tree.advance();
            let end = tree.take(log_p, [0.0].into_iter());
            assert_eq!((tree.state.as_slice(), tree.log_p), ([0.0].as_slice(), 0.0));
            end
        };
        assert_eq!(of(f64::NEG_INFINITY), Some(End::Outside));
        assert_eq!(of(-1e6), Some(End::Diverged));
    }
}
