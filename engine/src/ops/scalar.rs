//! Elementwise functions with scalar parameters: a x + b, x^p, clamp.

use crate::simd::axpy;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel, simd_fn};

/// y = a x + b; x_bar += a y_bar.
struct Affine {
    a: f64,
    b: f64,
}
/// y = x^p = exp(p log x), x > 0; x_bar += p x^(p - 1) y_bar.
struct Power {
    p: f64,
}
/// y = sign(x) |x|^p, p >= 1; x_bar += p |x|^(p - 1) y_bar.
struct SignedPower {
    p: f64,
}
/// y = min(max(x, low), high); x_bar += y_bar where low < x < high.
struct Clamp {
    low: f64,
    high: f64,
}

impl<T: Real> Op<T> for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (a, b, x) = (T::of(self.a), T::of(self.b), x.get(0).data);
        parallel::for_chunks(out, parallel::CHUNK, |i, out| {
            affine(a, b, &x[i * parallel::CHUNK..][..out.len()], out)
        });
    }
    fn vjp(&self, _: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (a, out_bar) = (T::of(self.a), &*out_bar);
        if let Some(x_bar) = x_bar.get_uninit(0) {
            x_bar.for_chunks(parallel::CHUNK, |i, x| axpy(a, &out_bar[i * parallel::CHUNK..][..x.len()], x));
        }
    }
}

impl<T: Real> Op<T> for Power {
    fn name(&self) -> &'static str {
        "power"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (p, x) = (T::of(self.p), x.get(0).data);
        parallel::for_chunks(out, parallel::CHUNK, |i, out| {
            power(p, &x[i * parallel::CHUNK..][..out.len()], out)
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let p = T::of(self.p);
        if let Some(x_bar) = x_bar.get(0) {
            power_vjp(p, saved.x.get(0).data, saved.out.data, out_bar, x_bar);
        }
    }
}

impl<T: Real> Op<T> for SignedPower {
    fn name(&self) -> &'static str {
        "signed power"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if self.p >= 1.0 { Ok(inputs[0]) } else { Err("the exponent is at least 1".into()) }
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (p, x) = (T::of(self.p), x.get(0).data);
        parallel::for_chunks(out, parallel::CHUNK, |i, out| {
            let x = &x[i * parallel::CHUNK..][..out.len()];
            if p == T::of(2.0) { signed_square(x, out) } else { signed_power(p, x, out) }
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (p, x, out_bar) = (T::of(self.p), saved.x.get(0).data, &*out_bar);
        if let Some(x_bar) = x_bar.get_uninit(0) {
            x_bar.for_chunks(parallel::CHUNK, |i, x_bar| {
                let at = i * parallel::CHUNK..i * parallel::CHUNK + x_bar.len();
                let (x, out_bar) = (&x[at.clone()], &out_bar[at]);
                if p == T::of(2.0) {
                    signed_square_vjp(x, out_bar, x_bar);
                } else {
                    signed_power_vjp(p, x, out_bar, x_bar);
                }
            });
        }
    }
}

impl<T: Real> Op<T> for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let [low, high] = [self.low, self.high].map(T::of);
        for (x, y) in x.get(0).data.iter().zip(out) {
            *y = if *x < low {
                low
            } else if *x > high {
                high
            } else {
                *x
            };
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let [low, high] = [self.low, self.high].map(T::of);
        if let Some(x_bar) = x_bar.get(0) {
            for ((x, y), x_bar) in saved.x.get(0).data.iter().zip(out_bar).zip(x_bar) {
                *x_bar += if *x > low && *x < high { *y } else { T::ZERO };
            }
        }
    }
}

simd_fn! {
    fn affine<T: Real>(a: T, b: T, x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = a.mul_add(*x, b);
        }
    }

    fn power<T: Real>(p: T, x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = (p * x.ln()).exp();
        }
    }

    fn signed_square<T: Real>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = *x * x.abs();
        }
    }

    fn signed_square_vjp<T: Real>(x: &[T], y_bar: &[T], x_bar: &mut [T]) {
        for ((x, y_bar), x_bar) in x.iter().zip(y_bar).zip(x_bar) {
            *x_bar = (T::of(2.0) * x.abs()).mul_add(*y_bar, *x_bar);
        }
    }

    fn signed_power<T: Real>(p: T, x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            let r = (p * x.abs().ln()).exp();
            *y = if *x < T::ZERO { -r } else { r };
        }
    }

    fn signed_power_vjp<T: Real>(p: T, x: &[T], y_bar: &[T], x_bar: &mut [T]) {
        // |x|^0 = 1 at 0 too; 0 log 0 would be NaN.
        let tiny = T::of(1e-30);
        for ((x, y_bar), x_bar) in x.iter().zip(y_bar).zip(x_bar) {
            *x_bar += p * ((p - T::ONE) * x.abs().max(tiny).ln()).exp() * *y_bar;
        }
    }

    fn power_vjp<T: Real>(p: T, x: &[T], y: &[T], y_bar: &[T], x_bar: &mut [T]) {
        for (((x, y), y_bar), x_bar) in x.iter().zip(y).zip(y_bar).zip(x_bar) {
            *x_bar += p * *y / *x * *y_bar;
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// a x + b, entry by entry; x_bar += a y_bar.
    pub fn affine(&mut self, x: Var, a: f64, b: f64) -> Var {
        self.apply(Affine { a, b }, &[x])
    }

    /// a x.
    pub fn scale(&mut self, x: Var, a: f64) -> Var {
        self.affine(x, a, 0.0)
    }

    /// -x.
    pub fn neg(&mut self, x: Var) -> Var {
        self.affine(x, -1.0, 0.0)
    }

    /// x^p = exp(p log x) for x > 0; x_bar += p x^(p - 1) y_bar.
    pub fn power(&mut self, x: Var, p: f64) -> Var {
        self.apply(Power { p }, &[x])
    }

    /// sign(x) |x|^p for p >= 1, the nonlinearity of the porous medium equation; x_bar += p |x|^(p - 1) y_bar.
    pub fn signed_power(&mut self, x: Var, p: f64) -> Var {
        self.apply(SignedPower { p }, &[x])
    }

    /// min(max(x, low), high); x_bar += y_bar where low < x < high.
    pub fn clamp(&mut self, x: Var, low: f64, high: f64) -> Var {
        self.apply(Clamp { low, high }, &[x])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn values_and_gradients_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(1, 3, &[1.0, 4.0, 9.0]);
        let y = g.power(x, 0.5);
        let y = g.affine(y, 2.0, 1.0);
        let y = g.clamp(y, 0.0, 6.0);
        assert!(g.value(y).data.iter().zip([3.0, 5.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-14));
        g.backward_from(y, &[1.0, 1.0, 1.0], &mut []);
        assert!(g.grad(x).data.iter().zip([1.0, 0.5, 0.0]).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn signed_squares_worked_out_by_hand() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(1, 3, &[-2.0, 0.0, 3.0]);
        let y = g.signed_power(x, 2.0);
        assert_eq!(g.value(y).data, [-4.0, 0.0, 9.0]);
        g.backward_from(y, &[1.0, 1.0, 10.0], &mut []);
        assert_eq!(g.grad(x).data, [4.0, 0.0, 60.0]);
    }
}
