//! GRAND (Chamberlain et al. 2021): dx/dt = s(alpha) (A - I) x [+ beta x_0], A attention or fixed.

use engine::{ParamId, Params, Real, Recording, Var};

use super::{Dynamics, Mixing, Start};
use crate::gnn::coefficient::{Coefficient, Dependence};

/// Graph diffusion.
pub struct Grand<T> {
    mixing: Mixing<T>,
    alpha: Coefficient,
    source: Option<ParamId>,
}

impl<T: Real> Grand<T> {
    /// With a source term beta x_0 if `source`.
    pub fn new(params: &mut Params<T>, mixing: Mixing<T>, source: bool, seed: u64) -> Self {
        let alpha = Coefficient::new(params, "alpha", Dependence::Scalar, 1, 0.0, seed);
        let source = source.then(|| params.add_zeros("source", 1, 1));
        Self { mixing, alpha, source }
    }
}

impl<T: Real> Dynamics<T> for Grand<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var {
        let f = self.mixing.diffuse(g, start.weights, x);
        let alpha = self.alpha.squashed(g, t);
        let f = g.mul(f, alpha);
        add_source(g, f, self.source, start)
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
