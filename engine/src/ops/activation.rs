//! Elementwise activations y = f(x), x_bar += f'(x) y_bar.
//!
//! An [`Activation`] gives f and f' together, because they share their expensive part. f' is stored by the
//! forward pass, so that the backward pass is one multiplication. The same types are the epilogue of
//! `linear`.

use std::marker::PhantomData;

use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel, simd_fn};

/// A scalar function with its derivative.
pub trait Activation: Send + Sync + 'static {
    /// The name, for error messages.
    const NAME: &'static str;
    /// Whether f(x) = x; then no slope is stored.
    const IS_IDENTITY: bool = false;
    /// (f(x), f'(x)).
    fn value_and_slope<T: Real>(x: T) -> (T, T);
}

macro_rules! activations {
    ($($(#[$meta:meta])* $name:ident, $method:ident, $text:literal, $(identity: $same:literal,)? |$x:ident| $body:expr;)+) => {$(
        $(#[$meta])*
        pub struct $name;

        impl Activation for $name {
            const NAME: &'static str = $text;
            $(const IS_IDENTITY: bool = $same;)?
            #[inline(always)]
            fn value_and_slope<T: Real>($x: T) -> (T, T) {
                $body
            }
        }

        impl<T: Real> Recording<'_, T> {
            $(#[$meta])*
            pub fn $method(&mut self, x: Var) -> Var {
                self.apply(Elementwise::<$name>::OP, &[x])
            }
        }
    )+};
}

activations! {
    /// f(x) = x.
    Identity, identity, "identity", identity: true, |x| (x, T::ONE);
    /// f(x) = max(x, 0); slope 0 at 0.
    Relu, relu, "relu", |x| (T::ZERO.max(x), if x > T::ZERO { T::ONE } else { T::ZERO });
    /// f(x) = x for x > 0, x / 5 below.
    LeakyRelu, leaky_relu, "leaky relu", |x| {
        let slope = if x > T::ZERO { T::ONE } else { T::of(0.2) };
        (slope * x, slope)
    };
    /// f(x) = x for x > 0, e^x - 1 below (Clevert, Unterthiner and Hochreiter 2016).
    Elu, elu, "elu", |x| {
        let e = T::ZERO.min(x).exp();
        if x > T::ZERO { (x, T::ONE) } else { (e - T::ONE, e) }
    };
    /// f(x) = x / (1 + e^-x) (Elfwing, Uchibe and Doya 2018).
    Silu, silu, "silu", |x| {
        let s = x.sigmoid();
        let y = x * s;
        (y, s + y * (T::ONE - s))
    };
    /// f(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, the tanh form (Hendrycks and Gimpel 2016).
    Gelu, gelu, "gelu", |x| {
        let (c, a) = (T::of(0.797_884_560_802_865_4), T::of(0.044_715));
        let t = (c * (a * x * x).mul_add(x, x)).tanh();
        let inner = c * (T::of(3.0) * a * x).mul_add(x, T::ONE);
        let half = T::HALF * (T::ONE + t);
        (x * half, half + T::HALF * x * (T::ONE - t * t) * inner)
    };
    /// f(x) = tanh x.
    Tanh, tanh, "tanh", |x| {
        let t = x.tanh();
        (t, T::ONE - t * t)
    };
    /// f(x) = 1 / (1 + e^-x).
    Sigmoid, sigmoid, "sigmoid", |x| {
        let s = x.sigmoid();
        (s, s * (T::ONE - s))
    };
    /// f(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
    Softplus, softplus, "softplus", |x| {
        let e = (-x.abs()).exp();
        // log(1 + e) with full relative accuracy for small e: log(u) e / (u - 1), u = 1 + e.
        let u = T::ONE + e;
        let log1p = if u > T::ONE { u.ln() * (e / (u - T::ONE)) } else { e };
        (x.max(T::ZERO) + log1p, x.sigmoid())
    };
    /// f(x) = e^x.
    Exp, exp, "exp", |x| {
        let e = x.exp();
        (e, e)
    };
    /// f(x) = log x.
    Log, log, "log", |x| (x.ln(), T::ONE / x);
    /// f(x) = sqrt x.
    Sqrt, sqrt, "sqrt", |x| {
        let r = x.sqrt();
        (r, T::HALF / r)
    };
    /// f(x) = sin x.
    Sin, sin, "sin", |x| x.sin_cos();
    /// f(x) = cos x.
    Cos, cos, "cos", |x| {
        let (s, c) = x.sin_cos();
        (c, -s)
    };
    /// f(x) = x^2.
    Square, square, "square", |x| (x * x, x + x);
    /// f(x) = |x|; slope 0 at 0.
    Abs, abs, "abs", |x| {
        let sign = if x > T::ZERO { T::ONE } else if x < T::ZERO { -T::ONE } else { T::ZERO };
        (x.abs(), sign)
    };
}

/// The op y = f(x), x_bar += f'(x) y_bar, entry by entry.
struct Elementwise<A>(PhantomData<A>);

impl<A> Elementwise<A> {
    /// The value of this type, to pass to [`Recording::apply`](crate::Recording::apply).
    const OP: Self = Self(PhantomData);
}

impl<A: Activation, T: Real> Op<T> for Elementwise<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        out.len()
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        evaluate::<T, A>(x.get(0).data, out, aux);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(x_bar) = x_bar.get_uninit(0) {
            x_bar.for_chunks(parallel::CHUNK, |i, x_bar| {
                let at = i * parallel::CHUNK;
                multiply_add(&saved.aux[at..at + x_bar.len()], &out_bar[at..at + x_bar.len()], x_bar);
            });
        }
    }
}

fn evaluate<T: Real, A: Activation>(x: &[T], y: &mut [T], slope: &mut [T]) {
    if x.len() <= parallel::CHUNK {
        return evaluate_chunk::<T, A>(x, y, slope);
    }
    use parallel::Tasks;
    use rayon::prelude::*;
    let n = parallel::CHUNK;
    (x.par_chunks(n), y.par_chunks_mut(n), slope.par_chunks_mut(n))
        .into_par_iter()
        .each(|_, (x, y, slope)| evaluate_chunk::<T, A>(x, y, slope));
}

simd_fn! {
    fn evaluate_chunk<T: Real, A: Activation>(x: &[T], y: &mut [T], slope: &mut [T]) {
        for ((x, y), slope) in x.iter().zip(y).zip(slope) {
            (*y, *slope) = A::value_and_slope(*x);
        }
    }

    fn multiply_add<T: Real>(a: &[T], b: &[T], y: &mut [T]) {
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            *y = a.mul_add(*b, *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes_worked_out_by_hand() {
        let close = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-12 && (b - d).abs() < 1e-12;
        let e = std::f64::consts::E;
        assert!(close(Silu::value_and_slope(0.0), (0.0, 0.5)));
        assert!(close(Relu::value_and_slope(-2.0), (0.0, 0.0)));
        assert!(close(Relu::value_and_slope(f64::NEG_INFINITY), (0.0, 0.0)));
        assert!(Relu::value_and_slope(f64::NAN).0.is_nan());
        assert!(close(LeakyRelu::value_and_slope(-2.0), (-0.4, 0.2)));
        assert!(close(Elu::value_and_slope(2.0), (2.0, 1.0)));
        assert!(close(Elu::value_and_slope(-1.0), (1.0 / e - 1.0, 1.0 / e)));
        assert!(Elu::value_and_slope(f64::NAN).0.is_nan());
        assert!(close(Sigmoid::value_and_slope(0.0), (0.5, 0.25)));
        assert!(close(Softplus::value_and_slope(0.0), (2f64.ln(), 0.5)));
        assert!(close(Softplus::value_and_slope(800.0), (800.0, 1.0)));
        assert!(close(Softplus::value_and_slope(-800.0), (0.0, 0.0)));
        assert!(close(Gelu::value_and_slope(0.0), (0.0, 0.5)));
        assert!(close(Tanh::value_and_slope(0.0), (0.0, 1.0)));
        assert!(close(Exp::value_and_slope(1.0), (e, e)));
        assert!(close(Log::value_and_slope(2.0), (2f64.ln(), 0.5)));
        assert!(close(Sqrt::value_and_slope(4.0), (2.0, 0.25)));
        assert!(close(Square::value_and_slope(3.0), (9.0, 6.0)));
        assert!(close(Abs::value_and_slope(-3.0), (3.0, -1.0)));
        assert!(close(Cos::value_and_slope(0.0), (1.0, 0.0)));
    }
}
