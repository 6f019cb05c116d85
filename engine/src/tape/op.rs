//! The trait of ops, and their view of the tape.

use std::sync::{Arc, OnceLock};

use smallbox::SmallBox;
use smallbox::space::S4;

use super::{Place, Slot, read};
use crate::{Real, Shape, View, parallel};

/// Largest number of inputs of an op.
pub const MAX_INPUTS: usize = 16;

/// A differentiable function of matrices with a handwritten derivative.
///
/// Built-in ops and a model's own fused ops use this same trait. An op is a value, and its parameters (a factor, a
/// range, a graph) are its fields. The recording keeps it until the next one; one of up to four words lies in
/// the node, a larger one costs an allocation for each use and is better shared: an [`Arc`] of an op is an op.
pub trait Op<T: Real>: Send + Sync {
    /// The name, for error messages.
    fn name(&self) -> &'static str;

    /// The output's shape.
    ///
    /// # Errors
    /// What is wrong with the inputs' shapes.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// Length of the values that `forward` stores for `vjp`.
    fn aux_len(&self, _inputs: &[Shape], _out: Shape) -> usize {
        0
    }

    /// Writes every entry of `out` and of `aux` (uninitialised: contents unspecified).
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]);

    /// Adds J^T `out_bar` to the cotangents of the inputs that want one. `out_bar` is not read afterwards and may be
    /// used as scratch.
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>);
}

/// An op as a node holds it: in place where it fits into four words.
pub(super) type StoredOp<T> = SmallBox<dyn Op<T>, S4>;

impl<T: Real, O: Op<T> + ?Sized> Op<T> for Arc<O> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        (**self).shape(inputs)
    }
    fn aux_len(&self, inputs: &[Shape], out: Shape) -> usize {
        (**self).aux_len(inputs, out)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        (**self).forward(x, out, aux);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        (**self).vjp(saved, out_bar, x_bar);
    }
}

/// An op's input values.
pub struct Inputs<'s, T> {
    pub(super) values: &'s [T],
    pub(super) params: &'s [T],
    pub(super) slots: &'s [Slot],
    pub(super) ids: &'s [u32],
    pub(super) failure: &'s OnceLock<OpError>,
}

/// Why an op could not compute its output.
pub type OpError = Box<dyn std::error::Error + Send + Sync>;

impl<'s, T: Real> Inputs<'s, T> {
    /// Reports that `forward` could not compute its output. The recording continues with the values written so far,
    /// and keeps the first error for [`Recording::failure`](super::Recording::failure).
    pub fn fail(&self, error: impl Into<OpError>) {
        let _ = self.failure.set(error.into());
    }
    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
    /// Every parameter of the recording, for an op that makes a recording of its own.
    pub fn all_params(&self) -> &'s [T] {
        self.params
    }
    /// Input k.
    pub fn get(&self, k: usize) -> View<'s, T> {
        let slot = self.slots[self.ids[k] as usize];
        View { data: read(self.values, self.params, slot), shape: slot.shape }
    }
}

/// The inputs and results of `forward`.
pub struct Saved<'s, T> {
    /// The inputs.
    pub x: Inputs<'s, T>,
    /// The output.
    pub out: View<'s, T>,
    /// The values that `forward` stored.
    pub aux: &'s [T],
}

/// Cotangents of an op's inputs, to be added to.
pub struct Cotangents<'s, T> {
    /// The buffer before the output's cotangent and behind it, and where the latter begins.
    pub(super) bars: (&'s mut [T], &'s mut [T], usize),
    pub(super) params: &'s mut [T],
    /// Whether parameters were not frozen yet when the op was applied.
    pub(super) trainable: bool,
    pub(super) slots: &'s [Slot],
    pub(super) ids: &'s [u32],
    /// By slot: the place of its cotangent.
    pub(super) places: &'s [Option<usize>],
    /// By slot: whether its cotangent has been written.
    pub(super) reached: &'s mut [bool],
}

/// The cotangent of one input, possibly uninitialised.
pub struct Cotangent<'a, T> {
    /// Its entries.
    pub data: &'a mut [T],
    /// Whether the entries are unspecified and count as zeros: the op then writes every one of them. Otherwise it
    /// adds to them.
    pub overwrite: bool,
}

impl<T: Real> Cotangent<'_, T> {
    /// Runs `f(chunk_index, chunk)`, which adds, over chunks of `size`. An uninitialised chunk is zeroed in the same
    /// task right before, so that the zeros never leave that core's cache.
    pub fn for_chunks(self, size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        parallel::for_chunks(self.data, size, |k, chunk| {
            if self.overwrite {
                chunk.fill(T::ZERO);
            }
            f(k, chunk);
        });
    }
}

impl<T: Real> Cotangents<'_, T> {
    /// Whether input k wants its cotangent.
    pub fn wants(&self, k: usize) -> bool {
        self.slots[self.ids[k] as usize].wants_grad
    }
    /// The gradient of every parameter, to be added to; None where parameters are frozen.
    pub fn all_params(&mut self) -> Option<&mut [T]> {
        self.trainable.then_some(&mut *self.params)
    }
    /// The cotangent of input k, to be added to; None if it is not wanted.
    pub fn get(&mut self, k: usize) -> Option<&mut [T]> {
        let Cotangent { data, overwrite } = self.get_uninit(k)?;
        if overwrite {
            parallel::fill(T::ZERO, data);
        }
        Some(data)
    }
    /// The cotangent of input k, not zeroed where nothing has been added to it yet; None if it is not wanted. An op
    /// that can overwrite saves a pass over the memory.
    pub fn get_uninit(&mut self, k: usize) -> Option<Cotangent<'_, T>> {
        let id = self.ids[k] as usize;
        let slot = self.slots[id];
        let len = slot.shape.len();
        if !slot.wants_grad {
            return None;
        }
        if let Place::Param(at) = slot.place {
            return Some(Cotangent { data: &mut self.params[at..at + len], overwrite: false });
        }
        let overwrite = !std::mem::replace(&mut self.reached[id], true);
        let (left, right, behind) = &mut self.bars;
        let at = self.places[id]?;
        let data = if at < *behind { &mut left[at..at + len] } else { &mut right[at - *behind..][..len] };
        Some(Cotangent { data, overwrite })
    }
}
