//! The No-U-Turn Sampler (Hoffman and Gelman 2014) for many walkers at once, with multinomial draws from trajectories
//! (Betancourt 2017).

mod adaptation;
mod tree;

pub(crate) use adaptation::{DualAveraging, Spread, windows};

use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use crate::target::{Target, TargetError};
use tree::{End, Tree};

/// Walkers whose energies are evaluated together.
const GROUP: usize = 32;

/// The least acceptance in a harmonic mean.
const LEAST: f64 = 0.01;

/// Sizes of moves.
#[derive(Clone, Debug)]
pub(crate) struct Moves {
    /// Leapfrog step in units of the scales.
    pub step: f64,
    /// Standard deviations of the coordinates, or what stands for them.
    pub scales: Vec<f64>,
    /// Doublings of a trajectory, at most.
    pub depth: u32,
}

/// What trajectories of all walkers have come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transition {
    /// E of each walker's new state.
    pub energies: Vec<f64>,
    /// The mean over walkers of the mean probability of acceptance along the trajectory.
    pub acceptance: f64,
    /// The harmonic mean of the same, no acceptance below [`LEAST`]: a walker that does not move counts as much as a
    /// hundred that do, so that a step size that fits it gets it off.
    pub harmonic: f64,
    /// Energies that were evaluated.
    pub evaluations: u64,
    /// Trajectories that diverged.
    pub diverged: u64,
    /// Trajectories that ended at the largest depth.
    pub long: u64,
}

/// One trajectory for each column of `x`; exp(-E) is invariant. The random numbers are those of (`seed`, `at`) and of
/// the column.
///
/// # Errors
/// If the target cannot be evaluated, or is broken at a point.
pub(crate) fn nuts(
    target: &dyn Target<f64>,
    moves: &Moves,
    (seed, at): (u64, u64),
    x: &mut [f64],
) -> Result<Transition, TargetError> {
    let d = target.dim();
    let parts: Vec<Result<Transition, TargetError>> = x
        .par_chunks_mut(GROUP * d)
        .tasks(|k, x| group(target, moves, |l| Stream::new(seed, "nuts", at, (k * GROUP + l) as u64), x));
    let walkers = (x.len() / d).max(1) as f64;
    let mut all = Transition::default();
    for part in parts {
        let part = part?;
        all.energies.extend(part.energies);
        all.acceptance += part.acceptance / walkers;
        all.harmonic += part.harmonic;
        all.evaluations += part.evaluations;
        all.diverged += part.diverged;
        all.long += part.long;
    }
    all.harmonic = walkers / all.harmonic;
    Ok(all)
}

/// The trajectories of a group; `acceptance` and `harmonic` are sums over its walkers, of the acceptance and of its
/// inverse.
fn group(
    target: &dyn Target<f64>,
    moves: &Moves,
    stream: impl Fn(usize) -> Stream,
    x: &mut [f64],
) -> Result<Transition, TargetError> {
    let (d, geometry) = (target.dim(), target.geometry());
    let mut batch = Batch::default();
    batch.evaluate(target, x.chunks_exact(d))?;
    let start = |l: usize, x: &[f64]| (x.to_vec(), batch.log_p[l], batch.score_of(l).collect());
    let tree = |(l, x): (usize, &[f64])| {
        Tree::new(geometry, start(l, x), (moves.step, &moves.scales, moves.depth), stream(l))
    };
    let mut trees: Vec<Tree<'_>> = x.chunks_exact(d).enumerate().map(tree).collect();
    let mut growing: Vec<usize> = (0..trees.len()).collect();
    let mut all = Transition { evaluations: trees.len() as u64, ..Transition::default() };
    while !growing.is_empty() {
        let mut wanted: Vec<&mut Tree<'_>> = Vec::with_capacity(growing.len());
        let mut next = growing.iter().peekable();
        for (l, tree) in trees.iter_mut().enumerate() {
            if next.next_if(|g| **g == l).is_some() {
                wanted.push(tree);
            }
        }
        batch.evaluate(target, wanted.iter_mut().map(|tree| tree.advance()))?;
        let ends: Vec<Option<End>> = wanted
            .iter_mut()
            .enumerate()
            .map(|(k, tree)| tree.take(batch.log_p[k], batch.score_of(k)))
            .collect();
        all.diverged += ends.iter().filter(|end| **end == Some(End::Diverged)).count() as u64;
        all.long += ends.iter().filter(|end| **end == Some(End::Long)).count() as u64;
        let mut ends = ends.iter();
        growing.retain(|_| ends.next().is_some_and(Option::is_none));
    }
    for (x, tree) in x.chunks_exact_mut(d).zip(&trees) {
        x.copy_from_slice(&tree.state);
        // Rounding errors move the mean of particles.
        geometry.project(x);
        all.energies.push(-tree.log_p);
        let acceptance = tree.acceptance / tree.leaves.max(1) as f64;
        all.acceptance += acceptance;
        all.harmonic += 1.0 / acceptance.max(LEAST);
        all.evaluations += tree.leaves;
    }
    Ok(all)
}

/// Points of some walkers, coordinate by coordinate, with what the target says of them.
#[derive(Default)]
struct Batch {
    x: Vec<f64>,
    log_p: Vec<f64>,
    score: Vec<f64>,
    scratch: Vec<f64>,
}

impl Batch {
    fn evaluate<'x>(
        &mut self,
        target: &dyn Target<f64>,
        points: impl ExactSizeIterator<Item = &'x [f64]>,
    ) -> Result<(), TargetError> {
        let (n, d) = (points.len(), target.dim());
        self.x.resize(n * d, 0.0);
        self.log_p.resize(n, 0.0);
        self.score.resize(n * d, 0.0);
        for (l, point) in points.enumerate() {
            point.iter().enumerate().for_each(|(a, v)| self.x[a * n + l] = *v);
        }
        target.evaluate_block(n, &self.x, &mut self.log_p, &mut self.score, &mut self.scratch)
    }

    fn score_of(&self, l: usize) -> impl Iterator<Item = f64> + '_ {
        self.score.iter().skip(l).step_by(self.log_p.len()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Funnel, Mixture, Pointwise};

    fn moves(step: f64, scales: &[f64]) -> Moves {
        Moves { step, scales: scales.to_vec(), depth: 8 }
    }

    #[test]
    fn an_anisotropic_gaussian_is_left_invariant_and_reached_from_elsewhere() {
        let target = Pointwise::new(3, |x: &[f64], g: &mut [f64]| {
            let precision = [1.0, 100.0, 0.25];
            (0..3).for_each(|a| g[a] = precision[a] * x[a]);
            0.5 * (0..3).map(|a| precision[a] * x[a] * x[a]).sum::<f64>()
        });
        let n = 3000;
        let mut x = vec![0.5; 3 * n];
        let mut last = Transition::default();
        for at in 0..12 {
            last = nuts(&target, &moves(0.7, &[1.0, 0.1, 2.0]), (1, at), &mut x).unwrap();
            assert!(last.acceptance > 0.8 && last.diverged == 0, "{}", last.acceptance);
        }
        for (a, want) in [(0, 1.0), (1, 0.01), (2, 4.0)] {
            let axis: Vec<f64> = x.iter().skip(a).step_by(3).copied().collect();
            let mean = axis.iter().sum::<f64>() / n as f64;
            let square = axis.iter().map(|v| v * v).sum::<f64>() / n as f64;
            // Five standard errors of independent walkers.
            assert!(mean.abs() < 5.0 * (want / n as f64).sqrt(), "{a}: {mean}");
            assert!((square / want - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{a}: {square}");
        }
        let energy = last.energies.iter().sum::<f64>() / n as f64;
        assert!((energy - 1.5).abs() < 5.0 * (1.5 / n as f64).sqrt(), "{energy}");
    }

    #[test]
    fn overlapping_modes_and_a_funnel_keep_exact_samples_exact() {
        // From exact samples; a biased draw from the trajectory shows in the shares and in the widths.
        let mixture = Mixture::new(1, vec![-1.0, 1.2], vec![0.5, 0.8], vec![0.3, 0.7]).unwrap();
        let n = 4000;
        let mut x = vec![0.0; n];
        assert!(mixture.sample(&mut Stream::new(3, "exact", 0, 0), &mut x));
        let before = x.iter().filter(|x| **x > 0.0).count() as f64 / n as f64;
        for at in 0..20 {
            nuts(&mixture, &moves(0.6, &[1.0]), (2, at), &mut x).unwrap();
        }
        let after = x.iter().filter(|x| **x > 0.0).count() as f64 / n as f64;
        // 0.3 Phi(-2) + 0.7 Phi(1.5).
        let want: f64 = 0.3 * 0.022_750 + 0.7 * 0.933_193;
        let error = (want * (1.0 - want) / n as f64).sqrt();
        assert!(
            (before - want).abs() < 5.0 * error && (after - want).abs() < 5.0 * error,
            "{before} {after}"
        );
        let funnel = Funnel::new(3).unwrap();
        let mut x = vec![0.0; 3 * n];
        assert!(Target::<f64>::sample(&funnel, &mut Stream::new(4, "exact", 0, 0), &mut x));
        for at in 0..5 {
            nuts(&funnel, &moves(0.3, &[1.0; 3]), (5, at), &mut x).unwrap();
        }
        let neck: Vec<f64> = x.iter().step_by(3).copied().collect();
        let square = neck.iter().map(|v| v * v).sum::<f64>() / n as f64;
        assert!((square / 9.0 - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{square}");
        assert!((neck.iter().sum::<f64>() / n as f64).abs() < 5.0 * 3.0 / (n as f64).sqrt());
    }

    #[test]
    fn every_energy_is_counted_and_threads_change_nothing() {
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
        let count = AtomicU64::new(0);
        let target = Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
            count.fetch_add(1, Relaxed);
            (g[0], g[1]) = (x[0], x[1]);
            0.5 * (x[0] * x[0] + x[1] * x[1])
        });
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut x: Vec<f64> = (0..2 * 100).map(|k| 0.01 * k as f64).collect();
            let all = pool.install(|| nuts(&target, &moves(0.5, &[1.0, 1.0]), (1, 0), &mut x).unwrap());
            (all, x)
        };
        let one = run(1);
        assert_eq!(one.0.evaluations, count.load(Relaxed));
        assert_eq!(one, run(3));
    }
}
