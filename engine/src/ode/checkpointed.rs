//! The gradient of discrete steps from checkpoints (Chen et al. 2016): the state at the beginning of each segment
//! of steps was kept; segments are recorded again one after the other, the last first, and differentiated.

use super::RungeKutta;
use crate::tape::MAX_INPUTS;
use crate::{Real, Recording, Shape, Tape, Var, View};

/// Goes back through `steps` (t, h), cut into segments of `stride` steps whose initial states lie one after the
/// other in `states`. Of `bars` the first enters as the cotangent of the last state and leaves as that of the
/// initial one; to the second those of what is given are added, where they are not empty, and to the third those of
/// the parameters, which are frozen where it is empty.
pub(super) fn checkpointed_gradient<T: Real>(
    tape: &mut Tape<T>,
    params: &[T],
    method: RungeKutta,
    (stride, steps, shape, states): (usize, &[(f64, f64)], Shape, &[T]),
    given: &[View<T>],
    f: impl Fn(&mut Recording<T>, Var, f64, &[Var]) -> Var,
    (bar, given_bars, gradient): (&mut [T], &mut [Vec<T>], &mut [T]),
) {
    for (steps, state) in steps.chunks(stride).zip(states.chunks(shape.len().max(1))).rev() {
        let mut g = tape.record(params);
        if gradient.is_empty() {
            g.freeze_params();
        }
        let start = g.variable(shape.rows, shape.cols, state);
        let mut vars = [start; MAX_INPUTS];
        for ((var, v), bar) in vars.iter_mut().zip(given).zip(given_bars.iter()) {
            let (rows, cols) = (v.shape.rows, v.shape.cols);
            *var =
                if bar.is_empty() { g.constant(rows, cols, v.data) } else { g.variable(rows, cols, v.data) };
        }
        let vars = &vars[..given.len()];
        let mut x = start;
        for (t, h) in steps {
            x = method.step(&mut g, x, *t, *h, &mut |g, x, t| f(g, x, t, vars));
        }
        g.backward_from(x, bar, gradient);
        bar.copy_from_slice(g.grad(start).data);
        for (bar, var) in given_bars.iter_mut().zip(vars).filter(|(bar, _)| !bar.is_empty()) {
            bar.iter_mut().zip(g.grad(*var).data).for_each(|(b, g)| *b += *g);
        }
    }
}
