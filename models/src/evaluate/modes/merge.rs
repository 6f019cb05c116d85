//! Which minima are one: those that are equal but for rounding, and those without a barrier between them.

use super::Ends;
use crate::target::{ParticleSystem, Target, TargetError};

/// Ends whose distance is this share of the ways that led to them are equal.
const EQUAL: f64 = 1e-3;
/// A barrier, in k_B T above the higher of two ends, along the straight line between them.
const BARRIER: f64 = 0.01;
/// Points on that line.
const POINTS: usize = 15;
/// Minima that an end is compared with by such lines: the nearest.
const NEAREST: usize = 4;
/// Energies of equal minima of particles agree so far, in k_B T.
const SAME_ENERGY: f64 = 0.01;

/// Ends by their modes.
pub(super) struct Merged {
    /// The mode of each end.
    pub labels: Vec<usize>,
    /// The lowest end of each mode.
    pub lowest: Vec<usize>,
    pub evaluations: u64,
}

/// A minimum that others are compared with.
struct Known {
    /// Its end.
    end: usize,
    /// The longest way that led to it.
    way: f64,
    /// Another minimum that it is one with, of a lower number; or its own number.
    one_with: usize,
}

/// The lowest ends first: each is an equal of a known minimum, or one with those to which no barrier leads, or a new one.
///
/// Modes along a curved valley are joined piece by piece: an end that is one with two minima makes one of these.
pub(super) fn merge(target: &dyn Target<f64>, starts: &[f64], ends: &Ends) -> Result<Merged, TargetError> {
    let d = target.dim();
    let state = |i: usize| &ends.states[i * d..(i + 1) * d];
    let system = target.geometry().particles();
    let shapes: Vec<Vec<f64>> =
        system.map_or_else(Vec::new, |s| ends.states.chunks_exact(d).map(|x| shape(x, s)).collect());
    let mut order: Vec<usize> = (0..ends.energies.len()).collect();
    order.sort_by(|a, b| ends.energies[*a].total_cmp(&ends.energies[*b]));
    let mut known: Vec<Known> = Vec::new();
    let mut own = vec![0; order.len()];
    let mut evaluations = 0;
    for i in order {
        let way = distance(&starts[i * d..(i + 1) * d], state(i));
        let mut near: Vec<(f64, usize)> = match system {
            Some(_) => {
                let same = |k: &usize| {
                    is_same(&shapes[i], &shapes[known[*k].end])
                        && (ends.energies[i] - ends.energies[known[*k].end]).abs() < SAME_ENERGY
                };
                (0..known.len()).find(same).map(|k| (0.0, k)).into_iter().collect()
            }
            None => known.iter().enumerate().map(|(k, m)| (distance(state(i), state(m.end)), k)).collect(),
        };
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        near.truncate(NEAREST);
        if let Some((apart, k)) = near.first().copied()
            && (system.is_some() || apart <= EQUAL * way.min(known[k].way))
        {
            known[k].way = known[k].way.max(way);
            own[i] = k;
            continue;
        }
        let lines: Vec<f64> =
            near.iter().flat_map(|(_, k)| between(state(i), state(known[*k].end))).collect();
        let mut log_p = vec![0.0; lines.len() / d.max(1)];
        target.evaluate(&lines, &mut log_p, &mut [])?;
        evaluations += log_p.len() as u64;
        // This end is the higher one.
        let is_free = |line: &[f64]| line.iter().all(|l| -l <= ends.energies[i] + BARRIER);
        let free: Vec<usize> = near
            .iter()
            .zip(log_p.chunks_exact(POINTS))
            .filter(|(_, l)| is_free(l))
            .map(|(n, _)| n.1)
            .collect();
        let new = known.len();
        let first = free.iter().map(|k| root(&known, *k)).min().unwrap_or(new);
        known.push(Known { end: i, way, one_with: first });
        for k in free {
            let k = root(&known, k);
            known[k].one_with = first;
        }
        own[i] = new;
    }
    let mut lowest: Vec<usize> = Vec::new();
    // Minima came in the order of their energies, and a root is the first of its mode.
    let mode: Vec<Option<usize>> = (0..known.len())
        .map(|k| (known[k].one_with == k).then(|| lowest.push(known[k].end)).map(|()| lowest.len() - 1))
        .collect();
    let labels = own.iter().map(|k| mode[root(&known, *k)].unwrap_or(0)).collect();
    Ok(Merged { labels, lowest, evaluations })
}

/// The first minimum of a mode.
fn root(known: &[Known], mut k: usize) -> usize {
    while known[k].one_with != k {
        k = known[k].one_with;
    }
    k
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Points on the line from `a` to `b`, without its ends.
fn between<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let share = |j: usize| j as f64 / (POINTS + 1) as f64;
    (1..=POINTS).flat_map(move |j| a.iter().zip(b).map(move |(a, b)| a + share(j) * (b - a)))
}

/// The distances of all pairs of particles in order: the same for states that differ by rotation, reflection and
/// permutation.
fn shape(x: &[f64], system: ParticleSystem) -> Vec<f64> {
    let particles: Vec<&[f64]> = x.chunks_exact(system.space).collect();
    let mut all: Vec<f64> = (0..particles.len())
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| distance(particles[i], particles[j]))
        .collect();
    all.sort_unstable_by(f64::total_cmp);
    all
}

/// Whether two such lists agree but for rounding.
fn is_same(a: &[f64], b: &[f64]) -> bool {
    let scale = a.iter().sum::<f64>() / a.len() as f64;
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= EQUAL * scale)
}
