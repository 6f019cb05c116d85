//! Gradients by the continuous adjoint (Chen et al. 2018): x and its adjoint a are integrated back in
//! time together, dx/dt = f, da/dt = -(df/dx)^T a, and (df/dtheta)^T a is gathered on the way. Memory does
//! not grow with the number of steps. The result differs from the derivative of the discrete steps by
//! the integrator's error; [`Gradient::Checkpointed`](super::Gradient) has none.

use super::Tableau;
use super::stages::add_terms;
use crate::simd::axpy;
use crate::tape::MAX_INPUTS;
use crate::{Real, Recording, Tape, Var, View};

/// Goes back from the state `x1` by `steps` (t, h) of the method, h negative, each beginning where the one
/// before it ended. `given` are values that f uses at every time. Of `bars` the first enters as the
/// cotangent of x1 and leaves as that of the initial state; to the second those of what is given are added,
/// where they are not empty, and to the third those of the parameters, which are frozen where it is empty.
/// Returns the initial state as it was found again.
pub(super) fn adjoint_gradient<T: Real>(
    tape: &mut Tape<T>,
    params: &[T],
    tableau: &Tableau,
    x1: View<T>,
    steps: &[(f64, f64)],
    given: &[View<T>],
    f: impl Fn(&mut Recording<T>, Var, f64, &[Var]) -> Var,
    (bar, given_bars, gradient): (&mut [T], &mut [Vec<T>], &mut [T]),
) -> Vec<T> {
    let stages = tableau.b.len();
    let mut x = x1.data.to_vec();
    let (mut kx, mut ka) = (vec![x.clone(); stages], vec![x.clone(); stages]);
    let (mut at_x, mut at_a) = (x.clone(), x.clone());
    let mut slope = vec![T::ZERO; gradient.len()];
    for (t, h) in steps.iter().copied() {
        for i in 0..stages {
            add_terms(&x, h, tableau.a[i], |j| &kx[j], &mut at_x);
            add_terms(bar, h, tableau.a[i], |j| &ka[j], &mut at_a);
            let mut rec = tape.record(params);
            if gradient.is_empty() {
                rec.freeze_params();
            }
            let v = rec.variable(x1.shape.rows, x1.shape.cols, &at_x);
            let mut vars = [v; MAX_INPUTS];
            for (var, g) in vars.iter_mut().zip(given) {
                *var = rec.variable(g.shape.rows, g.shape.cols, g.data);
            }
            let vars = &vars[..given.len()];
            let y = f(&mut rec, v, t + tableau.c[i] * h, vars);
            slope.fill(T::ZERO);
            rec.backward_from(y, &at_a, &mut slope);
            kx[i].copy_from_slice(rec.value(y).data);
            ka[i].iter_mut().zip(rec.grad(v).data).for_each(|(k, g)| *k = -*g);
            let w = T::of(-h * tableau.b[i]);
            axpy(w, &slope, gradient);
            given_bars.iter_mut().zip(vars).for_each(|(bar, var)| axpy(w, rec.grad(*var).data, bar));
        }
        add_terms(&x, h, tableau.b, |j| &kx[j], &mut at_x);
        std::mem::swap(&mut x, &mut at_x);
        add_terms(bar, h, tableau.b, |j| &ka[j], &mut at_a);
        bar.copy_from_slice(&at_a);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ode::tableau::RK4;
    use crate::{Params, Shape};

    #[test]
    fn decay_has_a_known_gradient() {
        // dx/dt = w x: x(1) = x0 e^w, dx(1)/dx0 = e^w, dx(1)/dw = x0 e^w.
        let mut params = Params::<f64>::new();
        let w = params.add("w", 1, 1, || -0.7);
        let f = |g: &mut Recording<f64>, x: Var, _: f64, _: &[Var]| {
            let w = g.param(w);
            g.mul(x, w)
        };
        let end = 2.0 * (-0.7_f64).exp();
        let steps: Vec<(f64, f64)> = (0..50).map(|k| (1.0 - f64::from(k) / 50.0, -0.02)).collect();
        let (mut bar, mut gradient) = ([1.0], [0.0]);
        let x0 = adjoint_gradient(
            &mut Tape::new(),
            params.values(),
            &RK4,
            View { data: &[end], shape: Shape::new(1, 1) },
            &steps,
            &[],
            f,
            (&mut bar, &mut [], &mut gradient),
        );
        assert!((x0[0] - 2.0).abs() < 1e-8);
        assert!((bar[0] - (-0.7_f64).exp()).abs() < 1e-8 && (gradient[0] - end).abs() < 1e-8);
    }
}
