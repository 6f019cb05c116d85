//! KuramotoGNN (Nguyen et al. 2024): dx_i/dt = omega_i + k sum_j a_ij sin(x_j - x_i), omega = x_0, k learned.

use std::sync::Arc;

use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::{Dynamics, Equation, Mixing, Shared, Start};
use crate::gnn::layers::Builder;

/// KuramotoGNN has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KuramotoSettings {}

impl Equation for KuramotoSettings {
    const ATTENTION: bool = true;

    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, _: usize) -> Shared<T> {
        let coupling = on.params.add("coupling", 1, 1, || T::ONE);
        Arc::new(Kuramoto { mixing, coupling })
    }
}

/// Coupled oscillators.
struct Kuramoto<T> {
    mixing: Mixing<T>,
    coupling: ParamId,
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
