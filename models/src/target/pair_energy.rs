//! Particles that interact in pairs: the kernel of their energies and gradients.
//!
//! Points of a block are processed in chunks of [`WIDTH`], so that a chunk's states and gradients stay in
//! the L1 cache; the innermost loop runs over points. Cost for each pair and point: one
//! division and about 30 (wells: 30 and a square root) flops; measured with AVX-512, 0.4 to 0.6 ns in f32
//! and twice that in f64.

use engine::{Real, simd_fn};

use super::{ParticleSystem, TargetError};

/// Points of a chunk.
const WIDTH: usize = 32;

/// One number of each point of a chunk.
type Lanes<T> = [T; WIDTH];

/// A pair's energy and its derivative, as a function of the squared distance r^2.
#[derive(Clone, Copy, Debug)]
pub struct Pair<T> {
    /// u(r).
    pub energy: T,
    /// The gradient by x_i is `strength * (scale * (x_i - x_j))`; in this order neither factor
    /// overflows before the product does.
    pub strength: T,
    /// The other factor; see [`Pair::strength`].
    pub scale: T,
}

/// An energy that is a sum over pairs of particles, and a harmonic trap about their mean:
///
/// E(x) = sum over i < j of u(|x_i - x_j|) + (k / 2) sum_i |x_i - mean|^2, k = 0 or 1.
///
/// A state of n particles in D dimensions is a column of n D numbers, particle by particle. The energy is invariant
/// under rotations, reflections, translations and permutations; exp(-E) is a density on the mean-free states, of
/// dimension (n - 1) D, onto which [`ParticleSystem`] projects.
///
/// No state gives NaN. For coordinates up to a quarter of the largest number MAX of the type:
///
/// - an energy above MAX, and that of coincident particles where u diverges, is MAX;
/// - the contribution of a pair to a component of the gradient is clamped to +-MAX / (4 n), so that the gradient is
///   finite;
/// - particles nearer than 1e-19 (f32; 1e-154 in f64) are taken as coincident: the pair then has no direction and,
///   if u is finite, no gradient.
///
/// Nothing else is modified; [`SoftenedCore`](super::SoftenedCore) is for training alone.
pub trait PairEnergy: Send + Sync {
    /// Dimension of the space: 1, 2 or 3.
    const SPACE: usize;
    /// Whether there is the trap, 1/2 sum_i |x_i - mean|^2.
    const TRAP: bool;

    /// Number of particles.
    fn particles(&self) -> usize;

    /// The pair at squared distance `r2`, at least the smallest number with a finite inverse. Must be
    /// `#[inline(always)]` to be vectorised. No NaN for any `r2`, and energies bounded from below.
    fn pair<T: Real>(&self, r2: T) -> Pair<T>;

    /// The shape of its states.
    fn system(&self) -> ParticleSystem {
        ParticleSystem { particles: self.particles(), space: Self::SPACE }
    }
}

/// The number of particles of a system of pairs.
///
/// # Errors
/// Below two.
pub(super) fn pairs_of(particles: usize) -> Result<usize, TargetError> {
    if particles >= 2 {
        return Ok(particles);
    }
    Err(TargetError::Parameter(format!("particles = {particles}: a system of pairs needs at least 2")))
}

/// The largest finite number.
#[inline(always)]
pub(super) fn largest<T: Real>() -> T {
    let wide = T::of(f64::MAX);
    if wide.is_finite() { wide } else { T::of(f64::from(f32::MAX)) }
}

/// Lower bound of squared distances: the smallest number with a full mantissa and a finite inverse.
#[inline(always)]
pub(super) fn least_square<T: Real>() -> T {
    T::of(4.0) / largest::<T>()
}

/// `x` clamped to +-`limit`.
#[inline(always)]
pub(super) fn clamp<T: Real>(x: T, limit: T) -> T {
    x.max(-limit).min(limit)
}

/// Geometry and kernel of a target over `T` whose energy is a [`PairEnergy`]; with `softened`, its softened form.
macro_rules! pair_target {
    ($T:ident, softened) => {
        $crate::target::pair_energy::pair_target!($T);

        fn softened(&self, core: f64) -> Option<Box<dyn Target<$T>>> {
            let softened = $crate::target::SoftenedCore::new(*self, core).ok()?;
            Some(Box::new(softened))
        }
    };
    ($T:ident) => {
        fn geometry(&self) -> $crate::target::Geometry {
            self.system().into()
        }

        fn log_density_block(
            &self,
            n: usize,
            x: &[$T],
            log_p: &mut [$T],
            score: &mut [$T],
            scratch: &mut Vec<$T>,
        ) -> Result<(), $crate::target::TargetError> {
            $crate::target::pair_energy::log_density_block(self, n, x, log_p, score, scratch);
            Ok(())
        }
    };
}
pub(super) use pair_target;

/// -E and -grad E of a block; see [`Target::log_density_block`](super::Target::log_density_block).
pub(super) fn log_density_block<T: Real, P: PairEnergy>(
    potential: &P,
    n: usize,
    x: &[T],
    log_p: &mut [T],
    score: &mut [T],
    scratch: &mut Vec<T>,
) {
    let d = potential.particles() * P::SPACE;
    scratch.resize(2 * d * WIDTH, T::ZERO);
    let (states, gradient) = scratch.split_at_mut(d * WIDTH);
    let (states, gradient) = (states.as_chunks_mut().0, gradient.as_chunks_mut().0);
    for first in (0..n).step_by(WIDTH) {
        let count = WIDTH.min(n - first);
        for (a, lanes) in states.iter_mut().enumerate() {
            let row = &x[a * n + first..a * n + first + count];
            lanes[..count].copy_from_slice(row);
            // Lanes without a point repeat the first one, so that their values are finite.
            lanes[count..].fill(row[0]);
        }
        let mut energy = [T::ZERO; WIDTH];
        chunk(potential, states, gradient, &mut energy);
        log_p[first..first + count].copy_from_slice(&energy[..count]);
        for (a, lanes) in gradient.iter().enumerate() {
            score[a * n + first..a * n + first + count].copy_from_slice(&lanes[..count]);
        }
    }
}

simd_fn! {
    /// Writes -E to `log_p` and -grad E to `score`.
    fn chunk<T: Real, P: PairEnergy>(
        potential: &P, x: &[Lanes<T>], score: &mut [Lanes<T>], log_p: &mut Lanes<T>,
    ) {
        let (space, particles) = (P::SPACE, potential.particles());
        let (limit, largest) = (largest::<T>() / T::of(4.0 * particles as f64), largest::<T>());
        let least = least_square::<T>();
        let mut energy = [T::ZERO; WIDTH];
        if P::TRAP {
            trap(space, x, score, &mut energy);
        } else {
            score.iter_mut().for_each(|s| *s = [T::ZERO; WIDTH]);
        }
        for i in 0..particles {
            let mut own = [[T::ZERO; WIDTH]; 3];
            let mut sum = [[T::ZERO; WIDTH]; 3];
            own[..space].copy_from_slice(&x[i * space..(i + 1) * space]);
            for j in i + 1..particles {
                let other = &x[j * space..(j + 1) * space];
                let pushed = &mut score[j * space..(j + 1) * space];
                // One loop, whose body is too large to be unrolled before it is vectorised.
                for l in 0..WIDTH {
                    let mut delta = [T::ZERO; 3];
                    let mut r2 = T::ZERO;
                    for k in 0..space {
                        delta[k] = own[k][l] - other[k][l];
                        r2 = delta[k].mul_add(delta[k], r2);
                    }
                    let pair = potential.pair(r2.max(least).min(largest));
                    energy[l] += pair.energy;
                    let strength = clamp(pair.strength, largest);
                    for k in 0..space {
                        let push = clamp(strength * (pair.scale * delta[k]), limit);
                        sum[k][l] += push;
                        pushed[k][l] += push;
                    }
                }
            }
            for k in 0..space {
                for l in 0..WIDTH {
                    score[i * space + k][l] -= sum[k][l];
                }
            }
        }
        for l in 0..WIDTH {
            log_p[l] = -energy[l].min(largest);
        }
    }
}

/// 1/2 sum_i |x_i - mean|^2 and minus its gradient, which is mean - x_i.
#[inline(always)]
fn trap<T: Real>(space: usize, x: &[Lanes<T>], score: &mut [Lanes<T>], energy: &mut Lanes<T>) {
    let share = T::of(space as f64 / x.len() as f64);
    for k in 0..space {
        let mut mean = [T::ZERO; WIDTH];
        for x in x.iter().skip(k).step_by(space) {
            for l in 0..WIDTH {
                mean[l] = share.mul_add(x[l], mean[l]);
            }
        }
        for (x, score) in x.iter().zip(score.iter_mut()).skip(k).step_by(space) {
            for l in 0..WIDTH {
                let pull = mean[l] - x[l];
                score[l] = pull;
                energy[l] = (T::HALF * pull).mul_add(pull, energy[l]);
            }
        }
    }
}
