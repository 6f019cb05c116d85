//! Encoder, integration of a right-hand side over [0, T], decoder.

use std::sync::Arc;

use engine::ode::{
    Gradient, OdeError, OdeSolve, RightHandSide, RungeKutta, Steps, along, equal, shortened, tableau,
};
use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::integration::{Backward, Integration, LastStep, Solver, growing, steps};
use super::{Architecture, Build, Classifier, Evolution, Outputs, kept_states};
use crate::gnn::equations::{self, Equation, MixingSettings, Shared, Start};
use crate::gnn::layers::{Builder, Decoder, Encoder, Form};
use crate::gnn::space::{self, Draw, Width};
use crate::gnn::training::Training;
use crate::gnn::{Dataset, Dropout};
use crate::memory::Part;
use crate::range;

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
    /// own or gread: the form of the residual layers.
    #[serde(default)]
    pub ends: Form,
}

impl Default for Ends {
    fn default() -> Self {
        let width = Width { dropout: 0.3, ..Default::default() };
        Self { width, deep_encoder: false, deep_decoder: true, relu: true, skip: false, ends: Form::Own }
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
        let rates = (input_dropout, dropout);
        let encoder = Encoder::new(on, hidden, (self.deep_encoder, self.ends), rates);
        let seen = if self.skip { 2 * hidden } else { hidden };
        let decoder = Decoder::new(on, seen, (self.deep_decoder, self.relu, self.ends), dropout);
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
        dropout: &mut Dropout,
        evolve: impl FnOnce(&mut Recording<T>, &mut Dropout, Var) -> Var,
    ) -> Outputs {
        let first = self.encoder.apply(g, dropout);
        let last = evolve(g, dropout, first);
        self.decoded(g, dropout, first, last)
    }

    fn decoded(&self, g: &mut Recording<T>, dropout: &mut Dropout, first: Var, last: Var) -> Outputs {
        let seen = if self.skip { g.concat_rows(&[last, first]) } else { last };
        Outputs { first, last, logits: self.decoder.apply(g, seen, dropout) }
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

    fn takes_weights(&self) -> bool {
        !self.mixing.attention
    }

    fn suits(&self, data: &Dataset) -> Result<(), String> {
        self.equation.suits(&self.mixing, data)
    }

    fn undirected(&self) -> bool {
        self.equation.implicit()
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
        self.equation.draw_integration(&mut self.integration, &drawn, draw);
        self.ends.take(&drawn);
        // What has steps of its own has a matrix of its own too.
        if !self.equation.implicit() {
            self.mixing.take(&drawn);
            self.mixing.attention |= E::ATTENTION && !draw.graph.weighted;
        }
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

    fn memory(&self, data: &Dataset, share: f64) -> Vec<Part> {
        let i = &self.integration;
        let settings = format!("model.time = {:?}, model.step = {:?}", i.time, i.step);
        vec![kept_states((data, share), self.ends.width.hidden, i.states(), settings)]
    }
}

impl<T: Real, E: Equation> Build<T> for Continuous<E> {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        let ends = self.ends.build(on);
        let dynamics = self.dynamics(on, self.ends.width.hidden);
        let i = &self.integration;
        let chosen = (i.time_by_validation > 0.0).then(|| {
            let steps = shortened((0.0, i.time), i.step).len();
            on.params.add("steps", 1, 1, || T::of(steps as f64))
        });
        Ok(Box::new(Ode::new(i, ends, dynamics, chosen).map_err(|e| e.to_string())?))
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
    /// T, and the length of steps.
    time: (f64, f64),
    /// Where validation chooses the time.
    choice: Option<Choice>,
}

/// Where validation chooses the time: the method of the steps, the last of all times, and the parameter that keeps
/// the number of steps to the one that was chosen.
struct Choice {
    method: RungeKutta,
    latest: f64,
    chosen: ParamId,
}

/// How the equation is integrated.
enum Solve<T: Real> {
    /// Steps on the network's own tape.
    Recorded(RungeKutta, LastStep),
    /// As one op with a tape of its own: long integrations, and steps chosen by their error.
    Op(Arc<OdeSolve<T>>),
    /// The equation's own steps, of these lengths.
    Implicit(Vec<f64>),
}

/// Steps after which an adaptive integration gives up.
const MAX_STEPS: usize = 1000;

impl<T: Real> Ode<T> {
    fn new(
        m: &Integration,
        ends: EncoderDecoder<T>,
        dynamics: Shared<T>,
        chosen: Option<ParamId>,
    ) -> Result<Self, OdeError> {
        let tableau = match m.solver {
            Solver::Euler => Some(&tableau::EULER),
            Solver::Midpoint => Some(&tableau::MIDPOINT),
            Solver::Rk4 => Some(&tableau::RK4),
            Solver::Rk38 => Some(&tableau::THREE_EIGHTHS),
            Solver::Adaptive | Solver::Implicit => None,
        };
        let solve_op = |gradient| {
            let steps = match (tableau, m.last_step) {
                (Some(tableau), LastStep::Equal) => Steps::Fixed(tableau, steps(m.time, m.step)),
                (Some(tableau), LastStep::Short) => Steps::Shortened(tableau, m.step),
                (None, _) => Steps::Adaptive(m.tolerance, MAX_STEPS),
            };
            let f = Arc::new(Velocity(dynamics.clone()));
            OdeSolve::new(f, (0.0, m.time), steps, gradient).map(|op| Solve::Op(Arc::new(op)))
        };
        let solver = match (m.backward, tableau) {
            _ if m.solver == Solver::Implicit => Solve::Implicit(growing(m.time, m.step, m.growth)),
            (Backward::Tape, Some(tableau)) => Solve::Recorded(RungeKutta::new(tableau)?, m.last_step),
            // The gradient through the steps that were taken is the same with and without checkpoints.
            (Backward::Tape, None) | (Backward::Checkpointed, _) => solve_op(Gradient::Checkpointed)?,
            (Backward::Adjoint, _) => solve_op(Gradient::Adjoint)?,
        };
        let choice = match (chosen, tableau) {
            (Some(chosen), Some(tableau)) => {
                let method = RungeKutta::new(tableau)?;
                Some(Choice { method, latest: m.time_by_validation * m.time, chosen })
            }
            _ => None,
        };
        Ok(Self { ends, dynamics, solver, time: (m.time, m.step), choice })
    }

    /// The state at T from the state `x0`.
    fn integrate(&self, g: &mut Recording<T>, x0: Var) -> Var {
        let x0 = self.dynamics.enter(g, x0);
        let start = Start { weights: self.dynamics.weights(g, x0), x0 };
        let (time, step) = self.time;
        let one = |g: &mut Recording<T>, x: Var, method: RungeKutta, at: (f64, f64)| {
            equations::step(&*self.dynamics, g, method, x, at, start)
        };
        let x = match &self.solver {
            Solve::Recorded(method, LastStep::Equal) => {
                along(g, x0, equal((0.0, time), steps(time, step)), |g, x, at| one(g, x, *method, at))
            }
            Solve::Recorded(method, LastStep::Short) => {
                along(g, x0, shortened((0.0, time), step), |g, x, at| one(g, x, *method, at))
            }
            Solve::Op(op) => g.apply(op.clone(), &[x0, start.weights, x0]),
            Solve::Implicit(lengths) => {
                along(g, x0, lengths, |g, x, h| self.dynamics.implicit_step(g, x, *h, start).unwrap_or(x))
            }
        };
        self.dynamics.leave(g, x)
    }
}

impl<T: Real> Ode<T> {
    /// The states after each of at most `most` steps, with their number.
    fn states(&self, g: &mut Recording<T>, choice: &Choice, most: usize, x0: Var) -> Vec<(f64, Var)> {
        let x0 = self.dynamics.enter(g, x0);
        let start = Start { weights: self.dynamics.weights(g, x0), x0 };
        let mut x = x0;
        let step = |(k, at): (usize, (f64, f64))| {
            x = equations::step(&*self.dynamics, g, choice.method, x, at, start);
            ((k + 1) as f64, self.dynamics.leave(g, x))
        };
        shortened((0.0, choice.latest), self.time.1).enumerate().take(most).map(step).collect()
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
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        self.ends.around(g, dropout, |g, dropout, x0| match &self.choice {
            Some(choice) if !dropout.is_on() => {
                let chosen = g.param(choice.chosen);
                let steps = g.value(chosen).data[0].f64() as usize;
                self.states(g, choice, steps, x0).last().map_or(x0, |(_, x)| *x)
            }
            _ => self.integrate(g, x0),
        })
    }

    fn by_time(&self, g: &mut Recording<T>) -> Option<(ParamId, Vec<(f64, Var)>)> {
        let choice = self.choice.as_ref()?;
        let off = &mut Dropout::off();
        let mut states = Vec::new();
        let outputs = self.ends.around(g, off, |g, _, x0| {
            states = self.states(g, choice, usize::MAX, x0);
            x0
        });
        let logits = |(steps, x): (f64, Var)| (steps, self.ends.decoded(g, off, outputs.first, x).logits);
        Some((choice.chosen, states.into_iter().map(logits).collect()))
    }

    fn undecayed(&self) -> Vec<ParamId> {
        self.choice.iter().map(|choice| choice.chosen).collect()
    }

    fn diffusion_units(&self, g: &mut Recording<T>) -> Option<f64> {
        // The midpoint rule: a rate of time is smooth but for its kinks.
        const PARTS: usize = 256;
        let mut sum = 0.0;
        for k in 0..PARTS {
            let t = (k as f64 + 0.5) / PARTS as f64 * self.time.0;
            let rate = self.dynamics.diffusion_rate(g, t)?;
            let rate = g.value(rate).data;
            sum += rate.iter().map(|r| r.f64()).sum::<f64>() / rate.len() as f64;
        }
        Some(sum / PARTS as f64 * self.time.0)
    }
}
