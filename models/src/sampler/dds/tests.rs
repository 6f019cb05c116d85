use engine::rng::Stream;

use super::*;
use crate::importance::{LogZ, normalised_ess};
use crate::sampler::{Learned, adjoint};
use crate::target::{Mixture, Target};

/// Two modes of unequal weight and width in the plane; Z = 1. The heavy one has x_0 > 0.
pub(in crate::sampler) fn two_modes() -> Mixture {
    Mixture::new(2, vec![1.5, 0.5, -1.5, -0.5], vec![0.4, 0.6], vec![0.7, 0.3]).unwrap()
}

pub(in crate::sampler) const SHARE: f64 = 0.7;

fn settings() -> Settings {
    let mut s = Settings::begin(Some([1.6, 0.4]));
    (s.train.batch, s.train.steps, s.train.path_steps, s.train.warm_up) = (140, 250, 24, 20);
    (s.network.hidden, s.network.layers, s.network.space_features) = (32, 2, 16);
    s
}

fn small_adjoint() -> adjoint::Settings {
    let mut s = adjoint::Settings::begin(Some([1.6, 0.4]));
    (s.train.batch, s.train.steps, s.replay.capacity) = (140, 40, 300);
    (s.replay.refresh_every, s.replay.refresh_samples, s.replay.refresh_steps) = (10, 140, 12);
    (s.network.hidden, s.network.layers, s.network.space_features) = (16, 2, 8);
    s
}

fn steps(sampler: &mut dyn Sampler, n: usize) {
    for _ in 0..n {
        sampler.step().unwrap();
    }
}

/// Shares of x_0 > 0 of samples, raw and by the weights.
pub(in crate::sampler) fn shares(x: &[f64], log_w: &[f64]) -> [f64; 2] {
    let heavy: Vec<bool> = x.chunks_exact(2).map(|x| x[0] > 0.0).collect();
    let w: Vec<f64> = log_w.iter().map(|l| l.exp()).collect();
    let weighted = w.iter().zip(&heavy).filter(|(_, heavy)| **heavy).map(|(w, _)| w).sum::<f64>();
    let raw = heavy.iter().filter(|heavy| **heavy).count() as f64 / heavy.len() as f64;
    [raw, weighted / w.iter().sum::<f64>()]
}

/// What weights say of samples of a model that has learned the two modes.
pub(in crate::sampler) fn check_two_modes(learned: &dyn Learned, path_steps: usize, raw_error: f64) {
    const N: usize = 8000;
    let (x, log_w) = learned.weighted(N, path_steps, (1, 0)).unwrap();
    let [raw, weighted] = shares(&x, &log_w);
    let (ess, log_z) = (normalised_ess(&log_w), LogZ::of(&log_w));
    // 0.49 by adjoint sampling on this seed, more by paths; the least that counts as having learned.
    assert!(ess > 0.4, "effective share {ess}");
    // Five standard errors of a share with that many effective samples.
    let error = 5.0 * (SHARE * (1.0 - SHARE) / (ess * N as f64)).sqrt();
    assert!((weighted - SHARE).abs() < error, "{weighted} +- {error}");
    assert!((raw - SHARE).abs() < raw_error, "{raw}");
    assert!(log_z.trusted() && log_z.value.abs() < 5.0 * log_z.standard_error, "{log_z}");
}

#[test]
fn an_untrained_model_weighs_states_by_the_target_over_the_gaussian_of_its_reference() {
    let (target, s) = (two_modes(), settings());
    let mut sampler = s.build(&target, 10, 3).unwrap();
    let (x, log_w) = sampler.learned().unwrap().weighted(500, 24, (5, 0)).unwrap();
    let mut log_p = vec![0.0; 500];
    Target::<f64>::evaluate(&target, &x, &mut log_p, &mut []).unwrap();
    let s2 = s.network.sigma_data.powi(2);
    for ((x, w), p) in x.chunks_exact(2).zip(&log_w).zip(&log_p) {
        let gaussian = -0.5 * (x[0] * x[0] + x[1] * x[1]) / s2 - (std::f64::consts::TAU * s2).ln();
        // Variances are interpolated between the noise levels of a table.
        assert!((w - (p - gaussian)).abs() < 0.02, "{w} and {}", p - gaussian);
    }
}

#[test]
fn weights_average_to_the_partition_function_whatever_the_network() {
    for scale in [0.0, 0.05] {
        let target = two_modes();
        for settings in [&settings() as &dyn MethodConfig, &small_adjoint()] {
            let mut sampler = settings.build(&target, 10, 3).unwrap();
            let learned = sampler.learned().unwrap();
            let mut noise = vec![0.0_f32; learned.parameters().len()];
            Stream::new(7, "parameters", 0, 0).fill_normal(&mut noise);
            learned.set_parameters().iter_mut().zip(&noise).for_each(|(p, z)| *p += scale as f32 * z);
            let (_, log_w) = learned.weighted(20_000, 12, (5, 0)).unwrap();
            let log_z = LogZ::of(&log_w);
            assert!(log_z.trusted() && log_z.standard_error < 0.05, "{scale} {log_z:?}");
            assert!(log_z.value.abs() < 4.0 * log_z.standard_error, "{scale} {log_z:?}");
        }
    }
}

#[test]
fn two_modes_of_unequal_weight_and_width_get_their_shares() {
    let (target, s) = (two_modes(), settings());
    let mut sampler = s.build(&target, 10, 0).unwrap();
    steps(&mut *sampler, 250);
    assert_eq!((sampler.evaluations(), sampler.gradients()), (250 * 140, 0));
    check_two_modes(sampler.learned().unwrap(), 24, 0.05);
}

#[test]
fn a_resumed_training_repeats_an_unbroken_one() {
    let target = two_modes();
    for settings in [&settings() as &dyn MethodConfig, &small_adjoint()] {
        let build = || settings.build(&target, 10, 3).unwrap();
        let (mut whole, mut resumed) = (build(), build());
        steps(&mut *whole, 13);
        resumed.restore(&whole.checkpoint()).unwrap();
        steps(&mut *whole, 10);
        steps(&mut *resumed, 10);
        assert_eq!(whole.checkpoint().encode().unwrap(), resumed.checkpoint().encode().unwrap());
        assert_eq!(whole.step_figures(), resumed.step_figures());
    }
}

#[test]
fn a_training_has_the_same_bits_for_any_number_of_threads() {
    let target = two_modes();
    for settings in [&settings() as &(dyn MethodConfig + Sync), &small_adjoint()] {
        let trained = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut sampler = settings.build(&target, 10, 3).unwrap();
                steps(&mut *sampler, 12);
                sampler.checkpoint().encode().unwrap()
            })
        };
        assert_eq!(trained(1), trained(3));
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let said = |change: fn(&mut Settings)| {
        let mut s = settings();
        change(&mut s);
        s.build(&two_modes(), 10, 0).err().map_or(String::new(), |e| e.to_string())
    };
    assert_eq!(said(|_| ()), "");
    for (change, want) in [
        ((|s| s.train.batch = 1) as fn(&mut Settings), "train.batch = 1 must lie between 2 and 1000000"),
        (|s| s.train.path_steps = 0, "train.path_steps = 0 must lie between 1 and 100000"),
        (|s| s.train.share = 1.0, "train.share = 1 must lie between 0.001 and 0.99"),
        (|s| s.train.steps = 0, "train.steps = 0 must lie between 1 and 1000000000000"),
        (|s| s.train.learning_rate = f64::NAN, "train.learning_rate = NaN must be a positive number"),
        (|s| s.train.clip = 0.0, "train.clip = 0 must be a positive number"),
        (|s| s.train.ema = 1.0, "train.ema = 1 must be at least 0 and below 1"),
        (|s| s.network.sigma_max = 0.05, "network.sigma_max = 0.05 must exceed network.sigma_min = 0.1"),
        (
            |s| (s.train.batch, s.train.path_steps) = (1_000_000, 100_000),
            "train.batch = 1000000, train.path_steps = 100000 in 2 dimensions: about 1.8 TiB of memory",
        ),
    ] {
        assert_eq!(said(change).split(" are needed").next().unwrap(), want);
    }
}
