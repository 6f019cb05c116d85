//! ACMP (Wang et al. 2023): dx_i/dt = alpha o sum_j (a_ij - beta)(x_j - x_i) + delta o x_i o (1 - x_i o x_i);
//! forces of negative weight repel, the double well keeps states bounded.

use engine::{ParamId, Params, Real, Recording, Var};

use super::{Dynamics, Mixing, Start};
use crate::gnn::coefficient::{Coefficient, Dependence};

/// Allen-Cahn message passing.
pub struct Acmp<T> {
    mixing: Mixing<T>,
    alpha: Coefficient,
    repulsion: ParamId,
    delta: Coefficient,
}

impl<T: Real> Acmp<T> {
    /// On states of `channels`. The well begins weak (logistic of -2).
    pub fn new(params: &mut Params<T>, mixing: Mixing<T>, channels: usize, seed: u64) -> Self {
        let alpha = Coefficient::new(params, "alpha", Dependence::Channel, channels, 0.0, seed);
        let repulsion = params.add_zeros("repulsion", 1, 1);
        let delta = Coefficient::Constant(params.add("delta", channels, 1, || T::of(-2.0)));
        Self { mixing, alpha, repulsion, delta }
    }
}

impl<T: Real> Dynamics<T> for Acmp<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var {
        // sum_j (a_ij - beta)(x_j - x_i) = sum_j w_ij x_j - (sum_j w_ij) x_i
        let beta = g.param(self.repulsion);
        let w = g.sub(start.weights, beta);
        let pulled = self.mixing.mix(g, w, x);
        let total = g.scatter_add(w, &self.mixing.adjacency.listener);
        let own = g.mul(x, total);
        let change = g.sub(pulled, own);
        let (alpha, delta) = (self.alpha.squashed(g, t), self.delta.squashed(g, t));
        let change = g.mul(change, alpha);
        let square = g.square(x);
        let rest = g.affine(square, -1.0, 1.0);
        let well = g.mul(x, rest);
        let well = g.mul(well, delta);
        g.add(change, well)
    }
}
