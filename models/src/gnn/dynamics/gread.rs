//! GREAD (Choi et al. 2023): dx/dt = s(alpha) (A x - x) + s(beta) b o r(x), b one number for each channel.

use engine::{ParamId, Params, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::{Dynamics, Mixing, Start};
use crate::gnn::coefficient::{Coefficient, Dependence};

/// The reaction r(x).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// x (1 - x).
    Fisher,
    /// x (1 - x^2).
    AllenCahn,
    /// A x - A^2 x: blurring and sharpening.
    BlurringSharpening,
}

/// Graph reaction-diffusion.
pub struct Gread<T> {
    mixing: Mixing<T>,
    reaction: Reaction,
    alpha: Coefficient,
    beta: Coefficient,
    b: ParamId,
}

impl<T: Real> Gread<T> {
    /// On states of `channels`.
    pub fn new(
        params: &mut Params<T>,
        mixing: Mixing<T>,
        reaction: Reaction,
        channels: usize,
        (alpha, beta): (Dependence, Dependence),
        seed: u64,
    ) -> Self {
        let alpha = Coefficient::new(params, "alpha", alpha, channels, 0.0, seed);
        let beta = Coefficient::new(params, "beta", beta, channels, 0.0, seed);
        let mut stream = engine::rng::Stream::new(seed, "reaction", 0, 0);
        let b = params.add("reaction", channels, 1, || T::of(2.0 * stream.uniform() - 1.0));
        Self { mixing, reaction, alpha, beta, b }
    }
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
        };
        let (alpha, beta, b) = (self.alpha.squashed(g, t), self.beta.squashed(g, t), g.param(self.b));
        let change = g.mul(change, alpha);
        let r = g.mul(r, b);
        let r = g.mul(r, beta);
        g.add(change, r)
    }
}
