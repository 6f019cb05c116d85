//! Monte Carlo log-density and score of a noised mixture, fresh noise in every step.

use engine::rng::Stream;
use models::sampler::iwsm::noised_score::Estimates;
use models::target::{Geometry, Mixture};

use super::Step;

pub(super) fn build() -> Step {
    const BATCH: usize = 512;
    let mixture = Mixture::random(40, 2, 40.0, 1.72f64.sqrt(), false, 0).unwrap();
    let mut x = vec![0.0_f32; 2 * BATCH];
    Stream::new(0, "points", 0, 0).fill_normal(&mut x);
    x.iter_mut().for_each(|x| *x *= 20.0);
    let sigma = vec![5.0; BATCH];
    let mut estimates = Estimates::new(Geometry::Euclidean(2));
    let mut step = 0;
    Box::new(move || {
        estimates.run(&mixture, &x, &sigma, 500, (0, step)).unwrap();
        step += 1;
    })
}
