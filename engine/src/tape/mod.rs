//! Reverse-mode differentiation on an arena.
//!
//! A [`Tape`] owns buffers; [`Tape::record`] opens a [`Recording`] on them, in which ops run at once and
//! leave a node each. Values lie in one buffer in the order of creation, so a node's inputs always lie
//! before its output and a split of the buffer borrows both; cotangents lie in a second buffer, where their
//! places are used again as soon as an op has passed them on. Every matrix begins at a cache line.
//! [`Recording::backward`] walks the nodes in reverse, once, without recursion. The buffers keep their capacity, so
//! after the first step of a loop recording allocates nothing. Where nothing wants a gradient,
//! [`Recording::release`] frees memory before the recording ends.
//!
//! Parameters are not copied: a recording borrows the whole parameter slice, and `backward` adds into a
//! gradient slice of the same layout.

mod backward;
mod free_list;
mod op;

pub use op::{Cotangent, Cotangents, Inputs, MAX_INPUTS, Op, OpError, Saved};

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use smallbox::smallbox;

use crate::aligned::{AlignedBuffer, padded};
use crate::parallel::trace::within;
use crate::{ParamId, Real, Shape, View, parallel};
use free_list::FreeList;
use op::StoredOp;

/// A value of a recording: an index, valid until the tape's next recording or until the value is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    slot: u32,
    /// The slot's stamp, which no other slot of any tape has: by it a value that is gone, or of another tape, is
    /// told from the one in its place.
    stamp: u64,
}

/// A position in a recording to which [`Recording::release`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    used: (usize, usize),
    slots: usize,
}

#[derive(Clone, Copy)]
enum Place {
    Buffer(usize),
    Param(usize),
}

#[derive(Clone, Copy)]
struct Slot {
    place: Place,
    shape: Shape,
    wants_grad: bool,
    /// Whether it is a leaf: no op computed it.
    leaf: bool,
    stamp: u64,
}

impl Slot {
    /// Whether its cotangent is wanted and lies in the tape's buffer.
    fn wants_place(self) -> bool {
        self.wants_grad && matches!(self.place, Place::Buffer(_))
    }
}

struct Node<T: Real> {
    op: StoredOp<T>,
    inputs: [u32; MAX_INPUTS],
    arity: usize,
    out: u32,
    aux: (usize, usize),
    trainable: bool,
}

/// The buffers of a recording, reused from step to step.
pub struct Tape<T: Real> {
    values: AlignedBuffer<T>,
    bars: AlignedBuffer<T>,
    free: FreeList,
    /// The place of each slot's cotangent in `bars`, while it has one.
    places: Vec<Option<usize>>,
    /// By slot: whether its cotangent has been written.
    reached: Vec<bool>,
    aux: AlignedBuffer<T>,
    slots: Vec<Slot>,
    nodes: Vec<Node<T>>,
    /// Lengths in use at the beginning of `values` and of `aux`; what lies beyond is uninitialised (left from an
    /// earlier recording) and is written before it is read.
    used: (usize, usize),
    /// Stamps for the next slots.
    stamps: Range<u64>,
    /// The first failure of an op in this recording.
    failure: OnceLock<OpError>,
}

/// The first stamp that no tape has taken: 64 bits never run out.
static NEXT_STAMPS: AtomicU64 = AtomicU64::new(0);

/// Stamps that a tape takes at once, so that threads seldom meet at the counter.
const STAMPS: u64 = 1 << 16;

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Tape<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Self {
            values: AlignedBuffer::default(),
            bars: AlignedBuffer::default(),
            free: FreeList::default(),
            places: Vec::new(),
            reached: Vec::new(),
            aux: AlignedBuffer::default(),
            slots: Vec::new(),
            nodes: Vec::new(),
            used: (0, 0),
            stamps: 0..0,
            failure: OnceLock::new(),
        }
    }

    /// Fills the buffers with NaN, so that a test finds an op that reads what it has not written.
    pub(crate) fn poison(&mut self) {
        for buffer in [&mut self.values, &mut self.aux, &mut self.bars] {
            buffer.fill(T::of(f64::NAN));
        }
    }

    /// Ends the last recording and begins a new one with the parameters `params`.
    pub fn record<'a>(&'a mut self, params: &'a [T]) -> Recording<'a, T> {
        self.used = (0, 0);
        self.slots.clear();
        self.nodes.clear();
        self.places.clear();
        self.failure.take();
        Recording { tape: self, params, trainable: true }
    }
}

/// A recording in progress: ops run as they are applied.
pub struct Recording<'a, T: Real> {
    tape: &'a mut Tape<T>,
    params: &'a [T],
    trainable: bool,
}

impl<T: Real> Recording<'_, T> {
    /// From here on parameters are constants, without gradients.
    pub fn freeze_params(&mut self) {
        self.trainable = false;
    }

    /// A parameter.
    ///
    /// # Panics
    /// If it lies beyond the parameters of this recording.
    pub fn param(&mut self, id: ParamId) -> Var {
        assert!(
            id.range().end <= self.params.len(),
            "parameter beyond the slice this recording was opened with"
        );
        self.push_slot(Place::Param(id.offset), id.shape, self.trainable, true)
    }

    /// A matrix without gradient (column-major entries).
    ///
    /// # Panics
    /// If `data` has another length than `rows * cols`.
    pub fn constant(&mut self, rows: usize, cols: usize, data: &[T]) -> Var {
        self.leaf(rows, cols, data, false)
    }

    /// A matrix with gradient (column-major entries); read the gradient with [`Recording::grad`].
    ///
    /// # Panics
    /// If `data` has another length than `rows * cols`.
    pub fn variable(&mut self, rows: usize, cols: usize, data: &[T]) -> Var {
        self.leaf(rows, cols, data, true)
    }

    /// A matrix without gradient whose entries (column-major; uninitialised, contents unspecified) `fill` writes in
    /// place.
    pub fn constant_with(&mut self, rows: usize, cols: usize, fill: impl FnOnce(&mut [T])) -> Var {
        let (at, len) = (self.take_values(rows * cols), rows * cols);
        fill(&mut self.tape.values[at..at + len]);
        self.push_slot(Place::Buffer(at), Shape { rows, cols }, false, true)
    }

    fn leaf(&mut self, rows: usize, cols: usize, data: &[T], wants_grad: bool) -> Var {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} leaf needs {} numbers", rows * cols);
        let at = self.take_values(data.len());
        parallel::copy(data, &mut self.tape.values[at..at + data.len()]);
        self.push_slot(Place::Buffer(at), Shape { rows, cols }, wants_grad, true)
    }

    /// The place of `len` more values.
    fn take_values(&mut self, len: usize) -> usize {
        let (values, used) = (&mut self.tape.values, &mut self.tape.used.0);
        let at = *used;
        *used += padded(len);
        values.grow(*used);
        at
    }

    fn push_slot(&mut self, place: Place, shape: Shape, wants_grad: bool, leaf: bool) -> Var {
        let tape = &mut *self.tape;
        if tape.stamps.is_empty() {
            let first = NEXT_STAMPS.fetch_add(STAMPS, Ordering::Relaxed);
            tape.stamps = first..first + STAMPS;
        }
        let stamp = tape.stamps.start;
        tape.stamps.start += 1;
        tape.slots.push(Slot { place, shape, wants_grad, leaf, stamp });
        Var { slot: (tape.slots.len() - 1) as u32, stamp }
    }

    fn slot(&self, v: Var) -> Slot {
        let slot = self.tape.slots.get(v.slot as usize).filter(|slot| slot.stamp == v.stamp);
        *slot.expect("this Var belongs to another recording, or was released")
    }

    /// The current position.
    pub fn mark(&self) -> Mark {
        Mark { used: self.tape.used, slots: self.tape.slots.len() }
    }

    /// Frees the memory of everything recorded since `mark` except `keep`, unless a gradient of it is wanted; then
    /// nothing changes. Returns the Var of the kept value; other Vars recorded since `mark` become invalid. An
    /// evaluation then needs the memory of one step, which stays in cache.
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
            Place::Buffer(at) => {
                tape.values.copy_within(at..at + kept.shape.len(), mark.used.0);
                tape.used.0 += padded(kept.shape.len());
                Place::Buffer(mark.used.0)
            }
            param => param,
        };
        self.push_slot(place, kept.shape, false, false)
    }

    /// Why the first op that could not compute its output failed, if there is one. Values that depend on it are
    /// unspecified.
    pub fn failure(&self) -> Option<&OpError> {
        self.tape.failure.get()
    }

    /// A value's shape.
    ///
    /// # Panics
    /// If the Var belongs to another recording or was released, as everywhere.
    pub fn shape(&self, v: Var) -> Shape {
        self.slot(v).shape
    }

    /// A value.
    pub fn value(&self, v: Var) -> View<'_, T> {
        let slot = self.slot(v);
        View { data: read(&self.tape.values, self.params, slot), shape: slot.shape }
    }

    /// Applies an op.
    ///
    /// # Panics
    /// If the shapes do not fit (the message names the op and the shapes), or a Var belongs to another recording or
    /// was released.
    pub fn apply(&mut self, op: impl Op<T> + 'static, inputs: &[Var]) -> Var {
        self.apply_stored(smallbox!(op), inputs)
    }

    fn apply_stored(&mut self, op: StoredOp<T>, inputs: &[Var]) -> Var {
        assert!(inputs.len() <= MAX_INPUTS, "{}: more than {MAX_INPUTS} inputs", op.name());
        let mut ids = [0; MAX_INPUTS];
        let mut shapes = [Shape::new(0, 0); MAX_INPUTS];
        let mut wants_grad = false;
        for (k, v) in inputs.iter().enumerate() {
            let slot = self.slot(*v);
            (ids[k], shapes[k]) = (v.slot, slot.shape);
            wants_grad |= slot.wants_grad;
        }
        let shapes = &shapes[..inputs.len()];
        let shape = match op.shape(shapes) {
            Ok(shape) => shape,
            Err(why) => {
                let given: Vec<_> = shapes.iter().map(|s| s.to_string()).collect();
                panic!("{}: {why}; the inputs are {}", op.name(), given.join(", "))
            }
        };
        let tape = &mut *self.tape;
        let (at, aux) = (tape.used.0, (tape.used.1, tape.used.1 + op.aux_len(shapes, shape)));
        tape.used = (at + padded(shape.len()), padded(aux.1));
        tape.aux.grow(tape.used.1);
        tape.values.grow(tape.used.0);
        let (before, out) = tape.values.split_at_mut(at);
        let x = Inputs {
            values: before,
            params: self.params,
            slots: &tape.slots,
            ids: &ids[..inputs.len()],
            failure: &tape.failure,
        };
        let (out, aux_part) = (&mut out[..shape.len()], &mut tape.aux[aux.0..aux.1]);
        within(op.name(), || op.forward(&x, out, aux_part));
        let out = self.push_slot(Place::Buffer(at), shape, wants_grad, false);
        if wants_grad {
            let (arity, trainable) = (inputs.len(), self.trainable);
            self.tape.nodes.push(Node { op, inputs: ids, arity, out: out.slot, aux, trainable });
        }
        out
    }
}

fn read<'s, T>(values: &'s [T], params: &'s [T], slot: Slot) -> &'s [T] {
    match slot.place {
        Place::Buffer(at) => &values[at..at + slot.shape.len()],
        Place::Param(at) => &params[at..at + slot.shape.len()],
    }
}

#[cfg(test)]
mod tests;
