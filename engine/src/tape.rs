//! Reverse-mode differentiation on an arena.
//!
//! A [`Tape`] owns buffers; [`Tape::record`] opens a [`Graph`] on them, in which ops run at once and
//! leave a node each. Values lie in one slab in the order of creation, so a node's inputs always lie
//! before its output and a split of the slab borrows both; cotangents lie in a second slab at the
//! same offsets. [`Graph::backward`] walks the nodes in reverse, once, without recursion. The slabs
//! keep their capacity, so after the first step of a loop recording allocates nothing.
//!
//! Parameters are not copied: a graph borrows the whole parameter slice, and `backward` adds into a
//! gradient slice of the same layout.

use std::sync::Arc;

use crate::{ParamId, Real, Shape, View};

/// The most inputs that an op can have.
pub const MAX_INPUTS: usize = 8;

/// Scalars that belong to one use of an op (a factor, an exponent, a range).
pub type Attr = [f64; 2];

/// A differentiable function of matrices with a handwritten derivative.
///
/// Built-in ops and a model's own fused ops use this same trait: put it in a `static` or an [`Arc`]
/// and pass it to [`Graph::apply`].
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
    fn get(&self) -> &dyn Op<T> {
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

/// A value on a graph: a small index, valid until the tape records anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    slot: u32,
    epoch: u32,
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
}

struct Node<T: Real> {
    op: OpRef<T>,
    attr: Attr,
    inputs: [u32; MAX_INPUTS],
    arity: usize,
    out: u32,
    aux: (usize, usize),
}

/// Buffers of a graph, reused from step to step.
pub struct Tape<T: Real> {
    values: Vec<T>,
    bars: Vec<T>,
    /// Which values have a cotangent in `bars`.
    reached: Vec<bool>,
    aux: Vec<T>,
    slots: Vec<Slot>,
    nodes: Vec<Node<T>>,
    /// Numbers in use at the beginning of `values` and of `aux`; what lies beyond is left from an
    /// earlier, longer graph and is overwritten before it is read.
    used: (usize, usize),
    epoch: u32,
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
            values: Vec::new(),
            bars: Vec::new(),
            reached: Vec::new(),
            aux: Vec::new(),
            slots: Vec::new(),
            nodes: Vec::new(),
            used: (0, 0),
            epoch: 0,
        }
    }

    /// Fills the slabs with NaN, so that a test finds an op that reads what it has not written.
    pub(crate) fn poison(&mut self) {
        for slab in [&mut self.values, &mut self.aux, &mut self.bars] {
            slab.fill(T::of(f64::NAN));
        }
    }

    /// Forgets the last graph and opens a new one over `params`.
    pub fn record<'a>(&'a mut self, params: &'a [T]) -> Graph<'a, T> {
        self.used = (0, 0);
        self.slots.clear();
        self.nodes.clear();
        self.epoch = self.epoch.wrapping_add(1);
        Graph { tape: self, params, trainable: true }
    }

    /// Bytes held by the buffers.
    pub fn bytes(&self) -> usize {
        (self.values.capacity() + self.bars.capacity() + self.aux.capacity()) * size_of::<T>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.nodes.capacity() * size_of::<Node<T>>()
    }
}

/// A recording in progress: ops run as they are applied.
pub struct Graph<'a, T: Real> {
    tape: &'a mut Tape<T>,
    params: &'a [T],
    trainable: bool,
}

impl<T: Real> Graph<'_, T> {
    /// From here on parameters are constants: no gradient is computed for them.
    pub fn freeze_params(&mut self) {
        self.trainable = false;
    }

    /// A parameter.
    pub fn param(&mut self, id: ParamId) -> Var {
        assert!(id.range().end <= self.params.len(), "parameter beyond the slice this graph was opened with");
        self.push_slot(Slot { place: Place::Param(id.offset), shape: id.shape, wants_grad: self.trainable })
    }

    /// A matrix without gradient (column-major entries).
    pub fn constant(&mut self, rows: usize, cols: usize, data: &[T]) -> Var {
        self.leaf(rows, cols, data, false)
    }

    /// A matrix with gradient (column-major entries); read it with [`Graph::grad`].
    pub fn variable(&mut self, rows: usize, cols: usize, data: &[T]) -> Var {
        self.leaf(rows, cols, data, true)
    }

    fn leaf(&mut self, rows: usize, cols: usize, data: &[T], wants_grad: bool) -> Var {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} leaf needs {} numbers", rows * cols);
        let (values, used) = (&mut self.tape.values, &mut self.tape.used.0);
        let at = *used;
        *used += data.len();
        if values.len() < *used {
            values.resize(*used, T::ZERO);
        }
        values[at..*used].copy_from_slice(data);
        self.push_slot(Slot { place: Place::Slab(at), shape: Shape { rows, cols }, wants_grad })
    }

    fn push_slot(&mut self, slot: Slot) -> Var {
        self.tape.slots.push(slot);
        Var { slot: (self.tape.slots.len() - 1) as u32, epoch: self.tape.epoch }
    }

    fn slot(&self, v: Var) -> Slot {
        assert_eq!(v.epoch, self.tape.epoch, "this Var belongs to another recording");
        self.tape.slots[v.slot as usize]
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
        tape.used = (at + shape.len(), aux.1);
        if tape.aux.len() < aux.1 {
            tape.aux.resize(aux.1, T::ZERO);
        }
        if tape.values.len() < tape.used.0 {
            tape.values.resize(tape.used.0, T::ZERO);
        }
        let (before, out) = tape.values.split_at_mut(at);
        let x = Inputs {
            values: before,
            params: self.params,
            slots: &tape.slots,
            ids: &ids[..inputs.len()],
            attr,
        };
        op.get().forward(&x, &mut out[..shape.len()], &mut tape.aux[aux.0..aux.1]);
        let out = self.push_slot(Slot { place: Place::Slab(at), shape, wants_grad });
        if wants_grad {
            self.tape.nodes.push(Node { op, attr, inputs: ids, arity: inputs.len(), out: out.slot, aux });
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
    /// gradients of variables for [`Graph::grad`]. May be called again with another seed.
    pub fn backward_from(&mut self, out: Var, seed: &[T], param_grads: &mut [T]) {
        let slot = self.slot(out);
        assert_eq!(seed.len(), slot.shape.len(), "the seed has the shape of the output, {}", slot.shape);
        let Place::Slab(at) = slot.place else { panic!("backward from a parameter") };
        let tape = &mut *self.tape;
        if tape.bars.len() < tape.used.0 {
            tape.bars.resize(tape.used.0, T::ZERO);
        }
        tape.reached.clear();
        tape.reached.resize(tape.slots.len(), false);
        tape.reached[out.slot as usize] = true;
        tape.bars[at..at + seed.len()].copy_from_slice(seed);
        for node in tape.nodes.iter().rev() {
            if !tape.reached[node.out as usize] {
                continue;
            }
            let slot = tape.slots[node.out as usize];
            let Place::Slab(at) = slot.place else { unreachable!("an op's output lies in the slab") };
            let (before, out_bar) = tape.bars.split_at_mut(at);
            let ids = &node.inputs[..node.arity];
            // A cotangent is zeroed right before its first use, while it is in cache.
            for id in ids {
                clear(before, tape.slots[*id as usize], &mut tape.reached[*id as usize]);
            }
            let saved = Saved {
                x: Inputs {
                    values: &tape.values[..at],
                    params: self.params,
                    slots: &tape.slots,
                    ids,
                    attr: node.attr,
                },
                out: View { data: &tape.values[at..at + slot.shape.len()], shape: slot.shape },
                aux: &tape.aux[node.aux.0..node.aux.1],
            };
            let mut x_bar = Cotangents { bars: before, params: param_grads, slots: &tape.slots, ids };
            node.op.get().vjp(&saved, &mut out_bar[..slot.shape.len()], &mut x_bar);
        }
        // What the output does not depend on has the gradient 0.
        for (slot, reached) in tape.slots.iter().zip(&mut tape.reached) {
            clear(&mut tape.bars, *slot, reached);
        }
    }

    /// The gradient of a variable (a leaf) after `backward`.
    pub fn grad(&self, v: Var) -> View<'_, T> {
        let slot = self.slot(v);
        let Place::Slab(at) = slot.place else { panic!("a parameter's gradient lies in the gradient slice") };
        View { data: &self.tape.bars[at..at + slot.shape.len()], shape: slot.shape }
    }
}

/// Zeroes a value's cotangent, unless it has been reached already.
fn clear<T: Real>(bars: &mut [T], slot: Slot, reached: &mut bool) {
    if let (Place::Slab(at), true, false) = (slot.place, slot.wants_grad, *reached) {
        bars[at..at + slot.shape.len()].fill(T::ZERO);
        *reached = true;
    }
}

fn read<'s, T>(values: &'s [T], params: &'s [T], slot: Slot) -> &'s [T] {
    match slot.place {
        Place::Slab(at) => &values[at..at + slot.shape.len()],
        Place::Param(at) => &params[at..at + slot.shape.len()],
    }
}

/// An op's input values.
pub struct Inputs<'s, T> {
    values: &'s [T],
    params: &'s [T],
    slots: &'s [Slot],
    ids: &'s [u32],
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
    bars: &'s mut [T],
    params: &'s mut [T],
    slots: &'s [Slot],
    ids: &'s [u32],
}

impl<T: Real> Cotangents<'_, T> {
    /// Whether input k wants its cotangent.
    pub fn wants(&self, k: usize) -> bool {
        self.slots[self.ids[k] as usize].wants_grad
    }
    /// The gradient of every parameter of the graph, to be added to.
    pub fn all_params(&mut self) -> &mut [T] {
        self.params
    }
    /// The cotangent of input k, unless nobody wants it.
    pub fn get(&mut self, k: usize) -> Option<&mut [T]> {
        let slot = self.slots[self.ids[k] as usize];
        slot.wants_grad.then(|| match slot.place {
            Place::Slab(at) => &mut self.bars[at..at + slot.shape.len()],
            Place::Param(at) => &mut self.params[at..at + slot.shape.len()],
        })
    }
}
