//! Integration with steps chosen to meet a tolerance.

use super::stages::{Stages, all_finite};
use super::{OdeError, Stats, Tableau};
use crate::Real;

/// Error-controlled steps of an embedded [`Tableau`]; its workspace is reused from call to call.
///
/// With err = RMS_i(error_i / (atol + rtol max(|y_i|, |y_i'|))), a step is accepted if err <= 1, and the next one is
/// h times
///
/// ```text
/// 0.9 err^(-alpha) err_old^beta,      alpha = 1/q - 3/4 beta,  beta = 0.2/q
/// ```
///
/// (within 0.2 and 10), q the order of the embedded method plus one: the PI controller of Hairer and Wanner,
/// *Solving ordinary differential equations II* (1996), IV.2, with the constants of their `dopri5.f`. After a
/// rejection h is multiplied by 0.9 err^(-1/q + 3/4 beta), and the next step may not grow.
#[derive(Clone, Debug)]
pub struct Adaptive<T> {
    /// The method.
    pub tableau: &'static Tableau,
    /// Error allowed relative to the state.
    pub rtol: f64,
    /// Error allowed at a vanishing state.
    pub atol: f64,
    /// Size of the first step; estimated if absent.
    pub first_step: Option<f64>,
    /// Limit of accepted and rejected steps.
    pub max_steps: usize,
    stages: Stages<T>,
    next: Vec<T>,
}

/// One accepted step.
#[derive(Debug)]
pub struct Step<'a, T> {
    /// Time at its beginning.
    pub t: f64,
    /// Time at its end, before `t` if time runs backward.
    pub t_next: f64,
    /// State at its beginning.
    pub y: &'a [T],
    /// State at its end.
    pub y_next: &'a [T],
}

const SAFETY: f64 = 0.9;
const LEAST_FACTOR: f64 = 0.2;
const LARGEST_FACTOR: f64 = 10.0;

impl<T: Real> Adaptive<T> {
    /// Integrates with `tableau` to the tolerances, in at most 100 000 steps.
    ///
    /// # Errors
    /// [`OdeError::NoErrorEstimate`] if the tableau has no embedded method.
    pub fn new(tableau: &'static Tableau, rtol: f64, atol: f64) -> Result<Self, OdeError> {
        if tableau.error.is_empty() {
            return Err(OdeError::NoErrorEstimate { name: tableau.name });
        }
        Ok(Adaptive {
            tableau,
            rtol,
            atol,
            first_step: None,
            max_steps: 100_000,
            stages: Stages::default(),
            next: Vec::new(),
        })
    }

    /// Integrates `y` from `t0` to `t1`: `f(t, y, dy)` fills `dy`.
    ///
    /// # Errors
    /// If the tolerance cannot be met, the steps are used up, or the state is not finite; `y` is then the last
    /// state that was accepted.
    pub fn solve(
        &mut self,
        f: impl FnMut(f64, &[T], &mut [T]),
        t0: f64,
        t1: f64,
        y: &mut [T],
    ) -> Result<Stats, OdeError> {
        self.solve_with(f, t0, t1, y, |_| ())
    }

    /// Integrates `y` from `t0` to `t1` and shows every accepted step to `observe`.
    ///
    /// # Errors
    /// As [`solve`](Self::solve).
    pub fn solve_with(
        &mut self,
        mut f: impl FnMut(f64, &[T], &mut [T]),
        t0: f64,
        t1: f64,
        y: &mut [T],
        mut observe: impl FnMut(Step<'_, T>),
    ) -> Result<Stats, OdeError> {
        let mut stats = Stats::default();
        let span = t1 - t0;
        if span == 0.0 {
            return Ok(stats);
        }
        let tableau = self.tableau;
        self.stages.resize(tableau.stages(), y.len());
        self.next.resize(y.len(), T::ZERO);
        f(t0, y, &mut self.stages.k[..y.len()]);
        stats.evaluations += 1;
        if !all_finite(y) || !all_finite(&self.stages.k[..y.len()]) {
            return Err(OdeError::NonFinite { t: t0 });
        }
        let mut h = match self.first_step {
            Some(h) => h.abs().copysign(span),
            None => {
                stats.evaluations += 1;
                self.estimate_first_step(&mut f, t0, span, y)
            }
        };

        let q = (tableau.embedded_order + 1) as f64;
        let beta = 0.2 / q;
        let alpha = 1.0 / q - 0.75 * beta;
        let (mut t, mut error_old, mut just_rejected) = (t0, 1e-4f64, false);
        loop {
            let last = (t + 1.01 * h - t1) * span >= 0.0;
            if last {
                h = t1 - t;
            }
            if stats.accepted + stats.rejected == self.max_steps {
                return Err(OdeError::MaxSteps { t, max_steps: self.max_steps });
            }
            self.stages.evaluate(tableau, 1, &mut f, t, h, y);
            stats.evaluations += tableau.stages() - 1;
            self.stages.combine(y, h, tableau.b, &mut self.next);
            let tolerance = [self.rtol, self.atol];
            let error = self.stages.error_norm(h, tableau.error, y, &self.next, tolerance);
            let finite = error.is_finite() && all_finite(&self.next);

            if finite && error <= 1.0 {
                let t_next = if last { t1 } else { t + h };
                observe(Step { t, t_next, y, y_next: &self.next });
                stats.accepted += 1;
                t = t_next;
                y.copy_from_slice(&self.next);
                if last {
                    return Ok(stats);
                }
                if tableau.fsal {
                    self.stages.last_to_first();
                } else {
                    f(t, y, &mut self.stages.k[..y.len()]);
                    stats.evaluations += 1;
                }
                let factor = SAFETY * power(error.max(1e-10), -alpha) * power(error_old, beta);
                let largest = if just_rejected { 1.0 } else { LARGEST_FACTOR };
                h *= factor.clamp(LEAST_FACTOR, largest);
                error_old = error.max(1e-4);
                just_rejected = false;
            } else {
                stats.rejected += 1;
                h *= if finite { (SAFETY * power(error, -alpha)).max(LEAST_FACTOR) } else { LEAST_FACTOR };
                just_rejected = true;
                let least = (4.0 * f64::EPSILON * t.abs()).max(f64::EPSILON * f64::EPSILON * span.abs());
                if h.abs() <= least {
                    return Err(match finite {
                        true => OdeError::StepTooSmall { t, h },
                        false => OdeError::NonFinite { t },
                    });
                }
            }
        }
    }

    /// A first step from the sizes of y, y' and y'' (Hairer, Norsett and Wanner I, II.4), at most
    /// the whole span. Uses the first stage, which is known, and the second as scratch.
    fn estimate_first_step(
        &mut self,
        f: &mut impl FnMut(f64, &[T], &mut [T]),
        t0: f64,
        span: f64,
        y: &[T],
    ) -> f64 {
        let n = y.len();
        let tolerance = [self.rtol, self.atol];
        let k = std::mem::take(&mut self.stages.k);
        let d0 = self.stages.scaled_norm(y, y, tolerance);
        let d1 = self.stages.scaled_norm(&k[..n], y, tolerance);
        self.stages.k = k;
        let h0 = if d0 < 1e-5 || d1 < 1e-5 { 1e-6 } else { 0.01 * d0 / d1 };
        let h0 = h0.min(span.abs()).copysign(span);
        self.stages.combine(y, h0, &[1.0], &mut self.next);
        f(t0 + h0, &self.next, &mut self.stages.k[n..2 * n]);
        let change = self.stages.error_norm(1.0, &[-1.0, 1.0], y, y, tolerance);
        let d2 = if change.is_finite() { change / h0.abs() } else { f64::INFINITY };
        let q = (self.tableau.embedded_order + 1) as f64;
        let largest = d1.max(d2);
        let h1 = if largest <= 1e-15 { 1e-6f64.max(h0.abs() * 1e-3) } else { power(0.01 / largest, 1.0 / q) };
        let h = (100.0 * h0.abs()).min(h1).min(span.abs());
        if h > 0.0 { h.copysign(span) } else { h0 }
    }
}

/// x^p with the engine's own functions, which give the same bits on every machine.
fn power(x: f64, p: f64) -> f64 {
    Real::exp(p * Real::ln(x))
}
