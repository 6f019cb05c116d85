//! The fused ops of the pair network, over all pairs i < j of each state's particles.
//!
//! - basis: delta = x_i - x_j, r = sqrt(|delta|^2 + eps^2), u = delta / r; with z = r / (r + rho), which
//!   maps distances to (0, 1), b_k = exp(-t_k^2 / 2), t_k = K z - (k + 1/2), k < K. At most 16 of these are
//!   stored, those with |t_k| < 7 or so; the others are below 3e-11 and taken as zero. One column (b, index of
//!   the first b, u) for each pair.
//! - gather: for each receiver i, with weights g_j in R^K of its senders,
//!   A_i = sum_j b_ij g_j / sqrt N,  V_i = sum_j (b_ij g_j) u_ij / sqrt N,  out (A_i, |V_i|^2): 2 K rows.
//! - force: F_i = sum_j (b_ij . (a_i + a_j)) u_ij + beta_i c (x_i - mean), less its mean over i.
//!
//! Under rotations, reflections, translations and permutations gather is invariant and force equivariant,
//! because they depend on r, u and symmetric sums alone.

mod basis;
mod force;
mod gather;

pub(super) use basis::Basis;
pub(super) use force::Force;
pub(super) use gather::Gather;

use engine::{Real, Shape};

use crate::target::ParticleSystem;

/// Most radial functions stored for a pair: a vector register of f32.
const LANES: usize = 16;

/// Sizes that the three ops share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    pub system: ParticleSystem,
    /// K.
    pub basis: usize,
    /// rho: a typical distance.
    pub scale: f64,
}

impl Pairs {
    /// Pairs of a state.
    pub fn count(self) -> usize {
        self.system.particles * (self.system.particles - 1) / 2
    }
    /// Radial functions stored for a pair.
    fn window(self) -> usize {
        self.basis.min(LANES)
    }
    /// Rows of the basis.
    fn rows(self) -> usize {
        self.window() + 1 + self.system.space
    }
    /// (i, j) of each pair, in order.
    fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.system.particles).flat_map(move |i| (i + 1..self.system.particles).map(move |j| (i, j)))
    }
    /// Number of states, from the columns of the basis.
    fn states(self, basis: Shape) -> usize {
        basis.cols / self.count()
    }
    fn softening(self) -> f64 {
        1e-3 * self.scale
    }
    /// 1 / sqrt N.
    fn share<T: Real>(self) -> T {
        T::of(1.0 / (self.system.particles as f64).sqrt())
    }
}

/// The parts of a pair's column: b, the index of its first entry among the K, and u.
#[inline(always)]
fn column<T: Real>(column: &[T], w: usize) -> (&[T], usize, &[T]) {
    let (b, rest) = column.split_at(w);
    (b, rest[0].f64() as usize, &rest[1..])
}

/// The sum of 16 numbers, in a fixed order.
#[inline(always)]
fn total<T: Real>(mut x: [T; LANES]) -> T {
    for half in [8, 4, 2, 1] {
        for m in 0..half {
            x[m] += x[m + half];
        }
    }
    x[0]
}
