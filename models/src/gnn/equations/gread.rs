//! GREAD (Choi et al. 2023): dx/dt = s(alpha) (A x - x) + s(beta) b o r(x), b one number for each channel; without
//! s(beta) where `beta_diag`, as in the settings of its authors.

use std::sync::Arc;

use engine::rng::Stream;
use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::coefficient::{Coefficient, Dependence};
use super::{Dynamics, Equation, Mixing, Shared, Start};
use crate::gnn::layers::Builder;
use crate::gnn::networks::{Integration, Solver};
use crate::gnn::space::{Continuous, Draw};

/// The reaction r(x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// x (1 - x).
    Fisher,
    /// x (1 - x^2).
    AllenCahn,
    /// A x - A^2 x: blurring and sharpening.
    BlurringSharpening,
    /// x^2 (1 - x).
    Zeldovich,
    /// The initial state.
    Source,
    /// x + A x: a filter bank.
    FilterBank,
}

/// Settings of GREAD with the reaction number `R` of `REACTIONS`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GreadSettings<const R: usize> {
    /// Dependence of alpha.
    pub alpha: Dependence,
    /// Dependence of beta.
    pub beta: Dependence,
    /// Whether b alone weighs the reaction, without beta, as in the settings of its authors.
    #[serde(default)]
    pub beta_diag: bool,
}

/// The reactions in the order of their numbers.
const REACTIONS: [Reaction; 6] = [
    Reaction::BlurringSharpening,
    Reaction::Fisher,
    Reaction::AllenCahn,
    Reaction::Zeldovich,
    Reaction::Source,
    Reaction::FilterBank,
];

impl<const R: usize> Default for GreadSettings<R> {
    fn default() -> Self {
        Self { alpha: Dependence::Scalar, beta: Dependence::Channel, beta_diag: false }
    }
}

impl<const R: usize> Equation for GreadSettings<R> {
    fn integration() -> Integration {
        match REACTIONS[R] {
            Reaction::BlurringSharpening | Reaction::Source | Reaction::FilterBank => Integration::default(),
            // These grow without bound on one side: a longer time blows up.
            _ => Integration { time: 0.25, step: 0.25, solver: Solver::Rk4, ..Default::default() },
        }
    }

    fn draw(&mut self, drawn: &Continuous, _: &mut Draw<'_>) {
        (self.alpha, self.beta) = (drawn.alpha, drawn.beta);
    }

    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, channels: usize) -> Shared<T> {
        let alpha = Coefficient::new(on, "alpha", self.alpha, channels, 0.0);
        let beta = (!self.beta_diag).then(|| Coefficient::new(on, "beta", self.beta, channels, 0.0));
        let mut stream = Stream::new(on.seed, "reaction", 0, 0);
        let b = on.params.add("reaction", channels, 1, || T::of(2.0 * stream.uniform() - 1.0));
        Arc::new(Gread { mixing, reaction: REACTIONS[R], alpha, beta, b })
    }
}

/// Graph reaction-diffusion.
struct Gread<T> {
    mixing: Mixing<T>,
    reaction: Reaction,
    alpha: Coefficient,
    beta: Option<Coefficient>,
    b: ParamId,
}

impl<T: Real> Dynamics<T> for Gread<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var {
        let change = self.mixing.diffuse(g, start.weights, x);
        let r = match self.reaction {
            Reaction::Fisher => {
                let rest = g.affine(x, -1.0, 1.0);
                g.mul(x, rest)
            }
            Reaction::AllenCahn => {
                let square = g.square(x);
                let rest = g.affine(square, -1.0, 1.0);
                g.mul(x, rest)
            }
            // A x - A^2 x = -(A - I) A x = -(A - I)(x + (A - I) x)
            Reaction::BlurringSharpening => {
                let blurred = g.add(x, change);
                let sharpened = self.mixing.diffuse(g, start.weights, blurred);
                g.neg(sharpened)
            }
            Reaction::Zeldovich => {
                let (square, rest) = (g.square(x), g.affine(x, -1.0, 1.0));
                g.mul(square, rest)
            }
            Reaction::Source => start.x0,
            Reaction::FilterBank => {
                let twice = g.scale(x, 2.0);
                g.add(twice, change)
            }
        };
        let alpha = self.alpha.squashed(g, t);
        let beta = self.beta.as_ref().map(|beta| beta.squashed(g, t));
        let b = g.param(self.b);
        let change = g.mul(change, alpha);
        let mut r = g.mul(r, b);
        if let Some(beta) = beta {
            r = g.mul(r, beta);
        }
        g.add(change, r)
    }
    fn diffusion_rate(&self, g: &mut Recording<T>, t: f64) -> Option<Var> {
        Some(self.alpha.squashed(g, t))
    }
}
