//! Reverse-mode differentiation on an arena.
//!
//! A [`Tape`] owns buffers; [`Tape::record`] opens a [`Recording`] on them, in which ops run at once and
//! leave a node each. Values lie in one slab in the order of creation, so a node's inputs always lie
//! before its output and a split of the slab borrows both; cotangents lie in a second slab, where their
//! places are used again as soon as an op has passed them on. Every matrix begins at a cache line.
//! [`Recording::backward`] walks the nodes in reverse, once, without recursion. The slabs keep their capacity, so
//! after the first step of a loop recording allocates nothing. Where nothing wants a gradient,
//! [`Recording::release`] gives room back before the recording ends.
//!
//! Parameters are not copied: a graph borrows the whole parameter slice, and `backward` adds into a
//! gradient slice of the same layout.

mod op;
mod room;

pub use op::{Attr, Bar, Cotangents, Inputs, MAX_INPUTS, Op, OpRef, Saved};

use crate::slab::{Slab, padded};
use crate::{ParamId, Real, Shape, View};
use room::Room;

/// A value on a graph: a small index, valid until the tape records anew or the value is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    slot: u32,
    /// The slot's stamp, by which a value that is gone is told from another in its place.
    stamp: u32,
}

/// A place in a recording to go back to with [`Recording::release`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    used: (usize, usize),
    slots: usize,
}

#[derive(Clone, Copy)]
enum Place {
    Slab(usize),
    Param(usize),
}

#[derive(Clone, Copy)]
struct Slot {
    place: Place,
    shape: Shape,
    wants_grad: bool,
    /// Whether no op made it.
    leaf: bool,
    stamp: u32,
}

impl Slot {
    /// Whether its cotangent is wanted and lies in the tape's slab.
    fn wants_place(self) -> bool {
        self.wants_grad && matches!(self.place, Place::Slab(_))
    }
}

struct Node<T: Real> {
    op: OpRef<T>,
    attr: Attr,
    inputs: [u32; MAX_INPUTS],
    arity: usize,
    out: u32,
    aux: (usize, usize),
    trainable: bool,
}

/// Buffers of a graph, reused from step to step.
pub struct Tape<T: Real> {
    values: Slab<T>,
    bars: Slab<T>,
    room: Room,
    /// The place of each slot's cotangent in `bars`, while it has one.
    places: Vec<Option<usize>>,
    /// Which places hold a cotangent already, and no old numbers.
    reached: Vec<bool>,
    aux: Slab<T>,
    slots: Vec<Slot>,
    nodes: Vec<Node<T>>,
    /// Numbers in use at the beginning of `values` and of `aux`; what lies beyond is left from an
    /// earlier, longer graph and is overwritten before it is read.
    used: (usize, usize),
    /// Slots made so far, on all recordings.
    stamp: u32,
}

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Tape<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Self {
            values: Slab::default(),
            bars: Slab::default(),
            room: Room::default(),
            places: Vec::new(),
            reached: Vec::new(),
            aux: Slab::default(),
            slots: Vec::new(),
            nodes: Vec::new(),
            used: (0, 0),
            stamp: 0,
        }
    }

    /// Fills the slabs with NaN, so that a test finds an op that reads what it has not written.
    pub(crate) fn poison(&mut self) {
        for slab in [&mut self.values, &mut self.aux, &mut self.bars] {
            slab.fill(T::of(f64::NAN));
        }
    }

    /// Forgets the last graph and opens a new one over `params`.
    pub fn record<'a>(&'a mut self, params: &'a [T]) -> Recording<'a, T> {
        self.used = (0, 0);
        self.slots.clear();
        self.nodes.clear();
        self.places.clear();
        Recording { tape: self, params, trainable: true }
    }

    /// Takes a place for a slot's cotangent.
    fn take_place(&mut self, slot: u32) -> usize {
        let at = self.room.take(padded(self.slots[slot as usize].shape.len()));
        self.bars.grow(self.room.end());
        self.places[slot as usize] = Some(at);
        at
    }

    /// Gives a slot's place back.
    fn give_place(&mut self, slot: u32) {
        if let Some(at) = self.places[slot as usize].take() {
            self.room.give(at, padded(self.slots[slot as usize].shape.len()));
        }
    }

    /// Passes the cotangent of node k's output, if there is one, on to its inputs.
    fn pass_on(&mut self, k: usize, params: &[T], param_grads: &mut [T]) {
        let Node { out, arity, inputs, attr, aux, trainable, .. } = self.nodes[k];
        let Some(bar_at) = self.places[out as usize] else { return };
        let ids = &inputs[..arity];
        for id in ids {
            if self.slots[*id as usize].wants_place() && self.places[*id as usize].is_none() {
                self.take_place(*id);
            }
        }
        let slot = self.slots[out as usize];
        let Place::Slab(at) = slot.place else { unreachable!("an op's output lies in the slab") };
        let len = slot.shape.len();
        let (left, rest) = self.bars.split_at_mut(bar_at);
        let (out_bar, right) = rest.split_at_mut(len);
        let slots = &self.slots[..];
        let saved = Saved {
            x: Inputs { values: &self.values[..at], params, slots, ids, attr },
            out: View { data: &self.values[at..at + len], shape: slot.shape },
            aux: &self.aux[aux.0..aux.1],
        };
        let bars = (left, right, bar_at + len);
        let (places, reached) = (&self.places[..], &mut self.reached[..]);
        let mut x_bar = Cotangents { bars, params: param_grads, trainable, slots, ids, places, reached };
        self.nodes[k].op.get().vjp(&saved, out_bar, &mut x_bar);
        // What the op left out holds old numbers.
        for id in ids {
            if !self.reached[*id as usize] {
                self.give_place(*id);
            }
        }
        self.give_place(out);
    }
}

/// A recording in progress: ops run as they are applied.
pub struct Recording<'a, T: Real> {
    tape: &'a mut Tape<T>,
    params: &'a [T],
    trainable: bool,
}

impl<T: Real> Recording<'_, T> {
    /// From here on parameters are constants: no gradient is computed for them.
    pub fn freeze_params(&mut self) {
        self.trainable = false;
    }

    /// A parameter.
    pub fn param(&mut self, id: ParamId) -> Var {
        assert!(id.range().end <= self.params.len(), "parameter beyond the slice this graph was opened with");
        self.push_slot(Place::Param(id.offset), id.shape, self.trainable, true)
    }

    /// A matrix without gradient (column-major entries).
    pub fn constant(&mut self, rows: usize, cols: usize, data: &[T]) -> Var {
        self.leaf(rows, cols, data, false)
    }

    /// A matrix with gradient (column-major entries); read it with [`Recording::grad`].
    pub fn variable(&mut self, rows: usize, cols: usize, data: &[T]) -> Var {
        self.leaf(rows, cols, data, true)
    }

    fn leaf(&mut self, rows: usize, cols: usize, data: &[T], wants_grad: bool) -> Var {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} leaf needs {} numbers", rows * cols);
        let (values, used) = (&mut self.tape.values, &mut self.tape.used.0);
        let at = *used;
        *used += padded(data.len());
        values.grow(*used);
        values[at..at + data.len()].copy_from_slice(data);
        self.push_slot(Place::Slab(at), Shape { rows, cols }, wants_grad, true)
    }

    fn push_slot(&mut self, place: Place, shape: Shape, wants_grad: bool, leaf: bool) -> Var {
        let tape = &mut *self.tape;
        tape.stamp = tape.stamp.wrapping_add(1);
        tape.slots.push(Slot { place, shape, wants_grad, leaf, stamp: tape.stamp });
        Var { slot: (tape.slots.len() - 1) as u32, stamp: tape.stamp }
    }

    fn slot(&self, v: Var) -> Slot {
        let slot = self.tape.slots.get(v.slot as usize).filter(|slot| slot.stamp == v.stamp);
        *slot.expect("this Var belongs to another recording, or was released")
    }

    /// Where the recording stands.
    pub fn mark(&self) -> Mark {
        Mark { used: self.tape.used, slots: self.tape.slots.len() }
    }

    /// Gives back the room of everything recorded since `mark` but `keep`, if none of it wants a gradient;
    /// else leaves all as it is. Returns the Var by which the kept value goes from here on; other Vars made
    /// since are gone. An evaluation then works in as much memory as one step needs, which stays in cache.
    pub fn release(&mut self, mark: Mark, keep: Var) -> Var {
        let kept = self.slot(keep);
        let tape = &mut *self.tape;
        if tape.slots[mark.slots..].iter().any(|slot| slot.wants_grad) {
            return keep;
        }
        tape.slots.truncate(mark.slots);
        tape.used = mark.used;
        if (keep.slot as usize) < mark.slots {
            return keep;
        }
        let place = match kept.place {
            Place::Slab(at) => {
                tape.values.copy_within(at..at + kept.shape.len(), mark.used.0);
                tape.used.0 += padded(kept.shape.len());
                Place::Slab(mark.used.0)
            }
            param => param,
        };
        self.push_slot(place, kept.shape, false, false)
    }

    /// A value's shape.
    pub fn shape(&self, v: Var) -> Shape {
        self.slot(v).shape
    }

    /// A value.
    pub fn value(&self, v: Var) -> View<'_, T> {
        let slot = self.slot(v);
        View { data: read(&self.tape.values, self.params, slot), shape: slot.shape }
    }

    /// Applies an op. Panics, naming the op and the shapes, if the shapes do not fit.
    pub fn apply(&mut self, op: impl Into<OpRef<T>>, inputs: &[Var]) -> Var {
        self.apply_with(op, inputs, [0.0; 2])
    }

    /// Applies an op with scalars of its own.
    pub fn apply_with(&mut self, op: impl Into<OpRef<T>>, inputs: &[Var], attr: Attr) -> Var {
        let op = op.into();
        assert!(inputs.len() <= MAX_INPUTS, "{}: more than {MAX_INPUTS} inputs", op.get().name());
        let mut ids = [0; MAX_INPUTS];
        let mut shapes = [Shape::new(0, 0); MAX_INPUTS];
        let mut wants_grad = false;
        for (k, v) in inputs.iter().enumerate() {
            let slot = self.slot(*v);
            (ids[k], shapes[k]) = (v.slot, slot.shape);
            wants_grad |= slot.wants_grad;
        }
        let shapes = &shapes[..inputs.len()];
        let shape = match op.get().shape(shapes, attr) {
            Ok(shape) => shape,
            Err(why) => {
                let given: Vec<_> = shapes.iter().map(|s| s.to_string()).collect();
                panic!("{}: {why}; the inputs are {}", op.get().name(), given.join(", "))
            }
        };
        let tape = &mut *self.tape;
        let (at, aux) = (tape.used.0, (tape.used.1, tape.used.1 + op.get().aux_len(shapes, shape)));
        tape.used = (at + padded(shape.len()), padded(aux.1));
        tape.aux.grow(tape.used.1);
        tape.values.grow(tape.used.0);
        let (before, out) = tape.values.split_at_mut(at);
        let x = Inputs {
            values: before,
            params: self.params,
            slots: &tape.slots,
            ids: &ids[..inputs.len()],
            attr,
        };
        op.get().forward(&x, &mut out[..shape.len()], &mut tape.aux[aux.0..aux.1]);
        let out = self.push_slot(Place::Slab(at), shape, wants_grad, false);
        if wants_grad {
            let (arity, trainable) = (inputs.len(), self.trainable);
            self.tape.nodes.push(Node { op, attr, inputs: ids, arity, out: out.slot, aux, trainable });
        }
        out
    }

    /// Back-propagates from a 1 x 1 value; adds d out / d params to `param_grads` (same layout as
    /// the parameter slice; may be empty if parameters are frozen).
    pub fn backward(&mut self, out: Var, param_grads: &mut [T]) {
        assert_eq!(self.shape(out).len(), 1, "backward starts at a 1 x 1 value; use backward_from");
        self.backward_from(out, &[T::ONE], param_grads);
    }

    /// Back-propagates the cotangent `seed` of `out`: adds J^T seed to `param_grads`, and leaves the
    /// gradients of variables for [`Recording::grad`]. May be called again with another seed.
    pub fn backward_from(&mut self, out: Var, seed: &[T], param_grads: &mut [T]) {
        let slot = self.slot(out);
        assert_eq!(seed.len(), slot.shape.len(), "the seed has the shape of the output, {}", slot.shape);
        assert!(matches!(slot.place, Place::Slab(_)), "backward from a parameter");
        let tape = &mut *self.tape;
        tape.room.clear();
        tape.places.clear();
        tape.places.resize(tape.slots.len(), None);
        tape.reached.clear();
        tape.reached.resize(tape.slots.len(), false);
        let at = tape.take_place(out.slot);
        tape.bars[at..at + seed.len()].copy_from_slice(seed);
        tape.reached[out.slot as usize] = true;
        for k in (0..tape.nodes.len()).rev() {
            tape.pass_on(k, self.params, param_grads);
        }
        // What the output does not depend on has the gradient 0.
        for k in 0..tape.slots.len() {
            let slot = tape.slots[k];
            if slot.leaf && slot.wants_place() && !tape.reached[k] {
                let at = tape.take_place(k as u32);
                tape.bars[at..at + slot.shape.len()].fill(T::ZERO);
            }
        }
    }

    /// The gradient of a variable (a leaf) after `backward`.
    pub fn grad(&self, v: Var) -> View<'_, T> {
        let slot = self.slot(v);
        assert!(slot.leaf, "only leaves keep their gradient");
        let place = self.tape.places.get(v.slot as usize).copied().flatten();
        let at = place
            .expect("a gradient after backward, of a variable; a parameter's lies in the gradient slice");
        View { data: &self.tape.bars[at..at + slot.shape.len()], shape: slot.shape }
    }
}

fn read<'s, T>(values: &'s [T], params: &'s [T], slot: Slot) -> &'s [T] {
    match slot.place {
        Place::Slab(at) => &values[at..at + slot.shape.len()],
        Place::Param(at) => &params[at..at + slot.shape.len()],
    }
}

#[cfg(test)]
mod tests;
