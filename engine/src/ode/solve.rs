//! A whole integration as one op: x(t1) of dx/dt = f(x, t, given), x(t0) = x0, whose backward pass keeps
//! only a few states instead of every intermediate value.
//!
//! Two gradients are offered: [`Gradient::Checkpointed`], the derivative of the discrete steps, in memory
//! O(sqrt n) for n steps, and [`Gradient::Adjoint`], that of the equation, in memory that does not grow with n.
//! Adaptive steps are chosen from values and are constants to both.

use std::sync::Arc;

use super::adjoint::adjoint_gradient;
use super::checkpointed::checkpointed_gradient;
use super::stages::all_finite;
use super::tableau::DORMAND_PRINCE;
use super::{Adaptive, OdeError, RungeKutta, Tableau};
use crate::buffer_pool::BufferPool;
use crate::tape::{Cotangents, Inputs, MAX_INPUTS, Saved};
use crate::{Op, Real, Recording, Shape, Tape, Var, View};

/// The right-hand side f(x, t, given) of dx/dt. `given` are values that are constant in time (edge weights, the
/// initial state).
pub trait RightHandSide<T: Real>: Send + Sync {
    /// Records f; the result has the shape of x.
    fn record(&self, g: &mut Recording<T>, x: Var, t: f64, given: &[Var]) -> Var;
}

/// The choice of steps.
#[derive(Clone, Copy, Debug)]
pub enum Steps {
    /// A number of equal steps of a method.
    Fixed(&'static Tableau, usize),
    /// Steps of a length of a method, the last one shortened so that it ends where the integration does.
    Shortened(&'static Tableau, f64),
    /// Adaptive steps of the pair of Dormand and Prince: the tolerance of the local error, relative and absolute, and
    /// the largest number of steps.
    Adaptive(f64, usize),
}

impl Steps {
    fn tableau(self) -> &'static Tableau {
        match self {
            Self::Fixed(tableau, _) | Self::Shortened(tableau, _) => tableau,
            Self::Adaptive(..) => &DORMAND_PRINCE,
        }
    }

    fn most(self, span: (f64, f64)) -> usize {
        match self {
            Self::Fixed(_, n) | Self::Adaptive(_, n) => n.max(1),
            Self::Shortened(_, h) => shortened(span, h).count(),
        }
    }
}

/// The beginnings and lengths of `n` equal steps from `t0` to `t1`.
pub fn equal((t0, t1): (f64, f64), n: usize) -> impl ExactSizeIterator<Item = (f64, f64)> {
    let h = (t1 - t0) / n.max(1) as f64;
    (0..n).map(move |k| (t0 + k as f64 * h, h))
}

/// The beginnings and lengths of steps of length `h` from `t0` to `t1`, the last one shortened to end there; what
/// rounding leaves is no step.
pub fn shortened((t0, t1): (f64, f64), h: f64) -> impl ExactSizeIterator<Item = (f64, f64)> {
    let n = ((t1 - t0) / h - 1e-9).ceil().max(1.0) as usize;
    let time = move |k: usize| if k == n { t1 } else { t0 + k as f64 * h };
    (0..n).map(move |k| (time(k), if k + 1 == n { t1 - time(k) } else { h }))
}

/// The method of the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// Of the discrete steps: the states at every ceil(sqrt n)-th of n steps are kept, and each segment is
    /// recorded again on a tape of its own when its turn comes (Chen et al. 2016, "Training deep nets with
    /// sublinear memory cost"); memory grows as sqrt n, and work by one more forward pass.
    Checkpointed,
    /// Of the equation: the last state alone is kept, and the continuous adjoint is integrated back in time (Chen
    /// et al. 2018). Differs from the derivative of the steps by the integrator's error.
    Adjoint,
}

/// A whole integration as one op: x(t1) of dx/dt = f(x, t, given), x(t0) = x0; inputs x0, then `given`. Parameters of
/// f get their gradients if x0 wants its own.
///
/// An integration that fails (too small steps, too many steps, a state that is not finite) reports it as the
/// [`Recording::failure`], an [`OdeError`]; where there is no state to return, it is filled with NaN.
pub struct OdeSolve<T: Real> {
    f: Arc<dyn RightHandSide<T>>,
    span: (f64, f64),
    steps: Steps,
    gradient: Gradient,
    method: RungeKutta,
    scratch: BufferPool<Scratch<T>>,
}

/// Scratch of a pass, reused by the next.
#[derive(Default)]
struct Scratch<T: Real> {
    tape: Tape<T>,
    x: Vec<T>,
    given_bars: Vec<Vec<T>>,
    steps: Vec<(f64, f64)>,
}

impl<T: Real> OdeSolve<T> {
    /// Integrates f from `span.0` to `span.1`.
    ///
    /// # Errors
    /// [`OdeError::TooManyStages`] where the tableau has more than
    /// [`MAX_STAGES`](super::MAX_STAGES).
    pub fn new(
        f: Arc<dyn RightHandSide<T>>,
        span: (f64, f64),
        steps: Steps,
        gradient: Gradient,
    ) -> Result<Self, OdeError> {
        let method = RungeKutta::new(steps.tableau())?;
        Ok(Self { f, span, steps, gradient, method, scratch: BufferPool::default() })
    }

    /// Steps of a segment.
    fn stride(&self) -> usize {
        (self.steps.most(self.span) as f64).sqrt().ceil() as usize
    }

    /// Numbers that the sizes of adaptive steps take at the head of `aux`, the count of steps first.
    fn head(&self) -> usize {
        if matches!(self.steps, Steps::Adaptive(..)) { 1 + self.steps.most(self.span) } else { 0 }
    }

    /// Beginning and size of every step, as `forward` noted them.
    fn list_steps(&self, head: &[T], steps: &mut Vec<(f64, f64)>) {
        steps.clear();
        match self.steps {
            Steps::Fixed(_, n) => steps.extend(equal(self.span, n.max(1))),
            Steps::Shortened(_, h) => steps.extend(shortened(self.span, h)),
            Steps::Adaptive(..) => {
                let mut t = self.span.0;
                for h in &head[1..=head[0].f64() as usize] {
                    steps.push((t, h.f64()));
                    t += h.f64();
                }
            }
        }
    }

    /// Steps known before on a tape that never holds more than one; `keep(k, x)` sees the state before step k.
    fn forward_fixed(
        &self,
        (x0, given, params): (View<T>, &[View<T>], &[T]),
        scratch: &mut Scratch<T>,
        mut keep: impl FnMut(usize, &[T]),
    ) -> Result<(), OdeError> {
        let Scratch { tape, x, steps, .. } = scratch;
        for (k, (t, h)) in steps.iter().enumerate() {
            keep(k, x);
            let mut g = tape.record(params);
            g.freeze_params();
            let state = g.constant(x0.shape.rows, x0.shape.cols, x);
            let vars = constants(&mut g, given, state);
            let f = &mut |g: &mut Recording<T>, x: Var, t: f64| self.f.record(g, x, t, &vars[..given.len()]);
            let end = self.method.step(&mut g, state, *t, *h, f);
            x.copy_from_slice(g.value(end).data);
        }
        if all_finite(x) { Ok(()) } else { Err(OdeError::NonFinite { t: self.span.1 }) }
    }

    /// Adaptive steps; `see(k, h, x)` sees the state before step k and the step's size.
    fn forward_adaptive(
        &self,
        (x0, given, params): (View<T>, &[View<T>], &[T]),
        tolerance: f64,
        scratch: &mut Scratch<T>,
        mut see: impl FnMut(usize, f64, &[T]),
    ) -> Result<(), OdeError> {
        let Scratch { tape, x, .. } = scratch;
        let velocity = |t: f64, y: &[T], dy: &mut [T]| {
            let mut g = tape.record(params);
            g.freeze_params();
            let state = g.constant(x0.shape.rows, x0.shape.cols, y);
            let vars = constants(&mut g, given, state);
            let f = self.f.record(&mut g, state, t, &vars[..given.len()]);
            dy.copy_from_slice(g.value(f).data);
        };
        let mut solver = Adaptive::new(self.steps.tableau(), tolerance, tolerance)?;
        solver.max_steps = self.steps.most(self.span);
        let mut k = 0;
        let done = solver.solve_with(velocity, self.span.0, self.span.1, x, |step| {
            see(k, step.t_next - step.t, step.y);
            k += 1;
        });
        match done {
            Ok(_) if all_finite(x) => Ok(()),
            done => {
                x.fill(T::of(f64::NAN));
                done.and(Err(OdeError::NonFinite { t: self.span.1 }))
            }
        }
    }
}

/// What is given, as constants; places beyond hold `other`.
fn constants<T: Real>(g: &mut Recording<T>, given: &[View<T>], other: Var) -> [Var; MAX_INPUTS] {
    let mut vars = [other; MAX_INPUTS];
    for (var, v) in vars.iter_mut().zip(given) {
        *var = g.constant(v.shape.rows, v.shape.cols, v.data);
    }
    vars
}

impl<T: Real> Op<T> for OdeSolve<T> {
    fn name(&self) -> &'static str {
        "solution of a differential equation"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        inputs.first().copied().ok_or_else(|| "wants an initial state".into())
    }

    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        let states = match self.gradient {
            Gradient::Checkpointed => self.steps.most(self.span).div_ceil(self.stride()) * out.len(),
            Gradient::Adjoint => 0,
        };
        self.head() + states
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let given: Vec<View<T>> = (1..x.len()).map(|k| x.get(k)).collect();
        let (x0, stride, len) = (x.get(0), self.stride(), out.len());
        let mut scratch = self.scratch.take();
        scratch.x.clear();
        scratch.x.extend_from_slice(x0.data);
        let (head, states) = aux.split_at_mut(self.head());
        let mut keep = |k: usize, x: &[T]| {
            if let Some(place) = states.get_mut(k / stride * len..(k / stride + 1) * len)
                && k.is_multiple_of(stride)
            {
                place.copy_from_slice(x);
            }
        };
        let inputs = (x0, given.as_slice(), x.all_params());
        let done = match self.steps {
            Steps::Fixed(..) | Steps::Shortened(..) => {
                self.list_steps(&[], &mut scratch.steps);
                self.forward_fixed(inputs, &mut scratch, keep)
            }
            Steps::Adaptive(tolerance, _) => {
                let mut count = 0;
                let note = |k: usize, h: f64, x: &[T]| {
                    if let Some(place) = head.get_mut(k + 1) {
                        *place = T::of(h);
                    }
                    count = k + 1;
                    keep(k, x);
                };
                let done = self.forward_adaptive(inputs, tolerance, &mut scratch, note);
                head[0] = T::of(count as f64);
                done
            }
        };
        out.copy_from_slice(&scratch.x);
        self.scratch.give_back(scratch);
        if let Err(error) = done {
            x.fail(error);
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let given: Vec<View<T>> = (1..saved.x.len()).map(|k| saved.x.get(k)).collect();
        let mut scratch = self.scratch.take();
        scratch.given_bars.resize(given.len(), Vec::new());
        for (k, (bar, v)) in scratch.given_bars.iter_mut().zip(&given).enumerate() {
            bar.clear();
            bar.resize(if x_bar.wants(k + 1) { v.data.len() } else { 0 }, T::ZERO);
        }
        scratch.x.clear();
        scratch.x.extend_from_slice(out_bar);
        let (head, states) = saved.aux.split_at(self.head());
        self.list_steps(head, &mut scratch.steps);
        let params = saved.x.all_params();
        let gradient = x_bar.all_params().unwrap_or_default();
        let f = |g: &mut Recording<T>, x: Var, t: f64, given: &[Var]| self.f.record(g, x, t, given);
        let Scratch { tape, x: bar, given_bars, steps } = &mut scratch;
        let bars = (bar.as_mut_slice(), given_bars.as_mut_slice(), gradient);
        match self.gradient {
            Gradient::Checkpointed => {
                let segments = (self.stride(), steps.as_slice(), saved.out.shape, states);
                checkpointed_gradient(tape, params, self.method, segments, &given, f, bars);
            }
            Gradient::Adjoint => {
                steps.reverse();
                steps.iter_mut().for_each(|(t, h)| (*t, *h) = (*t + *h, -*h));
                adjoint_gradient(tape, params, self.steps.tableau(), saved.out, steps, &given, f, bars);
            }
        }
        let add = |from: &[T], to: Option<&mut [T]>| {
            for (to, from) in to.into_iter().flatten().zip(from) {
                *to += *from;
            }
        };
        add(&scratch.x, x_bar.get(0));
        for (k, bar) in scratch.given_bars.iter().enumerate() {
            add(bar, x_bar.get(k + 1));
        }
        self.scratch.give_back(scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ode::tableau::{EULER, RK4};
    use crate::{ParamId, Params};

    /// dx/dt = w x.
    struct Decay(ParamId);

    impl RightHandSide<f64> for Decay {
        fn record(&self, g: &mut Recording<f64>, x: Var, _: f64, _: &[Var]) -> Var {
            let w = g.param(self.0);
            g.mul(x, w)
        }
    }

    /// dx/dt = x^2, whose solution from 1 is 1 / (1 - t).
    struct BlowUp;

    impl RightHandSide<f64> for BlowUp {
        fn record(&self, g: &mut Recording<f64>, x: Var, _: f64, _: &[Var]) -> Var {
            g.square(x)
        }
    }

    #[test]
    fn the_last_step_is_shortened_to_the_end() {
        let steps = |t1: f64, h: f64| shortened((0.0, t1), h).collect::<Vec<_>>();
        assert_eq!(steps(1.75, 0.5), [(0.0, 0.5), (0.5, 0.5), (1.0, 0.5), (1.5, 0.25)]);
        assert_eq!(steps(0.1, 0.25), [(0.0, 0.1)]);
        assert_eq!(steps(1.0, 0.25).len(), 4);
        // 0.3 / 0.1 is a little less than 3, 0.7 / 0.1 a little less than 7, 0.6 / 0.2 a little less than 3.
        assert!(
            [(0.3, 0.1, 3), (0.7, 0.1, 7), (0.6, 0.2, 3)].iter().all(|(t, h, n)| steps(*t, *h).len() == *n)
        );
    }

    #[test]
    fn parameters_frozen_outside_are_frozen_inside() {
        let mut params = Params::<f64>::new();
        let decay = Arc::new(Decay(params.add("w", 1, 1, || -0.7)));
        let want = (-0.7_f64).exp();
        for gradient in [Gradient::Checkpointed, Gradient::Adjoint] {
            let op = OdeSolve::new(decay.clone(), (0.0, 1.0), Steps::Fixed(&RK4, 20), gradient).unwrap();
            let (op, mut tape) = (Arc::new(op), Tape::new());
            let mut run = |frozen: bool, param_grads: &mut [f64]| {
                let mut g = tape.record(params.values());
                if frozen {
                    g.freeze_params();
                }
                let x = g.variable(1, 1, &[2.0]);
                let y = g.apply(op.clone(), &[x]);
                g.backward(y, param_grads);
                g.grad(x).data[0]
            };
            assert!((run(true, &mut []) - want).abs() < 1e-6, "{gradient:?}");
            for (frozen, slope) in [(true, 0.0), (false, 2.0 * want)] {
                let mut param_grads = [0.0];
                assert!((run(frozen, &mut param_grads) - want).abs() < 1e-6, "{gradient:?}");
                assert!((param_grads[0] - slope).abs() < 1e-6, "{gradient:?}: {param_grads:?}");
            }
        }
    }

    #[test]
    fn a_failed_integration_is_the_recordings_failure() {
        let mut tape = Tape::<f64>::new();
        let mut failure = |steps: Steps, end: f64| {
            let op = OdeSolve::new(Arc::new(BlowUp), (0.0, end), steps, Gradient::Checkpointed).unwrap();
            let mut g = tape.record(&[]);
            let x = g.variable(1, 1, &[1.0]);
            g.apply(Arc::new(op), &[x]);
            g.failure().map(|e| *e.downcast_ref::<OdeError>().unwrap())
        };
        let singular = failure(Steps::Adaptive(1e-6, 1000), 2.0);
        assert!(matches!(singular, Some(OdeError::StepTooSmall { t, .. } | OdeError::NonFinite { t })
            if (t - 1.0).abs() < 1e-5));
        let short = failure(Steps::Adaptive(1e-6, 3), 0.9);
        assert!(matches!(short, Some(OdeError::MaxSteps { max_steps: 3, .. })));
        assert_eq!(failure(Steps::Fixed(&EULER, 20), 20.0), Some(OdeError::NonFinite { t: 20.0 }));
        // The next recording on the tape begins without it.
        assert_eq!(failure(Steps::Adaptive(1e-6, 1000), 0.5), None);
    }
}
