//! From the graph to a program: values forwards, derivatives backwards (reverse mode), each as soon as it can be.
//!
//! log p is a sum, whose terms are worked out one after another. The derivative g of log p by a node is complete when
//! all nodes that use it have handed on theirs; then the node hands on its own, and its rows are free. So a sum over
//! pairs holds the values of one pair at a time, and only what the terms of a nonlinear function have in common is
//! kept. Where g is one number for all points, as for the terms of the sum, it is no row.

use std::collections::HashMap;

use super::graph::{Combination, Id, Node, Polynomial};
use super::program::{Op, Powers, Program};
use super::simplify::uses;
use crate::target::Geometry;

/// The derivative of log p by a node, as far as it is known.
#[derive(Clone, Copy, Debug)]
enum Slope {
    None,
    /// The same at all points.
    Number(f64),
    Row(u32),
}

/// A term of log p.
enum Term<'a> {
    Polynomial(&'a Polynomial),
    Linear(f64, Id),
}

struct Scheduler<'a> {
    nodes: &'a [Node],
    program: Program,
    /// The row of each value that has been worked out.
    values: Vec<Option<u32>>,
    /// Rows that are kept of a node for its derivative: exponentials and their sum.
    kept: HashMap<Id, Vec<u32>>,
    slopes: Vec<Slope>,
    /// Users of each node that have not handed on their derivatives.
    pending: Vec<u32>,
    /// Rows of one number.
    numbers: HashMap<u64, u32>,
    next: u32,
}

/// The program of log p = `nodes[root]`, a [`Combination`].
pub(super) fn schedule(nodes: &[Node], root: Id, geometry: Geometry) -> Program {
    let program = Program {
        dim: geometry.dim(),
        space: geometry.particles().map_or(0, |system| system.space),
        ..Program::default()
    };
    let next = program.registers();
    let mut scheduler = Scheduler {
        nodes,
        values: vec![None; nodes.len()],
        kept: HashMap::new(),
        slopes: vec![Slope::None; nodes.len()],
        pending: uses(nodes, root),
        numbers: HashMap::new(),
        next,
        program,
    };
    scheduler.clear();
    if let Node::Combination(sum) = &nodes[root as usize] {
        scheduler.root(sum);
    }
    let mut program = scheduler.program;
    program.allocate();
    program
}

impl Scheduler<'_> {
    fn register(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn op(&mut self, op: Op) {
        self.program.ops.push(op);
    }

    /// Zeroes in the rows of the score that are only added to. Distances add to those of both particles.
    fn clear(&mut self) {
        let used = |id: &usize| self.pending[*id] > 0;
        let distances =
            (0..self.nodes.len()).filter(used).any(|id| matches!(self.nodes[id], Node::Distance2(..)));
        let mut written = vec![false; self.program.dim];
        for id in (0..self.nodes.len()).filter(used).collect::<Vec<_>>() {
            if let Node::Input(a) = self.nodes[id] {
                written[a as usize] = !distances;
                if distances {
                    self.slopes[id] = Slope::Row(self.program.dim as u32 + a);
                }
            }
        }
        for (a, _) in written.iter().enumerate().filter(|(_, written)| !**written) {
            self.program.ops.push(Op::Fill { out: (self.program.dim + a) as u32, value: 0.0 });
        }
    }

    fn root(&mut self, sum: &Combination) {
        let total = self.program.total();
        self.op(Op::Fill { out: total, value: sum.constant });
        // In the order in which the formula made them, so that terms that share a part are neighbours.
        let polynomials = sum.polynomials.iter().map(|p| (p.base, Term::Polynomial(p)));
        let linear = sum.linear.iter().map(|(factor, id)| (*id, Term::Linear(*factor, *id)));
        let mut terms: Vec<(Id, Term<'_>)> = polynomials.chain(linear).collect();
        terms.sort_by_key(|(id, _)| *id);
        for (_, term) in terms {
            match term {
                Term::Polynomial(p) => {
                    let (v, powers) = (self.value(p.base), self.powers(p));
                    let (out, add) = self.slope_row(p.base);
                    self.op(Op::PowersBoth { total, out, powers, v, add });
                    self.retire(p.base);
                }
                Term::Linear(factor, id) => self.linear(total, factor, id),
            }
        }
    }

    fn linear(&mut self, total: u32, factor: f64, id: Id) {
        // A product that nothing else needs hands on its derivatives as it is worked out.
        if let (Node::Product(a, b), 1) = (&self.nodes[id as usize], self.pending[id as usize]) {
            return self.product(total, factor, *a, *b);
        }
        let v = self.value(id);
        self.op(Op::Axpy { out: total, factor, v, add: true });
        self.add_number(id, factor);
        self.retire(id);
    }

    fn product(&mut self, total: u32, factor: f64, a: Id, b: Id) {
        let (left, right) = (self.value(a), self.value(b));
        let ((to_a, add_a), (to_b, add_b)) = (self.slope_row(a), self.slope_row(b));
        let (to, add) = ([to_a, to_b], [add_a, add_b]);
        self.op(Op::ProductBoth { total, to, a: left, b: right, factor, add });
        self.retire(a);
        self.retire(b);
    }

    fn powers(&mut self, p: &Polynomial) -> u32 {
        let inverse = p.rising.is_empty();
        let coefficients = if inverse { &p.falling } else { &p.rising }.clone();
        self.program.powers.push(Powers { scale: p.scale, shift: p.shift, inverse, coefficients });
        self.program.powers.len() as u32 - 1
    }

    /// The row of a value, worked out if it is not there, operands first.
    fn value(&mut self, id: Id) -> u32 {
        let mut open = vec![id];
        while let Some(&id) = open.last() {
            if self.values[id as usize].is_some() {
                open.pop();
                continue;
            }
            let missing: Vec<Id> = self.nodes[id as usize]
                .operands()
                .into_iter()
                .filter(|v| self.values[*v as usize].is_none())
                .collect();
            if missing.is_empty() {
                let row = self.forward(id);
                self.values[id as usize] = Some(row);
                open.pop();
            } else {
                open.extend(missing.into_iter().rev());
            }
        }
        self.row(id)
    }

    /// The row of a value that has been worked out.
    fn row(&self, id: Id) -> u32 {
        self.values[id as usize].unwrap_or_default()
    }

    fn forward(&mut self, id: Id) -> u32 {
        let nodes = self.nodes;
        if let Node::Input(a) = nodes[id as usize] {
            return a;
        }
        let out = self.register();
        match &nodes[id as usize] {
            Node::Input(_) => {}
            Node::Combination(sum) => self.combination(out, sum),
            Node::Product(a, b) => {
                let (a, b) = (self.row(*a), self.row(*b));
                self.op(Op::Product { out, a, b, add: false });
            }
            Node::Quotient(a, b) => {
                let (a, b) = (self.row(*a), self.row(*b));
                self.op(Op::Quotient { out, a, b });
            }
            Node::Function(function, a) => {
                let a = self.row(*a);
                self.op(Op::Function { function: *function, out, a });
            }
            Node::Power(p, a) => {
                let a = self.row(*a);
                self.op(Op::Power { out, a, p: *p });
            }
            Node::Distance2(i, j) => self.op(Op::Distance2 { out, i: *i, j: *j }),
            Node::LogSumExp(terms) => self.log_sum_exp(id, out, terms),
            Node::Extremum(greater, a, b) => {
                let (a, b) = (self.row(*a), self.row(*b));
                self.op(Op::Extremum { out, a, b, greater: *greater });
            }
            Node::Mask(comparison, a, b) => {
                let (a, b) = (self.row(*a), self.row(*b));
                self.op(Op::Mask { out, comparison: *comparison, a, b });
            }
            Node::Select(mask, a, b) => {
                let (mask, a, b) = (self.row(*mask), self.row(*a), self.row(*b));
                self.op(Op::Select { out, mask, a, b });
            }
        }
        out
    }

    fn combination(&mut self, out: u32, sum: &Combination) {
        let mut add = false;
        if !sum.linear.is_empty() || sum.polynomials.is_empty() {
            let terms: Vec<(f64, u32)> = sum.linear.iter().map(|(c, v)| (*c, self.row(*v))).collect();
            let first = self.program.terms.len() as u32;
            self.program.terms.extend(terms);
            let terms = first..self.program.terms.len() as u32;
            self.op(Op::Linear { out, constant: sum.constant, terms });
            add = true;
        }
        for p in &sum.polynomials {
            let (powers, v) = (self.powers(p), self.row(p.base));
            let constant = if add { 0.0 } else { sum.constant };
            self.op(Op::Powers { out, powers, v, constant, add });
            add = true;
        }
    }

    /// log sum_k exp q_k = m + log sum_k exp(q_k - m), m the greatest.
    fn log_sum_exp(&mut self, id: Id, out: u32, terms: &[Id]) {
        let (most, sum) = (self.register(), self.register());
        for (k, q) in terms.iter().enumerate() {
            let a = self.row(*q);
            self.op(Op::Most { out: most, a, add: k > 0 });
        }
        let mut kept = Vec::with_capacity(terms.len() + 1);
        for (k, q) in terms.iter().enumerate() {
            let (a, out) = (self.row(*q), self.register());
            self.op(Op::ExpShift { out, sum, a, most, add: k > 0 });
            kept.push(out);
        }
        self.op(Op::LogSum { out, most, sum });
        kept.push(sum);
        self.kept.insert(id, kept);
    }

    /// Where a node's derivative goes, and whether something is there.
    fn slope_row(&mut self, id: Id) -> (u32, bool) {
        let own = match self.nodes[id as usize] {
            Node::Input(a) => self.program.dim as u32 + a,
            _ => self.next,
        };
        match self.slopes[id as usize] {
            Slope::Row(row) => (row, true),
            before => {
                if own == self.next {
                    self.next += 1;
                }
                self.slopes[id as usize] = Slope::Row(own);
                if let Slope::Number(value) = before {
                    self.op(Op::Fill { out: own, value });
                }
                (own, matches!(before, Slope::Number(_)))
            }
        }
    }

    fn add_number(&mut self, id: Id, value: f64) {
        self.slopes[id as usize] = match self.slopes[id as usize] {
            Slope::None => Slope::Number(value),
            Slope::Number(before) => Slope::Number(before + value),
            Slope::Row(row) => {
                self.op(Op::Shift { out: row, value });
                Slope::Row(row)
            }
        };
    }

    /// A user of a node has handed on its derivative; after the last one the node does.
    fn retire(&mut self, id: Id) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            self.pending[id as usize] -= 1;
            if self.pending[id as usize] == 0 {
                self.backward(id);
                open.extend(self.nodes[id as usize].operands());
            }
        }
    }

    /// The row of a node's derivative; None if nothing depends on it.
    fn slope(&mut self, id: Id) -> Option<u32> {
        match self.slopes[id as usize] {
            Slope::None => None,
            Slope::Row(row) => Some(row),
            Slope::Number(value) => Some(match self.numbers.get(&value.to_bits()) {
                Some(row) => *row,
                None => {
                    let out = self.register();
                    self.op(Op::Fill { out, value });
                    self.numbers.insert(value.to_bits(), out);
                    out
                }
            }),
        }
    }

    /// Hands on the derivative of a node, which is complete.
    fn backward(&mut self, id: Id) {
        let nodes = self.nodes;
        match (&nodes[id as usize], self.slopes[id as usize]) {
            (Node::Input(a), before @ (Slope::None | Slope::Number(_))) => {
                let value = if let Slope::Number(value) = before { value } else { 0.0 };
                return self.op(Op::Fill { out: self.program.dim as u32 + a, value });
            }
            (Node::Combination(sum), Slope::Number(value)) => {
                sum.linear.iter().for_each(|(c, v)| self.add_number(*v, c * value));
                if sum.polynomials.is_empty() {
                    return;
                }
            }
            _ => {}
        }
        let linear_done = matches!(self.slopes[id as usize], Slope::Number(_));
        let (Some(g), r) = (self.slope(id), self.row(id)) else { return };
        match &nodes[id as usize] {
            Node::Input(_) | Node::Mask(..) => {}
            Node::Combination(sum) => {
                for (factor, v) in sum.linear.iter().filter(|_| !linear_done) {
                    let (out, add) = self.slope_row(*v);
                    self.op(Op::Axpy { out, factor: *factor, v: g, add });
                }
                for p in &sum.polynomials {
                    let (powers, v) = (self.powers(p), self.row(p.base));
                    let (out, add) = self.slope_row(p.base);
                    self.op(Op::PowersBack { out, powers, v, g, add });
                }
            }
            Node::Product(a, b) => {
                for (to, other) in [(*a, *b), (*b, *a)] {
                    let (other, (out, add)) = (self.row(other), self.slope_row(to));
                    self.op(Op::ProductBack { out, g, b: other, add });
                }
            }
            Node::Quotient(a, b) => {
                let under = self.row(*b);
                let (out, add) = self.slope_row(*a);
                self.op(Op::InverseBack { out, g, b: under, add });
                let (out, add) = self.slope_row(*b);
                self.op(Op::QuotientBack { out, g, r, b: under, add });
            }
            Node::Function(function, v) => {
                let (a, (out, add)) = (self.row(*v), self.slope_row(*v));
                self.op(Op::FunctionBack { function: *function, out, a, r, g, add });
            }
            Node::Power(p, v) => {
                let (a, (out, add)) = (self.row(*v), self.slope_row(*v));
                self.op(Op::PowerBack { out, a, g, p: *p, add });
            }
            Node::Distance2(i, j) => self.op(Op::Distance2Back { g, i: *i, j: *j }),
            Node::LogSumExp(terms) => {
                let kept = self.kept.remove(&id).unwrap_or_default();
                let Some((sum, exponentials)) = kept.split_last() else { return };
                let share = self.register();
                self.op(Op::Quotient { out: share, a: g, b: *sum });
                for (q, e) in terms.iter().zip(exponentials) {
                    let (out, add) = self.slope_row(*q);
                    self.op(Op::Product { out, a: share, b: *e, add });
                }
            }
            Node::Extremum(greater, a, b) => {
                // Where both are equal, the derivative is that of the second.
                let (one, other) = if *greater { (*b, *a) } else { (*a, *b) };
                let mask = self.register();
                let comparison = super::parser::Comparison::Less;
                let (left, right) = (self.row(one), self.row(other));
                self.op(Op::Mask { out: mask, comparison, a: left, b: right });
                self.select_back(mask, g, *a, *b);
            }
            Node::Select(mask, a, b) => {
                let mask = self.row(*mask);
                self.select_back(mask, g, *a, *b);
            }
        }
    }

    fn select_back(&mut self, mask: u32, g: u32, a: Id, b: Id) {
        for (to, when) in [(a, 1.0), (b, 0.0)] {
            let (out, add) = self.slope_row(to);
            self.op(Op::SelectBack { out, mask, g, when, add });
        }
    }
}
