//! Sums within sums become one, powers of one thing one polynomial.

use std::collections::HashMap;

use super::function::Function;
use super::graph::{Combination, Graph, Id, Node, Polynomial};

/// The nodes that `root` needs, simplified, and the root among them.
pub(super) fn simplify(mut graph: Graph, root: Id) -> (Vec<Node>, Id) {
    let uses = uses(&graph.nodes, root);
    for id in 0..=root as usize {
        if uses[id] == 0 {
            continue;
        }
        if let Node::Combination(c) = &graph.nodes[id] {
            let whole = merged(&graph.nodes, c, &uses);
            graph.nodes[id] = Node::Combination(whole);
        }
    }
    (graph.nodes, root)
}

/// How often each node is an operand of those that `root` needs; once for the root itself.
pub(super) fn uses(nodes: &[Node], root: Id) -> Vec<u32> {
    let mut uses = vec![0; nodes.len()];
    uses[root as usize] = 1;
    for id in (0..=root as usize).rev() {
        if uses[id] > 0 {
            nodes[id].operands().iter().for_each(|v| uses[*v as usize] += 1);
        }
    }
    uses
}

/// A sum whose terms are no sums of their own, unless others use them too.
fn merged(nodes: &[Node], sum: &Combination, uses: &[u32]) -> Combination {
    let mut whole = Merge {
        constant: sum.constant,
        linear: Vec::new(),
        known: HashMap::new(),
        polynomials: Vec::new(),
        of: HashMap::new(),
    };
    sum.polynomials.iter().for_each(|p| whole.polynomial(p, 1.0));
    for (factor, v) in &sum.linear {
        match &nodes[*v as usize] {
            // A power is as soon worked out as fetched. What is in a sum already has been merged itself.
            Node::Combination(inner)
                if uses[*v as usize] == 1 || inner.linear.len() + inner.polynomials.len() <= 1 =>
            {
                whole.constant += factor * inner.constant;
                inner.linear.iter().for_each(|(c, v)| whole.term(factor * c, *v));
                inner.polynomials.iter().for_each(|p| whole.polynomial(p, *factor));
            }
            _ => whole.term(*factor, *v),
        }
    }
    whole.finish(nodes)
}

/// A polynomial's argument: what it is of, with the bits of scale and shift.
type Argument = (Id, u64, u64);

/// A sum in the making, in the order of its terms.
struct Merge {
    constant: f64,
    linear: Vec<(f64, Id)>,
    /// Where each vector is in `linear`.
    known: HashMap<Id, usize>,
    polynomials: Vec<Polynomial>,
    of: HashMap<Argument, usize>,
}

fn add(to: &mut Vec<f64>, from: &[f64], factor: f64) {
    to.resize(to.len().max(from.len()), 0.0);
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

impl Merge {
    fn term(&mut self, factor: f64, v: Id) {
        match self.known.get(&v) {
            Some(k) => self.linear[*k].0 += factor,
            None => {
                self.known.insert(v, self.linear.len());
                self.linear.push((factor, v));
            }
        }
    }

    fn polynomial(&mut self, p: &Polynomial, factor: f64) {
        let argument = (p.base, p.scale.to_bits(), p.shift.to_bits());
        let k = *self.of.entry(argument).or_insert_with(|| {
            self.polynomials.push(Polynomial { rising: Vec::new(), falling: Vec::new(), ..p.clone() });
            self.polynomials.len() - 1
        });
        add(&mut self.polynomials[k].rising, &p.rising, factor);
        add(&mut self.polynomials[k].falling, &p.falling, factor);
    }

    fn finish(mut self, nodes: &[Node]) -> Combination {
        // What has a polynomial is a term of it.
        for (factor, v) in std::mem::take(&mut self.linear) {
            match self.of.get(&(v, 1f64.to_bits(), 0f64.to_bits())) {
                Some(k) => add(&mut self.polynomials[*k].rising, &[factor], 1.0),
                None if factor != 0.0 => self.linear.push((factor, v)),
                None => {}
            }
        }
        let polynomials = self.polynomials.into_iter().map(|p| squared(nodes, p)).flat_map(|p| {
            // Each has powers of one sign.
            let falling = Polynomial { rising: Vec::new(), ..p.clone() };
            [Polynomial { falling: Vec::new(), ..p }, falling]
        });
        let polynomials =
            polynomials.filter(|p| p.rising.iter().chain(&p.falling).any(|c| *c != 0.0)).collect();
        Combination { constant: self.constant, linear: self.linear, polynomials }
    }
}

/// Even powers of a square root are powers of what is under it.
fn squared(nodes: &[Node], p: Polynomial) -> Polynomial {
    let Node::Function(Function::Sqrt, under) = nodes[p.base as usize] else { return p };
    let even = |c: &[f64]| c.iter().step_by(2).all(|c| *c == 0.0);
    if p.scale != 1.0 || p.shift != 0.0 || !even(&p.rising) || !even(&p.falling) {
        return p;
    }
    let half = |c: &[f64]| c.iter().skip(1).step_by(2).copied().collect();
    Polynomial { base: under, rising: half(&p.rising), falling: half(&p.falling), ..p }
}
