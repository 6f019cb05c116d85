//! Weights of paths, with scores that are wrong, and what tuning makes of them.

use engine::Params;
use engine::rng::Stream;

use super::{DenoisingError, ReverseProcess, Schedule, ScoreModel};
use crate::importance::{log_mean_exp, normalised_ess};
use crate::score::{MlpConfig, ScoreMlp};
use crate::target::{Geometry, Mixture, Target};

const SCHEDULE: Schedule = Schedule { sigma_min: 0.02, sigma_max: 12.0 };
const PRIOR: f64 = 12.5;

/// A network that has learnt nothing: the score of N(0, (sigma^2 + 3^2) I), disturbed by random numbers of size `noise`.
fn wrong(noise: f64) -> (ScoreMlp<f64>, Params<f64>) {
    let mut params = Params::new();
    let config = MlpConfig {
        dim: 2,
        hidden: 16,
        layers: 2,
        time_features: 4,
        space_features: 4,
        sigma_data: 3.0,
        mode_scale: 1.0,
        sigma_range: (SCHEDULE.sigma_min, SCHEDULE.sigma_max),
    };
    let net = ScoreMlp::new(config, &mut params, 1);
    let mut disturbance = vec![0.0; params.len()];
    Stream::new(2, "disturbance", 0, 0).fill_normal(&mut disturbance);
    params.values_mut().iter_mut().zip(&disturbance).for_each(|(p, z)| *p += noise * z);
    (net, params)
}

/// Two Gaussians of unequal weight and width; Z = 1.
fn target() -> Mixture {
    Mixture::new(2, vec![1.5, 0.0, -1.5, 0.5], vec![1.0, 0.7], vec![0.7, 0.3]).unwrap()
}

fn even(scale: f64) -> DenoisingError {
    DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, scale)
}

/// Errors of a Gaussian's denoiser, with levels that are dense where t is small.
fn uneven(scale: f64) -> DenoisingError {
    let mut error = even(scale);
    let last = (error.spacing().shares().len() - 1) as f64;
    let shares: Vec<f64> = (0..=last as usize).map(|k| (k as f64 / last).sqrt()).collect();
    assert!(error.restore_spacing(&shares));
    error
}

fn log_weights(reverse: ReverseProcess<f64>, n: usize, steps: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut log_w, mut log_p) = (vec![0.0; 2 * n], vec![0.0; n], vec![0.0; n]);
    reverse.paths(steps, (seed, 0), &mut x, &mut log_w);
    target().evaluate(&x, &mut log_p, &mut []).unwrap();
    log_w.iter_mut().zip(&log_p).for_each(|(w, p)| *w += p);
    (x, log_w)
}

#[test]
fn weights_of_paths_have_the_mean_z_for_any_score_and_any_variances() {
    for (noise, scale) in [(0.0, 3.0), (0.05, 3.0), (0.0, 0.5)] {
        let (net, params) = wrong(noise);
        let model = ScoreModel { network: &net, params: params.values() };
        let error = if noise > 0.0 { uneven(scale) } else { even(scale) };
        let reverse = ReverseProcess { model, schedule: SCHEDULE, prior_scale: PRIOR, error: &error };
        let (x, log_w) = log_weights(reverse, 60_000, 30, 4);
        let w: Vec<f64> = log_w.iter().map(|l| l.exp()).collect();
        let estimate = |f: &dyn Fn(usize) -> f64| {
            let v: Vec<f64> = (0..w.len()).map(|i| w[i] * f(i)).collect();
            let mean = v.iter().sum::<f64>() / v.len() as f64;
            let sd = (v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / v.len() as f64).sqrt();
            (mean, sd / (v.len() as f64).sqrt())
        };
        // Z, and the mass of the right half plane, 0.7 Phi(1.5) + 0.3 Phi(-1.5 / 0.7).
        for ((mean, se), want) in [
            (estimate(&|_| 1.0), 1.0),
            (estimate(&|i| if x[2 * i] > 0.0 { 1.0 } else { 0.0 }), 0.7 * 0.933_193 + 0.3 * 0.016_062),
        ] {
            assert!(
                (mean - want).abs() < 5.0 * se && se < 0.05,
                "{noise} {scale}: {mean} +- {se}, not {want}"
            );
        }
        // Not a trivial case.
        assert!(normalised_ess(&log_w) < 0.9, "{}", normalised_ess(&log_w));
    }
}

#[test]
fn tuned_variances_make_weights_more_even_and_leave_their_mean() {
    let (net, params) = wrong(0.02);
    let model = ScoreModel { network: &net, params: params.values() };
    // The least variances, as if the denoiser made no error.
    let mut least = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 1e-6);
    let process = |error| ReverseProcess { model, schedule: SCHEDULE, prior_scale: PRIOR, error };
    let n = 4000;
    let (mut states, mut log_p) = (vec![0.0; 2 * n], vec![0.0; n]);
    assert!(target().sample(&mut Stream::new(5, "states", 0, 0), &mut states));
    target().evaluate(&states, &mut log_p, &mut []).unwrap();
    let fitted = least.fitted(model, SCHEDULE, &states, 1.0, (6, 0));
    let tuned = process(&fitted).tuned(&states, &log_p, 20, (7, 0));
    // The same levels for all three.
    assert!(least.restore_spacing(fitted.spacing().shares()) && tuned.spacing() == fitted.spacing());
    let [least, fitted, tuned] = [&least, &fitted, &tuned].map(|e| log_weights(process(e), 20_000, 20, 8).1);
    let ess = [&least, &fitted, &tuned].map(|w| normalised_ess(w));
    assert!(ess[0] < 0.5 * ess[1] && ess[1] < ess[2], "{ess:?}");
    // The standard error of log Z is sqrt((1 / share - 1) / n).
    let se = ((1.0 / ess[2] - 1.0) / 20_000.0).sqrt();
    assert!(log_mean_exp(&tuned).abs() < 5.0 * se && se < 0.02, "{} +- {se}", log_mean_exp(&tuned));
}

#[test]
fn jumps_leave_the_target_as_it_is_and_reach_it_from_one_mode() {
    let (net, params) = wrong(0.02);
    let model = ScoreModel { network: &net, params: params.values() };
    let error = uneven(3.0);
    let reverse = ReverseProcess { model, schedule: SCHEDULE, prior_scale: PRIOR, error: &error };
    let n = 6000;
    let mut exact = vec![0.0; 2 * n];
    assert!(target().sample(&mut Stream::new(5, "states", 0, 0), &mut exact));
    // All in the lighter mode.
    let mut light = vec![0.0; 2 * n];
    Stream::new(6, "states", 0, 0).fill_normal(&mut light);
    light.chunks_exact_mut(2).for_each(|x| (x[0], x[1]) = (0.7 * x[0] - 1.5, 0.7 * x[1] + 0.5));
    for (mut x, jumps) in [(exact, 3), (light, 40)] {
        for k in 0..jumps {
            let acceptance = reverse.jump(&target(), 20, (7, k), &mut x).unwrap();
            assert!((0.1..0.9).contains(&acceptance), "{acceptance}");
        }
        let right = x.chunks_exact(2).filter(|x| x[0] > 0.0).count() as f64 / n as f64;
        // 0.7 Phi(1.5) + 0.3 Phi(-1.5 / 0.7), and five standard errors of independent states.
        let want: f64 = 0.7 * 0.933_193 + 0.3 * 0.016_062;
        assert!((right - want).abs() < 5.0 * (want * (1.0 - want) / n as f64).sqrt(), "{right} {want}");
    }
}

#[test]
fn the_table_is_that_of_a_gaussian_when_the_score_is() {
    // x_0 ~ N(0, 3^2 I) and the exact denoiser: r = 9 / (9 + sigma^2) in each coordinate.
    let (net, params) = wrong(0.0);
    let model = ScoreModel { network: &net, params: params.values() };
    let mut states = vec![0.0; 2 * 20_000];
    Stream::new(9, "states", 0, 0).fill_normal(&mut states);
    states.iter_mut().for_each(|x| *x *= 3.0);
    let geometry = Geometry::Euclidean(2);
    let error = DenoisingError::gaussian(geometry, SCHEDULE, 0.1);
    let error = error.fitted(model, SCHEDULE, &states, 1.0, (1, 0));
    let want = DenoisingError::gaussian(geometry, SCHEDULE, 3.0);
    // Five standard errors of a variance from 20 000 states.
    assert!(error.table().iter().zip(want.table()).all(|(a, b)| (a - b).abs() < 0.05));
    let mut v = [0.0; 2];
    want.variances(SCHEDULE, 4.0, 2.0, &mut v);
    // Of a Gaussian: var(x' | x) = (9 + 4) - (9 + 4)^2 / (9 + 16); r is interpolated.
    assert!((v[0] - 6.24).abs() < 0.02, "{v:?}");
}

#[test]
fn a_state_that_is_lost_does_not_decide_the_table() {
    let (net, params) = wrong(0.0);
    let model = ScoreModel { network: &net, params: params.values() };
    let mut states = vec![0.0; 2 * 400];
    Stream::new(9, "states", 0, 0).fill_normal(&mut states);
    let error = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 0.1);
    let without = error.fitted(model, SCHEDULE, &states, 1.0, (1, 0));
    // The denoiser shrinks it by thousands; with it r would be larger by a factor of a thousand and more.
    states[..2].copy_from_slice(&[1e4, 1e4]);
    let with = error.fitted(model, SCHEDULE, &states, 1.0, (1, 0));
    for knot in (SCHEDULE.time(1.0) * 32.0) as usize..33 {
        let [a, b] = [&with, &without].map(|e| e.table()[2 * knot]);
        assert!((a - b).abs() < 0.1, "{knot}: {a} {b}");
    }
}

#[test]
fn states_whose_mode_is_mistaken_count_and_errors_that_are_no_number_do_not() {
    // Two modes 20 apart of width 1 under noise of 5 in the plane: a mistake is 400, most states are off by 1 or less.
    let squares = vec![vec![0.5, 400.0, 1.0], vec![-f64::NAN, 1e6, 0.0, f64::INFINITY]];
    let want = vec![vec![true; 3], vec![false, false, true, false]];
    assert_eq!(super::denoising_error::kept(squares, 2.0 * 25.0), want);
    assert!(super::denoising_error::kept(vec![vec![0.0; 3]], 1.0)[0].iter().all(|kept| *kept));
    assert!(super::denoising_error::kept(Vec::new(), 1.0).is_empty());
}

#[test]
fn the_least_variances_are_those_of_steps_to_a_known_state() {
    let error = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 3.0);
    let mut v = [0.0; 2];
    error.least().variances(SCHEDULE, 2.0, 1.0, &mut v);
    // (4 - 1) 1 / 4.
    assert!(v.iter().all(|v| (v - 0.75).abs() < 1e-4), "{v:?}");
    assert_eq!(error.least().spacing(), error.spacing());
}

#[test]
fn populations_along_the_reverse_path_find_z_and_the_shares_of_modes() {
    let (net, params) = wrong(0.02);
    let model = ScoreModel { network: &net, params: params.values() };
    let error = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 3.0);
    let reverse = ReverseProcess { model, schedule: SCHEDULE, prior_scale: PRIOR, error: &error };
    let (lookahead, spent) = reverse.lookahead(&target(), 30, 1000, (3, 0)).unwrap();
    assert_eq!(spent, 21 * 1000);
    let found = reverse.populations(&target(), &lookahead, 30, (60, 500), (4, 0)).unwrap();
    assert!(found.evaluations > 30_000 && found.evaluations <= spent * 30);
    let (log_z, se) = found.log_z();
    assert!(log_z.abs() < 5.0 * se && se < 0.05, "{log_z} +- {se}");
    // What states foretell is used: final weights are more even than those of plain paths, and the share by the
    // scatter of populations is one.
    let plain = normalised_ess(&log_weights(reverse, 30_000, 30, 4).1);
    assert!(normalised_ess(&found.log_w) > 1.2 * plain, "{} {plain}", normalised_ess(&found.log_w));
    assert!(found.share() > plain && found.share() < 1.0, "{} {plain}", found.share());
    // The mass of the right half plane, with an error from the scatter of populations too.
    let of = |k: usize| -> f64 {
        let range = k * 500..(k + 1) * 500;
        range.filter(|i| found.states[2 * i] > 0.0).map(|i| found.log_w[i].exp()).sum::<f64>() / 500.0
    };
    let right: Vec<f64> = (0..60).map(of).collect();
    let mean = right.iter().sum::<f64>() / 60.0;
    let sd = (right.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 59.0).sqrt();
    let want = 0.7 * 0.933_193 + 0.3 * 0.016_062;
    assert!((mean - want).abs() < 5.0 * sd / 60f64.sqrt(), "{mean} {want}");
}

#[test]
fn populations_find_the_volume_of_a_box_whose_walls_nothing_foretells() {
    let (net, params) = wrong(0.02);
    let model = ScoreModel { network: &net, params: params.values() };
    let error = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 3.0);
    let reverse = ReverseProcess { model, schedule: SCHEDULE, prior_scale: PRIOR, error: &error };
    let target = crate::target::UniformBox { dim: 2 };
    let (lookahead, _) = reverse.lookahead(&target, 30, 1000, (3, 0)).unwrap();
    let found = reverse.populations(&target, &lookahead, 30, (40, 500), (4, 0)).unwrap();
    // Energies of states outside are infinite.
    assert!(found.log_w.contains(&f64::NEG_INFINITY));
    let (log_z, se) = found.log_z();
    assert!((log_z - 4f64.ln()).abs() < 5.0 * se && se < 0.05, "{log_z} +- {se}");
    // The same on one thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let alone = pool.install(|| reverse.populations(&target, &lookahead, 30, (40, 500), (4, 0)).unwrap());
    assert_eq!(alone.log_w, found.log_w);
    assert_eq!(alone.states, found.states);
}
