//! What an op is, and what it sees of the tape.

use std::sync::{Arc, OnceLock};

use smallbox::SmallBox;
use smallbox::space::S4;

use super::{Place, Slot, read};
use crate::{Real, Shape, View, par};

/// The most inputs that an op can have.
pub const MAX_INPUTS: usize = 16;

/// A differentiable function of matrices with a handwritten derivative.
///
/// Built-in ops and a model's own fused ops use this same trait. An op is a value, and its parameters (a factor, a
/// range, a graph) are its fields. The recording keeps it until the next one; one of up to four words lies in
/// the node, a larger one costs an allocation for each use and is better shared: an [`Arc`] of an op is an op.
pub trait Op<T: Real>: Send + Sync {
    /// The name that error messages give.
    fn name(&self) -> &'static str;

    /// The output's shape, or what is wrong with the inputs' shapes.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// Numbers that `forward` leaves for `vjp`.
    fn aux_len(&self, _inputs: &[Shape], _out: Shape) -> usize {
        0
    }

    /// Writes every entry of `out` (it holds old numbers) and of `aux`.
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]);

    /// Adds J^T `out_bar` to the cotangents of the inputs that want one. `out_bar` is spent: the op
    /// may use it as scratch space.
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
    /// Reports that `forward` could not compute its output. The recording goes on with what stands there, and the
    /// first failure is kept for [`Recording::failure`](super::Recording::failure).
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
    /// Every parameter of the graph, for an op that records a graph of its own.
    pub fn all_params(&self) -> &'s [T] {
        self.params
    }
    /// Input k.
    pub fn get(&self, k: usize) -> View<'s, T> {
        let slot = self.slots[self.ids[k] as usize];
        View { data: read(self.values, self.params, slot), shape: slot.shape }
    }
}

/// What `forward` saw and made.
pub struct Saved<'s, T> {
    /// The inputs.
    pub x: Inputs<'s, T>,
    /// The output.
    pub out: View<'s, T>,
    /// What `forward` left.
    pub aux: &'s [T],
}

/// Cotangents of an op's inputs, to be added to.
pub struct Cotangents<'s, T> {
    /// The slab before the output's cotangent and behind it, and where the latter begins.
    pub(super) bars: (&'s mut [T], &'s mut [T], usize),
    pub(super) params: &'s mut [T],
    /// Whether parameters were not frozen yet when the op was applied.
    pub(super) trainable: bool,
    pub(super) slots: &'s [Slot],
    pub(super) ids: &'s [u32],
    /// By slot: the place of its cotangent.
    pub(super) places: &'s [Option<usize>],
    /// By slot: whether something stands in its cotangent already.
    pub(super) reached: &'s mut [bool],
}

/// A cotangent that may still hold old numbers.
pub struct Bar<'a, T> {
    /// The numbers.
    pub data: &'a mut [T],
    /// Whether they are old, and count as zeros: the op writes every one of them.
    pub fresh: bool,
}

impl<T: Real> Bar<'_, T> {
    /// Runs `f(chunk_index, chunk)`, which adds, over chunks of `size`; each chunk is zeroed by its own task
    /// right before, so that the zeros never leave that core's cache.
    pub fn for_chunks(self, size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        par::for_chunks(self.data, size, |k, chunk| {
            if self.fresh {
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
    /// The gradient of every parameter of the graph, to be added to; None where parameters are frozen.
    pub fn all_params(&mut self) -> Option<&mut [T]> {
        self.trainable.then_some(&mut *self.params)
    }
    /// The cotangent of input k, unless nobody wants it.
    pub fn get(&mut self, k: usize) -> Option<&mut [T]> {
        let Bar { data, fresh } = self.first(k)?;
        if fresh {
            data.fill(T::ZERO);
        }
        Some(data)
    }
    /// The cotangent of input k, unless nobody wants it, without zeroing it where nothing has been added yet:
    /// an op that overwrites spares the memory a pass.
    pub fn first(&mut self, k: usize) -> Option<Bar<'_, T>> {
        let id = self.ids[k] as usize;
        let slot = self.slots[id];
        let len = slot.shape.len();
        if !slot.wants_grad {
            return None;
        }
        if let Place::Param(at) = slot.place {
            return Some(Bar { data: &mut self.params[at..at + len], fresh: false });
        }
        let fresh = !std::mem::replace(&mut self.reached[id], true);
        let (left, right, behind) = &mut self.bars;
        let at = self.places[id]?;
        let data = if at < *behind { &mut left[at..at + len] } else { &mut right[at - *behind..][..len] };
        Some(Bar { data, fresh })
    }
}
