//! Solvers of differential equations dx/dt = f(x, t) with a right-hand side that may be learned.
//!
//! - [`Tableau`]: the coefficients of an explicit Runge-Kutta method, as data;
//! - [`RungeKutta`]: equal steps recorded on the tape;
//! - [`OdeSolve`]: a whole integration as one op, with equal or adaptive steps, and its gradient from checkpoints or
//!   by the continuous adjoint;
//! - [`Adaptive`]: steps on plain slices, chosen so that the error meets a tolerance.
//!
//! Times are f64 and may run backward. A failure is an [`OdeError`]: of [`Adaptive`] as a result, of [`OdeSolve`]
//! as the [failure of its recording](crate::Recording::failure).
//!
//! ```
//! use engine::ode::{Adaptive, tableau};
//! let mut y = [1.0f64];
//! let mut solver = Adaptive::new(&tableau::DORMAND_PRINCE, 1e-8, 1e-8)?;
//! let stats = solver.solve(|_, y, dy| dy[0] = -y[0], 0.0, 1.0, &mut y)?;
//! assert!((y[0] - (-1.0f64).exp()).abs() < 1e-7);
//! assert!(stats.evaluations < 100);
//! # Ok::<(), engine::ode::OdeError>(())
//! ```

mod adaptive;
mod adjoint;
mod checkpointed;
mod recorded;
mod solve;
mod stages;
pub mod tableau;
#[cfg(test)]
mod tests;

pub use adaptive::{Adaptive, Step};
pub use recorded::{MAX_STAGES, RungeKutta, along};
pub use solve::{Gradient, OdeSolve, RightHandSide, Steps, equal, shortened};
pub use tableau::Tableau;

/// The work that an integration took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Accepted steps.
    pub accepted: usize,
    /// Rejected steps.
    pub rejected: usize,
    /// Calls of the right-hand side.
    pub evaluations: usize,
}

/// Why an integration cannot start, or stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OdeError {
    /// The error cannot be met with any step that still changes the time.
    #[error(
        "the step became too small ({h:e}) at t = {t}: the equation is stiff or singular there, or the tolerance is below rounding"
    )]
    StepTooSmall {
        /// The time reached.
        t: f64,
        /// The step that would have been next.
        h: f64,
    },
    /// The limit of steps was reached.
    #[error("{max_steps} steps led only to t = {t}: raise the limit or the tolerances")]
    MaxSteps {
        /// The time reached.
        t: f64,
        /// The limit.
        max_steps: usize,
    },
    /// The state or its derivative is infinite or NaN.
    #[error("the state or its derivative is not finite at t = {t}")]
    NonFinite {
        /// The time.
        t: f64,
    },
    /// More stages than an op has inputs.
    #[error("{name} has {stages} stages; a recorded method has at most {MAX_STAGES}")]
    TooManyStages {
        /// The method.
        name: &'static str,
        /// Its stages.
        stages: usize,
    },
    /// Adaptive steps need an embedded method.
    #[error("{name} has no error estimate, which adaptive steps need")]
    NoErrorEstimate {
        /// The method.
        name: &'static str,
    },
}
