//! A target that is no mixture, brought in as the README shows it.

use models::sampler::iwsm::{Config, Objective, Trainer};
use models::target::Pointwise;

/// After 600 steps without weights raw samples are too wide by 0.09: levels of reverse steps follow the errors of a
/// denoiser that has yet to learn.
const STEPS: u64 = 2000;

/// Radii of samples of exp(-2 (r - 3)^2) after a short training.
fn radii(objective: Objective) -> Vec<f64> {
    let ring = Pointwise::new(2, |x: &[f32], gradient: &mut [f32]| {
        let r = x[0].hypot(x[1]).max(1e-6);
        gradient.copy_from_slice(&[4.0 * (r - 3.0) * x[0] / r, 4.0 * (r - 3.0) * x[1] / r]);
        2.0 * (r - 3.0).powi(2)
    });
    let mut config = Config::default();
    (config.network.sigma_data, config.network.sigma_max, config.network.mode_scale) = (3.0, 9.0, 0.5);
    (config.objective, config.train.steps, config.train.draws) = (objective, STEPS, 100);
    let mut trainer = Trainer::new(config, &ring, 0).unwrap();
    for _ in 0..STEPS {
        trainer.step().unwrap();
    }
    trainer.sample(4000, 200, (1, 0)).chunks(2).map(|x| f64::from(x[0].hypot(x[1]))).collect()
}

#[test]
fn a_ring_is_sampled_with_its_mean_and_width() {
    for objective in [Objective::Iwsm, Objective::Idem] {
        let r = radii(objective);
        let mean = r.iter().sum::<f64>() / r.len() as f64;
        let sd = (r.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / r.len() as f64).sqrt();
        // The density of r is r exp(-2 (r - 3)^2): mean 3 + s^2/3 = 3.083, sd 0.493, with s = 1/2.
        // Five standard errors of the mean of 4000 samples are 0.04; a short training is allowed as much.
        assert!((mean - 3.083).abs() < 0.08 && (sd - 0.493).abs() < 0.06, "{objective:?}: {mean} {sd}");
    }
}
