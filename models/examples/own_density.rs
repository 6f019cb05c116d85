//! A density of one's own sampled from its energy alone: a ring in the plane, E(x) = 2 (|x| - 3)^2.
//!
//! In polar coordinates the radius has the density r exp(-2 (r - 3)^2), up to a factor, with mean 3.083 and standard
//! deviation 0.493.

use models::metrics::{mean, sd};
use models::sampler::SamplerError;
use models::sampler::iwsm::{Config, Trainer};
use models::target::{Pointwise, check_gradient, pilot_states};

fn main() -> Result<(), SamplerError> {
    let ring = Pointwise::new(2, |x: &[f32], gradient: &mut [f32]| {
        let r = x[0].hypot(x[1]).max(1e-6);
        gradient.copy_from_slice(&[4.0 * (r - 3.0) * x[0] / r, 4.0 * (r - 3.0) * x[1] / r]);
        2.0 * (r - 3.0).powi(2)
    });
    // A wrong sign would be learned in silence.
    check_gradient(&ring, &pilot_states(&ring, 3.0, 8))?;
    // Rough scales of the target: a coordinate's root mean square, the width of a mode, the widest noise.
    let mut config = Config::default();
    (config.network.sigma_data, config.network.mode_scale, config.network.sigma_max) = (3.0, 0.5, 9.0);
    (config.train.steps, config.train.draws) = (600, 100);
    let mut trainer = Trainer::new(config, &ring, 0)?;
    for step in 1..=600 {
        let report = trainer.step()?;
        if step % 200 == 0 {
            println!(
                "step {step}: loss {:.3}, effective share of the weights {:.2}",
                report.loss, report.ess
            );
        }
    }
    // Samples are columns x0 y0 x1 y1 ..., of 200 steps of the reverse process each.
    let samples = trainer.sample(4000, 200, (1, 0));
    let radii: Vec<f64> = samples.chunks_exact(2).map(|x| f64::from(x[0].hypot(x[1]))).collect();
    println!("radius {:.3} +- {:.3}, exactly 3.083 +- 0.493", mean(&radii), sd(&radii));
    assert!((mean(&radii) - 3.083).abs() < 0.08 && (sd(&radii) - 0.493).abs() < 0.06);
    Ok(())
}
