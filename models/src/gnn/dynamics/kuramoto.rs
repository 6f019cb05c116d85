//! KuramotoGNN (Nguyen et al. 2024): dx_i/dt = omega_i + k sum_j a_ij sin(x_j - x_i), omega = x_0, k learned.

use engine::{ParamId, Params, Real, Recording, Var};

use super::{Dynamics, Mixing, Start};

/// Coupled oscillators.
pub struct Kuramoto<T> {
    mixing: Mixing<T>,
    coupling: ParamId,
}

impl<T: Real> Kuramoto<T> {
    /// The coupling begins at 1.
    pub fn new(params: &mut Params<T>, mixing: Mixing<T>) -> Self {
        Self { mixing, coupling: params.add("coupling", 1, 1, || T::ONE) }
    }
}

impl<T: Real> Dynamics<T> for Kuramoto<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }
    fn velocity(&self, g: &mut Recording<T>, x: Var, _: f64, start: Start) -> Var {
        let pull = g.edge_sine(&self.mixing.adjacency.sparse, start.weights, x);
        let k = g.param(self.coupling);
        let pull = g.mul(pull, k);
        g.add(pull, start.x0)
    }
}
