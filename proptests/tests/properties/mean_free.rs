//! Estimates and weights on the mean-free states, on a case with a known answer: particles in a harmonic
//! trap alone, exp(-|x - mean|^2 / 2), which is the standard Gaussian of dimension (n - 1) D.

use engine::rng::Stream;
use models::sampler::iwsm::noised_score::Estimates;
use models::sampler::iwsm::{Config, Form, Identity, Kind, Objective, Trainer};
use models::target::{LennardJones, ParticleSystem, Pointwise, SoftenedCore};

const SYSTEM: ParticleSystem = ParticleSystem { particles: 3, space: 2 };

fn trap<T: engine::Real>() -> Pointwise<impl Fn(&[T], &mut [T]) -> T + Send + Sync> {
    Pointwise::on(SYSTEM.into(), |x: &[T], g: &mut [T]| {
        g.copy_from_slice(x);
        SYSTEM.center(g);
        T::HALF * g.iter().map(|v| *v * *v).sum::<T>()
    })
}

/// log Z = (4 / 2) log 2 pi.
fn log_z() -> f64 {
    2.0 * std::f64::consts::TAU.ln()
}

#[test]
fn the_density_estimate_is_unbiased_on_the_subspace() {
    let sigma = 0.8_f64;
    let mut x = vec![0.0; 6 * 50];
    SYSTEM.fill_normal(&mut Stream::new(1, "states", 0, 0), &mut x);
    let mut estimates = Estimates::new(SYSTEM.into());
    let mut ratios = Vec::new();
    for step in 0..200 {
        estimates.run(&trap::<f64>(), &x, &[sigma; 50], 64, (3, step)).unwrap();
        // Z p_t(x) = (1 + sigma^2)^-2 exp(-|x|^2 / 2 (1 + sigma^2)).
        let s2 = 1.0 + sigma * sigma;
        let exact = |x: &[f64]| -2.0 * s2.ln() - 0.5 * x.iter().map(|v| v * v).sum::<f64>() / s2;
        let mean = x.chunks_exact(6).enumerate();
        ratios.push(mean.map(|(i, x)| (estimates.get(i).log_density - exact(x)).exp()).sum::<f64>() / 50.0);
    }
    let mean = ratios.iter().sum::<f64>() / 200.0;
    let se = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>()).sqrt() / 200.0;
    assert!((mean - 1.0).abs() < 5.0 * se && se < 0.01, "{mean} +- {se}");
}

fn config(identity: Identity, form: Form) -> Config {
    let mut c = Config::default();
    (c.train.steps, c.train.batch, c.train.draws, c.train.warm_up) = (300, 64, 50, 20);
    (c.train.identity, c.weights.form) = (identity, form);
    (c.replay.capacity, c.replay.refresh_samples, c.replay.refresh_steps) = (1000, 200, 40);
    (c.replay.moves, c.replay.first_moves) = (1, 5);
    (c.network.kind, c.network.layers, c.network.hidden, c.network.radial_features) = (Kind::Pair, 1, 16, 8);
    (c.network.sigma_data, c.network.mode_scale) = (1.3, 0.8);
    (c.network.sigma_min, c.network.sigma_max) = (0.05, 6.0);
    c
}

#[test]
fn trajectory_weights_average_to_z_for_any_score() {
    let energy = trap::<f64>();
    // Before training the score is that of a Gaussian of the wrong width.
    let trainer = Trainer::new(config(Identity::Stored, Form::Trajectory), &energy, 0).unwrap();
    let (x, log_w) = trainer.sample_weighted(&energy, 10_000, 200, (7, 0)).unwrap();
    assert!(x.chunks_exact(6).all(|x| (x[0] + x[2] + x[4]).abs() < 1e-9));
    let w: Vec<f64> = log_w.iter().map(|l| (l - log_z()).exp()).collect();
    let mean = w.iter().sum::<f64>() / w.len() as f64;
    let se = (w.iter().map(|w| (w - mean).powi(2)).sum::<f64>()).sqrt() / w.len() as f64;
    assert!((mean - 1.0).abs() < 5.0 * se && se < 0.05, "{mean} +- {se}");
    // And weight the samples properly: E[w |x|^2] = Z 4.
    let square: Vec<f64> =
        x.chunks_exact(6).zip(&w).map(|(x, w)| w * x.iter().map(|v| v * v).sum::<f64>()).collect();
    let mean = square.iter().sum::<f64>() / w.len() as f64;
    let se = (square.iter().map(|s| (s - mean).powi(2)).sum::<f64>()).sqrt() / w.len() as f64;
    assert!((mean - 4.0).abs() < 5.0 * se && se < 0.2, "{mean} +- {se}");
}

#[test]
fn a_resampled_refresh_has_the_targets_law_whatever_the_sampler() {
    let mean_square = |resample: bool| {
        let energy = trap::<f64>();
        let mut c = config(Identity::Stored, Form::Marginal);
        c.objective = Objective::Idem;
        // One refresh fills the buffer, without moves and before the network has learnt anything: its samples
        // have |x|^2 = 4 * 1.15^2 = 5.3, and weights of a share above a half, so that half of them or more are stored.
        (c.replay.capacity, c.replay.refresh_samples, c.replay.refresh_every) = (8000, 20_000, 1);
        (c.replay.moves, c.replay.first_moves, c.replay.refresh_steps) = (0, 0, 200);
        (c.train.learning_rate, c.replay.resample, c.network.sigma_data) = (1e-12, resample, 1.15);
        let mut trainer = Trainer::new(c, &energy, 0).unwrap();
        (0..2).for_each(|_| assert!(trainer.step().is_ok()));
        let x = trainer.state.proposal.buffer.states();
        assert_eq!(x.len(), 6 * 8000);
        x.iter().map(|v| v * v).sum::<f64>() / 8000.0
    };
    // |x|^2 is chi squared of 4 degrees: deviation 2.83, of the mean of 8000 states 0.03.
    let (with, without) = (mean_square(true), mean_square(false));
    assert!((with - 4.0).abs() < 0.15, "{with}");
    assert!(without > 5.0, "{without}");
}

#[test]
fn every_form_of_training_learns_the_trap() {
    let plain: fn(&mut Config) = |_| {};
    let forms = [
        (Objective::Idem, Identity::Stored, Form::Marginal, plain),
        (Objective::Iwsm, Identity::Stored, Form::Trajectory, plain),
        (Objective::Iwsm, Identity::Mixed, Form::Marginal, plain),
        (Objective::Iwsm, Identity::Mixed, Form::Marginal, |c| c.weights.resample = true),
        (Objective::Iwsm, Identity::Mixed, Form::Marginal, |c| c.weights.bandwidth = 0.3),
        (Objective::Iwsm, Identity::Mixed, Form::Marginal, |c| c.replay.defensive = 0.2),
    ];
    for (objective, identity, form, change) in forms {
        let energy = trap::<f32>();
        let mut config = config(identity, form);
        config.objective = objective;
        change(&mut config);
        assert_eq!(config.problem(), None);
        let mut trainer = Trainer::new(config, &energy, 0).unwrap();
        for _ in 0..300 {
            trainer.step().unwrap();
        }
        let x = trainer.sample(4000, 100, (1, 0));
        let square = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 4000.0;
        // Exactly 4; a short training is allowed a tenth, untrained it is 4 * 1.3^2 = 6.8.
        assert!((square - 4.0).abs() < 0.4, "{objective:?} {identity:?} {form:?}: {square}");
    }
}

#[test]
fn recycled_draws_bring_the_buffer_to_the_target() {
    let energy = trap::<f32>();
    let mut config = config(Identity::Mixed, Form::Marginal);
    (config.replay.refresh_samples, config.replay.moves, config.replay.first_moves) = (0, 0, 0);
    (config.replay.recycle, config.replay.capacity) = (32, 1600);
    let mut trainer = Trainer::new(config, &energy, 0).unwrap();
    let square = |trainer: &Trainer<f32>| {
        let x = trainer.state.proposal.buffer.states();
        x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 1600.0
    };
    let before = square(&trainer);
    for _ in 0..100 {
        trainer.step().unwrap();
    }
    // |x|^2 of the target has mean 4 and deviation sqrt 8; of the 1600 states a tenth may be independent.
    let after = square(&trainer);
    assert!(before > 8.0 && (after - 4.0).abs() < 5.0 * (8.0f64 / 160.0).sqrt(), "{before} {after}");
}

#[test]
fn a_cold_start_on_overlapping_particles_trains_without_a_nan() {
    for core in [0.0, 0.7] {
        let hard = LennardJones::lj13();
        let soft = SoftenedCore::new(hard, 0.7).unwrap();
        let energy: &dyn models::target::Target<f32> = if core > 0.0 { &soft } else { &hard };
        for identity in [Identity::Mixed, Identity::Stored] {
            let mut config = config(identity, Form::Marginal);
            config.train.score_clip = 1000.0;
            if identity == Identity::Stored {
                config.objective = Objective::Idem;
            }
            // A buffer so narrow that all particles overlap: energies beyond 1e12.
            config.network.sigma_data = 0.05;
            let mut trainer = Trainer::new(config, energy, 0).unwrap();
            for _ in 0..60 {
                let report = trainer.step().unwrap();
                assert!(report.loss.is_finite(), "{core} {identity:?}");
            }
            assert!(trainer.state.params.values().iter().all(|p| p.is_finite()));
        }
    }
}
