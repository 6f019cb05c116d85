//! What weights of stored states are worth: targets without a single move on the energy.

use super::{Config, Explore, Form, Identity, Trainer};
use crate::importance::{LogZ, normalised_ess};
use crate::target::Mixture;

/// Two wells in six dimensions, of unequal weight and stiffness.
fn two_wells() -> Mixture {
    let (d, c) = (6, 2.0 / 6f64.sqrt());
    let means = [vec![c; d], vec![-c; d]].concat();
    Mixture::new(d, means, vec![0.25, 0.4], vec![0.65, 0.35]).unwrap()
}

fn config() -> Config {
    let mut config = Config::default();
    (config.train.identity, config.weights.form) = (Identity::Stored, Form::Trajectory);
    (config.train.batch, config.train.steps) = (256, 1500);
    (config.replay.explore, config.replay.share, config.replay.capacity) = (Explore::Annealed, 0.1, 4000);
    (config.replay.refresh_every, config.replay.refresh_samples, config.replay.refresh_steps) = (20, 256, 40);
    let network = &mut config.network;
    (network.hidden, network.layers, network.space_features) = (64, 2, 32);
    (network.sigma_data, network.mode_scale, network.sigma_min, network.sigma_max) = (0.9, 0.25, 0.02, 4.0);
    config
}

fn steps(trainer: &mut Trainer<'_, f32>, n: usize) {
    for _ in 0..n {
        trainer.step().unwrap();
    }
}

#[test]
fn two_wells_of_unequal_weight_and_stiffness_get_their_shares_without_moves() {
    let target = two_wells();
    let mut trainer = Trainer::<f32>::new(config(), &target, 0).unwrap();
    steps(&mut trainer, 1500);
    assert_eq!(trainer.state.exponent, 1.0);
    // 4000 states to begin with, and 256 in each of 74 refreshes.
    assert_eq!(trainer.state.energy_evaluations, 4000 + 74 * 256);
    trainer.tune(&target, 1000, 60, 1).unwrap();
    let n = 8000;
    let (x, log_w) = trainer.sample_weighted(&target, n, 60, (2, 0)).unwrap();
    let first = |k: usize| x[6 * k..6 * k + 6].iter().sum::<f32>() > 0.0;
    let raw = (0..n).filter(|k| first(*k)).count() as f64 / n as f64;
    let ess = normalised_ess(&log_w);
    assert!(ess > 0.3, "{ess}");
    let w: Vec<f64> = log_w.iter().map(|l| l.exp()).collect();
    let weighted = (0..n).filter(|k| first(*k)).map(|k| w[k]).sum::<f64>() / w.iter().sum::<f64>();
    // Five standard errors of a share with that many effective samples.
    let error = 5.0 * (0.65 * 0.35 / (ess * n as f64)).sqrt();
    assert!((weighted - 0.65).abs() < error, "{weighted} +- {error}");
    // Raw samples are as good as the network; a light well that is lost would be 0 or 1.
    assert!((raw - 0.65).abs() < 0.08, "{raw}");
    let log_z = LogZ::of(&log_w);
    assert!(log_z.trusted() && log_z.value.abs() < 5.0 * log_z.standard_error, "{log_z}");
}

#[test]
fn a_resumed_annealed_training_repeats_an_unbroken_one() {
    let target = two_wells();
    let small = || {
        let mut config = config();
        (config.train.batch, config.replay.capacity, config.replay.refresh_samples) = (64, 300, 64);
        // Noise levels where the measured errors want them.
        (config.train.focus_share, config.train.focus_sigma) = (0.5, 0.0);
        config
    };
    let mut whole = Trainer::<f32>::new(small(), &target, 3).unwrap();
    steps(&mut whole, 50);
    let saved = whole.checkpoint();
    let exponent = whole.state.exponent;
    let mut resumed = Trainer::<f32>::new(small(), &target, 3).unwrap();
    for (wrong, what) in [(vec![0.0, 1.0], "level_spacing"), (vec![0.5; 33], "does not rise from 0 to 1")] {
        let mut damaged = whole.checkpoint();
        damaged.put_vec("level_spacing", &wrong);
        let said = resumed.restore(&damaged).unwrap_err().to_string();
        assert!(said.contains(what), "{said}");
    }
    resumed.restore(&saved).unwrap();
    for trainer in [&mut whole, &mut resumed] {
        steps(trainer, 60);
    }
    assert!(whole.state.exponent > exponent, "the test has to cross a change of the target");
    assert_eq!(whole.state.params.values(), resumed.state.params.values());
    assert_eq!(whole.state.proposal.buffer.log_weights(), resumed.state.proposal.buffer.log_weights());
    assert_eq!(whole.state.error, resumed.state.error);
}

#[test]
fn recycled_draws_have_the_targets_law_whatever_the_weights_of_the_loss() {
    let target = Mixture::new(2, vec![0.0; 2], vec![1.0], vec![1.0]).unwrap();
    let mut config = Config::default();
    (config.train.batch, config.train.draws, config.weights.share) = (128, 64, 0.95);
    (config.replay.recycle, config.replay.capacity, config.replay.refresh_samples) = (32, 1600, 0);
    (config.network.hidden, config.network.layers) = (8, 1);
    (config.network.sigma_data, config.network.mode_scale) = (3.0, 1.0);
    (config.network.sigma_min, config.network.sigma_max) = (0.05, 9.0);
    let mut trainer = Trainer::<f32>::new(config, &target, 0).unwrap();
    steps(&mut trainer, 100);
    let x = trainer.state.proposal.buffer.states();
    let square = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 1600.0;
    // |x|^2 is chi squared of 2 degrees, mean and deviation 2; of 1600 states a tenth may be independent.
    assert!((square - 2.0).abs() < 5.0 * 2.0 / 160f64.sqrt(), "{square}");
}
