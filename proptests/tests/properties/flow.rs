//! The density of a flow whose network has random parameters, so that its divergence matters: it integrates to
//! one, and samples bring their own.

use engine::Params;
use engine::rng::Stream;
use models::diffusion::{Flow, Schedule, ScoreModel};
use models::evaluate::{Sizes, flow_figures};
use models::score::{Centred, MlpConfig, ScoreMlp, ScoreNetwork};
use models::target::{ParticleSystem, Pointwise};

const RANGE: (f64, f64) = (0.3, 10.0);
const SIGMA_DATA: f64 = 1.5;

fn network(dim: usize) -> (ScoreMlp<f64>, Params<f64>) {
    let config = MlpConfig {
        dim,
        hidden: 9,
        layers: 2,
        time_features: 3,
        space_features: 4,
        sigma_data: SIGMA_DATA,
        mode_scale: 1.0,
        sigma_range: RANGE,
    };
    let mut params = Params::new();
    let network = ScoreMlp::new(config, &mut params, 1);
    // The last layer begins at zero: the score would be that of a Gaussian.
    Stream::new(2, "params", 0, 0).fill_normal(params.values_mut());
    params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
    (network, params)
}

fn flow<'a>(network: &'a dyn ScoreNetwork<f64>, params: &'a Params<f64>, steps: usize) -> Flow<'a, f64> {
    let schedule = Schedule { sigma_min: RANGE.0, sigma_max: RANGE.1 };
    let model = ScoreModel { network, params: params.values() };
    Flow { model, schedule, prior_scale: RANGE.1.hypot(SIGMA_DATA), steps, ranks: &engine::ranks::Solo }
}

/// The integral of the density over the line or plane that the orthonormal `axes` span, by the midpoint rule,
/// which converges fast for smooth densities, with the second moment.
fn moments(flow: &Flow<f64>, axes: &[&[f64]], (reach, points): (f64, usize)) -> (f64, f64) {
    let h = 2.0 * reach / points as f64;
    let place = |k: usize| -reach + (k as f64 + 0.5) * h;
    let mut x = Vec::new();
    for i in 0..points.pow(axes.len() as u32) {
        let coordinates = [place(i % points), place(i / points)];
        x.extend(
            (0..axes[0].len()).map(|a| axes.iter().zip(coordinates).map(|(e, c)| e[a] * c).sum::<f64>()),
        );
    }
    let weights: Vec<f64> =
        flow.log_density(&x).unwrap().iter().map(|l| l.exp() * h.powi(axes.len() as i32)).collect();
    let squares = x.chunks_exact(axes[0].len()).map(|x| x.iter().map(|v| v * v).sum::<f64>());
    (weights.iter().sum(), squares.zip(&weights).map(|(s, w)| s * w).sum())
}

#[test]
fn the_density_integrates_to_one() {
    let (net, params) = network(1);
    let (mass, square) = moments(&flow(&net, &params, 40), &[&[1.0]], (25.0, 1000));
    assert!((mass - 1.0).abs() < 1e-6, "{mass}");
    // No Gaussian of the score's linear part, whose second moment would be this.
    let gaussian = SIGMA_DATA.powi(2) + RANGE.0.powi(2);
    assert!((square / gaussian - 1.0).abs() > 0.05, "{square}");

    let (net, params) = network(2);
    let (mass, _) = moments(&flow(&net, &params, 40), &[&[1.0, 0.0], &[0.0, 1.0]], (20.0, 100));
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
}

#[test]
fn the_density_of_mean_free_states_integrates_to_one_over_their_subspace() {
    let system = |particles| ParticleSystem { particles, space: 1 };
    let (s, t) = (0.5f64.sqrt(), 6f64.sqrt().recip());
    let (net, params) = network(2);
    let net = Centred::new(Box::new(net), system(2));
    let (mass, _) = moments(&flow(&net, &params, 40), &[&[s, -s]], (25.0, 1000));
    assert!((mass - 1.0).abs() < 1e-6, "{mass}");
    let (net, params) = network(3);
    let net = Centred::new(Box::new(net), system(3));
    let axes: [&[f64]; 2] = [&[s, -s, 0.0], &[t, t, -2.0 * t]];
    let (mass, _) = moments(&flow(&net, &params, 40), &axes, (20.0, 100));
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
}

#[test]
fn samples_bring_the_density_that_they_have() {
    let (net, params) = network(2);
    let flow = flow(&net, &params, 200);
    let (x, log_q) = flow.sample(50, (3, 0)).unwrap();
    for (there, back) in log_q.iter().zip(flow.log_density(&x).unwrap()) {
        assert!((there - back).abs() < 1e-5, "{there} {back}");
    }
}

#[test]
fn figures_of_a_gaussian_flow_are_the_known_ones() {
    // A network whose last layer is zero gives the score of N(0, s2 I) exactly.
    let mut params = Params::new();
    let net = ScoreMlp::new(network(2).0.config().clone(), &mut params, 1);
    let flow = flow(&net, &params, 200);
    let s2 = SIGMA_DATA.powi(2) + RANGE.0.powi(2);
    // The target exp(-|x|^2 / 2 r s2): Z = 2 pi r s2, and of weights of scale a = 1 / r - 1 in two dimensions the
    // effective share is (1 + 2 a) / (1 + a)^2.
    for (r, share) in [(1.0, 1.0), (0.8, 0.96)] {
        let energy = Pointwise::new(2, move |x: &[f64], g: &mut [f64]| {
            (g[0], g[1]) = (x[0] / (r * s2), x[1] / (r * s2));
            (x[0] * x[0] + x[1] * x[1]) / (2.0 * r * s2)
        });
        let (x, log_q) = flow.sample(4000, (5, 0)).unwrap();
        let energies: Vec<f64> = log_q.iter().map(|l| -l).collect();
        let sizes = Sizes { sets: 1, set_size: 1, flow_samples: 20_000 };
        let figures = flow_figures(&energy, Some((&x, &energies)), &flow, sizes, 1).unwrap();
        let named = |name: &str| figures.iter().find(|f| f.name == name).unwrap();
        let value = |name: &str| named(name).value;
        let log_z = (std::f64::consts::TAU * r * s2).ln();
        assert!(
            (value("log_z") - log_z).abs() < 5.0 * named("log_z").sd.unwrap() + 1e-5,
            "{}",
            value("log_z")
        );
        assert!((value("ess") - share).abs() < 0.01, "{}", value("ess"));
        let entropy = 1.0 + (std::f64::consts::TAU * s2).ln();
        // |x|^2 / 2 s2 has deviation 1.
        assert!((value("nll") - entropy).abs() < 5.0 / 4000f64.sqrt(), "{}", value("nll"));
    }
}
