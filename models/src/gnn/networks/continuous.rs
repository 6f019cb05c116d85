//! Encoder, integration of a right-hand side over [0, T], decoder.

use std::sync::Arc;

use engine::ode::{Gradient, OdeError, OdeSolve, RightHandSide, RungeKutta, Steps, tableau};
use engine::{Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::{Architecture, Build, Classifier, Evolution, Outputs, kept_states};
use crate::gnn::equations::{Equation, MixingSettings, Shared, Start};
use crate::gnn::layers::{Builder, Decoder, Encoder};
use crate::gnn::space::{self, Draw, Width};
use crate::gnn::training::Training;
use crate::gnn::{Dataset, Dropout};
use crate::memory::Part;
use crate::range::{self, Range};

/// The integrator of a continuous network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// First order.
    Euler,
    /// Second order.
    Midpoint,
    /// Fourth order.
    Rk4,
    /// Dormand-Prince 5(4) with steps chosen by `tolerance`.
    Adaptive,
    /// Steps of the equation's own, stable at any length, each `growth` times as long as the one before.
    Implicit,
}

/// How gradients pass through the integration of a continuous network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backward {
    /// Every value is kept: fastest, memory grows with the steps. Steps chosen by their error are checkpointed.
    Tape,
    /// States at every ceil(sqrt n)-th of n steps are kept, the rest is computed again; the same gradient.
    Checkpointed,
    /// The last state is kept, and the continuous adjoint integrated back.
    Adjoint,
}

/// Settings of the encoder and the decoder of a continuous network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    /// Size and dropout.
    #[serde(flatten)]
    pub width: Width,
    /// Two residual layers in the encoder.
    pub deep_encoder: bool,
    /// A residual tanh layer in the decoder.
    pub deep_decoder: bool,
    /// ReLU before the decoder.
    pub relu: bool,
    /// The decoder sees the initial state beside the final one.
    pub skip: bool,
}

impl Default for Ends {
    fn default() -> Self {
        let width = Width { dropout: 0.3, ..Default::default() };
        Self { width, deep_encoder: false, deep_decoder: true, relu: true, skip: false }
    }
}

impl Ends {
    /// Takes what every equation draws.
    pub(super) fn take(&mut self, drawn: &space::Continuous) {
        (self.deep_encoder, self.deep_decoder, self.relu) =
            (drawn.deep_encoder, drawn.deep_decoder, drawn.relu);
    }

    pub(super) fn build<T: Real>(&self, on: &mut Builder<'_, T>) -> EncoderDecoder<T> {
        let Width { hidden, input_dropout, dropout } = self.width;
        let encoder = Encoder::new(on, hidden, self.deep_encoder, input_dropout);
        let seen = if self.skip { 2 * hidden } else { hidden };
        let decoder = Decoder::new(on, seen, (self.deep_decoder, self.relu), dropout);
        EncoderDecoder { encoder, decoder, skip: self.skip }
    }
}

/// What stands before and behind the integration.
pub(super) struct EncoderDecoder<T> {
    encoder: Encoder<T>,
    decoder: Decoder,
    skip: bool,
}

impl<T: Real> EncoderDecoder<T> {
    /// The network that takes the state from the encoder to the decoder by `evolve`.
    pub(super) fn around(
        &self,
        g: &mut Recording<T>,
        dropout: &mut Dropout<T>,
        evolve: impl FnOnce(&mut Recording<T>, &mut Dropout<T>, Var) -> Var,
    ) -> Outputs {
        let first = self.encoder.apply(g, dropout);
        let last = evolve(g, dropout, first);
        let seen = if self.skip { g.concat_rows(&[last, first]) } else { last };
        Outputs { first, last, logits: self.decoder.apply(g, seen, dropout) }
    }
}

/// Settings of the integration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Integration {
    /// Integration time T.
    pub time: f64,
    /// Step; the number of steps is T / step, rounded up.
    pub step: f64,
    /// The integrator.
    pub solver: Solver,
    /// Error of a step, for the adaptive solver.
    pub tolerance: f64,
    /// Length of a step over that of the one before, for the implicit solver; `step` is the first.
    pub growth: f64,
    /// tape, checkpointed or adjoint.
    pub backward: Backward,
}

impl Default for Integration {
    fn default() -> Self {
        let (solver, backward) = (Solver::Euler, Backward::Tape);
        Self { time: 2.0, step: 0.5, solver, tolerance: 1e-3, growth: 1.0, backward }
    }
}

/// Steps of length `step` in `time`.
pub(super) fn steps(time: f64, step: f64) -> usize {
    (time / step - 1e-9).ceil().max(1.0) as usize
}

/// The lengths of steps that grow by a factor from `step` on and end at `time`.
fn growing(time: f64, step: f64, growth: f64) -> Vec<f64> {
    let (mut lengths, mut left, mut h) = (Vec::new(), time, step);
    // What is left within the rounding error is no step.
    while left > 1e-9 * time {
        lengths.push(h.min(left));
        left -= h;
        h *= growth;
    }
    lengths
}

/// More than `most` steps are a slip, and would end in want of memory.
pub(super) fn check_steps(time: f64, step: f64, most: f64) -> Result<(), String> {
    range::check(&[("model.time", time, Range::Positive), ("model.step", step, Range::Positive)])?;
    if time / step > most {
        return Err(format!(
            "model.time = {time:?} takes more than {most} steps of model.step = {step:?}; raise that or lower the time"
        ));
    }
    Ok(())
}

impl Integration {
    /// An error if a value is outside its range.
    pub fn check(&self) -> Result<(), String> {
        range::check(&[
            ("model.tolerance", self.tolerance, Range::Positive),
            ("model.growth", self.growth, Range::Between(1.0, 10.0)),
        ])?;
        if self.solver != Solver::Implicit && self.growth != 1.0 {
            return Err("model.growth belongs to model.solver = \"implicit\"".into());
        }
        if self.solver == Solver::Implicit && self.backward != Backward::Tape {
            return Err("model.solver = \"implicit\" wants model.backward = \"tape\"".into());
        }
        let most = if self.solver == Solver::Adaptive { f64::INFINITY } else { 100_000.0 };
        check_steps(self.time, self.step, most)
    }

    /// States that are kept for the backward pass, at least.
    fn states(&self) -> f64 {
        let steps = match self.solver {
            Solver::Implicit => growing(self.time, self.step, self.growth).len(),
            _ => steps(self.time, self.step),
        } as f64;
        match self.backward {
            _ if self.solver == Solver::Adaptive => 1.0,
            Backward::Tape => steps,
            Backward::Checkpointed => steps.sqrt(),
            Backward::Adjoint => 1.0,
        }
    }
}

/// A network around the differential equation E.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Continuous<E> {
    /// Encoder and decoder.
    #[serde(flatten)]
    pub ends: Ends,
    /// The matrix A.
    #[serde(flatten)]
    pub mixing: MixingSettings,
    /// The integration.
    #[serde(flatten)]
    pub integration: Integration,
    /// The equation's own settings.
    #[serde(flatten)]
    pub equation: E,
}

impl<E: Equation> Default for Continuous<E> {
    fn default() -> Self {
        Self {
            ends: Ends::default(),
            mixing: MixingSettings::new(E::ATTENTION),
            integration: E::integration(),
            equation: E::default(),
        }
    }
}

impl<E: Equation> Architecture for Continuous<E> {
    fn check(&self) -> Result<(), String> {
        range::check(&self.ends.width.ranges())?;
        self.mixing.check()?;
        self.equation.check()?;
        self.integration.check()?;
        match (self.equation.implicit(), self.integration.solver == Solver::Implicit) {
            (true, false) => Err("the equation has steps of its own: set model.solver = \"implicit\"".into()),
            (false, true) => Err(
                "model.solver = \"implicit\" belongs to model.name = \"grade\", model.form = \"variational\""
                    .into(),
            ),
            _ => Ok(()),
        }
    }

    fn width(&mut self) -> Option<&mut Width> {
        Some(&mut self.ends.width)
    }

    fn set_depth(&mut self, depth: usize) {
        self.integration.time = depth as f64;
        // Implicit steps keep their lengths.
        if self.integration.solver != Solver::Implicit {
            self.integration.step = 1.0;
        }
    }

    fn draw(&mut self, draw: &mut Draw<'_>) {
        let drawn = draw.continuous();
        (self.integration.time, self.integration.step) = (drawn.time, drawn.step);
        self.ends.take(&drawn);
        self.mixing.take(&drawn);
        self.mixing.attention |= E::ATTENTION;
        self.equation.draw(&drawn, draw);
        if E::SKIP {
            self.ends.skip = draw.coin();
        }
    }

    fn training(&self) -> Training {
        Training::default()
    }

    fn ablate(&mut self) -> bool {
        self.equation.ablate()
    }

    fn remedy(&self) -> &'static str {
        match self.integration.solver {
            Solver::Adaptive => " or model.time, or raise model.tolerance",
            _ => " or model.time",
        }
    }

    fn memory(&self, data: &Dataset) -> Vec<Part> {
        let i = &self.integration;
        let settings = format!("model.time = {:?}, model.step = {:?}", i.time, i.step);
        vec![kept_states(data, self.ends.width.hidden, i.states(), settings)]
    }
}

impl<T: Real, E: Equation> Build<T> for Continuous<E> {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        self.equation.suits(&self.mixing, on.data)?;
        let ends = self.ends.build(on);
        let dynamics = self.dynamics(on, self.ends.width.hidden);
        let ode = Ode::new(&self.integration, ends, dynamics).map_err(|e| e.to_string())?;
        Ok(Box::new(ode))
    }

    fn evolution(&self, on: &mut Builder<'_, T>, channels: usize) -> Option<Evolution<T>> {
        Some(Evolution::Equation(self.dynamics(on, channels), self.integration.step))
    }
}

impl<E: Equation> Continuous<E> {
    fn dynamics<T: Real>(&self, on: &mut Builder<'_, T>, channels: usize) -> Shared<T> {
        let mixing = self.mixing.build(on, channels);
        self.equation.build(on, mixing, channels)
    }
}

/// An ordinary differential equation.
struct Ode<T: Real> {
    ends: EncoderDecoder<T>,
    dynamics: Shared<T>,
    solver: Solve<T>,
    time: f64,
}

/// How the equation is integrated.
enum Solve<T: Real> {
    /// Equal steps on the network's own tape.
    Recorded(RungeKutta, usize),
    /// As one op with a tape of its own: long integrations, and steps chosen by their error.
    SolveOp(Arc<OdeSolve<T>>),
    /// The equation's own steps, of these lengths.
    Implicit(Vec<f64>),
}

/// Steps after which an adaptive integration gives up.
const MAX_STEPS: usize = 1000;

impl<T: Real> Ode<T> {
    fn new(m: &Integration, ends: EncoderDecoder<T>, dynamics: Shared<T>) -> Result<Self, OdeError> {
        let tableau = match m.solver {
            Solver::Euler => Some(&tableau::EULER),
            Solver::Midpoint => Some(&tableau::MIDPOINT),
            Solver::Rk4 => Some(&tableau::RK4),
            Solver::Adaptive | Solver::Implicit => None,
        };
        let steps = steps(m.time, m.step);
        let solve_op = |gradient| {
            let steps = match tableau {
                Some(tableau) => Steps::Fixed(tableau, steps),
                None => Steps::Adaptive(m.tolerance, MAX_STEPS),
            };
            let f = Arc::new(Velocity(dynamics.clone()));
            OdeSolve::new(f, (0.0, m.time), steps, gradient).map(|op| Solve::SolveOp(Arc::new(op)))
        };
        let solver = match (m.backward, tableau) {
            _ if m.solver == Solver::Implicit => Solve::Implicit(growing(m.time, m.step, m.growth)),
            (Backward::Tape, Some(tableau)) => Solve::Recorded(RungeKutta::new(tableau)?, steps),
            // The gradient through the steps that were taken is the same with and without checkpoints.
            (Backward::Tape, None) | (Backward::Checkpointed, _) => solve_op(Gradient::Checkpointed)?,
            (Backward::Adjoint, _) => solve_op(Gradient::Adjoint)?,
        };
        Ok(Self { ends, dynamics, solver, time: m.time })
    }

    /// The state at T from the state `x0`.
    fn integrate(&self, g: &mut Recording<T>, x0: Var) -> Var {
        let x0 = self.dynamics.enter(g, x0);
        let start = Start { weights: self.dynamics.weights(g, x0), x0 };
        let f = |g: &mut Recording<T>, x: Var, t: f64| self.dynamics.velocity(g, x, t, start);
        let x = match &self.solver {
            Solve::Recorded(method, steps) => method.integrate(g, x0, (0.0, self.time), *steps, f),
            Solve::SolveOp(op) => g.apply(op.clone(), &[x0, start.weights, x0]),
            Solve::Implicit(lengths) => lengths.iter().fold(x0, |x, h| {
                let mark = g.mark();
                let next = self.dynamics.implicit_step(g, x, *h, start).unwrap_or(x);
                g.release(mark, next)
            }),
        };
        self.dynamics.leave(g, x)
    }
}

/// Dynamics as the right-hand side of a solve op; given are the edge weights and the initial state.
struct Velocity<T>(Shared<T>);

impl<T: Real> RightHandSide<T> for Velocity<T> {
    fn record(&self, g: &mut Recording<T>, x: Var, t: f64, given: &[Var]) -> Var {
        self.0.velocity(g, x, t, Start { weights: given[0], x0: given[1] })
    }
}

impl<T: Real> Classifier<T> for Ode<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs {
        self.ends.around(g, dropout, |g, _, x0| self.integrate(g, x0))
    }

    fn diffusion_units(&self, g: &mut Recording<T>) -> Option<f64> {
        // The midpoint rule: a rate of time is smooth but for its kinks.
        const PARTS: usize = 256;
        let mut sum = 0.0;
        for k in 0..PARTS {
            let t = (k as f64 + 0.5) / PARTS as f64 * self.time;
            let rate = self.dynamics.diffusion_rate(g, t)?;
            let rate = g.value(rate).data;
            sum += rate.iter().map(|r| r.f64()).sum::<f64>() / rate.len() as f64;
        }
        Some(sum / PARTS as f64 * self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_grow_reach_any_time_in_few() {
        assert_eq!(growing(3.0, 0.5, 2.0), [0.5, 1.0, 1.5]);
        assert_eq!(growing(2.0, 1.0, 1.0), [1.0, 1.0]);
        for (time, most) in [(32.0, 15), (1024.0, 29), (1e4, 39)] {
            let lengths = growing(time, 0.5, 1.25);
            assert!((lengths.iter().sum::<f64>() - time).abs() < 1e-8 * time && lengths.len() <= most);
        }
    }

    #[test]
    fn steps_without_number_are_refused() {
        let problem = |time: f64, step: f64, solver: Solver| {
            Integration { time, step, solver, ..Default::default() }.check().err().unwrap_or_default()
        };
        let tiny = problem(2.0, 1e-300, Solver::Euler);
        assert!(tiny.contains("model.time = 2.0") && tiny.contains("model.step = 1e-300"), "{tiny}");
        assert!(problem(1e300, 0.5, Solver::Rk4).contains("model.time = 1e300"));
        assert_eq!(problem(8.0, 1e-4, Solver::Euler), "");
        assert_eq!(problem(1e6, 0.5, Solver::Adaptive), "");
    }
}
