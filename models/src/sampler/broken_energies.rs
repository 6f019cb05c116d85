//! What samplers and measurements make of energies that are broken, and of such as end at a wall.

use engine::Real;

use super::iwsm::{Config, Form, Identity, ScoreMatching};
use super::{Method, MethodConfig, Sampler, SamplerError, adjoint, dds, hmc, smc};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::diffusion::Flow;
use crate::evaluate::{self, EvaluationError};
use crate::mcmc::{Correction, parallel_tempering};
use crate::metrics::mean;
use crate::target::{AnyTarget, Geometry, Target, TargetError};

/// E = |x|^2 / 2 in the plane, but for a fault where `region` says so.
struct Faulty {
    region: fn(f64) -> bool,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// This energy.
    Energy(f64),
    /// This gradient in coordinate 1.
    Gradient(f64),
}

impl<T: Real> Target<T> for Faulty {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(2)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        score.iter_mut().zip(x).for_each(|(s, x)| *s = -*x);
        for l in 0..n {
            log_p[l] = T::of(-0.5) * (x[l] * x[l] + x[n + l] * x[n + l]);
            match self.fault {
                _ if !(self.region)(x[l].f64()) => {}
                // What an energy leaves behind that stops halfway.
                Fault::Energy(e) => (log_p[l], score[l]) = (T::of(-e), T::of(f64::NAN)),
                Fault::Gradient(g) => score[n + l] = T::of(-g),
            }
        }
        Ok(())
    }
}

const METHODS: [&str; 7] = ["iwsm", "idem", "dds", "adjoint", "hmc", "pt", "smc"];
const INF: f64 = f64::INFINITY;

/// A small method of that name.
fn method(name: &str) -> Method {
    let mut config = Config::default();
    (config.network.sigma_data, config.network.sigma_max, config.network.sigma_min) = (1.0, 3.0, 0.05);
    (config.network.mode_scale, config.network.hidden, config.network.space_features) = (0.5, 32, 16);
    (config.train.batch, config.train.draws, config.train.steps) = (128, 64, 600);
    (config.replay.capacity, config.replay.refresh_samples) = (600, 128);
    (config.replay.refresh_steps, config.train.warm_up) = (40, 20);
    let walkers = hmc::Config { walkers: 64, scale: 1.0, leapfrog_steps: 6, warm_up: 100, thin: 5 };
    let ladder = parallel_tempering::Config {
        walkers: 40,
        rungs: 3,
        scale: 1.5,
        leapfrog_steps: 6,
        warm_up: 100,
        thin: 4,
        ..Default::default()
    };
    let particles = smc::Config {
        blocks: 4,
        particles: 64,
        initial_scale: 1.5,
        moves: 3,
        temperatures: 60,
        ..Default::default()
    };
    let mut paths = dds::Settings::begin(Some([1.0, 0.5]));
    (paths.train.batch, paths.train.steps, paths.train.path_steps) = (128, 300, 20);
    (paths.network.hidden, paths.network.space_features) = (32, 16);
    let mut matching = adjoint::Settings::begin(Some([1.0, 0.5]));
    (matching.train.batch, matching.train.steps, matching.replay.capacity) = (128, 600, 600);
    (matching.replay.refresh_samples, matching.replay.refresh_steps) = (128, 40);
    (matching.network.hidden, matching.network.space_features) = (32, 16);
    match name {
        "iwsm" => Method::Iwsm(ScoreMatching(config)),
        "dds" => Method::Dds(paths),
        "adjoint" => Method::Adjoint(matching),
        "idem" => Method::Idem(ScoreMatching(config)),
        "hmc" => Method::Hmc(hmc::Settings { sampler: walkers }),
        "smc" => Method::Smc(smc::Settings { sampler: particles }),
        _ => Method::Pt(parallel_tempering::Settings { sampler: ladder }),
    }
}

/// The sampler after `steps` steps, or at its end.
fn run<'t>(
    method: &Method,
    target: &'t dyn AnyTarget,
    steps: u64,
) -> Result<Box<dyn Sampler + 't>, SamplerError> {
    let mut sampler = method.config().build(target, 4000, 1)?;
    while sampler.done() < sampler.total().min(steps) {
        sampler.step()?;
    }
    Ok(sampler)
}

fn error(name: &str, target: &Faulty) -> String {
    run(&method(name), target, 50).err().map_or(String::new(), |e| e.to_string())
}

/// A text with its point and the numbers left out, and the first coordinate of the point.
fn without_numbers(text: &str) -> (String, f64) {
    let (before, rest) = text.split_once("at point ").unwrap_or((text, ""));
    let (_, rest) = rest.split_once("x = (").unwrap_or(("", rest));
    let (point, after) = rest.split_once(')').unwrap_or((rest, ""));
    let first = point.split(',').next().and_then(|x| x.parse().ok()).unwrap_or(f64::NAN);
    (format!("{before}at point{after}"), first)
}

#[test]
fn an_energy_that_is_no_number_is_an_error_that_names_the_point() {
    // Before, iwsm and idem trained on without the draws, hmc and pt rejected the states or ended with NaN.
    for name in METHODS {
        for (fault, said) in [(f64::NAN, "NaN"), (-INF, "-inf")] {
            let (text, first) =
                without_numbers(&error(name, &Faulty { region: |x| x > 1.0, fault: Fault::Energy(fault) }));
            assert_eq!(
                text,
                format!("the energy is {said} at point: it must be a number, or +inf outside the support"),
                "{name}"
            );
            assert!(first > 1.0, "{name} {first}");
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_an_error_that_names_point_and_coordinate() {
    // Paths take no gradients.
    for name in METHODS.into_iter().filter(|name| *name != "dds") {
        for (fault, said) in [(f64::NAN, "NaN"), (INF, "inf"), (-INF, "-inf")] {
            let (text, first) =
                without_numbers(&error(name, &Faulty { region: |x| x > 1.0, fault: Fault::Gradient(fault) }));
            let (before, after) = text.split_once(", where the energy is ").unwrap_or((&text, ""));
            assert_eq!(
                before,
                format!("the gradient of the energy is {said} in coordinate 1 at point"),
                "{name}"
            );
            assert!(after.ends_with(": it must be finite wherever the energy is"), "{name} {text}");
            assert!(first > 1.0, "{name} {first}");
        }
    }
}

#[test]
fn without_one_finite_energy_a_run_is_an_error() {
    let nowhere = Faulty { region: |_| true, fault: Fault::Energy(INF) };
    let noised = "none of the 128 noised states of step 0 has a finite energy: bring network.sigma_data and network.sigma_max to the scale of the target, or check the energy";
    let starts = "starts of chains has a finite energy: set sampler.scale so that starts, which are drawn about the origin, meet the support";
    for (name, want) in [
        ("iwsm", noised.to_string()),
        ("idem", noised.to_string()),
        (
            "dds",
            "none of the 128 ends of paths of step 0 has a finite energy: bring network.sigma_data to the scale of the target, or check the energy".into(),
        ),
        ("adjoint", noised.replace("noised", "stored")),
        ("hmc", format!("none of the 64 {starts}")),
        ("pt", format!("none of the 120 {starts}")),
        ("smc", "none of the 4000 starts of particles has a finite energy: set sampler.initial_scale so that starts, which are drawn about the origin, meet the support".into()),
    ] {
        assert_eq!(error(name, &nowhere), want, "{name}");
    }
    // Stored states, with and without their weights, and a batch that is picked by its weights.
    for (form, identity, resample) in [
        (Form::Trajectory, Identity::Stored, false),
        (Form::Marginal, Identity::Stored, false),
        (Form::Marginal, Identity::Mixed, true),
    ] {
        for weighted in [true, false] {
            let mut config = Config::default();
            (config.train.batch, config.train.draws, config.replay.capacity) = (128, 16, 200);
            (config.weights.form, config.train.identity) = (form, identity);
            (config.weights.resample, config.replay.first_moves) = (resample, 2);
            let method = match weighted {
                true => Method::Iwsm(ScoreMatching(config)),
                false if form == Form::Marginal => Method::Idem(ScoreMatching(config)),
                false => continue,
            };
            let kind = match (form, identity) {
                (Form::Trajectory, _) => noised.replace("128 noised", "200 stored"),
                (_, Identity::Stored) => noised.replace("noised", "stored"),
                _ => noised.to_string(),
            };
            let said = run(&method, &nowhere, 9).err().unwrap().to_string();
            match weighted && identity == Identity::Stored && form == Form::Marginal {
                true => assert!(said.starts_with("weights.form = marginal weighs noised states"), "{said}"),
                false => assert_eq!(said, kind),
            }
        }
    }
    // A support that hardly any start meets.
    let far = Faulty { region: |x| x < 3.0, fault: Fault::Energy(INF) };
    let mut few = hmc::Config { walkers: 1000, scale: 1.0, leapfrog_steps: 2, warm_up: 1, thin: 1 };
    let said = run(&Method::Hmc(hmc::Settings { sampler: few.clone() }), &far, 1).err().unwrap().to_string();
    assert!(
        said.contains(" of 1000 chains have no start of finite energy in 100 draws: set sampler.scale"),
        "{said}"
    );
    few.scale = 8.0;
    run(&Method::Hmc(hmc::Settings { sampler: few }), &far, 1).unwrap();
}

/// The half-normal law of x_0 > 0 has mean sqrt(2 / pi) and variance 1 - 2 / pi.
const MEAN: f64 = 0.797_884_560_802_865_4;

#[test]
fn a_wall_of_infinite_energy_is_a_boundary_of_the_support() {
    let half = Faulty { region: |x| x < 0.0, fault: Fault::Energy(INF) };
    for name in ["hmc", "pt", "smc"] {
        let sampler = run(&method(name), &half, u64::MAX).unwrap();
        let x = sampler.draw(2000, 0, (0, 0)).unwrap();
        let first: Vec<f64> = x.iter().step_by(2).copied().collect();
        assert!(first.iter().all(|x| *x >= 0.0), "{name}");
        // 40 walkers are independent: five standard errors of their means, as if each were one state.
        let error = 5.0 * (1.0 - MEAN * MEAN).sqrt() / 40f64.sqrt();
        assert!((mean(&first) - MEAN).abs() < error, "{name} {}", mean(&first));
        let d = sampler.diagnostics();
        assert!(d.figures.iter().all(|(_, v, e)| v.is_finite() && e.is_none_or(f64::is_finite)), "{d:?}");
        // Z is half of 2 pi.
        assert!(
            d.log_z.is_none_or(
                |z| (z.value - std::f64::consts::PI.ln()).abs() < 5.0 * z.error() && z.error() < 0.2
            ),
            "{d:?}"
        );
    }
    for name in ["iwsm", "idem"] {
        let mut sampler = run(&method(name), &half, u64::MAX).unwrap();
        let x = sampler.draw(2000, 60, (3, 0)).unwrap();
        let first: Vec<f64> = x.iter().step_by(2).copied().collect();
        let inside = first.iter().filter(|x| **x >= 0.0).count() as f64 / first.len() as f64;
        // A network has no wall, and leaves some states behind it: weights know them.
        assert!(inside > 0.85 && (mean(&first) - MEAN).abs() < 0.2, "{name} {inside} {}", mean(&first));
        let learned = sampler.learned().unwrap();
        let (x, log_w) = learned.weighted(2000, 60, (3, 0)).unwrap();
        assert!(x.chunks(2).zip(&log_w).all(|(x, w)| (x[0] < 0.0) == (*w == -INF)), "{name}");
        assert!(learned.parameters().iter().all(|p| p.is_finite()), "{name}");
    }
    // Paths end behind the wall less and less; adjoint matching does not see it. Weights know it in both.
    for (name, least) in [("dds", 0.8), ("adjoint", 0.4)] {
        let mut sampler = run(&method(name), &half, u64::MAX).unwrap();
        let (x, log_w) = sampler.learned().unwrap().weighted(8000, 20, (3, 0)).unwrap();
        let inside = x.chunks(2).filter(|x| x[0] >= 0.0).count() as f64 / 8000.0;
        assert!(x.chunks(2).zip(&log_w).all(|(x, w)| (x[0] < 0.0) == (*w == -INF)), "{name}");
        let w: Vec<f64> = log_w.iter().map(|l| l.exp()).collect();
        let sum = x.chunks(2).zip(&w).filter(|(_, w)| **w > 0.0).map(|(x, w)| x[0] * w).sum::<f64>();
        let weighted = sum / w.iter().sum::<f64>();
        assert!(inside > least && (weighted - MEAN).abs() < 0.06, "{name} {inside} {weighted}");
    }
    // Stored states alone cannot tell where the wall is. Their weights can.
    let mut config = Config::default();
    (config.train.batch, config.train.steps, config.replay.capacity) = (128, 600, 1000);
    (config.weights.form, config.train.identity) = (Form::Trajectory, Identity::Stored);
    (config.network.sigma_data, config.network.sigma_max, config.network.mode_scale) = (1.0, 3.0, 0.5);
    (config.network.sigma_min, config.replay.refresh_every, config.replay.refresh_samples) = (0.02, 20, 200);
    let sampler = run(&Method::Iwsm(ScoreMatching(config.clone())), &half, u64::MAX).unwrap();
    let x = sampler.draw(2000, 60, (3, 0)).unwrap();
    let first: Vec<f64> = x.iter().step_by(2).copied().collect();
    let inside = first.iter().filter(|x| **x >= 0.0).count() as f64 / first.len() as f64;
    assert!(inside > 0.85 && (mean(&first) - MEAN).abs() < 0.1, "{inside} {}", mean(&first));
    let said = run(
        &Method::Idem(ScoreMatching({
            config.weights.form = Form::Marginal;
            config
        })),
        &half,
        40,
    );
    let said = said.err().unwrap().to_string();
    assert!(
        said.ends_with(
            " of the 128 stored states of step 0 have an infinite energy, and a score by stored states misses such a wall: set train.identity = denoising and weights.form = marginal"
        ),
        "{said}"
    );
}

#[test]
fn a_gradient_of_any_finite_size_makes_no_nan() {
    for name in METHODS {
        for size in [1e30, -1e30, 1e15] {
            let steep = Faulty { region: |x| x > 1.0, fault: Fault::Gradient(size) };
            let mut sampler = run(&method(name), &steep, 60).unwrap();
            assert!(
                sampler.step_figures().iter().all(|(_, v)| v.is_finite()),
                "{name} {:?}",
                sampler.step_figures()
            );
            if let Some(learned) = sampler.learned() {
                assert!(learned.parameters().iter().all(|p| p.is_finite()), "{name}");
            } else {
                let states = match name {
                    "hmc" => 64,
                    "pt" => 120,
                    _ => 4000,
                };
                let x = sampler.checkpoint().get_vec::<f64>("x", 2 * states).unwrap();
                assert!(x.iter().all(|x| x.is_finite()), "{name}");
            }
        }
    }
}

#[test]
fn measurements_of_states_without_a_finite_energy_are_errors() {
    let nowhere = Faulty { region: |_| true, fault: Fault::Energy(INF) };
    let broken = Faulty { region: |x| x == 1.0, fault: Fault::Energy(f64::NAN) };
    let x = vec![1.0; 8];
    let astray = "none of the 4 samples has a finite energy: sample longer, or check the energy where samples should lie";
    assert_eq!(evaluate::energies(&nowhere, &x).unwrap_err().to_string(), astray);
    assert_eq!(
        evaluate::energies(&broken, &x).unwrap_err().to_string(),
        "the energy is NaN at point 0 of 4, x = (1.0, 1.0): it must be a number, or +inf outside the support"
    );
    assert_eq!(evaluate::particles::energies(&nowhere, &x).unwrap_err().to_string(), astray);
    let sizes = evaluate::Sizes { sets: 1, set_size: 4, flow_samples: 16 };
    let figures = evaluate::sample_figures(&nowhere, &x, &x, &evaluate::Floors::default(), sizes);
    assert!(matches!(figures, Err(EvaluationError::Target(TargetError::Outside(_)))), "{figures:?}");
    let correction = Correction { moves: 1, leapfrog: 1, step: 0.1, jumps: 0, seed: 0 };
    assert_eq!(
        correction
            .apply(&engine::ranks::Solo, &nowhere, &[-INF; 4], &mut x.clone(), &|_, _| Ok(0.0))
            .unwrap_err()
            .to_string(),
        "none of the 4 samples to correct has a finite energy: train longer"
    );
    // A model that has learned something, measured on a target that has lost its support.
    static GONE: AtomicBool = AtomicBool::new(false);
    let sound = Faulty { region: |_| GONE.load(Ordering::Relaxed), fault: Fault::Energy(INF) };
    let mut sampler = run(&method("iwsm"), &sound, 2).unwrap();
    let learned = sampler.learned().unwrap();
    let flow: Flow<'_, f32> = learned.flow(4);
    assert_eq!(
        evaluate::flow_figures(&nowhere, None, &flow, sizes, 0).unwrap_err().to_string(),
        "none of the 16 samples of the flow has a finite energy: sample longer, or check the energy where samples should lie"
    );
    GONE.store(true, Ordering::Relaxed);
    assert_eq!(
        learned.weighted(16, 4, (0, 0)).unwrap_err().to_string(),
        "none of the 16 samples of the model has a finite energy: train longer, or check the energy where samples should lie"
    );
}

#[test]
fn the_point_that_is_named_does_not_depend_on_the_threads() {
    let broken = Faulty { region: |x| x > 0.5, fault: Fault::Energy(f64::NAN) };
    for name in METHODS {
        let said = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| error(name, &broken))
        };
        assert_eq!(said(1), said(3), "{name}");
    }
}
