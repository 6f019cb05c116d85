//! The backward pass: nodes in reverse, once, without recursion.

use super::{Node, Place, Recording, Tape, Var};
use crate::aligned::padded;
use crate::parallel::trace::within;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Real, View, parallel};

impl<T: Real> Tape<T> {
    /// Takes a place for a slot's cotangent.
    fn take_place(&mut self, slot: u32) -> usize {
        let at = self.free.take(padded(self.slots[slot as usize].shape.len()));
        self.bars.grow(self.free.end());
        self.places[slot as usize] = Some(at);
        at
    }

    /// Gives a slot's place back.
    fn give_place(&mut self, slot: u32) {
        if let Some(at) = self.places[slot as usize].take() {
            self.free.give(at, padded(self.slots[slot as usize].shape.len()));
        }
    }

    /// Passes the cotangent of node k's output, if there is one, on to its inputs.
    fn pass_on(&mut self, k: usize, params: &[T], param_grads: &mut [T]) {
        let Node { out, arity, inputs, aux, trainable, .. } = self.nodes[k];
        let Some(bar_at) = self.places[out as usize] else { return };
        let ids = &inputs[..arity];
        for id in ids {
            if self.slots[*id as usize].wants_place() && self.places[*id as usize].is_none() {
                self.take_place(*id);
            }
        }
        let slot = self.slots[out as usize];
        let Place::Buffer(at) = slot.place else { unreachable!("an op's output lies in the buffer") };
        let len = slot.shape.len();
        let (left, rest) = self.bars.split_at_mut(bar_at);
        let (out_bar, right) = rest.split_at_mut(len);
        let slots = &self.slots[..];
        let saved = Saved {
            x: Inputs { values: &self.values[..at], params, slots, ids, failure: &self.failure },
            out: View { data: &self.values[at..at + len], shape: slot.shape },
            aux: &self.aux[aux.0..aux.1],
        };
        let bars = (left, right, bar_at + len);
        let (places, reached) = (&self.places[..], &mut self.reached[..]);
        let mut x_bar = Cotangents { bars, params: param_grads, trainable, slots, ids, places, reached };
        let op = &self.nodes[k].op;
        within(op.name(), || op.vjp(&saved, out_bar, &mut x_bar));
        // What the op did not write is uninitialised.
        for id in ids {
            if !self.reached[*id as usize] {
                self.give_place(*id);
            }
        }
        self.give_place(out);
    }
}

impl<T: Real> Recording<'_, T> {
    /// Back-propagates from a 1 x 1 value; adds d out / d params to `param_grads` (same layout as
    /// the parameter slice; may be empty if parameters are frozen).
    ///
    /// # Panics
    /// If the value is not 1 x 1 or is a parameter.
    pub fn backward(&mut self, out: Var, param_grads: &mut [T]) {
        assert_eq!(self.shape(out).len(), 1, "backward starts at a 1 x 1 value; use backward_from");
        self.backward_from(out, &[T::ONE], param_grads);
    }

    /// Back-propagates the cotangent `seed` of `out`: adds J^T seed to `param_grads`, and leaves the
    /// gradients of variables for [`Recording::grad`]. May be called again with another seed.
    ///
    /// # Panics
    /// If the seed has another length than the value, or the value is a parameter.
    pub fn backward_from(&mut self, out: Var, seed: &[T], param_grads: &mut [T]) {
        let shape = self.shape(out);
        assert_eq!(seed.len(), shape.len(), "the seed has the shape of the output, {shape}");
        self.backward_with(out, param_grads, |_, bar| parallel::copy(seed, bar));
    }

    /// Back-propagates as [`backward_from`](Self::backward_from) does, from the cotangent of `out` that `seed` writes
    /// (uninitialised: contents unspecified), given the value of `out`; returns the result of `seed`.
    ///
    /// # Panics
    /// If the value is a parameter.
    pub fn backward_with<R>(
        &mut self,
        out: Var,
        param_grads: &mut [T],
        seed: impl FnOnce(View<T>, &mut [T]) -> R,
    ) -> R {
        let slot = self.slot(out);
        let Place::Buffer(value_at) = slot.place else { panic!("backward from a parameter") };
        let (tape, len) = (&mut *self.tape, slot.shape.len());
        tape.free.clear();
        tape.places.clear();
        tape.places.resize(tape.slots.len(), None);
        tape.reached.clear();
        tape.reached.resize(tape.slots.len(), false);
        let at = tape.take_place(out.slot);
        let value = View { data: &tape.values[value_at..value_at + len], shape: slot.shape };
        let result = seed(value, &mut tape.bars[at..at + len]);
        tape.reached[out.slot as usize] = true;
        for k in (0..tape.nodes.len()).rev() {
            tape.pass_on(k, self.params, param_grads);
        }
        // Leaves on which the output does not depend have the gradient 0.
        for k in 0..tape.slots.len() {
            let slot = tape.slots[k];
            if slot.leaf && slot.wants_place() && !tape.reached[k] {
                let at = tape.take_place(k as u32);
                parallel::fill(T::ZERO, &mut tape.bars[at..at + slot.shape.len()]);
            }
        }
        result
    }

    /// The gradient of a variable (a leaf) after `backward`.
    ///
    /// # Panics
    /// Before `backward`, and for anything but a variable.
    pub fn grad(&self, v: Var) -> View<'_, T> {
        let slot = self.slot(v);
        assert!(slot.leaf, "only leaves keep their gradient");
        let place = self.tape.places.get(v.slot as usize).copied().flatten();
        let at = place
            .expect("a gradient after backward, of a variable; a parameter's lies in the gradient slice");
        View { data: &self.tape.bars[at..at + slot.shape.len()], shape: slot.shape }
    }
}
