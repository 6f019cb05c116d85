//! GRAND (Chamberlain et al. 2021): dx/dt = s(alpha) (A - I) x [+ beta x_0], A attention or fixed; `nonlinear`:
//! attention at the state of the time, A(x(t)).

use std::sync::Arc;

use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::coefficient::{Coefficient, Dependence};
use super::{Dynamics, Equation, Mixing, Shared, Start};
use crate::gnn::layers::Builder;
use crate::gnn::space::{Continuous, Draw};

/// Settings of GRAND.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GrandSettings {
    /// Add a learned multiple of the initial state.
    pub source: bool,
    /// Whether attention is taken anew at each state.
    #[serde(default)]
    pub nonlinear: bool,
}

impl Equation for GrandSettings {
    fn draw(&mut self, drawn: &Continuous, _: &mut Draw<'_>) {
        self.source = drawn.source;
    }

    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, _: usize) -> Shared<T> {
        let alpha = Coefficient::new(on, "alpha", Dependence::Scalar, 1, 0.0);
        let source = self.source.then(|| on.params.add_zeros("source", 1, 1));
        Arc::new(Grand { mixing, alpha, source, nonlinear: self.nonlinear })
    }
}

/// Graph diffusion.
struct Grand<T> {
    mixing: Mixing<T>,
    alpha: Coefficient,
    source: Option<ParamId>,
    nonlinear: bool,
}

impl<T: Real> Dynamics<T> for Grand<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var {
        let weights = if self.nonlinear { self.mixing.weights(g, x) } else { start.weights };
        let f = self.mixing.diffuse(g, weights, x);
        let alpha = self.alpha.squashed(g, t);
        let f = g.mul(f, alpha);
        add_source(g, f, self.source, start)
    }
    fn diffusion_rate(&self, g: &mut Recording<T>, t: f64) -> Option<Var> {
        Some(self.alpha.squashed(g, t))
    }
}

/// f + beta x_0, if there is a source.
pub(super) fn add_source<T: Real>(
    g: &mut Recording<T>,
    f: Var,
    source: Option<ParamId>,
    start: Start,
) -> Var {
    let Some(beta) = source else { return f };
    let beta = g.param(beta);
    let s = g.mul(start.x0, beta);
    g.add(f, s)
}
