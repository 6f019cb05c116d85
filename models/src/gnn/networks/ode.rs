//! Encoder, integration of a right-hand side over [0, T], decoder.

use std::sync::Arc;

use engine::ode::{Gradient, OdeError, OdeSolve, RightHandSide, RungeKutta, Steps, tableau};
use engine::{Params, Real, Recording, Var};

use super::{Network, Outputs};
use crate::gnn::dynamics::{Dynamics, Start};
use crate::gnn::layers::{Decoder, Encoder};
use crate::gnn::settings::{Backward, Model, Solver};
use crate::gnn::{Dataset, Dropout};

/// What stands before and behind the integration.
pub struct Ends<T> {
    pub(super) encoder: Encoder<T>,
    pub(super) decoder: Decoder,
    /// Whether the decoder sees the initial state too.
    pub(super) skip: bool,
}

impl<T: Real> Ends<T> {
    /// As the settings say.
    pub fn new(m: &Model, data: &Dataset, params: &mut Params<T>, seed: u64) -> Self {
        let encoder = Encoder::new(params, data, m.hidden, m.deep_encoder, m.input_dropout, seed);
        let sizes = (if m.skip { 2 * m.hidden } else { m.hidden }, data.classes);
        let decoder = Decoder::new(params, sizes, (m.deep_decoder, m.relu), m.dropout, seed);
        Self { encoder, decoder, skip: m.skip }
    }

    /// The scores at the final state, or at the final state above the initial one.
    pub(super) fn decode(
        &self,
        g: &mut Recording<T>,
        first: Var,
        last: Var,
        dropout: &mut Dropout<T>,
    ) -> Var {
        let seen = if self.skip { g.concat_rows(&[last, first]) } else { last };
        self.decoder.apply(g, seen, dropout)
    }
}

/// An ordinary differential equation.
pub struct Ode<T: Real> {
    ends: Ends<T>,
    dynamics: Arc<dyn Dynamics<T>>,
    solver: Solve<T>,
    time: f64,
}

/// How the equation is integrated.
enum Solve<T: Real> {
    /// Equal steps on the network's own tape.
    Recorded(RungeKutta, usize),
    /// As one op with a tape of its own: long integrations, and steps chosen by their error.
    SolveOp(Arc<OdeSolve<T>>),
}

/// Steps after which an adaptive integration gives up.
const MAX_STEPS: usize = 1000;

impl<T: Real> Ode<T> {
    /// Integrates `dynamics` as the settings say.
    ///
    /// # Errors
    /// If the solver's tableau cannot be used.
    pub fn new(m: &Model, ends: Ends<T>, dynamics: Arc<dyn Dynamics<T>>) -> Result<Self, OdeError> {
        let tableau = match m.solver {
            Solver::Euler => Some(&tableau::EULER),
            Solver::Midpoint => Some(&tableau::MIDPOINT),
            Solver::Rk4 => Some(&tableau::RK4),
            Solver::Adaptive => None,
        };
        let solve_op = |gradient| {
            let steps = match tableau {
                Some(tableau) => Steps::Fixed(tableau, m.steps()),
                None => Steps::Adaptive(m.tolerance, MAX_STEPS),
            };
            let f = Arc::new(Velocity(dynamics.clone()));
            OdeSolve::new(f, (0.0, m.time), steps, gradient).map(|op| Solve::SolveOp(Arc::new(op)))
        };
        let solver = match (m.backward, tableau) {
            (Backward::Tape, Some(tableau)) => Solve::Recorded(RungeKutta::new(tableau)?, m.steps()),
            // The gradient through the steps that were taken is the same with and without checkpoints.
            (Backward::Tape, None) | (Backward::Checkpointed, _) => solve_op(Gradient::Checkpointed)?,
            (Backward::Adjoint, _) => solve_op(Gradient::Adjoint)?,
        };
        Ok(Self { ends, dynamics, solver, time: m.time })
    }

    /// The state at T from the state `x0`.
    pub fn integrate(&self, g: &mut Recording<T>, x0: Var) -> Var {
        let start = Start { weights: self.dynamics.weights(g, x0), x0 };
        let f = |g: &mut Recording<T>, x: Var, t: f64| self.dynamics.velocity(g, x, t, start);
        match &self.solver {
            Solve::Recorded(method, steps) => method.integrate(g, x0, (0.0, self.time), *steps, f),
            Solve::SolveOp(op) => g.apply(op.clone(), &[x0, start.weights, x0]),
        }
    }
}

/// Dynamics as the right-hand side of a solve op; given are the edge weights and the initial state.
struct Velocity<T>(Arc<dyn Dynamics<T>>);

impl<T: Real> RightHandSide<T> for Velocity<T> {
    fn record(&self, g: &mut Recording<T>, x: Var, t: f64, given: &[Var]) -> Var {
        self.0.velocity(g, x, t, Start { weights: given[0], x0: given[1] })
    }
}

impl<T: Real> Network<T> for Ode<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let first = self.ends.encoder.apply(g, dropout);
        let last = self.integrate(g, first);
        Outputs { first, last, logits: self.ends.decode(g, first, last, dropout) }
    }
}

/// FROND (Kang et al. 2024): Caputo's derivative of order b in (0, 1] instead of d/dt, by the predictor
/// x_{k+1} = x_0 + 1 / Gamma(b) sum_{j <= k} c_{j,k} f_j, c_{j,k} = h^b / b ((k + 1 - j)^b - (k - j)^b).
pub struct Fractional<T> {
    ends: Ends<T>,
    dynamics: Arc<dyn Dynamics<T>>,
    order: f64,
    steps: usize,
    time: f64,
}

impl<T: Real> Fractional<T> {
    /// Integrates `dynamics` as the settings say.
    pub fn new(m: &Model, ends: Ends<T>, dynamics: Arc<dyn Dynamics<T>>) -> Self {
        Self { ends, dynamics, order: m.order, steps: m.steps(), time: m.time }
    }
}

/// Gamma(x) for x in (0, 2], by Gamma(x) = Gamma(x + 10) / (x ... (x + 9)) and Stirling's series.
fn gamma(x: f64) -> f64 {
    let z = x + 10.0;
    let r = 1.0 / (z * z);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / z;
    let large = (2.0 * std::f64::consts::PI / z).sqrt() * (z.ln() * z - z + series).exp();
    large / (0..10).map(|k| x + f64::from(k)).product::<f64>()
}

impl<T: Real> Network<T> for Fractional<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        let first = self.ends.encoder.apply(g, dropout);
        let start = Start { weights: self.dynamics.weights(g, first), x0: first };
        let (b, h) = (self.order, self.time / self.steps as f64);
        let factor = h.powf(b) / (b * gamma(b));
        let (mut x, mut past) = (first, Vec::with_capacity(self.steps));
        for k in 0..self.steps {
            past.push(self.dynamics.velocity(g, x, k as f64 * h, start));
            x = first;
            for (j, f) in past.iter().enumerate() {
                let age = (k - j) as f64;
                let term = g.scale(*f, factor * ((age + 1.0).powf(b) - age.powf(b)));
                x = g.add(x, term);
            }
        }
        Outputs { first, last: x, logits: self.ends.decode(g, first, x, dropout) }
    }
}

#[cfg(test)]
mod tests {
    use super::gamma;

    #[test]
    fn gamma_of_known_points() {
        let root = std::f64::consts::PI.sqrt();
        for (x, want) in [(1.0, 1.0), (0.5, root), (1.5, root / 2.0), (2.0, 1.0)] {
            assert!((gamma(x) - want).abs() < 1e-12, "{x}");
        }
    }
}
