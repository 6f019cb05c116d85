//! From one column for each state to one for each particle, and back.

use engine::tape::{Attr, Cotangents, Inputs, Saved};
use engine::{Op, Real, Shape};

/// Every column n times in a row: what is known of a state, given to each of its n particles.
pub(super) struct Repeat(pub usize);

impl<T: Real> Op<T> for Repeat {
    fn name(&self) -> &'static str {
        "repeat for particles"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        Ok(Shape::new(inputs[0].rows, inputs[0].cols * self.0))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (rows, x) = (x.get(0).shape.rows.max(1), x.get(0).data);
        for (out, x) in out.chunks_exact_mut(rows * self.0).zip(x.chunks_exact(rows)) {
            out.chunks_exact_mut(rows).for_each(|out| out.copy_from_slice(x));
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let rows = saved.x.get(0).shape.rows.max(1);
        let Some(x_bar) = x_bar.get(0) else { return };
        for (out, x) in out_bar.chunks_exact(rows * self.0).zip(x_bar.chunks_exact_mut(rows)) {
            out.chunks_exact(rows).for_each(|out| x.iter_mut().zip(out).for_each(|(x, o)| *x += *o));
        }
    }
}

/// x minus the mean over the n particles of each state; symmetric, so it is its own transpose.
pub(super) struct Centre(pub usize);

fn centre<T: Real>(rows: usize, n: usize, state: &[T], mut put: impl FnMut(usize, T)) {
    for k in 0..rows {
        let mean = state.iter().skip(k).step_by(rows).copied().sum::<T>() / T::of(n as f64);
        (0..n).for_each(|i| put(i * rows + k, state[i * rows + k] - mean));
    }
}

impl<T: Real> Op<T> for Centre {
    fn name(&self) -> &'static str {
        "centre of particles"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let fits = inputs[0].cols.is_multiple_of(self.0);
        if fits { Ok(inputs[0]) } else { Err(format!("{} particles make a state", self.0)) }
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (rows, x) = (x.get(0).shape.rows, x.get(0).data);
        let len = (rows * self.0).max(1);
        for (out, x) in out.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
            centre(rows, self.0, x, |at, v| out[at] = v);
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let rows = saved.out.shape.rows;
        let len = (rows * self.0).max(1);
        let Some(x_bar) = x_bar.get(0) else { return };
        for (x_bar, out) in x_bar.chunks_exact_mut(len).zip(out_bar.chunks_exact(len)) {
            centre(rows, self.0, out, |at, v| x_bar[at] += v);
        }
    }
}
