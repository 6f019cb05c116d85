//! Gradient checks in f64: a handwritten derivative against central differences.
//!
//! For a function F of matrices and a random cotangent w the check compares the gradient of
//! <w, F(x)>, entry by entry where there are few and along random directions where there are many,
//! with (<w, F(x + h u)> - <w, F(x - h u)>) / 2h, h the cube root of the rounding error. Contracting
//! with a random w keeps errors from hiding in a sum.

use crate::rng::Stream;
use crate::{Graph, Matrix, Tape, Var};

/// Entries up to which each is checked on its own.
const ENTRYWISE: usize = 64;
/// Random directions beyond that.
const DIRECTIONS: usize = 8;

/// A disagreement between a derivative and its finite difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Which input.
    pub input: usize,
    /// Which entry, or None for a random direction.
    pub entry: Option<usize>,
    /// From the vjp.
    pub analytic: f64,
    /// From central differences.
    pub numeric: f64,
    /// |analytic - numeric| / scale, with the scale of the whole gradient.
    pub error: f64,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.entry.map_or("a random direction".into(), |e| format!("entry {e}"));
        let Self { input, analytic, numeric, error, .. } = self;
        write!(
            f,
            "input {input}, {place}: vjp {analytic:e}, finite difference {numeric:e}, relative error {error:e}"
        )
    }
}

/// Checks the gradient of `f` with respect to every input at `inputs`; returns the worst relative
/// error, or the first mismatch above `tolerance`.
///
/// `f` records its function on the graph it is given and returns the output.
pub fn gradcheck(
    inputs: &[Matrix<f64>],
    tolerance: f64,
    f: impl Fn(&mut Graph<f64>, &[Var]) -> Var,
) -> Result<f64, Mismatch> {
    let mut tape = Tape::new();
    let mut evaluate = |inputs: &[Matrix<f64>], w: Option<&[f64]>| {
        tape.poison();
        let mut graph = tape.record(&[]);
        let vars: Vec<_> = inputs.iter().map(|m| graph.variable(m.rows(), m.cols(), m.data())).collect();
        let out = f(&mut graph, &vars);
        let value = graph.value(out).data.to_vec();
        let grads = w.map(|w| {
            graph.backward_from(out, w, &mut []);
            vars.iter().map(|v| graph.grad(*v).data.to_vec()).collect::<Vec<_>>()
        });
        (value, grads)
    };
    let (value, _) = evaluate(inputs, None);
    let mut stream = Stream::new(0, "gradcheck", 0, 0);
    let mut w = vec![0.0; value.len()];
    stream.fill_normal(&mut w);
    let grads = evaluate(inputs, Some(&w)).1.unwrap_or_default();
    let mut worst = 0.0_f64;
    for (k, grad) in grads.iter().enumerate() {
        let scale = grad.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        let entrywise = grad.len() <= ENTRYWISE;
        let checks = if entrywise { grad.len() } else { DIRECTIONS };
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
                evaluate(&moved, None).0.iter().zip(&w).map(|(y, w)| y * w).sum::<f64>()
            };
            let numeric = (at(1.0) - at(-1.0)) / (2.0 * h);
            let analytic: f64 = grad.iter().zip(&u).map(|(g, u)| g * u).sum();
            let u_norm = u.iter().map(|u| u * u).sum::<f64>().sqrt();
            let error = (analytic - numeric).abs() / (u_norm * scale).max(numeric.abs()).max(1.0);
            if error > tolerance || error.is_nan() {
                let entry = entrywise.then_some(check);
                return Err(Mismatch { input: k, entry, analytic, numeric, error });
            }
            worst = worst.max(error);
        }
    }
    Ok(worst)
}
