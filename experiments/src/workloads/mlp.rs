//! A training step of a score MLP: sines and cosines of the time, SiLU layers, weighted squared error,
//! backward, Adam.

use std::sync::Arc;

use engine::data_parallel::DataParallel;
use engine::optim::Adam;
use engine::rng::Stream;
use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Params, Real, Shape, simd_fn};

use super::cost::{Cost, ELEMENTARY, SILU, SILU_BACK, WORD};
use super::{Array, Given, Step, given};

/// x, sin(t f), cos(t f) as one column; no gradient is asked for.
struct TimeFeatures {
    frequencies: Vec<f32>,
}

impl Op<f32> for TimeFeatures {
    fn name(&self) -> &'static str {
        "time features"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::new(inputs[0].rows + 2 * self.frequencies.len(), inputs[0].cols))
    }
    fn forward(&self, x: &Inputs<f32>, out: &mut [f32], _: &mut [f32]) {
        let (x, t) = (x.get(0), x.get(1));
        let rows = x.shape.rows + 2 * self.frequencies.len();
        for (j, out) in out.chunks_exact_mut(rows).enumerate() {
            let (state, waves) = out.split_at_mut(x.shape.rows);
            state.copy_from_slice(x.col(j));
            let (sin, cos) = waves.split_at_mut(self.frequencies.len());
            sin_cos(t.data[j], &self.frequencies, sin, cos);
        }
    }
    fn vjp(&self, _: &Saved<f32>, _: &mut [f32], _: &mut Cotangents<f32>) {
        unreachable!("the features have no parameters")
    }
}

simd_fn! {
    fn sin_cos<T: Real>(t: T, f: &[T], sin: &mut [T], cos: &mut [T]) {
        for ((f, s), c) in f.iter().zip(sin).zip(cos) {
            (*s, *c) = (t * *f).sin_cos();
        }
    }
}

/// Frequencies of the time.
const WAVES: usize = 64;

/// Numbers in each layer, the input first.
fn sizes(hidden: usize) -> [usize; 5] {
    [2 + 2 * WAVES, hidden, hidden, hidden, 2]
}

pub(super) fn build(batch: usize, hidden: usize) -> Step {
    let (_, mut training) = training(batch, hidden);
    Box::new(move || {
        training();
    })
}

/// A weight is (inputs, outputs).
pub(super) fn given(batch: usize, hidden: usize) -> Given {
    let (arrays, training) = training(batch, hidden);
    given::of_training(arrays, training)
}

/// For layers from n to m numbers and B states: 2 n m B operations forward, for the gradient in the weight and, but in
/// the first layer, for that in the input; sines and cosines; a bias added and its gradient summed; SiLU and its
/// derivative; Adam. Memory: parameters and moments; x, t, y, w.
pub(super) fn cost(batch: usize, hidden: usize) -> Cost {
    let (b, sizes) = (batch as f64, sizes(hidden));
    let mut cost = Cost { flops: b * 2.0 * WAVES as f64 * (ELEMENTARY + 1.0), bytes: 6.0 * WORD * b };
    for (l, s) in sizes.windows(2).enumerate() {
        let (n, m, last) = (s[0] as f64, s[1] as f64, l + 2 == sizes.len());
        let products = if l == 0 { 4.0 } else { 6.0 };
        let activation = if last { 6.0 } else { SILU + SILU_BACK };
        cost = cost + Cost { flops: b * m * (products * n + 2.0 + activation), bytes: 0.0 };
        cost = cost + Cost::adam((n + 1.0) * m);
    }
    cost
}

/// The inputs, and a step of training that returns the loss before it.
fn training(batch: usize, hidden: usize) -> (Vec<Array>, impl FnMut() -> f64) {
    const SHARD: usize = 128;
    let mut params = Params::<f32>::new();
    let layers: Vec<_> = (sizes(hidden).windows(2).enumerate())
        .map(|(l, s)| {
            let w = params.add_weight(format!("w{l}"), s[1], s[0], 1.0, 0);
            (w, params.add_zeros(format!("b{l}"), s[1], 1))
        })
        .collect();
    let (mut x, mut t, mut y, mut w) =
        (vec![0.0; 2 * batch], vec![0.0; batch], vec![0.0; 2 * batch], vec![0.0; batch]);
    let mut stream = Stream::new(0, "mlp", 0, 0);
    stream.fill_normal(&mut x);
    stream.fill_normal(&mut y);
    stream.fill_uniform(&mut t);
    stream.fill_uniform(&mut w);
    let frequencies: Vec<f32> = (0..WAVES).map(|k| (6.0 * k as f32 / (WAVES - 1) as f32).exp()).collect();
    let mut arrays = vec![
        Array::floats("x", &[batch, 2], &x),
        Array::floats("t", &[batch, 1], &t),
        Array::floats("y", &[batch, 2], &y),
        Array::floats("w", &[batch, 1], &w),
        Array::floats("frequencies", &[WAVES], &frequencies),
    ];
    arrays.extend(given::parameters(&params));
    let features = Arc::new(TimeFeatures { frequencies });
    let mut adam = Adam::new(params.len());
    let mut shards = DataParallel::new(SHARD);
    let training = move || {
        let (loss, gradient) = shards.gradient(params.values(), batch, |rec, range, gradient| {
            let n = range.len();
            let columns = 2 * range.start..2 * range.end;
            let input = rec.constant(2, n, &x[columns.clone()]);
            let time = rec.constant(1, n, &t[range.clone()]);
            let mut h = rec.apply(features.clone(), &[input, time]);
            for (l, (w, b)) in layers.iter().enumerate() {
                let (w, b) = (rec.param(*w), rec.param(*b));
                h = if l + 1 < layers.len() { rec.linear_silu(w, h, b) } else { rec.linear(w, h, b) };
            }
            let mut seed = [0.0; 2 * SHARD];
            let mut loss = 0.0;
            for (k, (f, y)) in rec.value(h).data.iter().zip(&y[columns]).enumerate() {
                let (error, w) = (f - y, w[range.start + k / 2]);
                seed[k] = w * error / batch as f32;
                loss += f64::from(0.5 * w * error * error) / batch as f64;
            }
            rec.backward_from(h, &seed[..2 * n], gradient);
            loss
        });
        adam.step(params.values_mut(), gradient, 1e-3);
        loss
    };
    (arrays, training)
}
