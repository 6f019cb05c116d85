//! An op of one's own: the gated linear unit y = a s(b), s(b) = 1 / (1 + e^-b) (Dauphin et al. 2017), in one pass
//! over memory, with its derivative checked against finite differences.
//!
//! dy = s(b) da + a s(b) (1 - s(b)) db, so with the cotangent g of y the vjp adds g s(b) to that of a, and
//! g a s(b) (1 - s(b)) = g y (1 - s(b)) to that of b.

use engine::gradcheck::gradcheck;
use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Matrix, Op, Real, Shape, Tape};

struct Gate;

impl<T: Real> Op<T> for Gate {
    fn name(&self) -> &'static str {
        "gated linear unit"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs {
            [a, b] if a == b => Ok(*a),
            _ => Err("two matrices of one shape are wanted".into()),
        }
    }

    // The values s(b), which `forward` leaves for `vjp`.
    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        out.len()
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], s: &mut [T]) {
        let (a, b) = (x.get(0).data, x.get(1).data);
        for i in 0..out.len() {
            s[i] = b[i].sigmoid();
            out[i] = a[i] * s[i];
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (y, s) = (saved.out.data, saved.aux);
        // None where nobody asks for that gradient, for example of a constant.
        if let Some(a_bar) = x_bar.get(0) {
            (0..y.len()).for_each(|i| a_bar[i] += out_bar[i] * s[i]);
        }
        if let Some(b_bar) = x_bar.get(1) {
            (0..y.len()).for_each(|i| b_bar[i] += out_bar[i] * y[i] * (T::ONE - s[i]));
        }
    }
}

fn main() {
    let a = Matrix::from_vec(2, 3, vec![0.3, -1.2, 0.8, 2.0, -0.5, 1.1]);
    let b = Matrix::from_vec(2, 3, vec![1.5, 0.2, -0.7, -2.0, 0.9, 0.0]);
    let error = gradcheck(&[a.clone(), b.clone()], 1e-8, |rec, x| rec.apply(Gate, x));
    let error = error.unwrap_or_else(|mismatch| panic!("{mismatch}"));
    println!("largest relative error of the gradient: {error:.1e}");

    // The same function of built-in ops, which pass over memory twice.
    let mut tape = Tape::<f64>::new();
    let mut rec = tape.record(&[]);
    let [a, b] = [&a, &b].map(|m| rec.variable(m.rows(), m.cols(), m.data()));
    let (s, fused) = (rec.sigmoid(b), rec.apply(Gate, &[a, b]));
    let composed = rec.mul(a, s);
    assert_eq!(rec.value(fused).data, rec.value(composed).data);
    println!("y = {:.3?}", rec.value(fused).data);
}
