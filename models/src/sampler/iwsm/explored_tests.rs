//! A training to which nobody tells the scale of its target.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::Real;
use engine::checkpoint::Checkpoint;

use super::explored::Explored;
use super::{Config, Explore, Form, Identity, ScoreMatching};
use crate::importance::{LogZ, normalised_ess};
use crate::sampler::{MethodConfig, Sampler};
use crate::target::{Affine, Geometry, Mixture, Target, TargetConfig, TargetError};

/// Two wells of unequal weight and stiffness in four dimensions: far from the origin, a thousand times wider in one
/// direction than in another, correlated, with a large constant in the energy.
struct Stretched {
    wells: Mixture,
    affine: Affine,
    constant: f64,
    evaluated: AtomicU64,
}

impl Stretched {
    fn new() -> Self {
        let d = 4;
        let wells =
            Mixture::new(d, [vec![1.0; d], vec![-1.0; d]].concat(), vec![0.3, 0.5], vec![0.7, 0.3]).unwrap();
        #[rustfmt::skip]
        let factor = vec![
            0.1, 0.0, 0.0, 0.0,
            1.0, 5.0, 0.0, 0.0,
            0.0, 0.0, 100.0, 0.0,
            0.0, 2.0, 30.0, 20.0,
        ];
        let affine = Affine::from_parts(vec![500.0, -20.0, 0.0, 3.0], factor).unwrap();
        Self { wells, affine, constant: 1e6, evaluated: AtomicU64::new(0) }
    }

    fn log_z(&self) -> f64 {
        self.affine.log_volume() - self.constant
    }
}

impl<T: Real> Target<T> for Stretched {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(4)
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        self.evaluated.fetch_add(n as u64, Ordering::Relaxed);
        let columns: Vec<f64> = (0..4 * n).map(|k| x[k % 4 * n + k / 4].f64()).collect();
        let z = self.affine.inverse(&columns);
        let (mut own, mut slope) = (vec![0.0; n], vec![0.0; 4 * n]);
        Target::<f64>::evaluate(&self.wells, &z, &mut own, &mut slope)?;
        let l = self.affine.parts().1;
        for k in 0..n {
            log_p[k] = T::of(own[k] - self.constant);
            let mut s = [0.0; 4];
            // L^-T s, by back substitution.
            for a in (0..4).rev() {
                let known: f64 = (a + 1..4).map(|b| l[b * 4 + a] * s[b]).sum();
                s[a] = (slope[4 * k + a] - known) / l[a * 4 + a];
            }
            (0..4).for_each(|a| score[a * n + k] = T::of(s[a]));
        }
        Ok(())
    }
}

fn config(explore: Explore) -> Config {
    let mut config = Config::default();
    (config.train.identity, config.weights.form) = (Identity::Stored, Form::Trajectory);
    (config.train.batch, config.train.steps) = (256, 1200);
    (config.replay.explore, config.replay.share, config.replay.capacity) = (explore, 0.1, 4000);
    // So that the checks of parallel tempering pass with room.
    config.replay.explore_moves = if explore == Explore::Pt { 12 } else { 4 };
    (config.replay.refresh_every, config.replay.refresh_samples, config.replay.refresh_steps) = (20, 256, 40);
    let network = &mut config.network;
    (network.hidden, network.layers, network.space_features) = (64, 2, 32);
    (network.sigma_data, network.mode_scale, network.sigma_min, network.sigma_max) = (0.0, 0.0, 0.0, 0.0);
    config
}

/// A config of seconds.
fn small(explore: Explore) -> Config {
    let mut config = config(explore);
    (config.train.steps, config.train.batch, config.replay.capacity) = (40, 32, 256);
    (config.replay.refresh_samples, config.replay.refresh_steps) = (32, 10);
    if explore == Explore::Smc {
        (config.replay.moves, config.replay.jumps) = (1, true);
    }
    (config.network.hidden, config.network.layers, config.replay.explore_moves) = (16, 1, 1);
    config
}

fn to_the_end(sampler: &mut dyn Sampler) {
    while sampler.done() < sampler.total() {
        sampler.step().unwrap();
    }
}

/// Samples with weights, the share of the first well by weights, and log Z.
fn learns(explore: Explore) {
    let target = Stretched::new();
    let mut sampler = ScoreMatching::<true>(config(explore)).build(&target, 100, 0).unwrap();
    assert!(!sampler.drawable() && sampler.learned().is_none());
    to_the_end(&mut *sampler);
    assert_eq!(sampler.diagnostics().failures, Vec::<String>::new());
    let learned = sampler.learned().unwrap();
    learned.tune(1000, 60, 1).unwrap();
    let n = 8000;
    let (x, log_w) = learned.weighted(n, 60, (2, 0)).unwrap();
    let ess = normalised_ess(&log_w);
    assert!(ess > 0.15, "{ess}");
    let z = target.affine.inverse(&x);
    let log_z = LogZ::of(&log_w);
    let w: Vec<f64> = log_w.iter().map(|l| (l - log_z.value).exp()).collect();
    let first = |k: usize| z[4 * k..4 * k + 4].iter().sum::<f64>() > 0.0;
    let share = (0..n).filter(|k| first(*k)).map(|k| w[k]).sum::<f64>() / w.iter().sum::<f64>();
    // Five standard errors of a share with that many effective samples, and of log Z.
    let error = 5.0 * (0.7 * 0.3 / (ess * n as f64)).sqrt();
    assert!((share - 0.7).abs() < error, "{share} +- {error}");
    let off = log_z.value - target.log_z();
    assert!(log_z.trusted() && off.abs() < 5.0 * log_z.standard_error, "{off} +- {}", log_z.standard_error);
}

#[test]
fn wells_of_unknown_place_and_scale_get_their_shares_and_log_z_by_annealing() {
    learns(Explore::Annealed);
}

#[test]
fn the_same_after_sequential_monte_carlo() {
    learns(Explore::Smc);
}

#[test]
fn the_same_after_parallel_tempering() {
    learns(Explore::Pt);
}

#[test]
fn a_run_resumes_bit_for_bit_in_every_stage() {
    let target = Stretched::new();
    for explore in [Explore::Smc, Explore::Pt, Explore::Annealed] {
        let build = || ScoreMatching::<true>(small(explore)).build(&target, 10, 3).unwrap();
        let mut whole = build();
        let total = whole.total();
        let mut saved: Vec<Checkpoint> = Vec::new();
        // In the pilot, at its end, in the exploration, at its end, in the training.
        let stops = [3, 14, 20, total - 40, total - 10];
        while whole.done() < total {
            whole.step().unwrap();
            if stops.contains(&whole.done()) {
                saved.push(whole.checkpoint());
            }
        }
        let end = whole.checkpoint().encode().unwrap();
        for saved in saved {
            let mut resumed = build();
            resumed.restore(&saved).unwrap();
            to_the_end(&mut *resumed);
            assert!(resumed.checkpoint().encode().unwrap() == end, "{explore:?}");
            assert_eq!(resumed.evaluations(), whole.evaluations());
        }
        let jumped = whole.state_figures().iter().find(|(name, _)| *name == "jumps_accepted").map(|f| f.1);
        assert_eq!(jumped.is_some_and(|jumped| jumped > 0.0), explore == Explore::Smc, "{jumped:?}");
    }
}

#[test]
fn every_energy_of_every_stage_is_counted_once() {
    for explore in [Explore::Smc, Explore::Pt, Explore::Annealed] {
        for measured in [true, false] {
            let target = Stretched::new();
            let mut config = small(explore);
            config.replay.moves = if explore == Explore::Smc { 2 } else { 0 };
            if !measured {
                let network = &mut config.network;
                (network.sigma_data, network.mode_scale) = (300.0, 1.0);
                (network.sigma_min, network.sigma_max) = (0.1, 900.0);
            }
            let mut sampler = ScoreMatching::<true>(config).build(&target, 10, 0).unwrap();
            to_the_end(&mut *sampler);
            let (counted, done) = (sampler.evaluations(), target.evaluated.load(Ordering::Relaxed));
            assert_eq!(counted, done, "{explore:?} {measured}");
        }
    }
}

#[test]
fn independent_coordinates_stay_apart() {
    let target = TargetConfig::of("mw").unwrap().build().unwrap();
    let mut settings = config(Explore::Smc);
    settings.train.steps = 1;
    let mut sampler = ScoreMatching::<true>(settings).build(&*target, 10, 0).unwrap();
    to_the_end(&mut *sampler);
    let learned = sampler.learned().unwrap();
    let (_, factor) = learned.coordinates().unwrap().affine.parts();
    assert!(factor.iter().enumerate().all(|(k, l)| (k % 6 == 0) == (*l != 0.0)), "{factor:?}");
}

#[test]
fn states_of_an_explorer_begin_a_training_on_particles_and_one_without_weights() {
    let dw4 = TargetConfig::of("dw4").unwrap().build().unwrap();
    let mut config = small(Explore::Smc);
    let network = &mut config.network;
    (network.sigma_data, network.mode_scale, network.sigma_min, network.sigma_max) = (1.8, 0.3, 0.02, 8.0);
    let mut sampler = ScoreMatching::<true>(config.clone()).build(&*dw4, 10, 0).unwrap();
    to_the_end(&mut *sampler);
    assert!(sampler.learned().unwrap().coordinates().is_none());
    assert_eq!(sampler.draw(10, 5, (0, 0)).unwrap().len(), 80);
    config.network.sigma_data = 0.0;
    let refused = ScoreMatching::<true>(config).build(&*dw4, 10, 0).err().unwrap().to_string();
    assert!(refused.starts_with("network.sigma_data = 0 measures scales in R^d"), "{refused}");
    let target = Stretched::new();
    let mut without = small(Explore::Smc);
    without.weights.form = Form::Marginal;
    without.replay.jumps = false;
    to_the_end(&mut *ScoreMatching::<false>(without).build(&target, 10, 0).unwrap());
}

#[test]
fn jumps_mend_the_shares_that_an_explorer_got_wrong() {
    let target = Stretched::new();
    let mut settings = config(Explore::Smc);
    (settings.replay.moves, settings.replay.jumps) = (1, true);
    let mut sampler = Explored::new(settings, &target, 0).unwrap();
    while sampler.trainer().is_none() {
        sampler.step().unwrap();
    }
    // Shares of the second well, which has 0.3.
    let of_second = |sampler: &Explored<'_>, from: usize, to: usize| {
        let states = sampler.trained().state.proposal.buffer.states();
        let x = sampler.outside(states[4 * from..4 * to].iter().map(|v| f64::from(*v)).collect());
        let z = target.affine.inverse(&x);
        z.chunks_exact(4).map(|z| z.iter().sum::<f64>() < 0.0).collect::<Vec<bool>>()
    };
    let share = |second: &[bool]| second.iter().filter(|s| **s).count() as f64 / second.len() as f64;
    // Four in five of the second well's states are replaced by others.
    let second = of_second(&sampler, 0, 4000);
    let buffer = &mut sampler.trained_mut().state.proposal.buffer;
    let mut states = buffer.states();
    let first = second.iter().position(|s| !s).unwrap();
    for l in (0..4000).filter(|l| second[*l] && l % 5 > 0) {
        states.copy_within(4 * first..4 * first + 4, 4 * l);
    }
    buffer.replace(&states);
    let kept = buffer.kept();
    let wrong = share(&of_second(&sampler, 0, kept));
    assert!((0.03..0.1).contains(&wrong), "{wrong}");
    let energies = sampler.evaluations();
    while sampler.done() < sampler.total() {
        sampler.step().unwrap();
    }
    let mended = share(&of_second(&sampler, 0, kept));
    // Some states are not yet taken.
    assert!((0.2..0.35).contains(&mended), "{wrong} {mended}");
    // One energy for each stored state at first and for each fresh path, and those of moves; jumps take none.
    assert_eq!(sampler.evaluations() - energies, 4000 + 59 * (256 + 4000 * (8 + 2)));
    let jumped = sampler.state_figures().iter().find(|(name, _)| *name == "jumps_accepted").unwrap().1;
    assert!(jumped > 0.1 && jumped < 1.0, "{jumped}");
}
