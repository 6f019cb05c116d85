//! Integrators of differential equations dy/dt = f(t, y) and dX = f dt + g dW on flat slices.
//!
//! A right-hand side is a closure `f(t, y, dy)` that fills `dy`. Times are f64 and may run backward.
//!
//! - [`Tableau`]: the coefficients of an explicit Runge-Kutta method, as data;
//! - [`FixedStep`]: equal steps;
//! - [`Adaptive`]: steps chosen so that the error meets a tolerance, and dense output;
//! - [`Sde`]: single steps of stochastic equations, with the caller's noise.
//!
//! ```
//! use engine::integrate::{Adaptive, tableau};
//! let mut y = [1.0f64];
//! let mut solver = Adaptive::new(&tableau::DORMAND_PRINCE, 1e-8, 1e-8);
//! let stats = solver.solve(|_, y, dy| dy[0] = -y[0], 0.0, 1.0, &mut y).unwrap();
//! assert!((y[0] - (-1.0f64).exp()).abs() < 1e-7);
//! assert!(stats.evaluations < 100);
//! ```

pub mod adaptive;
pub mod fixed;
pub mod sde;
mod stages;
pub mod tableau;
#[cfg(test)]
mod tests;

pub use adaptive::{Adaptive, Step};
pub use fixed::FixedStep;
pub use sde::Sde;
pub use tableau::Tableau;

/// The work that an integration took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Steps that became part of the solution.
    pub accepted: usize,
    /// Steps tried and thrown away.
    pub rejected: usize,
    /// Calls of the right-hand side.
    pub evaluations: usize,
}

/// Why an integration stopped before its end. The state is the last one that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum IntegrateError {
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
    /// The steps allowed were used up.
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
}
