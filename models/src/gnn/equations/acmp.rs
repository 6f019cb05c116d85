//! ACMP (Wang et al. 2023): dx_i/dt = alpha o sum_j (a_ij - beta)(x_j - x_i) + delta o x_i o (1 - x_i o x_i);
//! forces of negative weight repel, the double well keeps states bounded.

use std::sync::Arc;

use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::coefficient::{Coefficient, Dependence};
use super::{Dynamics, Equation, Mixing, Shared, Start};
use crate::gnn::layers::Builder;
use crate::gnn::networks::{Integration, Solver};

/// ACMP has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AcmpSettings {}

impl Equation for AcmpSettings {
    /// The well is stiff where states are large.
    fn integration() -> Integration {
        Integration { time: 1.0, step: 0.1, solver: Solver::Rk4, ..Default::default() }
    }

    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, channels: usize) -> Shared<T> {
        let alpha = Coefficient::new(on, "alpha", Dependence::Channel, channels, 0.0);
        let repulsion = on.params.add_zeros("repulsion", 1, 1);
        // The well begins weak (logistic of -2).
        let delta = Coefficient::Constant(on.params.add("delta", channels, 1, || T::of(-2.0)));
        Arc::new(Acmp { mixing, alpha, repulsion, delta })
    }
}

/// Allen-Cahn message passing.
struct Acmp<T> {
    mixing: Mixing<T>,
    alpha: Coefficient,
    repulsion: ParamId,
    delta: Coefficient,
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
        let total = g.scatter_add(w, &self.mixing.adjacency.receiver);
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
    fn diffusion_rate(&self, g: &mut Recording<T>, t: f64) -> Option<Var> {
        Some(self.alpha.squashed(g, t))
    }
}
