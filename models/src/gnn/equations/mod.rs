//! Right-hand sides dx/dt = f(x, t) on a graph, one file each, with the settings that are their own. x is channels x
//! nodes.
//!
//! To add one: write its file, and its line among the networks (`networks::networks!`).

mod acmp;
pub mod attention;
pub mod coefficient;
mod grade;
mod grand;
mod gread;
mod kuramoto;
mod variational;

pub use acmp::AcmpSettings;
pub use grade::{Form, GradeSettings, Kernel, Mobility, Sigma};
pub use grand::GrandSettings;
pub use gread::GreadSettings;
pub use kuramoto::KuramotoSettings;

use std::sync::Arc;

use engine::ode::RungeKutta;
use engine::{Real, Recording, Var};
use serde::{Deserialize, Serialize};

use self::attention::{DotAttention, DotSettings};
use super::layers::Builder;
use super::networks::Integration;
use super::space::{Continuous, Draw};
use super::{Adjacency, Dataset, Normalisation};

/// Which of two versions of a published equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// As the paper has it.
    Paper,
    /// As its authors' code has it.
    Code,
}

/// The settings that are an equation's own.
pub trait Equation: Default + Send + Sync {
    /// Whether A is attention unless a setting says otherwise.
    const ATTENTION: bool = false;
    /// Whether a search draws if the decoder sees the initial state.
    const SKIP: bool = false;

    /// How it is integrated unless settings say otherwise.
    fn integration() -> Integration {
        Integration::default()
    }

    /// An error if a value is outside its range.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Takes its settings from those that all equations draw, and draws its own.
    fn draw(&mut self, _: &Continuous, _: &mut Draw<'_>) {}

    /// Takes the integration from that which all equations draw, or draws its own.
    fn draw_integration(&self, integration: &mut Integration, drawn: &Continuous, _: &mut Draw<'_>) {
        (integration.time, integration.step) = (drawn.time, drawn.step);
    }

    /// Turns aggregation off; whether there is one.
    fn ablate(&mut self) -> bool {
        false
    }

    /// Whether it is integrated by implicit steps of its own, and by them alone.
    fn implicit(&self) -> bool {
        false
    }

    /// An error if it has no meaning with such a matrix on such a graph.
    fn suits(&self, _: &MixingSettings, _: &Dataset) -> Result<(), String> {
        Ok(())
    }

    /// The right-hand side on states of `channels`, with its parameters.
    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, channels: usize) -> Shared<T>;
}

/// A right-hand side that several ops may hold.
pub type Shared<T> = Arc<dyn Dynamics<T>>;

/// A right-hand side.
pub trait Dynamics<T: Real>: Send + Sync {
    /// The edge weights A, made once where integration begins.
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var;

    /// f(x, t), with the weights and the initial state.
    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var;

    /// The factor of A x - x at time t: one number, or one for each channel; none where there is no such term.
    fn diffusion_rate(&self, _: &mut Recording<T>, _t: f64) -> Option<Var> {
        None
    }

    /// x + h f(x, t): an equation may have an op for it, with the same numbers in less memory.
    fn euler_step(&self, g: &mut Recording<T>, x: Var, (t, h): (f64, f64), start: Start) -> Var {
        RungeKutta::EULER.step(g, x, t, h, &mut |g, x, t| self.velocity(g, x, t, start))
    }

    /// The state after an implicit step of length h; none for an equation that has no such step.
    fn implicit_step(&self, _: &mut Recording<T>, _: Var, _h: f64, _: Start) -> Option<Var> {
        None
    }

    /// The parts of the energy that the equation lowers (channels x nodes), to be added up; none where it has none.
    fn energy(&self, _: &mut Recording<T>, _: Var, _: Start) -> Option<Var> {
        None
    }

    /// The state that is integrated, from the one that the encoder gives.
    fn enter(&self, _: &mut Recording<T>, x: Var) -> Var {
        x
    }

    /// The inverse of [`Dynamics::enter`], for the decoder.
    fn leave(&self, _: &mut Recording<T>, x: Var) -> Var {
        x
    }
}

/// The state after a step of `method` from t of the length h.
pub fn step<T: Real>(
    dynamics: &dyn Dynamics<T>,
    g: &mut Recording<T>,
    method: RungeKutta,
    x: Var,
    (t, h): (f64, f64),
    start: Start,
) -> Var {
    match method.is_euler() {
        true => dynamics.euler_step(g, x, (t, h), start),
        false => method.step(g, x, t, h, &mut |g, x, t| dynamics.velocity(g, x, t, start)),
    }
}

/// What is made once where integration begins.
#[derive(Clone, Copy)]
pub struct Start {
    /// Edge weights (1 x nnz).
    pub weights: Var,
    /// The initial state.
    pub x0: Var,
}

/// Settings of the matrix A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixingSettings {
    /// How A is normalised.
    pub normalisation: Normalisation,
    /// Whether A has loops.
    pub loops: bool,
    /// Whether A is attention at the initial state instead of fixed.
    pub attention: bool,
    /// The attention.
    #[serde(flatten)]
    pub dot: DotSettings,
}

impl MixingSettings {
    /// Row-normalised with loops.
    pub fn new(attention: bool) -> Self {
        Self { normalisation: Normalisation::Row, loops: true, attention, dot: DotSettings::of(4) }
    }

    /// An error if a value is outside its range, or the number of heads does not fit.
    pub fn check(&self) -> Result<(), String> {
        self.dot.check()?;
        if self.attention { self.dot.check_heads() } else { Ok(()) }
    }

    /// Takes what every equation draws.
    pub fn take(&mut self, drawn: &Continuous) {
        (self.normalisation, self.loops, self.attention) =
            (drawn.normalisation, drawn.loops, drawn.attention);
    }

    /// The matrix for a graph.
    pub fn build<T: Real>(&self, on: &mut Builder<'_, T>, channels: usize) -> Mixing<T> {
        let adjacency = on.adjacency(self.normalisation, self.loops);
        Mixing::attending(on, adjacency, channels, self.attention.then_some(self.dot))
    }
}

/// The matrix A of a block: fixed, or attention at the initial state.
pub struct Mixing<T> {
    /// The graph, and the weights if they are fixed.
    pub adjacency: Arc<Adjacency<T>>,
    attention: Option<DotAttention<T>>,
}

impl<T: Real> Mixing<T> {
    /// Fixed weights, or `heads` heads of attention with 64 numbers if not 0.
    pub fn new(on: &mut Builder<'_, T>, adjacency: Arc<Adjacency<T>>, channels: usize, heads: usize) -> Self {
        Self::attending(on, adjacency, channels, (heads > 0).then(|| DotSettings::of(heads)))
    }

    /// Fixed weights, or attention.
    fn attending(
        on: &mut Builder<'_, T>,
        adjacency: Arc<Adjacency<T>>,
        channels: usize,
        dot: Option<DotSettings>,
    ) -> Self {
        let attention =
            dot.map(|dot| DotAttention::new(on.params, adjacency.clone(), channels, dot, on.seed));
        Self { adjacency, attention }
    }

    /// The weights of A (1 x nnz) at the state x.
    pub fn weights(&self, g: &mut Recording<T>, x: Var) -> Var {
        match &self.attention {
            Some(attention) => attention.weights(g, x),
            None => g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights),
        }
    }

    /// A x - x.
    pub fn diffuse(&self, g: &mut Recording<T>, weights: Var, x: Var) -> Var {
        g.sparse_laplacian(&self.adjacency.sparse, weights, x)
    }

    /// A x.
    pub fn mix(&self, g: &mut Recording<T>, weights: Var, x: Var) -> Var {
        g.sparse_columns(&self.adjacency.sparse, weights, x)
    }
}
