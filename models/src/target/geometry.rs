//! The spaces of states.

use engine::Real;
use engine::rng::Stream;

use super::ParticleSystem;

/// The space of a target's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Geometry {
    /// R^d.
    Euclidean(usize),
    /// The mean-free states of n particles in D dimensions, columns of n D numbers. exp(-E) is a density on that
    /// subspace, of dimension (n - 1) D.
    Particles(ParticleSystem),
}

impl Geometry {
    /// The length of a state: d, or n D.
    pub fn dim(&self) -> usize {
        match self {
            Self::Euclidean(d) => *d,
            Self::Particles(system) => system.dim(),
        }
    }

    /// The dimension of the space on which densities are defined: d, or (n - 1) D.
    pub fn free_dim(&self) -> usize {
        match self {
            Self::Euclidean(d) => *d,
            Self::Particles(system) => system.mean_free_dim(),
        }
    }

    /// The particle system, for states of particles.
    pub fn particles(&self) -> Option<ParticleSystem> {
        match self {
            Self::Euclidean(_) => None,
            Self::Particles(system) => Some(*system),
        }
    }

    /// What keeps states of this space from being sampled, if anything.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Euclidean(0) => Some("the target's states have no coordinates: give it a dimension".into()),
            Self::Euclidean(_) => None,
            Self::Particles(s) if s.particles < 2 || !(1..=3).contains(&s.space) => Some(format!(
                "the target has {} particles in {} dimensions: it needs at least 2, in 1 to 3 dimensions",
                s.particles, s.space
            )),
            Self::Particles(_) => None,
        }
    }

    /// Projects each column of `x` onto the space: subtracts the mean of particles.
    pub fn project<T: Real>(&self, x: &mut [T]) {
        if let Self::Particles(system) = self {
            system.center(x);
        }
    }

    /// [`project`](Self::project) for `n` states in coordinate-major order.
    pub fn project_block<T: Real>(&self, n: usize, x: &mut [T]) {
        if let Self::Particles(system) = self {
            system.center_block(n, x);
        }
    }

    /// Fills the columns of `out` with samples of the standard Gaussian of the space.
    pub fn fill_normal<T: Real>(&self, stream: &mut Stream, out: &mut [T]) {
        stream.fill_normal(out);
        self.project(out);
    }
}

impl From<ParticleSystem> for Geometry {
    fn from(system: ParticleSystem) -> Self {
        Self::Particles(system)
    }
}
