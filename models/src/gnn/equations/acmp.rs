//! ACMP (Wang et al. 2023): dx_i/dt = alpha o sum_j (a_ij - beta)(x_j - x_i) + delta o x_i o (1 - x_i o x_i);
//! forces of negative weight repel, the double well keeps states bounded. The code of its authors has
//! sum_j (a_ij - beta) x_j - x_i for the sum, and beta as a hyper-parameter.

use std::sync::Arc;

use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::coefficient::{Coefficient, Dependence};
use super::{Dynamics, Equation, Mixing, Shared, Start, Version};
use crate::gnn::layers::Builder;
use crate::gnn::networks::{Integration, Solver};
use crate::gnn::space::{Continuous, Draw};
use crate::range::{self, Range};

/// Settings of ACMP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcmpSettings {
    /// paper or code: which of the two sums.
    #[serde(default = "paper")]
    pub form: Version,
    /// beta, or where it begins if it is learned.
    #[serde(default)]
    pub repulsion: f64,
    /// Whether beta is learned.
    #[serde(default = "yes")]
    pub learned_repulsion: bool,
    /// The logit with which delta begins.
    #[serde(default = "weak")]
    pub well: f64,
}

fn paper() -> Version {
    Version::Paper
}

fn yes() -> bool {
    true
}

fn weak() -> f64 {
    -2.0
}

impl Default for AcmpSettings {
    fn default() -> Self {
        Self { form: paper(), repulsion: 0.0, learned_repulsion: yes(), well: weak() }
    }
}

impl Equation for AcmpSettings {
    /// The well is stiff where states are large.
    fn integration() -> Integration {
        Integration { time: 1.0, step: 0.1, solver: Solver::Rk4, ..Default::default() }
    }

    fn check(&self) -> Result<(), String> {
        let wide = Range::Between(-1e6, 1e6);
        range::check(&[("model.repulsion", self.repulsion, wide), ("model.well", self.well, wide)])
    }

    /// The authors integrate to 12.8 in steps of a tenth.
    fn draw_integration(&self, integration: &mut Integration, _: &Continuous, draw: &mut Draw<'_>) {
        integration.time = draw.one_of(&[0.5, 1.0, 2.0, 4.0, 8.0, 12.8]);
        integration.step = draw.one_of(&[0.1, 0.2, 0.4]);
    }

    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, channels: usize) -> Shared<T> {
        let alpha = Coefficient::new(on, "alpha", Dependence::Channel, channels, 0.0);
        let learned =
            self.learned_repulsion.then(|| on.params.add("repulsion", 1, 1, || T::of(self.repulsion)));
        let delta = Coefficient::Constant(on.params.add("delta", channels, 1, || T::of(self.well)));
        Arc::new(Acmp { mixing, alpha, learned, delta, settings: self.clone() })
    }
}

/// Allen-Cahn message passing.
struct Acmp<T> {
    mixing: Mixing<T>,
    alpha: Coefficient,
    learned: Option<ParamId>,
    delta: Coefficient,
    settings: AcmpSettings,
}

impl<T: Real> Dynamics<T> for Acmp<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var {
        // sum_j (a_ij - beta)(x_j - x_i) = sum_j w_ij x_j - (sum_j w_ij) x_i
        let w = match self.learned {
            Some(beta) => {
                let beta = g.param(beta);
                g.sub(start.weights, beta)
            }
            None => g.affine(start.weights, 1.0, -self.settings.repulsion),
        };
        let change = match self.settings.form {
            Version::Code => self.mixing.diffuse(g, w, x),
            Version::Paper => {
                let pulled = self.mixing.mix(g, w, x);
                let total = g.scatter_add(w, self.mixing.adjacency.receiver());
                let own = g.mul(x, total);
                g.sub(pulled, own)
            }
        };
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
