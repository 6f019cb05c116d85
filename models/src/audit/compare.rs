//! Samples beside the states of explorations: shares of regions, energies, and what the samples do not reach.

use rayon::prelude::*;

use super::Explorations;
use crate::gnn::oversmoothing::k_means::k_means;
use crate::metrics::{Weighted, mean, sd};

/// Regions that shares are compared in.
const REGIONS: usize = 12;
/// States that the regions are made of, at most.
const FEW: usize = 2000;
/// States that distances are taken to, at most.
const SET: usize = 1024;
/// The neighbour among the samples whose distance tells whether they come near a state, and the one among other states of
/// the same law that it is held against. Where 25 of 1024 states lie in a mode, samples of the same law have fewer than 5
/// there in one of 10^6 cases; modes of fewer states have their 25th neighbour elsewhere, and give no alarm.
const NEIGHBOURS: [usize; 2] = [5, 25];
/// How many times as far as that one the neighbour among the samples is, for a state that they miss.
const FAR: f64 = 3.0;

/// A sample to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// States, as columns.
    pub states: &'a [f64],
    /// Their weights, whose sum is 1.
    pub weights: &'a [f64],
    /// Their energies.
    pub energies: &'a [f64],
    /// Markov chains that the states are of, in turn; None where they are independent.
    pub chains: Option<usize>,
    /// A factor of their errors, for states that are not quite independent.
    pub inflation: f64,
}

/// A figure of the samples and of the explorations, each with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Of the samples.
    pub samples: (f64, f64),
    /// Of the explorations.
    pub explored: (f64, f64),
}

impl Pair {
    /// The difference in standard errors.
    pub fn z(self) -> f64 {
        let (a, b) = (self.samples, self.explored);
        let difference = a.0 - b.0;
        if difference == 0.0 { 0.0 } else { difference / a.1.hypot(b.1) }
    }
}

/// What differs.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Shares of regions.
    pub regions: Vec<Pair>,
    /// Mean energies.
    pub energy: Pair,
    /// The share of the explored states that have no samples near them, and of the samples that have no explored
    /// states near them; None where there are too few of either to tell.
    pub unseen: Option<[f64; 2]>,
    /// The least share of the mass that a mode must have for its absence to be seen.
    pub least: f64,
}

impl Comparison {
    /// The region with the largest difference in standard errors.
    pub fn worst(&self) -> Option<Pair> {
        let known = self.regions.iter().copied().filter(|pair| !pair.z().is_nan());
        known.max_by(|a, b| a.z().abs().total_cmp(&b.z().abs()))
    }
}

/// Compares samples in R^d with explorations; None if either has no states.
pub fn compare(
    judged: Judged<'_>,
    explored: &Explorations,
    energies: &[Vec<f64>],
    seed: u64,
) -> Option<Comparison> {
    let all = explored.states.concat();
    let d = judged.states.len().checked_div(judged.weights.len())?;
    if d == 0 || all.is_empty() {
        return None;
    }
    // In units of the larger of both widths in each coordinate.
    let width = |x: &[f64], a: usize| sd(&x.iter().skip(a).step_by(d).copied().collect::<Vec<_>>());
    let inverse: Vec<f64> = (0..d)
        .map(|a| match width(judged.states, a).max(width(&all, a)) {
            w if w.is_finite() && w > 0.0 => 1.0 / w,
            _ => 1.0,
        })
        .collect();
    let scaled =
        |x: &[f64]| -> Vec<f64> { x.iter().zip(inverse.iter().cycle()).map(|(x, i)| x * i).collect() };
    let samples = scaled(judged.states);
    let rounds: Vec<Vec<f64>> = explored.states.iter().map(|x| scaled(x)).collect();
    let centres =
        centres(&[thinned(&samples, d, FEW / 2), thinned(&scaled(&all), d, FEW / 2)].concat(), d, seed);
    let own = places(&samples, &centres, d);
    let theirs: Vec<Vec<usize>> = rounds.iter().map(|x| places(x, &centres, d)).collect();
    let regions = (0..centres.len() / d)
        .map(|k| {
            let inside = |place: &usize| f64::from(u8::from(*place == k));
            let each: Vec<f64> =
                theirs.iter().map(|x| mean(&x.iter().map(inside).collect::<Vec<_>>())).collect();
            let count = theirs.iter().map(Vec::len).sum::<usize>() as f64;
            Pair {
                samples: judged.mean(&own.iter().map(inside).collect::<Vec<_>>()),
                explored: scatter(&each, |p| (p * (1.0 - p) / count).sqrt()),
            }
        })
        .collect();
    let each: Vec<f64> = energies.iter().map(|e| mean(e)).collect();
    let count = energies.iter().map(Vec::len).sum::<usize>() as f64;
    let energy = Pair {
        samples: judged.mean(judged.energies),
        explored: scatter(&each, |_| sd(&energies.concat()) / count.sqrt()),
    };
    let size = sizes(samples.len() / d, &rounds, d);
    let unseen = unseen(&samples, judged.weights, &rounds, (d, size));
    Some(Comparison { regions, energy, unseen, least: NEIGHBOURS[1] as f64 / size.max(1) as f64 })
}

impl Judged<'_> {
    fn mean(&self, f: &[f64]) -> (f64, f64) {
        Weighted { weights: self.weights, chains: self.chains, inflation: self.inflation }.mean(f)
    }
}

/// The mean over explorations, with an error from their scatter that is no less than the one of independent states.
fn scatter(each: &[f64], independent: impl Fn(f64) -> f64) -> (f64, f64) {
    let value = mean(each);
    (value, (sd(each) / (each.len() as f64).sqrt()).max(independent(value)))
}

/// At most `most` of the columns, evenly spaced.
fn thinned(x: &[f64], d: usize, most: usize) -> Vec<f64> {
    let n = x.len() / d;
    let picks = n.min(most);
    (0..picks).flat_map(|k| x[k * n / picks * d..(k * n / picks + 1) * d].iter().copied()).collect()
}

/// Centres of the groups of the columns by k-means, one after the other.
fn centres(x: &[f64], d: usize, seed: u64) -> Vec<f64> {
    let n = x.len() / d;
    let groups = k_means(x, n, REGIONS, seed);
    let mut out = Vec::new();
    for k in 0..REGIONS {
        let own: Vec<&[f64]> =
            x.chunks_exact(d).zip(&groups).filter(|(_, g)| **g == k).map(|(x, _)| x).collect();
        if !own.is_empty() {
            out.extend((0..d).map(|a| own.iter().map(|x| x[a]).sum::<f64>() / own.len() as f64));
        }
    }
    out
}

/// The nearest centre of each column.
fn places(x: &[f64], centres: &[f64], d: usize) -> Vec<usize> {
    let nearest = |x: &[f64]| {
        let far = centres.chunks_exact(d).map(|c| square(x, c)).enumerate();
        far.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(k, _)| k)
    };
    x.par_chunks_exact(d).map(nearest).collect()
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The size of the sets that are compared for [`unseen`]: one for all.
fn sizes(samples: usize, rounds: &[Vec<f64>], d: usize) -> usize {
    let others: usize = rounds.iter().skip(1).map(|x| x.len() / d).sum();
    SET.min(others).min(samples)
}

/// See [`Comparison::unseen`].
fn unseen(
    samples: &[f64],
    weights: &[f64],
    rounds: &[Vec<f64>],
    (d, size): (usize, usize),
) -> Option<[f64; 2]> {
    let (first, others) = rounds.split_first()?;
    let others = others.concat();
    // Columns with a weight, each as often as its weight says.
    let (mut drawn, mut at, mut sum) = (Vec::with_capacity(size * d), 0, 0.0);
    for (x, w) in samples.chunks_exact(d).zip(weights) {
        sum += w;
        while at < size && (at as f64 + 0.5) < sum * size as f64 {
            drawn.extend_from_slice(x);
            at += 1;
        }
    }
    let others = thinned(&others, d, size);
    if size <= NEIGHBOURS[1] || drawn.len() < others.len() {
        return None;
    }
    let far = |x: &[f64], set: &[f64], neighbour: usize| -> f64 {
        let mut distances: Vec<f64> = set.chunks_exact(d).map(|y| square(x, y)).collect();
        *distances.select_nth_unstable_by(neighbour - 1, f64::total_cmp).1
    };
    let share = |of: &[f64], among: &[f64], beside: &[f64]| -> f64 {
        let missed = |x: &[f64]| far(x, among, NEIGHBOURS[0]) > FAR * FAR * far(x, beside, NEIGHBOURS[1]);
        let count: usize = of.par_chunks_exact(d).map(|x| usize::from(missed(x))).sum();
        count as f64 / (of.len() / d) as f64
    };
    Some([share(first, &drawn, &others), share(&drawn, &others, &drawn)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Mixture, Target};
    use engine::rng::Stream;

    fn drawn(target: &Mixture, n: usize, seed: u64) -> Vec<f64> {
        let mut x = vec![0.0; n * Target::<f64>::dim(target)];
        assert!(target.sample(&mut Stream::new(seed, "audit", 0, 0), &mut x));
        x
    }

    fn energies(target: &Mixture, x: &[f64]) -> Vec<f64> {
        let mut log_p = vec![0.0; x.len() / Target::<f64>::dim(target)];
        target.evaluate(x, &mut log_p, &mut []).unwrap();
        log_p.into_iter().map(|l| -l).collect()
    }

    fn wells(weight: f64) -> Mixture {
        crate::target::two_wells(4, weight, [0.24, 0.3], 4.0).unwrap()
    }

    fn compared(states: &[f64], weights: &[f64]) -> Comparison {
        let target = wells(0.7);
        let explored = Explorations {
            states: (0..3).map(|k| drawn(&target, 512, 10 + k)).collect(),
            ..Explorations::default()
        };
        let theirs: Vec<Vec<f64>> = explored.states.iter().map(|x| energies(&target, x)).collect();
        let own = energies(&target, states);
        compare(
            Judged { states, weights, energies: &own, chains: None, inflation: 1.0 },
            &explored,
            &theirs,
            1,
        )
        .unwrap()
    }

    fn equal(n: usize) -> Vec<f64> {
        vec![1.0 / n as f64; n]
    }

    #[test]
    fn exact_samples_agree() {
        for seed in 0..8 {
            let x = drawn(&wells(0.7), 2000, 100 + seed);
            let c = compared(&x, &equal(2000));
            let worst = c.worst().unwrap();
            // The largest of 12 standard normals, with errors from three explorations; fixed seeds.
            assert!(worst.z().abs() < 4.5, "{worst:?}");
            assert!(c.energy.z().abs() < 4.5, "{:?}", c.energy);
            assert!(c.unseen.unwrap().iter().all(|u| *u < 0.005), "{:?}", c.unseen);
            assert!((c.least - 25.0 / 1024.0).abs() < 1e-12);
        }
    }

    #[test]
    fn weights_that_mend_wrong_shares_agree_and_wrong_shares_do_not() {
        let x = drawn(&wells(0.5), 4000, 7);
        let wrong = compared(&x, &equal(4000));
        assert!(wrong.worst().unwrap().z().abs() > 5.0);
        let side = |x: &[f64]| if x[0] > 0.0 { 0.7 } else { 0.3 };
        let raw: Vec<f64> = x.chunks(4).map(side).collect();
        let total: f64 = raw.iter().sum();
        let right = compared(&x, &raw.iter().map(|w| w / total).collect::<Vec<_>>());
        assert!(right.worst().unwrap().z().abs() < 4.5, "{:?}", right.worst());
    }

    #[test]
    fn a_missing_mode_is_unseen_and_an_unexplored_one_is_too() {
        let x = drawn(&wells(0.7), 4000, 8);
        let one: Vec<f64> = x.chunks(4).filter(|x| x[0] > 0.0).flatten().copied().collect();
        let c = compared(&one, &equal(one.len() / 4));
        let [missed, new] = c.unseen.unwrap();
        assert!((missed - 0.3).abs() < 0.06 && new < 0.005, "{:?}", c.unseen);
        // Too few to tell.
        let few = drawn(&wells(0.7), 20, 8);
        assert_eq!(compared(&few, &equal(20)).unseen, None);
        // Samples that lie where nothing was explored.
        let mut more = x.clone();
        more.chunks_mut(4).step_by(10).for_each(|x| x.iter_mut().for_each(|x| *x += 20.0));
        let c = compared(&more, &equal(4000));
        assert!((c.unseen.unwrap()[1] - 0.1).abs() < 0.03, "{:?}", c.unseen);
    }

    #[test]
    fn samples_that_are_too_wide_have_too_high_an_energy() {
        let mut x = drawn(&wells(0.7), 2000, 9);
        let c = [1.0, -1.0];
        for x in x.chunks_mut(4) {
            let centre = c[usize::from(x[0] < 0.0)];
            x.iter_mut().for_each(|x| *x = centre + 1.2 * (*x - centre));
        }
        assert!(compared(&x, &equal(2000)).energy.z() > 8.0);
    }
}
