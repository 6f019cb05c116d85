//! The score network: gradients in states and parameters, density of its flow.

use engine::Params;
use engine::rng::Stream;
use models::diffusion::{DenoisingError, Flow, ReverseProcess, Schedule, ScoreModel};
use models::importance::normalised_ess;
use models::score::{MlpConfig, ScoreMlp};
use models::target::Geometry;
use proptest::prelude::*;

use crate::cases::cases;
use crate::networks::{directional, normals};

fn network(dim: usize, space: usize) -> (ScoreMlp<f64>, Params<f64>) {
    let config = MlpConfig {
        dim,
        hidden: 9,
        layers: 2,
        time_features: 3,
        space_features: space,
        sigma_data: 3.0,
        mode_scale: 0.7,
        sigma_range: (0.05, 20.0),
    };
    let mut params = Params::new();
    let network = ScoreMlp::new(config, &mut params, 1);
    // The last layer begins at zero, which would hide everything before it.
    Stream::new(2, "params", 0, 0).fill_normal(params.values_mut());
    params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
    (network, params)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn gradients_are_right_along_random_directions(dim in 1_usize..5, n in 1_usize..20, space in 0_usize..19, seed in 0_u64..999) {
        let (net, params) = network(dim, space);
        let (x, w) = (normals(dim * n, seed), normals(dim * n, seed + 1));
        let sigma: Vec<f64> = (0..n).map(|i| 0.05 * 1.3f64.powi(i as i32)).collect();
        let (numeric, analytic) = directional(&net, params.values(), (&x, &sigma, &w), seed + 2);
        prop_assert!((numeric - analytic).abs() < 1e-6 * analytic.abs().max(1.0), "{numeric} {analytic}");
    }
}

/// A network whose last layer is zero gives the score of N(0, (sigma^2 + sigma_data^2) I) exactly.
fn gaussian() -> (ScoreMlp<f64>, Params<f64>) {
    let (_, mut params) = network(2, 5);
    let mut fresh = Params::new();
    let config = network(2, 5).0.config().clone();
    let net = ScoreMlp::new(config, &mut fresh, 1);
    params.values_mut().copy_from_slice(fresh.values());
    (net, params)
}

#[test]
fn the_flow_of_a_gaussian_has_its_density() {
    let (net, params) = gaussian();
    let schedule = Schedule { sigma_min: 0.05, sigma_max: 20.0 };
    let model = ScoreModel { network: &net, params: params.values() };
    let flow = Flow { model, schedule, prior_scale: 20f64.hypot(3.0), steps: 400 };
    let s2 = 9.0 + 0.05 * 0.05;
    let exact = |x: &[f64]| -0.5 * (x[0] * x[0] + x[1] * x[1]) / s2 - (std::f64::consts::TAU * s2).ln();
    let x = normals(200, 1);
    for (x, got) in x.chunks(2).zip(flow.log_density(&x)) {
        assert!((got - exact(x)).abs() < 1e-6, "{got} {}", exact(x));
    }
    let (samples, log_q) = flow.sample(500, (0, 0));
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
