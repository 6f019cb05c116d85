//! What must hold of the particle energies for any state.

use engine::rng::Stream;
use models::target::{DoubleWell, LennardJones, PairEnergy, SoftenedCore, Target};
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases::cases;
use crate::networks::slope;

/// Where a softened energy continues as a line: its second derivative jumps there.
const CORE: f64 = 0.8;

/// n particles, their energy and a scale at which states have no extreme energies.
#[derive(Clone, Copy, Debug)]
enum Case {
    Wells(usize),
    Jones(usize),
    Soft(usize),
}

impl Case {
    fn energy(self) -> Box<dyn Target<f64>> {
        match self {
            Self::Wells(n) => Box::new(DoubleWell::new(n).unwrap()),
            Self::Jones(n) => Box::new(LennardJones::new(n).unwrap()),
            Self::Soft(n) => Box::new(SoftenedCore::new(LennardJones::new(n).unwrap(), CORE).unwrap()),
        }
    }
    fn single(self) -> Box<dyn Target<f32>> {
        match self {
            Self::Wells(n) => Box::new(DoubleWell::new(n).unwrap()),
            Self::Jones(n) => Box::new(LennardJones::new(n).unwrap()),
            Self::Soft(n) => Box::new(SoftenedCore::new(LennardJones::new(n).unwrap(), CORE).unwrap()),
        }
    }
    fn shape(self) -> (usize, usize) {
        match self {
            Self::Wells(n) => (n, 2),
            Self::Jones(n) | Self::Soft(n) => (n, 3),
        }
    }
    /// Particles on a grid, jittered: no pair is closer than 0.55 (1 for the wells), nor within 1e-3 of the core.
    fn state(self, stream: &mut Stream) -> Vec<f64> {
        let (n, _) = self.shape();
        loop {
            let x = self.jittered(stream);
            let mut pairs = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
            if pairs.all(|(i, j)| (self.distance(&x, i, j) - CORE).abs() > 1e-3) {
                return x;
            }
        }
    }
    fn distance(self, x: &[f64], i: usize, j: usize) -> f64 {
        let d = self.shape().1;
        (0..d).map(|k| (x[i * d + k] - x[j * d + k]).powi(2)).sum::<f64>().sqrt()
    }
    fn jittered(self, stream: &mut Stream) -> Vec<f64> {
        let (n, d) = self.shape();
        let step = if d == 2 { 2.0 } else { 1.1 };
        let side = (1..).find(|s: &usize| s.pow(d as u32) >= n).unwrap_or(1);
        let cell = |i: usize, k: usize| (i / side.pow(k as u32)) % side;
        let sites = (0..n * d).map(|a| step * cell(a / d, a % d) as f64);
        sites.map(|v| v + 0.25 * step * (2.0 * stream.uniform() - 1.0)).collect()
    }
}

fn case() -> impl Strategy<Value = Case> {
    (0..3, select(vec![2_usize, 3, 4, 13, 55])).prop_map(|(kind, n)| match kind {
        0 => Case::Wells(n),
        1 => Case::Jones(n),
        _ => Case::Soft(n),
    })
}

fn value(energy: &dyn Target<f64>, x: &[f64]) -> (f64, Vec<f64>) {
    let (mut log_p, mut score) = ([0.0], vec![0.0; x.len()]);
    energy.evaluate(x, &mut log_p, &mut score).unwrap();
    (-log_p[0], score.iter().map(|s| -s).collect())
}

/// The energy pair by pair, from distances, and the sum of the sizes of its terms; the two powers of a pair count
/// apart, since they nearly cancel at some distances.
fn reference(case: Case, x: &[f64]) -> (f64, f64) {
    let (n, d) = case.shape();
    let jones = |r: f64| [2.0 * r.powi(-12), -4.0 * r.powi(-6)];
    let pair = |r: f64| match case {
        Case::Wells(_) => [0.9 * (r - 4.0).powi(4), -4.0 * (r - 4.0).powi(2)],
        Case::Soft(_) if r < CORE => {
            [jones(CORE).iter().sum(), -24.0 * (CORE.powi(-13) - CORE.powi(-7)) * (r - CORE)]
        }
        _ => jones(r),
    };
    let each = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
    let pairs = each.flat_map(|(i, j)| pair(case.distance(x, i, j)));
    let trap = |k: usize| {
        let mean = (0..n).map(|i| x[i * d + k]).sum::<f64>() / n as f64;
        (0..n).map(|i| 0.5 * (x[i * d + k] - mean).powi(2)).sum::<f64>()
    };
    let traps = (0..3).filter(|_| d == 3).map(trap);
    pairs.chain(traps).fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}

/// A random orthogonal d x d matrix, a reflection half of the time: Gram and Schmidt on Gaussians.
fn orthogonal(d: usize, stream: &mut Stream) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    while basis.len() < d {
        let mut v = vec![0.0; d];
        stream.fill_normal(&mut v);
        for _ in 0..2 {
            for b in &basis {
                let dot: f64 = b.iter().zip(&v).map(|(b, v)| b * v).sum();
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= dot * b);
            }
        }
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        basis.push(v.iter().map(|v| v / norm).collect());
    }
    basis
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn energies_agree_with_the_sum_over_pairs(case in case(), n in select(vec![1_usize, 7, 16, 128]), seed in 0_u64..1000) {
        let stream = &mut Stream::new(seed, "states", 0, 0);
        let (energy, single) = (case.energy(), case.single());
        let d = energy.dim();
        let states: Vec<Vec<f64>> = (0..n).map(|_| case.state(stream)).collect();
        // Through the kernel itself, with a block of exactly n points.
        let block: Vec<f64> = (0..d * n).map(|at| states[at % n][at / n]).collect();
        let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; d * n]);
        energy.log_density_block(n, &block, &mut log_p, &mut score, &mut vec![9.0; 5]).unwrap();
        let narrow: Vec<f32> = block.iter().map(|v| *v as f32).collect();
        let (mut log_p32, mut score32) = (vec![0.0; n], vec![0.0; d * n]);
        single.log_density_block(n, &narrow, &mut log_p32, &mut score32, &mut Vec::new()).unwrap();
        for (l, state) in states.iter().enumerate() {
            let (want, terms) = reference(case, state);
            prop_assert!((-log_p[l] - want).abs() <= 1e-13 * terms.max(1.0), "{} {want}", -log_p[l]);
            let (alone, gradient) = value(&*energy, state);
            prop_assert_eq!(alone, -log_p[l], "a point does not depend on the block around it");
            prop_assert!((0..d).all(|a| gradient[a] == -score[a * n + l]));
            // A sum rounds in proportion to its terms, and a power of a distance a dozen times as much as that.
            let error = (f64::from(log_p32[l]) - log_p[l]).abs();
            prop_assert!(error <= 5e-6 * terms.max(1.0), "{} {}", log_p32[l], log_p[l]);
            let size = gradient.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
            prop_assert!((0..d).all(|a| (f64::from(score32[a * n + l]) - score[a * n + l]).abs() < 3e-4 * size));
        }
    }

    #[test]
    fn the_score_is_the_gradient(case in case(), seed in 0_u64..1000) {
        let stream = &mut Stream::new(seed, "gradient", 0, 0);
        let energy = case.energy();
        let x = case.state(stream);
        let (_, gradient) = value(&*energy, &x);
        let size = gradient.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
        for _ in 0..12 {
            let a = stream.index(x.len());
            let along = |h: f64| {
                let mut x = x.clone();
                x[a] += h;
                value(&*energy, &x).0
            };
            let numeric = slope(along);
            prop_assert!((numeric - gradient[a]).abs() < 1e-6 * size, "{numeric} {}", gradient[a]);
        }
    }

    #[test]
    fn turned_mirrored_shifted_and_renumbered_states_are_the_same(case in case(), seed in 0_u64..1000) {
        let stream = &mut Stream::new(seed, "symmetry", 0, 0);
        let energy = case.energy();
        let ((n, d), x) = (case.shape(), case.state(stream));
        let q = orthogonal(d, stream);
        let mut shift = vec![0.0; d];
        stream.fill_normal(&mut shift);
        let mut order: Vec<usize> = (0..n).collect();
        (1..n).for_each(|i| order.swap(i, stream.index(i + 1)));
        let turn = |v: &[f64], k: usize| q[k].iter().zip(v).map(|(q, v)| q * v).sum::<f64>();
        let part = |v: &[f64], i: usize| v[i * d..(i + 1) * d].to_vec();
        let moved: Vec<f64> =
            order.iter().flat_map(|&i| (0..d).map(|k| turn(&part(&x, i), k) + shift[k]).collect::<Vec<_>>()).collect();
        let ((before, gradient), (after, moved_gradient)) = (value(&*energy, &x), value(&*energy, &moved));
        prop_assert!(close(before, after, 1e-10), "{before} {after}");
        let size = gradient.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
        for (to, &from) in order.iter().enumerate() {
            for k in 0..d {
                let want = turn(&part(&gradient, from), k);
                prop_assert!((moved_gradient[to * d + k] - want).abs() < 1e-10 * size);
            }
        }
    }

    #[test]
    fn cold_starts_with_overlaps_are_finite(case in case(), exponent in -30.0..10.0f64, seed in 0_u64..1000) {
        let stream = &mut Stream::new(seed, "overlaps", 0, 0);
        let single = case.single();
        let (mut x, n) = (vec![0.0_f64; 16 * single.dim()], 16);
        stream.fill_normal(&mut x);
        // One particle in three sits exactly on the origin.
        let d = case.shape().1;
        x.iter_mut().enumerate().for_each(|(a, v)| *v *= if (a / d).is_multiple_of(3) { 0.0 } else { 10f64.powf(exponent) });
        let narrow: Vec<f32> = x.iter().map(|v| *v as f32).collect();
        let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; x.len()]);
        single.evaluate(&narrow, &mut log_p, &mut score).unwrap();
        prop_assert!(log_p.iter().chain(&score).all(|v: &f32| v.is_finite()));
        let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; x.len()]);
        case.energy().evaluate(&x, &mut log_p, &mut score).unwrap();
        prop_assert!(log_p.iter().chain(&score).all(|v: &f64| v.is_finite()));
    }
}

#[test]
fn an_empty_block_is_nothing() {
    Target::<f64>::log_density_block(&LennardJones::lj13(), 0, &[], &mut [], &mut [], &mut Vec::new())
        .unwrap();
    assert_eq!(LennardJones::lj55().system().mean_free_dim(), 162);
}
