//! The pair network: derivatives, symmetries, and the mean-free subspace.

use engine::rng::Stream;
use engine::{Params, Tape};
use models::diffusion::ScoreModel;
use models::score::{PairConfig, ScoreNetwork, ScorePair};
use models::target::ParticleSystem;
use proptest::prelude::*;

use crate::cases::cases;
use crate::networks::{directional, normals};

/// Least distance of two particles.
const CORE: f64 = 1.2;

/// A normal state whose pairs keep away from the kinks of the hard core at `sigma`: distances of 0, and the one at
/// which it begins.
fn smooth_state(particles: usize, space: usize, sigma: f64, seed: u64) -> Vec<f64> {
    let reach = (CORE - 3.0 * std::f64::consts::SQRT_2 * sigma).max(0.0);
    let away = |x: &[f64]| {
        let at = |i: usize| &x[i * space..(i + 1) * space];
        let distance =
            |i: usize, j: usize| at(i).iter().zip(at(j)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let mut pairs = (0..particles).flat_map(|i| (0..i).map(move |j| distance(i, j)));
        pairs.all(|r| r > 0.01 && (r - reach).abs() > 0.01)
    };
    let mut tries = (0..).map(|k| normals(particles * space, seed + 1000 * k));
    tries.find(|x| away(x)).unwrap_or_default()
}

fn network(particles: usize, space: usize) -> (ScorePair<f64>, Params<f64>) {
    let config = PairConfig {
        system: ParticleSystem { particles, space },
        hidden: 7,
        rounds: 2,
        passes: 2,
        core: CORE,
        time_features: 3,
        radial_features: 5,
        sigma_data: 1.5,
        mode_scale: 0.4,
        sigma_range: (0.05, 20.0),
    };
    let mut params = Params::new();
    let network = ScorePair::new(config, &mut params, 1);
    // The last layer begins at zero, which would hide everything before it.
    Stream::new(2, "params", 0, 0).fill_normal(params.values_mut());
    params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
    (network, params)
}

fn score(net: &ScorePair<f64>, params: &Params<f64>, x: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    let model = ScoreModel { network: net, params: params.values() };
    model.score(&mut Tape::new(), x, 0.7, &mut out);
    out
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn gradients_are_right_along_random_directions(particles in 2_usize..6, space in 1_usize..4, n in 1_usize..5, seed in 0_u64..999) {
        let (net, params) = network(particles, space);
        let d = particles * space;
        let sigma: Vec<f64> = (0..n).map(|i| 0.05 * 3f64.powi(i as i32)).collect();
        let states = (0..).zip(&sigma).flat_map(|(k, s)| smooth_state(particles, space, *s, seed + 1_000_000 * k));
        let (x, w): (Vec<f64>, _) = (states.collect(), normals(d * n, seed + 1));
        let (numeric, analytic) = directional(&net, params.values(), (&x, &sigma, &w), seed + 2);
        prop_assert!((numeric - analytic).abs() < 1e-6 * analytic.abs().max(1.0), "{numeric} {analytic}");
    }

    #[test]
    fn scores_turn_mirror_and_renumber_with_the_state_and_do_not_see_its_mean(particles in 2_usize..8, space in 2_usize..4, angle in 0.0..6.3_f64, seed in 0_u64..999) {
        let (net, params) = network(particles, space);
        let system = ParticleSystem { particles, space };
        let mut x = normals(system.dim(), seed);
        system.center(&mut x);
        let before = score(&net, &params, &x);
        let (sin, cos) = angle.sin_cos();
        // A turn in the first plane after a mirror of the first axis.
        let turn = |v: &[f64]| {
            let mut out = v.to_vec();
            (out[0], out[1]) = (-cos * v[0] - sin * v[1], -sin * v[0] + cos * v[1]);
            out
        };
        let mut order: Vec<usize> = (0..particles).collect();
        order.rotate_left(1);
        order.swap(0, particles - 1);
        let moved: Vec<f64> = order.iter().flat_map(|i| turn(&x[i * space..(i + 1) * space])).collect();
        let after = score(&net, &params, &moved);
        let size = before.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        for (to, &from) in order.iter().enumerate() {
            let want = turn(&before[from * space..(from + 1) * space]);
            for k in 0..space {
                prop_assert!((after[to * space + k] - want[k]).abs() < 1e-10 * size);
            }
        }
        // F itself, as the linear term of a score does see the mean of what it is given.
        let f = |x: &[f64]| {
            let mut tape = Tape::new();
            let mut g = tape.record(params.values());
            let v = g.constant(x.len(), 1, x);
            let f = net.record(&mut g, v, &[0.7]);
            g.value(f).data.to_vec()
        };
        let shifted: Vec<f64> = x.iter().enumerate().map(|(a, v)| v + [3.0, -2.0, 0.5][a % space]).collect();
        let (here, there) = (f(&x), f(&shifted));
        prop_assert!(here.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-10 * size));
        prop_assert!((0..space).all(|k| here.iter().skip(k).step_by(space).sum::<f64>().abs() < 1e-10 * size));
    }
}
