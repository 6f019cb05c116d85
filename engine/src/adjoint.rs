//! Gradients by the continuous adjoint (Chen et al. 2018): x and its adjoint a are integrated back in
//! time together, dx/dt = f, da/dt = -(df/dx)^T a, and (df/dtheta)^T a is gathered on the way. Memory does
//! not grow with the number of steps. The result differs from the derivative of the discrete steps by
//! the integrator's error; [`checkpointed_gradient`](crate::ode::checkpointed_gradient) has none.

use crate::integrate::Tableau;
use crate::{Graph, Real, Shape, Tape, Var};

/// Goes back from the state `x1` at span.1 to span.0 in `steps` equal steps of the method. `bar` enters as
/// the cotangent of x1 and leaves as that of the initial state; parameter gradients are added to
/// `gradient`. Returns the initial state as it was found again.
pub fn adjoint_gradient<T: Real>(
    tape: &mut Tape<T>,
    params: &[T],
    tableau: &Tableau,
    (shape, x1): (Shape, &[T]),
    (t0, t1): (f64, f64),
    steps: usize,
    f: impl Fn(&mut Graph<T>, Var, f64) -> Var,
    bar: &mut [T],
    gradient: &mut [T],
) -> Vec<T> {
    let h = (t0 - t1) / steps.max(1) as f64;
    let stages = tableau.b.len();
    let mut x = x1.to_vec();
    let (mut kx, mut ka) = (vec![x.clone(); stages], vec![x.clone(); stages]);
    let (mut at_x, mut at_a) = (x.clone(), x.clone());
    let mut slope = vec![T::ZERO; gradient.len()];
    let combine = |base: &[T], weights: &[f64], ks: &[Vec<T>], out: &mut [T]| {
        out.copy_from_slice(base);
        for (w, k) in weights.iter().zip(ks).filter(|(w, _)| **w != 0.0) {
            let w = T::of(h * w);
            out.iter_mut().zip(k).for_each(|(y, k)| *y = w.mul_add(*k, *y));
        }
    };
    for step in 0..steps {
        let t = t1 + step as f64 * h;
        for i in 0..stages {
            combine(&x, tableau.a[i], &kx, &mut at_x);
            combine(bar, tableau.a[i], &ka, &mut at_a);
            let mut graph = tape.record(params);
            let v = graph.variable(shape.rows, shape.cols, &at_x);
            let y = f(&mut graph, v, t + tableau.c[i] * h);
            slope.fill(T::ZERO);
            graph.backward_from(y, &at_a, &mut slope);
            kx[i].copy_from_slice(graph.value(y).data);
            ka[i].iter_mut().zip(graph.grad(v).data).for_each(|(k, g)| *k = -*g);
            let w = T::of(-h * tableau.b[i]);
            gradient.iter_mut().zip(&slope).for_each(|(g, s)| *g = w.mul_add(*s, *g));
        }
        combine(&x, tableau.b, &kx, &mut at_x);
        std::mem::swap(&mut x, &mut at_x);
        combine(bar, tableau.b, &ka, &mut at_a);
        bar.copy_from_slice(&at_a);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;
    use crate::integrate::tableau::RK4;

    #[test]
    fn decay_has_a_known_gradient() {
        // dx/dt = w x: x(1) = x0 e^w, dx(1)/dx0 = e^w, dx(1)/dw = x0 e^w.
        let mut params = Params::<f64>::new();
        let w = params.add("w", 1, 1, || -0.7);
        let f = |g: &mut Graph<f64>, x: Var, _: f64| {
            let w = g.param(w);
            g.mul(x, w)
        };
        let end = 2.0 * (-0.7_f64).exp();
        let (mut bar, mut gradient) = ([1.0], [0.0]);
        let x0 = adjoint_gradient(
            &mut Tape::new(),
            params.values(),
            &RK4,
            (Shape::new(1, 1), &[end]),
            (0.0, 1.0),
            50,
            f,
            &mut bar,
            &mut gradient,
        );
        assert!((x0[0] - 2.0).abs() < 1e-8);
        assert!((bar[0] - (-0.7_f64).exp()).abs() < 1e-8 && (gradient[0] - end).abs() < 1e-8);
    }
}
