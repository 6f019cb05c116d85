//! How a differential equation is integrated: settings, steps and their lengths.

use serde::{Deserialize, Serialize};

use crate::range::{self, Range};

/// The integrator of a continuous network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// First order.
    Euler,
    /// Second order.
    Midpoint,
    /// Fourth order, the classical method.
    Rk4,
    /// Fourth order, the 3/8 rule, which torchdiffeq calls rk4.
    Rk38,
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

/// What becomes of steps where T is no multiple of their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastStep {
    /// All are equally long, and a little shorter.
    #[default]
    Equal,
    /// The last one is shortened, as torchdiffeq does.
    Short,
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
    #[serde(default = "one")]
    pub growth: f64,
    /// tape, checkpointed or adjoint.
    pub backward: Backward,
    /// equal or short: what becomes of steps where T is no multiple of their length.
    #[serde(default)]
    pub last_step: LastStep,
    /// Above 0, evaluation integrates to so many times T and takes the time with the best validation figure, as the
    /// code of GRAND does (3). Training ends at T all the same.
    #[serde(default)]
    pub time_by_validation: f64,
}

fn one() -> f64 {
    1.0
}

impl Default for Integration {
    fn default() -> Self {
        let (solver, backward) = (Solver::Euler, Backward::Tape);
        Self {
            time: 2.0,
            step: 0.5,
            solver,
            tolerance: 1e-3,
            growth: 1.0,
            backward,
            last_step: LastStep::Equal,
            time_by_validation: 0.0,
        }
    }
}

/// Steps of length `step` in `time`.
pub(super) fn steps(time: f64, step: f64) -> usize {
    (time / step - 1e-9).ceil().max(1.0) as usize
}

/// The lengths of steps that grow by a factor from `step` on and end at `time`.
pub(super) fn growing(time: f64, step: f64, growth: f64) -> Vec<f64> {
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
            ("model.time_by_validation", self.time_by_validation, Range::Between(0.0, 100.0)),
            ("model.growth", self.growth, Range::Between(1.0, 10.0)),
        ])?;
        if self.time_by_validation > 0.0 && matches!(self.solver, Solver::Adaptive | Solver::Implicit) {
            return Err(
                "model.time_by_validation needs steps of one length; choose another model.solver".into()
            );
        }
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
    pub(super) fn states(&self) -> f64 {
        let steps = match self.solver {
            Solver::Implicit => growing(self.time, self.step, self.growth).len(),
            _ => steps(self.time, self.step),
        } as f64;
        // Evaluation keeps every state that validation may choose.
        let chosen = self.time_by_validation * self.time / self.step;
        let kept = match self.backward {
            _ if self.solver == Solver::Adaptive => 1.0,
            Backward::Tape => steps,
            Backward::Checkpointed => steps.sqrt(),
            Backward::Adjoint => 1.0,
        };
        kept.max(chosen)
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
