//! Integration with equal steps.

use super::stages::{Stages, all_finite};
use super::{IntegrateError, Stats, Tableau};
use crate::Real;

/// Steps of one size with any [`Tableau`]; keeps its workspace from call to call.
#[derive(Clone, Debug)]
pub struct FixedStep<T> {
    /// The method.
    pub tableau: &'static Tableau,
    stages: Stages<T>,
    next: Vec<T>,
}

impl<T: Real> FixedStep<T> {
    /// Integrates with `tableau`.
    pub fn new(tableau: &'static Tableau) -> Self {
        FixedStep { tableau, stages: Stages::default(), next: Vec::new() }
    }

    /// One step of size `h` (negative: backward) from `t`, in place.
    pub fn step(&mut self, mut f: impl FnMut(f64, &[T], &mut [T]), t: f64, h: f64, y: &mut [T]) {
        self.resize(y.len());
        self.step_from_stage(0, &mut f, t, h, y);
    }

    /// `steps` equal steps from `t0` to `t1`. A step that leaves the finite numbers is an error, and
    /// `y` is the state before it.
    pub fn solve(
        &mut self,
        mut f: impl FnMut(f64, &[T], &mut [T]),
        t0: f64,
        t1: f64,
        steps: usize,
        y: &mut [T],
    ) -> Result<Stats, IntegrateError> {
        self.resize(y.len());
        let h = (t1 - t0) / steps.max(1) as f64;
        let mut stats = Stats::default();
        for i in 0..steps {
            let t = t0 + i as f64 * h;
            let first = usize::from(self.tableau.fsal && i > 0);
            if first == 1 {
                self.stages.last_to_first();
            }
            self.step_from_stage(first, &mut f, t, h, y);
            stats.evaluations += self.tableau.stages() - first;
            if !all_finite(y) {
                y.copy_from_slice(&self.next);
                return Err(IntegrateError::NonFinite { t: t + h });
            }
            stats.accepted += 1;
        }
        Ok(stats)
    }

    fn resize(&mut self, len: usize) {
        self.stages.resize(self.tableau.stages(), len);
        self.next.resize(len, T::ZERO);
    }

    /// Leaves the new state in `y` and the old one in `self.next`.
    fn step_from_stage(
        &mut self,
        first: usize,
        f: &mut impl FnMut(f64, &[T], &mut [T]),
        t: f64,
        h: f64,
        y: &mut [T],
    ) {
        self.stages.evaluate(self.tableau, first, f, t, h, y);
        self.stages.combine(y, h, self.tableau.b, &mut self.next);
        y.swap_with_slice(&mut self.next);
    }
}
