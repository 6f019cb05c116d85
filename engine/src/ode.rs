//! Integrators recorded on the tape, so that gradients flow through every step (discretise, then
//! optimise); [`integral`](crate::integral) is the form for long integrations, and for steps chosen by their error.
//!
//! A method is its Butcher tableau: k_i = f(x + h sum_{j<i} a_ij k_j, t + c_i h), x += h sum_i b_i k_i.

use std::sync::Arc;

use crate::integrate::Tableau;
use crate::simd::axpy;
use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, par};

/// y = x_0 + h sum_i w_i x_i; h is the use's scalar, the w_i the op's.
struct Combination(&'static [f64]);

impl<T: Real> Op<T> for Combination {
    fn name(&self) -> &'static str {
        "Runge-Kutta stage"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let same = inputs.iter().all(|s| *s == inputs[0]);
        same.then_some(inputs[0]).ok_or("the right-hand side has the shape of the state".into())
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        par::for_chunks(out, par::CHUNK, |c, out| {
            let at = c * par::CHUNK..c * par::CHUNK + out.len();
            out.copy_from_slice(&x.get(0).data[at.clone()]);
            for (k, w) in self.0.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                axpy(T::of(x.attr[0] * w), &x.get(k + 1).data[at.clone()], out);
            }
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let weights = std::iter::once(1.0).chain(self.0.iter().map(|w| saved.x.attr[0] * w));
        for (k, w) in weights.enumerate().filter(|(_, w)| *w != 0.0) {
            if let Some(bar) = x_bar.first(k) {
                let out_bar = &*out_bar;
                bar.for_chunks(par::CHUNK, |c, bar| {
                    axpy(T::of(w), &out_bar[c * par::CHUNK..c * par::CHUNK + bar.len()], bar);
                });
            }
        }
    }
}

/// An explicit method ready to record: its combinations are made once, so that steps allocate nothing.
#[derive(Clone)]
pub struct Method {
    tableau: &'static Tableau,
    stages: Vec<Arc<Combination>>,
    end: Arc<Combination>,
}

impl Method {
    /// Prepares a tableau.
    pub fn new(tableau: &'static Tableau) -> Self {
        let stages = tableau.a.iter().map(|row| Arc::new(Combination(row))).collect();
        Self { tableau, stages, end: Arc::new(Combination(tableau.b)) }
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
        let n = self.stages.len();
        let mut inputs = [x; 8];
        for (i, stage) in self.stages.iter().enumerate() {
            let at = if i == 0 { x } else { rec.apply_with(stage.clone(), &inputs[..=i], [h, 0.0]) };
            let mark = rec.mark();
            let k = f(rec, at, t + self.tableau.c[i] * h);
            inputs[i + 1] = rec.release(mark, k);
        }
        rec.apply_with(self.end.clone(), &inputs[..=n], [h, 0.0])
    }

    /// Records `steps` equal steps from `t0` to `t1`.
    pub fn integrate<T: Real>(
        &self,
        rec: &mut Recording<T>,
        mut x: Var,
        (t0, t1): (f64, f64),
        steps: usize,
        mut f: impl FnMut(&mut Recording<T>, Var, f64) -> Var,
    ) -> Var {
        let h = (t1 - t0) / steps.max(1) as f64;
        let mark = rec.mark();
        for i in 0..steps {
            let end = self.step(rec, x, t0 + i as f64 * h, h, &mut f);
            x = rec.release(mark, end);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;
    use crate::integrate::tableau::ALL;

    /// dx/dt = (y, -x): a rotation.
    fn rotate(g: &mut Recording<f64>, x: Var, _: f64) -> Var {
        let a = g.constant(2, 2, &[0.0, -1.0, 1.0, 0.0]);
        g.matmul(a, x)
    }

    fn error(tableau: &'static Tableau, steps: usize) -> f64 {
        let mut tape = Tape::new();
        let mut g = tape.record(&[]);
        let x = g.variable(2, 1, &[1.0, 0.0]);
        let y = Method::new(tableau).integrate(&mut g, x, (0.0, 1.0), steps, rotate);
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
}
