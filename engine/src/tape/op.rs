//! What an op is, and what it sees of the tape.

use std::sync::Arc;

use super::{Place, Slot, read};
use crate::{Real, Shape, View, par};

/// The most inputs that an op can have.
pub const MAX_INPUTS: usize = 16;

/// Scalars that belong to one use of an op (a factor, an exponent, a range).
pub type Attr = [f64; 2];

/// A differentiable function of matrices with a handwritten derivative.
///
/// Built-in ops and a model's own fused ops use this same trait: put it in a `static` or an [`Arc`]
/// and pass it to [`Recording::apply`](crate::Recording::apply).
pub trait Op<T: Real>: Send + Sync {
    /// The name that error messages give.
    fn name(&self) -> &'static str;

    /// The output's shape, or what is wrong with the inputs' shapes.
    fn shape(&self, inputs: &[Shape], attr: Attr) -> Result<Shape, String>;

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

/// An op as a node holds it: `&'static` for built-in ops, shared for ops with data of their own.
#[derive(Clone)]
pub enum OpRef<T: Real> {
    /// An op without data.
    Static(&'static dyn Op<T>),
    /// An op with data (indices, a sparse matrix, a model).
    Shared(Arc<dyn Op<T>>),
}

impl<T: Real> OpRef<T> {
    pub(super) fn get(&self) -> &dyn Op<T> {
        match self {
            Self::Static(op) => *op,
            Self::Shared(op) => op.as_ref(),
        }
    }
}

impl<T: Real, O: Op<T> + 'static> From<&'static O> for OpRef<T> {
    fn from(op: &'static O) -> Self {
        Self::Static(op)
    }
}

impl<T: Real, O: Op<T> + 'static> From<Arc<O>> for OpRef<T> {
    fn from(op: Arc<O>) -> Self {
        Self::Shared(op)
    }
}

/// An op's input values.
pub struct Inputs<'s, T> {
    pub(super) values: &'s [T],
    pub(super) params: &'s [T],
    pub(super) slots: &'s [Slot],
    pub(super) ids: &'s [u32],
    /// The scalars of this use of the op.
    pub attr: Attr,
}

impl<'s, T: Real> Inputs<'s, T> {
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
