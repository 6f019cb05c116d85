//! Gradient checks in f64: a handwritten derivative against central differences.
//!
//! For a function F of matrices and a random cotangent w, the gradient of <w, F(x)> is compared with
//! (<w, F(x + h u)> - <w, F(x - h u)>) / 2h, h the cube root of the rounding error: for each entry if there
//! are at most 64, else along random directions u. With a random w, errors cannot cancel in a sum. Then each
//! input in turn is made a constant, for which an op computes no gradient; the other gradients must not change.

use crate::rng::Stream;
use crate::{Matrix, Recording, Tape, Var};

/// Inputs with at most this many entries are checked entry by entry.
const ENTRYWISE: usize = 64;
/// Random directions for larger inputs.
const DIRECTIONS: usize = 8;
/// Tolerance of a gradient if another input is a constant: the order of sums may differ.
const UNCHANGED: f64 = 1e-12;

/// A derivative that differs from its finite difference, or changes if another input is a constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Index of the input.
    pub input: usize,
    /// Index of the entry, or None for a random direction.
    pub entry: Option<usize>,
    /// From the vjp.
    pub analytic: f64,
    /// From central differences, or from the vjp with [`Mismatch::constant`].
    pub numeric: f64,
    /// |analytic - numeric| / scale, where the scale is the largest of 1, |numeric| and the direction's length
    /// times the gradient's largest entry.
    pub error: f64,
    /// The other input that was a constant, if that changed the gradient.
    pub constant: Option<usize>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.entry.map_or("a random direction".into(), |e| format!("entry {e}"));
        let other = self.constant.map_or("finite difference".into(), |k| format!("with input {k} constant"));
        let Self { input, analytic, numeric, error, .. } = self;
        write!(f, "input {input}, {place}: vjp {analytic:e}, {other} {numeric:e}, relative error {error:e}")
    }
}

/// Checks the gradient of `f` with respect to every input at `inputs`; returns the largest relative error.
///
/// For a random cotangent w the gradient of <w, F(x)> is compared with central differences
/// (<w, F(x + h u)> - <w, F(x - h u)>) / 2h, h the cube root of the rounding error: entry by entry for inputs
/// of at most 64 entries, else along random directions u. `f` records F and returns the output.
///
/// # Errors
/// The first mismatch above `tolerance`, or the first gradient that changes if another input is a constant.
pub fn gradcheck(
    inputs: &[Matrix<f64>],
    tolerance: f64,
    f: impl Fn(&mut Recording<f64>, &[Var]) -> Var,
) -> Result<f64, Mismatch> {
    gradcheck_along(DIRECTIONS, inputs, tolerance, f)
}

/// [`gradcheck`] along `directions` random directions for inputs of more than 64 entries.
///
/// # Errors
/// As [`gradcheck`].
pub fn gradcheck_along(
    directions: usize,
    inputs: &[Matrix<f64>],
    tolerance: f64,
    f: impl Fn(&mut Recording<f64>, &[Var]) -> Var,
) -> Result<f64, Mismatch> {
    let mut tape = Tape::new();
    let mut evaluate = |inputs: &[Matrix<f64>], w: Option<&[f64]>, constant: Option<usize>| {
        tape.poison();
        let mut rec = tape.record(&[]);
        let mut vars = Vec::with_capacity(inputs.len());
        for (k, m) in inputs.iter().enumerate() {
            vars.push(if constant == Some(k) {
                rec.constant(m.rows(), m.cols(), m.data())
            } else {
                rec.variable(m.rows(), m.cols(), m.data())
            });
        }
        let out = f(&mut rec, &vars);
        let value = rec.value(out).data.to_vec();
        let grads = w.map(|w| {
            rec.backward_from(out, w, &mut []);
            let grad = |k: usize| if constant == Some(k) { &[][..] } else { rec.grad(vars[k]).data };
            (0..inputs.len()).map(|k| grad(k).to_vec()).collect::<Vec<_>>()
        });
        (value, grads)
    };
    let (value, _) = evaluate(inputs, None, None);
    let mut stream = Stream::new(0, "gradcheck", 0, 0);
    let mut w = vec![0.0; value.len()];
    stream.fill_normal(&mut w);
    let grads = evaluate(inputs, Some(&w), None).1.unwrap_or_default();
    let mut worst = 0.0_f64;
    for (k, grad) in grads.iter().enumerate() {
        let scale = grad.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        let entrywise = grad.len() <= ENTRYWISE;
        let checks = if entrywise { grad.len() } else { directions };
        for check in 0..checks {
            let mut u = vec![0.0; grad.len()];
            if entrywise {
                u[check] = 1.0;
            } else {
                stream.fill_normal(&mut u);
            }
            let h = f64::EPSILON.cbrt();
            let mut at = |sign: f64| {
                let mut moved = inputs.to_vec();
                moved[k].data_mut().iter_mut().zip(&u).for_each(|(x, u)| *x += sign * h * u);
                evaluate(&moved, None, None).0.iter().zip(&w).map(|(y, w)| y * w).sum::<f64>()
            };
            let numeric = (at(1.0) - at(-1.0)) / (2.0 * h);
            let analytic: f64 = grad.iter().zip(&u).map(|(g, u)| g * u).sum();
            let u_norm = u.iter().map(|u| u * u).sum::<f64>().sqrt();
            let error = (analytic - numeric).abs() / (u_norm * scale).max(numeric.abs()).max(1.0);
            if error > tolerance || error.is_nan() {
                let entry = entrywise.then_some(check);
                return Err(Mismatch { input: k, entry, analytic, numeric, error, constant: None });
            }
            worst = worst.max(error);
        }
    }
    for constant in (0..inputs.len()).filter(|_| inputs.len() > 1) {
        let others = evaluate(inputs, Some(&w), Some(constant)).1.unwrap_or_default();
        for (input, (grad, other)) in grads.iter().zip(&others).enumerate().filter(|(k, _)| *k != constant) {
            let scale = grad.iter().fold(1.0_f64, |m, g| m.max(g.abs()));
            for (entry, (analytic, numeric)) in grad.iter().copied().zip(other.iter().copied()).enumerate() {
                let error = (analytic - numeric).abs() / scale;
                if error > UNCHANGED || error.is_nan() {
                    let (entry, constant) = (Some(entry), Some(constant));
                    return Err(Mismatch { input, entry, analytic, numeric, error, constant });
                }
            }
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Cotangents, Inputs, Saved};
    use crate::{Op, Shape};

    /// a + b; its gradient in a is `factor` times the right one, and 0 where b is a constant.
    struct Careless {
        factor: f64,
    }

    impl Op<f64> for Careless {
        fn name(&self) -> &'static str {
            "careless"
        }
        fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
            Ok(inputs[0])
        }
        fn forward(&self, x: &Inputs<f64>, out: &mut [f64], _: &mut [f64]) {
            out.iter_mut().zip(x.get(0).data).zip(x.get(1).data).for_each(|((y, a), b)| *y = a + b);
        }
        fn vjp(&self, _: &Saved<f64>, out_bar: &mut [f64], x_bar: &mut Cotangents<f64>) {
            let factor = if x_bar.wants(1) { self.factor } else { 0.0 };
            for (k, factor) in [(0, factor), (1, 1.0)] {
                let bar = x_bar.get(k).unwrap_or_default();
                bar.iter_mut().zip(&*out_bar).for_each(|(bar, y)| *bar += factor * y);
            }
        }
    }

    #[test]
    fn a_wrong_gradient_is_found_whatever_else_is_constant() {
        let inputs = [Matrix::from_vec(2, 1, vec![1.0, 2.0]), Matrix::from_vec(2, 1, vec![3.0, 4.0])];
        assert!(gradcheck(&inputs, 1e-6, |g, x| g.add(x[0], x[1])).unwrap() < 1e-6);
        let wrong = gradcheck(&inputs, 1e-6, |g, x| g.apply(Careless { factor: 2.0 }, x)).unwrap_err();
        assert_eq!((wrong.input, wrong.entry, wrong.constant), (0, Some(0), None));
        let wrong = gradcheck(&inputs, 1e-6, |g, x| g.apply(Careless { factor: 1.0 }, x)).unwrap_err();
        assert_eq!((wrong.input, wrong.entry, wrong.constant), (0, Some(0), Some(1)));
        assert_eq!(wrong.numeric, 0.0);
        assert!(wrong.to_string().contains("with input 1 constant 0e0"), "{wrong}");
    }
}
