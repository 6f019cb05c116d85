//! Elementwise activations y = f(x), x_bar += f'(x) y_bar.
//!
//! An [`Activation`] gives f and f' together, because the two share their costly part; f' is kept
//! from the forward pass, so that the backward pass is one multiplication. The same types serve as
//! the epilogue of [`linear`](super::linear).

use std::marker::PhantomData;

use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Graph, Op, Real, Shape, Var, par, simd_fn};

/// A scalar function with its derivative.
pub trait Activation: Send + Sync + 'static {
    /// The field's name for it.
    const NAME: &'static str;
    /// (f(x), f'(x)).
    fn value_and_slope<T: Real>(x: T) -> (T, T);
}

/// f(x) = x.
pub struct Identity;
/// f(x) = x / (1 + e^-x) (Elfwing, Uchibe and Doya 2018).
pub struct Silu;

impl Activation for Identity {
    const NAME: &'static str = "identity";
    #[inline(always)]
    fn value_and_slope<T: Real>(x: T) -> (T, T) {
        (x, T::ONE)
    }
}

impl Activation for Silu {
    const NAME: &'static str = "silu";
    #[inline(always)]
    fn value_and_slope<T: Real>(x: T) -> (T, T) {
        let s = x.sigmoid();
        let y = x * s;
        (y, s + y * (T::ONE - s))
    }
}

/// The op of an activation.
pub struct Elementwise<A>(PhantomData<A>);

impl<A> Elementwise<A> {
    /// The one value of this type.
    pub const OP: Self = Self(PhantomData);
}

impl<A: Activation, T: Real> Op<T> for Elementwise<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn aux_len(&self, _: &[Shape], out: Shape) -> usize {
        out.len()
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        evaluate::<T, A>(x.get(0).data, out, aux);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(x_bar) = x_bar.get(0) {
            par::for_chunks(x_bar, par::CHUNK, |i, x_bar| {
                let at = i * par::CHUNK;
                multiply_add(&saved.aux[at..at + x_bar.len()], &out_bar[at..at + x_bar.len()], x_bar);
            });
        }
    }
}

fn evaluate<T: Real, A: Activation>(x: &[T], y: &mut [T], slope: &mut [T]) {
    if x.len() <= par::CHUNK {
        return evaluate_chunk::<T, A>(x, y, slope);
    }
    use rayon::prelude::*;
    let n = par::CHUNK;
    (x.par_chunks(n), y.par_chunks_mut(n), slope.par_chunks_mut(n))
        .into_par_iter()
        .for_each(|(x, y, slope)| evaluate_chunk::<T, A>(x, y, slope));
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

impl<T: Real> Graph<'_, T> {
    /// x / (1 + e^-x), entry by entry.
    pub fn silu(&mut self, x: Var) -> Var {
        self.apply(const { &Elementwise::<Silu>::OP }, &[x])
    }
}
