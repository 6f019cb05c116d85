//! Monte Carlo log-density and score of a noised target, from K energies with gradients.

use engine::rng::Stream;
use models::sampler::iwsm::noised_score::Estimates;
use models::target::{BLOCK, Geometry, Target};

use super::cost::{Cost, ELEMENTARY, WORD};
use super::{Array, Given, Step};

/// Points that are compared with another program's.
const COMPARED: usize = 32;

/// The sizes of a workload of this kind.
#[derive(Clone, Copy)]
pub(super) struct Score {
    pub geometry: Geometry,
    /// Points.
    pub batch: usize,
    /// Draws for each.
    pub draws: usize,
    /// Standard deviation of the points.
    pub scale: f32,
    /// Standard deviation of the noise.
    pub sigma: f32,
}

impl Score {
    fn points(&self) -> Vec<f32> {
        let mut x = vec![0.0_f32; self.geometry.dim() * self.batch];
        Stream::new(0, "points", 0, 0).fill_normal(&mut x);
        x.iter_mut().for_each(|x| *x *= self.scale);
        x
    }

    /// A step on all points.
    pub fn build(self, target: impl Target<f32> + 'static) -> Step {
        let (x, sigma) = (self.points(), vec![self.sigma; self.batch]);
        let mut estimates = Estimates::new(self.geometry);
        let mut step = 0;
        Box::new(move || {
            estimates.run(&target, &x, &sigma, self.draws, (0, step)).unwrap();
            step += 1;
        })
    }

    /// Points, and the log-densities and scores of some of them by a block of draws with given noise: of the k-th point
    /// the first half of a block is the beginning of a stream of random numbers, the second half its reverse.
    pub fn given(self, target: &dyn Target<f32>) -> Given {
        let (x, d, half) = (self.points(), self.geometry.dim(), BLOCK / 2);
        let mut estimates = Estimates::new(self.geometry);
        let (mut noise, mut densities, mut scores) =
            (vec![0.0; COMPARED * BLOCK * d], Vec::new(), Vec::new());
        let mut fresh = vec![0.0_f32; d * half];
        for (k, noise) in noise.chunks_exact_mut(BLOCK * d).enumerate() {
            estimates.run(target, &x[k * d..(k + 1) * d], &[self.sigma], BLOCK, (0, k as u64)).unwrap();
            let estimate = estimates.get(0);
            densities.push(f64::from(estimate.log_density));
            scores.extend(estimate.target.iter().map(|s| f64::from(*s)));
            Stream::new(0, "draws", k as u64, 0).fill_normal(&mut fresh);
            for draw in 0..half {
                for a in 0..d {
                    let e = fresh[a * half + draw];
                    (noise[draw * d + a], noise[(draw + half) * d + a]) = (e, -e);
                }
            }
        }
        let arrays = vec![
            Array::floats("x", &[self.batch, d], &x),
            Array::floats("noise", &[COMPARED, BLOCK, d], &noise),
            Array::floats("sigma", &[1], &[self.sigma]),
            Array::indices("draws", [self.draws as u32]),
        ];
        Given { arrays, wanted: vec![("log_density", densities), ("score", scores)], tolerance: 1e-3 }
    }

    /// With `energy` operations for an energy with its gradient, for each draw: d normal numbers (a logarithm, a root, a
    /// sine and a cosine for two of them), d shifts (2), the weight and its sum, d weighted sums of gradients (2).
    /// Memory: points, densities and scores.
    pub fn cost(self, energy: f64) -> Cost {
        let (d, n) = (self.geometry.dim() as f64, self.batch as f64);
        let normal = 1.5 * ELEMENTARY + 4.0;
        let draw = energy + d * (normal + 4.0) + ELEMENTARY + 2.0;
        Cost { flops: n * self.draws as f64 * draw, bytes: WORD * n * (2.0 * d + 1.0) }
    }
}
