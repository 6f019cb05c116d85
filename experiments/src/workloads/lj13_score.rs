//! Monte Carlo log-density and score of 13 noised Lennard-Jones particles, fresh noise in every step.

use engine::rng::Stream;
use models::sampler::iwsm::noised_score::Estimates;
use models::target::{Geometry, LennardJones};

use super::Step;

pub(super) fn build() -> Step {
    const BATCH: usize = 128;
    let mut x = vec![0.0_f32; 39 * BATCH];
    Stream::new(0, "points", 0, 0).fill_normal(&mut x);
    x.iter_mut().for_each(|x| *x *= 1.5);
    let (energy, sigma) = (LennardJones::lj13(), vec![0.3; BATCH]);
    let mut estimates = Estimates::new(Geometry::Euclidean(39));
    let mut step = 0;
    Box::new(move || {
        estimates.run(&energy, &x, &sigma, 200, (0, step)).unwrap();
        step += 1;
    })
}
