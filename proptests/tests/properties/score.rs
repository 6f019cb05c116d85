//! The score network: gradients in states and parameters, density of its flow.

use engine::rng::Stream;
use engine::{Params, Tape};
use models::diffusion::{DenoisingError, Flow, ReverseProcess, Schedule, ScoreModel};
use models::importance::normalised_ess;
use models::score::{MlpConfig, ScoreMlp, ScoreNetwork, ScoreResidual};
use models::target::Geometry;
use proptest::prelude::*;

use crate::cases::cases;
use crate::networks::{directional, normals};

fn config(dim: usize, space: usize) -> MlpConfig {
    MlpConfig {
        dim,
        hidden: 9,
        layers: 2,
        time_features: 3,
        space_features: space,
        sigma_data: 3.0,
        mode_scale: 0.7,
        sigma_range: (0.05, 20.0),
    }
}

fn network(dim: usize, space: usize) -> (ScoreMlp<f64>, Params<f64>) {
    let mut params = Params::new();
    let network = ScoreMlp::new(config(dim, space), &mut params, 1);
    randomise(&mut params);
    (network, params)
}

/// The last layer begins at zero, which would hide everything before it.
fn randomise(params: &mut Params<f64>) {
    Stream::new(2, "params", 0, 0).fill_normal(params.values_mut());
    params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
}

/// The slope of the network at `n` random states along a random direction: by differences, and by its gradients.
fn slopes(net: &dyn ScoreNetwork<f64>, params: &Params<f64>, n: usize, seed: u64) -> (f64, f64) {
    let (x, w) = (normals(net.dim() * n, seed), normals(net.dim() * n, seed + 1));
    let sigma: Vec<f64> = (0..n).map(|i| 0.05 * 1.3f64.powi(i as i32)).collect();
    directional(net, params.values(), (&x, &sigma, &w), seed + 2)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn gradients_are_right_along_random_directions(dim in 1_usize..5, n in 1_usize..20, space in 0_usize..19, seed in 0_u64..999) {
        let (net, params) = network(dim, space);
        let (numeric, analytic) = slopes(&net, &params, n, seed);
        prop_assert!((numeric - analytic).abs() < 1e-6 * analytic.abs().max(1.0), "{numeric} {analytic}");
    }

    #[test]
    fn gradients_of_residual_blocks_are_right(
        (dim, n) in (1_usize..5, 1_usize..20),
        (space, blocks) in (0_usize..19, 0_usize..4),
        seed in 0_u64..999,
    ) {
        let mut params = Params::new();
        let net = ScoreResidual::new(MlpConfig { layers: blocks, ..config(dim, space) }, &mut params, 1);
        randomise(&mut params);
        let (numeric, analytic) = slopes(&net, &params, n, seed);
        prop_assert!((numeric - analytic).abs() < 1e-6 * analytic.abs().max(1.0), "{numeric} {analytic}");
    }
}

/// F(x).
fn outputs(net: &dyn ScoreNetwork<f64>, params: &[f64], (x, sigma): (&[f64], &[f64])) -> Vec<f64> {
    let mut tape = Tape::new();
    let mut rec = tape.record(params);
    let x = rec.constant(net.dim(), sigma.len(), x);
    let f = net.record(&mut rec, x, sigma);
    rec.value(f).data.to_vec()
}

/// The formula in the network's doc comment, by loops.
#[test]
fn residual_blocks_are_those_of_their_formula() {
    let (dim, n) = (3, 4);
    let mut params = Params::new();
    let net = ScoreResidual::new(MlpConfig { layers: 2, ..config(dim, 5) }, &mut params, 1);
    randomise(&mut params);
    let (x, sigma) = (normals(dim * n, 3), [0.1, 0.4, 2.0, 15.0]);
    // The features are those of an MLP without hidden layers and with the identity for its last one.
    let mut plain = Params::new();
    let rows = dim + 6 + 10;
    let mlp = ScoreMlp::new(MlpConfig { layers: 0, ..config(dim, 5) }, &mut plain, 1);
    let mut features = vec![vec![0.0; rows]; n];
    for row in 0..rows {
        // Weights lie column after column.
        plain.values_mut().fill(0.0);
        plain.values_mut()[row * dim] = 1.0;
        let out = outputs(&mlp, plain.values(), (&x, &sigma));
        (0..n).for_each(|j| features[j][row] = out[j * dim]);
    }
    let mut at = 0;
    let mut next = |rows: usize, columns: usize| {
        let w: Vec<f64> = params.values()[at..at + rows * columns].to_vec();
        let b: Vec<f64> = params.values()[at + rows * columns..][..rows].to_vec();
        at += rows * columns + rows;
        move |x: &[f64]| -> Vec<f64> {
            (0..rows).map(|i| b[i] + (0..columns).map(|k| w[k * rows + i] * x[k]).sum::<f64>()).collect()
        }
    };
    let silu = |x: Vec<f64>| -> Vec<f64> { x.into_iter().map(|x| x / (1.0 + (-x).exp())).collect() };
    let h = 9;
    let first = next(h, rows);
    let blocks = [[next(h, h), next(h, h)], [next(h, h), next(h, h)]];
    let last = next(dim, h);
    let found = outputs(&net, params.values(), (&x, &sigma));
    for (features, found) in features.iter().zip(found.chunks(dim)) {
        let mut state = first(features);
        for [inner, outer] in &blocks {
            let change = outer(&silu(inner(&silu(state.clone()))));
            state.iter_mut().zip(change).for_each(|(s, c)| *s += c);
        }
        for (want, found) in last(&silu(state)).iter().zip(found) {
            assert!((want - found).abs() < 1e-10 * want.abs().max(1.0), "{want} {found}");
        }
    }
}

/// A network whose last layer is zero gives the score of N(0, (sigma^2 + sigma_data^2) I) exactly.
fn gaussian() -> (ScoreMlp<f64>, Params<f64>) {
    let (_, mut params) = network(2, 5);
    let mut fresh = Params::new();
    let net = ScoreMlp::new(config(2, 5), &mut fresh, 1);
    params.values_mut().copy_from_slice(fresh.values());
    (net, params)
}

#[test]
fn the_flow_of_a_gaussian_has_its_density() {
    let (net, params) = gaussian();
    let schedule = Schedule { sigma_min: 0.05, sigma_max: 20.0 };
    let model = ScoreModel { network: &net, params: params.values() };
    let flow =
        Flow { model, schedule, prior_scale: 20f64.hypot(3.0), steps: 400, ranks: &engine::ranks::Solo };
    let s2 = 9.0 + 0.05 * 0.05;
    let exact = |x: &[f64]| -0.5 * (x[0] * x[0] + x[1] * x[1]) / s2 - (std::f64::consts::TAU * s2).ln();
    let x = normals(200, 1);
    for (x, got) in x.chunks(2).zip(flow.log_density(&x).unwrap()) {
        assert!((got - exact(x)).abs() < 1e-6, "{got} {}", exact(x));
    }
    let (samples, log_q) = flow.sample(500, (0, 0)).unwrap();
    for (x, got) in samples.chunks(2).zip(&log_q) {
        assert!((got - exact(x)).abs() < 1e-6, "{got} {}", exact(x));
    }
    let rms = (samples.iter().map(|x| x * x).sum::<f64>() / 1000.0).sqrt();
    assert!((rms / s2.sqrt() - 1.0).abs() < 5.0 / 2000f64.sqrt(), "{rms}");
}

#[test]
fn the_reverse_sde_of_a_gaussian_samples_it_in_few_steps() {
    let (net, params) = gaussian();
    let schedule = Schedule { sigma_min: 0.05, sigma_max: 20.0 };
    let model = ScoreModel { network: &net, params: params.values() };
    let error = DenoisingError::gaussian(Geometry::Euclidean(2), schedule, 3.0);
    let reverse = ReverseProcess { model, schedule, prior_scale: 20f64.hypot(3.0), error: &error };
    const N: usize = 20_000;
    for steps in [10, 40] {
        let (mut x, mut log_w) = (vec![0.0; 2 * N], vec![0.0; N]);
        reverse.paths(steps, (3, 0), &mut x, &mut log_w);
        let variance = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        // With the variance of the posterior of a Gaussian each step is exact but for r between two levels of the
        // table. Five standard errors of a variance are 5 sqrt(2 / 40 000) = 3.5 %; with the least variance of a step
        // it is low by 37 % in ten steps.
        assert!((variance / 9.0 - 1.0).abs() < 0.036, "{steps}: {variance}");
        // Weights of an exact process are all 1.
        for (x, w) in x.chunks_exact(2).zip(&mut log_w) {
            *w += -0.5 * (x[0] * x[0] + x[1] * x[1]) / 9.0 - (std::f64::consts::TAU * 9.0).ln();
        }
        assert!(normalised_ess(&log_w) > 0.99, "{steps}: {}", normalised_ess(&log_w));
    }
}
