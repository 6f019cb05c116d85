//! A whole integration as one op: x(t1) of dx/dt = f(x, t, given), x(t0) = x0, whose backward pass keeps
//! only a few states instead of every intermediate value.
//!
//! Two gradients are offered. [`Gradient::Checkpointed`] is the derivative of the discrete steps: the states
//! at every ceil(sqrt n)-th of n steps are kept, and each segment is recorded again on a tape of its own when
//! its turn comes (Chen et al. 2016, "Training deep nets with sublinear memory cost"); memory grows as
//! sqrt n, and work by one more forward pass. [`Gradient::Adjoint`] keeps the last state alone and
//! integrates the continuous adjoint back in time (Chen et al. 2018; see [`adjoint`](crate::adjoint)); it
//! differs from the derivative of the steps by the integrator's error. Adaptive steps are chosen from values
//! and are constants to both.

use std::sync::Arc;

use crate::adjoint::adjoint_gradient;
use crate::integrate::tableau::DORMAND_PRINCE;
use crate::integrate::{Adaptive, Tableau};
use crate::ode::Method;
use crate::spares::Spares;
use crate::tape::{Attr, Cotangents, Inputs, MAX_INPUTS, Saved};
use crate::{Op, Real, Recording, Shape, Tape, Var, View};

/// f(x, t, given): what is integrated. `given` are values that do not change in time (edge weights, the
/// initial state).
pub trait RightHandSide<T: Real>: Send + Sync {
    /// Records f; the result has the shape of x.
    fn record(&self, g: &mut Recording<T>, x: Var, t: f64, given: &[Var]) -> Var;
}

/// How steps are chosen.
#[derive(Clone, Copy, Debug)]
pub enum Steps {
    /// So many equal steps of a method.
    Fixed(&'static Tableau, usize),
    /// Steps of Dormand and Prince's pair with local errors below the tolerance, relative and absolute, at
    /// most so many of them; an integration that needs more, or blows up, gives a state of NaN.
    Adaptive(f64, usize),
}

/// How the backward pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// Of the discrete steps, with O(sqrt n) states kept.
    Checkpointed,
    /// Of the equation, with the last state kept.
    Adjoint,
}

/// The op; inputs x0, then what is given. Parameters that f uses get their gradients if x0 wants its own.
pub struct Integral<T: Real> {
    f: Arc<dyn RightHandSide<T>>,
    span: (f64, f64),
    steps: Steps,
    gradient: Gradient,
    method: Method,
    scratch: Spares<Scratch<T>>,
}

/// Memory of one pass, kept for the next.
#[derive(Default)]
struct Scratch<T: Real> {
    tape: Tape<T>,
    x: Vec<T>,
    given_bars: Vec<Vec<T>>,
    steps: Vec<(f64, f64)>,
}

impl<T: Real> Integral<T> {
    /// Integrates f from `span.0` to `span.1`.
    pub fn new(f: Arc<dyn RightHandSide<T>>, span: (f64, f64), steps: Steps, gradient: Gradient) -> Self {
        let tableau = match steps {
            Steps::Fixed(tableau, _) => tableau,
            Steps::Adaptive(..) => &DORMAND_PRINCE,
        };
        Self { f, span, steps, gradient, method: Method::new(tableau), scratch: Spares::default() }
    }

    fn most_steps(&self) -> usize {
        match self.steps {
            Steps::Fixed(_, n) | Steps::Adaptive(_, n) => n.max(1),
        }
    }

    /// Steps of a segment.
    fn stride(&self) -> usize {
        (self.most_steps() as f64).sqrt().ceil() as usize
    }

    /// Numbers that the sizes of adaptive steps take at the head of `aux`, the count of steps first.
    fn head(&self) -> usize {
        if matches!(self.steps, Steps::Adaptive(..)) { 1 + self.most_steps() } else { 0 }
    }

    /// Beginning and size of every step, as `forward` noted them.
    fn list_steps(&self, head: &[T], steps: &mut Vec<(f64, f64)>) {
        let (t0, t1) = self.span;
        steps.clear();
        match self.steps {
            Steps::Fixed(_, n) => {
                let h = (t1 - t0) / n.max(1) as f64;
                steps.extend((0..n.max(1)).map(|k| (t0 + k as f64 * h, h)));
            }
            Steps::Adaptive(..) => {
                let mut t = t0;
                for h in &head[1..=head[0].f64() as usize] {
                    steps.push((t, h.f64()));
                    t += h.f64();
                }
            }
        }
    }

    /// Equal steps on a tape that never holds more than one; `keep(k, x)` sees the state before step k.
    fn forward_fixed(
        &self,
        (x0, given, params): (View<T>, &[View<T>], &[T]),
        scratch: &mut Scratch<T>,
        mut keep: impl FnMut(usize, &[T]),
    ) {
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
    }

    /// Adaptive steps; returns whether the end was reached.
    fn forward_adaptive(
        &self,
        (x0, given, params): (View<T>, &[View<T>], &[T]),
        tolerance: f64,
        scratch: &mut Scratch<T>,
        mut see: impl FnMut(usize, f64, &[T]),
    ) -> bool {
        let Scratch { tape, x, .. } = scratch;
        let velocity = |t: f64, y: &[T], dy: &mut [T]| {
            let mut g = tape.record(params);
            g.freeze_params();
            let state = g.constant(x0.shape.rows, x0.shape.cols, y);
            let vars = constants(&mut g, given, state);
            let f = self.f.record(&mut g, state, t, &vars[..given.len()]);
            dy.copy_from_slice(g.value(f).data);
        };
        let mut solver = Adaptive::new(&DORMAND_PRINCE, tolerance, tolerance);
        solver.max_steps = self.most_steps();
        let mut k = 0;
        let done = solver.solve_with(velocity, self.span.0, self.span.1, x, |step| {
            see(k, step.t_next - step.t, step.y);
            k += 1;
        });
        done.is_ok() && x.iter().all(|v| v.is_finite())
    }

    /// Segment after segment, from the last: records it again from its first state and goes back through it.
    /// Parameters are frozen where there is no room for their gradient.
    fn vjp_checkpointed(
        &self,
        (shape, states): (Shape, &[T]),
        given: &[View<T>],
        params: &[T],
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
    ) {
        let Scratch { tape, x: bar, given_bars, steps } = scratch;
        let stride = self.stride();
        for (steps, state) in steps.chunks(stride).zip(states.chunks(shape.len().max(1))).rev() {
            let mut g = tape.record(params);
            if gradient.is_empty() {
                g.freeze_params();
            }
            let start = g.variable(shape.rows, shape.cols, state);
            let mut vars = [start; MAX_INPUTS];
            for ((var, v), bar) in vars.iter_mut().zip(given).zip(given_bars.iter()) {
                let (rows, cols) = (v.shape.rows, v.shape.cols);
                *var = if bar.is_empty() {
                    g.constant(rows, cols, v.data)
                } else {
                    g.variable(rows, cols, v.data)
                };
            }
            let vars = &vars[..given.len()];
            let f = &mut |g: &mut Recording<T>, x: Var, t: f64| self.f.record(g, x, t, vars);
            let mut x = start;
            for (t, h) in steps {
                x = self.method.step(&mut g, x, *t, *h, f);
            }
            g.backward_from(x, bar, gradient);
            bar.copy_from_slice(g.grad(start).data);
            for (bar, var) in given_bars.iter_mut().zip(vars).filter(|(bar, _)| !bar.is_empty()) {
                bar.iter_mut().zip(g.grad(*var).data).for_each(|(b, g)| *b += *g);
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

impl<T: Real> Op<T> for Integral<T> {
    fn name(&self) -> &'static str {
        "integral of a differential equation"
    }

    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        inputs.first().copied().ok_or_else(|| "wants an initial state".into())
    }

    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        let states = match self.gradient {
            Gradient::Checkpointed => self.most_steps().div_ceil(self.stride()) * out.len(),
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
        match self.steps {
            Steps::Fixed(..) => {
                self.list_steps(&[], &mut scratch.steps);
                self.forward_fixed(inputs, &mut scratch, keep);
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
                if !self.forward_adaptive(inputs, tolerance, &mut scratch, note) {
                    scratch.x.fill(T::of(f64::NAN));
                }
                head[0] = T::of(count as f64);
            }
        }
        out.copy_from_slice(&scratch.x);
        self.scratch.give_back(scratch);
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
        match self.gradient {
            Gradient::Checkpointed => {
                let start = (saved.out.shape, states);
                self.vjp_checkpointed(start, &given, params, &mut scratch, gradient);
            }
            Gradient::Adjoint => {
                let tableau = match self.steps {
                    Steps::Fixed(tableau, _) => tableau,
                    Steps::Adaptive(..) => &DORMAND_PRINCE,
                };
                let Scratch { tape, x, given_bars, steps } = &mut scratch;
                steps.reverse();
                steps.iter_mut().for_each(|(t, h)| (*t, *h) = (*t + *h, -*h));
                adjoint_gradient(
                    tape,
                    params,
                    tableau,
                    saved.out,
                    steps,
                    &given,
                    |g, x, t, given| self.f.record(g, x, t, given),
                    (x, given_bars, gradient),
                );
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
    use crate::integrate::tableau::RK4;
    use crate::{ParamId, Params};

    /// dx/dt = w x.
    struct Decay(ParamId);

    impl RightHandSide<f64> for Decay {
        fn record(&self, g: &mut Recording<f64>, x: Var, _: f64, _: &[Var]) -> Var {
            let w = g.param(self.0);
            g.mul(x, w)
        }
    }

    #[test]
    fn parameters_frozen_outside_are_frozen_inside() {
        let mut params = Params::<f64>::new();
        let decay = Arc::new(Decay(params.add("w", 1, 1, || -0.7)));
        let want = (-0.7_f64).exp();
        for gradient in [Gradient::Checkpointed, Gradient::Adjoint] {
            let op = Integral::new(decay.clone(), (0.0, 1.0), Steps::Fixed(&RK4, 20), gradient);
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
}
