//! Targets: unnormalised densities exp(-E(x)).
//!
//! A target implements [`Energy`] on *blocks*: up to [`BLOCK`] points laid out coordinate by
//! coordinate (`x[a * n + l]` is coordinate `a` of point `l`), so that a kernel's inner loop runs over
//! points and vectorises whatever the dimension. [`evaluate`] serves whole batches of columns.

mod double_well;
mod function;
mod lennard_jones;
mod mixture;
mod mixture_kernel;
mod pair_energy;
mod particle_system;
mod softened_core;

pub use double_well::DoubleWell;
pub use function::Pointwise;
pub use lennard_jones::LennardJones;
pub use mixture::{GMM_SCALE, Mixture, MixtureError};
pub use pair_energy::{Pair, PairEnergy};
pub use particle_system::ParticleSystem;
pub use softened_core::Smoothed;

use engine::rng::Stream;
use engine::{Real, par};

/// Points in a block: small enough for a kernel's working set to stay in the first-level cache.
pub const BLOCK: usize = 128;

/// A target density exp(-E(x)) / Z on R^d.
pub trait Energy<T: Real>: Send + Sync {
    /// The dimension d.
    fn dim(&self) -> usize;

    /// -E and -grad E at `n <= BLOCK` points, coordinate-major: `x` and `score` are `d * n` long,
    /// `log_p` is `n` long. `scratch` is the kernel's own, kept from call to call.
    fn log_density_block(&self, n: usize, x: &[T], log_p: &mut [T], score: &mut [T], scratch: &mut Vec<T>);

    /// The known log Z = log of the integral of exp(-E), if there is one.
    fn log_z(&self) -> Option<f64> {
        None
    }

    /// Fills `out` (columns of length d) with exact samples; false if the target has no exact sampler.
    fn sample(&self, _stream: &mut Stream, _out: &mut [T]) -> bool {
        false
    }

    /// The target as a mixture, if it is one: its modes are known.
    fn mixture(&self) -> Option<&Mixture> {
        None
    }
}

/// -E and -grad E at each column of `x` (d x n); `score` may be empty if it is not wanted.
pub fn evaluate<T: Real>(energy: &dyn Energy<T>, x: &[T], log_p: &mut [T], score: &mut [T]) {
    let d = energy.dim();
    assert_eq!(x.len(), d * log_p.len(), "x has dim numbers for each entry of log_p");
    let wants_score = !score.is_empty();
    let parts = par::map(log_p.len().div_ceil(BLOCK), |b| {
        let columns = &x[b * BLOCK * d..((b + 1) * BLOCK * d).min(x.len())];
        let n = columns.len() / d;
        let (mut block, mut log_p, mut score) =
            (vec![T::ZERO; n * d], vec![T::ZERO; n], vec![T::ZERO; n * d]);
        for l in 0..n {
            for a in 0..d {
                block[a * n + l] = columns[l * d + a];
            }
        }
        energy.log_density_block(n, &block, &mut log_p, &mut score, &mut Vec::new());
        for l in 0..n {
            for a in 0..d {
                block[l * d + a] = score[a * n + l];
            }
        }
        (log_p, block)
    });
    for (b, (part, part_score)) in parts.into_iter().enumerate() {
        let at = b * BLOCK;
        log_p[at..at + part.len()].copy_from_slice(&part);
        if wants_score {
            score[at * d..at * d + part_score.len()].copy_from_slice(&part_score);
        }
    }
}
