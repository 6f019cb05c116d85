//! Runge-Kutta steps recorded on the tape, so that gradients flow through every step (discretise, then
//! optimise); [`OdeSolve`](super::OdeSolve) is the form for long integrations, and for steps chosen by their error.
//!
//! k_i = f(x + h sum_{j<i} a_ij k_j, t + c_i h),  x' = x + h sum_i b_i k_i, with the coefficients of a
//! [`Tableau`].

use super::stages::add_terms;
use super::{OdeError, Tableau, equal, tableau};
use crate::simd::axpy;
use crate::tape::{Cotangents, Inputs, MAX_INPUTS, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel};

/// Largest number of stages of a recorded method: the state and its stages are inputs of one op.
pub const MAX_STAGES: usize = MAX_INPUTS - 1;

/// y = x_0 + h sum_i w_i x_i;  x_bar_0 += y_bar,  x_bar_i += h w_i y_bar.
struct Combination {
    weights: &'static [f64],
    h: f64,
}

impl<T: Real> Op<T> for Combination {
    fn name(&self) -> &'static str {
        "Runge-Kutta stage"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let same = inputs.iter().all(|s| *s == inputs[0]);
        same.then_some(inputs[0]).ok_or_else(|| "the right-hand side has the shape of the state".into())
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        add_terms(x.get(0).data, self.h, self.weights, |k| x.get(k + 1).data, out);
    }
    fn vjp(&self, _: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let weights = std::iter::once(1.0).chain(self.weights.iter().map(|w| self.h * w));
        for (k, w) in weights.enumerate().filter(|(_, w)| *w != 0.0) {
            if let Some(bar) = x_bar.get_uninit(k) {
                let out_bar = &*out_bar;
                bar.for_chunks(parallel::CHUNK, |c, bar| {
                    axpy(T::of(w), &out_bar[c * parallel::CHUNK..c * parallel::CHUNK + bar.len()], bar);
                });
            }
        }
    }
}

/// An explicit Runge-Kutta method with equal steps on the tape, with the coefficients of a [`Tableau`]:
///
/// k_i = f(x + h sum_(j < i) a_ij k_j, t + c_i h),  x' = x + h sum_i b_i k_i.
///
/// ```
/// use engine::Tape;
/// use engine::ode::{RungeKutta, tableau::RK4};
/// let mut tape = Tape::<f64>::new();
/// let mut g = tape.record(&[]);
/// let x0 = g.variable(1, 1, &[2.0]);
/// let x1 = RungeKutta::new(&RK4)?.integrate(&mut g, x0, (0.0, 1.0), 20, |g, x, _| g.neg(x));
/// g.backward(x1, &mut []);
/// assert!((g.grad(x0).data[0] - (-1.0f64).exp()).abs() < 1e-6);
/// # Ok::<(), engine::ode::OdeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RungeKutta {
    tableau: &'static Tableau,
}

impl RungeKutta {
    /// Euler's method.
    pub const EULER: Self = Self { tableau: &tableau::EULER };

    /// The method of a tableau.
    ///
    /// # Errors
    /// [`OdeError::TooManyStages`] beyond [`MAX_STAGES`].
    pub fn new(tableau: &'static Tableau) -> Result<Self, OdeError> {
        let (name, stages) = (tableau.name, tableau.stages());
        if stages > MAX_STAGES {
            return Err(OdeError::TooManyStages { name, stages });
        }
        Ok(Self { tableau })
    }

    /// Whether it is Euler's: x' = x + h f(x, t).
    pub fn is_euler(&self) -> bool {
        self.tableau.b == [1.0]
    }

    /// Records one step from `t` to `t + h` of dx/dt = f(x, t); returns the new state.
    pub fn step<T: Real>(
        &self,
        rec: &mut Recording<T>,
        x: Var,
        t: f64,
        h: f64,
        f: &mut impl FnMut(&mut Recording<T>, Var, f64) -> Var,
    ) -> Var {
        let Tableau { a, b, c, .. } = self.tableau;
        let mut inputs = [x; MAX_INPUTS];
        for (i, weights) in a.iter().enumerate() {
            let at = if i == 0 { x } else { rec.apply(Combination { weights, h }, &inputs[..=i]) };
            let mark = rec.mark();
            let k = f(rec, at, t + c[i] * h);
            inputs[i + 1] = rec.release(mark, k);
        }
        rec.apply(Combination { weights: b, h }, &inputs[..=a.len()])
    }

    /// Records `steps` equal steps from `t0` to `t1`.
    pub fn integrate<T: Real>(
        &self,
        rec: &mut Recording<T>,
        x: Var,
        span: (f64, f64),
        steps: usize,
        mut f: impl FnMut(&mut Recording<T>, Var, f64) -> Var,
    ) -> Var {
        along(rec, x, equal(span, steps), |rec, x, (t, h)| self.step(rec, x, t, h, &mut f))
    }
}

/// Records steps from state to state, one for each item of `steps` (as its beginning and length), and lets go of what
/// only the step before needed.
pub fn along<T: Real, S>(
    rec: &mut Recording<T>,
    x: Var,
    steps: impl IntoIterator<Item = S>,
    mut step: impl FnMut(&mut Recording<T>, Var, S) -> Var,
) -> Var {
    let mark = rec.mark();
    steps.into_iter().fold(x, |x, at| {
        let end = step(rec, x, at);
        rec.release(mark, end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;
    use crate::ode::tableau::{ALL, EULER};

    /// dx/dt = (y, -x): a rotation.
    fn rotate(g: &mut Recording<f64>, x: Var, _: f64) -> Var {
        let a = g.constant(2, 2, &[0.0, -1.0, 1.0, 0.0]);
        g.matmul(a, x)
    }

    fn error(tableau: &'static Tableau, steps: usize) -> f64 {
        let mut tape = Tape::new();
        let mut g = tape.record(&[]);
        let x = g.variable(2, 1, &[1.0, 0.0]);
        let y = RungeKutta::new(tableau).unwrap().integrate(&mut g, x, (0.0, 1.0), steps, rotate);
        let y = g.value(y).data;
        (y[0] - 1f64.cos()).hypot(y[1] + 1f64.sin())
    }

    #[test]
    fn every_method_converges_with_its_order() {
        for tableau in ALL {
            let slope = (error(tableau, 8) / error(tableau, 16)).log2();
            assert!((slope - tableau.order as f64).abs() < 0.25, "{}: {slope}", tableau.name);
        }
    }

    #[test]
    fn one_step_is_the_one_done_by_hand() {
        // dx/dt = t + x from x(0) = 1 with h = 1.
        let one_step = |tableau| {
            let mut tape = Tape::<f64>::new();
            let mut g = tape.record(&[]);
            let x = g.constant(1, 1, &[1.0]);
            let f = &mut |g: &mut Recording<f64>, x: Var, t: f64| g.affine(x, 1.0, t);
            let y = RungeKutta::new(tableau).unwrap().step(&mut g, x, 0.0, 1.0, f);
            g.value(y).data[0]
        };
        let [euler, midpoint, rk4, three_eighths, _] = ALL.map(one_step);
        // k1 = 1; then k2 = 1/2 + 3/2 = 2; then k3 = 1/2 + 2 = 5/2 and k4 = 1 + 7/2 = 9/2.
        assert_eq!((euler, midpoint), (2.0, 3.0));
        assert!((rk4 - (1.0 + 14.5 / 6.0)).abs() < 1e-15);
        // k1 = 1; k2 = 1/3 + 4/3 = 5/3, k3 = 2/3 + (1 - 1/3 + 5/3) = 3, k4 = 1 + (1 + 1 - 5/3 + 3) = 13/3.
        assert!((three_eighths - (1.0 + (1.0 + 5.0 + 9.0 + 13.0 / 3.0) / 8.0)).abs() < 1e-15);
    }

    #[test]
    fn a_tableau_of_too_many_stages_is_refused() {
        static LONG: Tableau = Tableau { name: "long", b: &[0.0625; MAX_STAGES + 1], ..EULER };
        let refused = RungeKutta::new(&LONG).unwrap_err();
        assert_eq!(refused, OdeError::TooManyStages { name: "long", stages: MAX_STAGES + 1 });
    }
}
