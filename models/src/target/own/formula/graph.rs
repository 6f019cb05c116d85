//! A formula as a graph of vectors over points, its loops unrolled.
//!
//! Equal parts are one node. What does not depend on x is a number, and worked out when the formula is read. Sums of
//! powers, the bulk of most energies, are one kind of node, a [`Combination`]
//!
//! c + sum_k c_k v_k + sum_m P_m(s_m v_m + t_m),
//!
//! P_m a polynomial in its argument and its inverse.

use std::collections::HashMap;

use super::function::Function;
use super::parser::Comparison;

/// A node; its operands have smaller ones.
pub(super) type Id = u32;

/// A number, or a number for each point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Vector(Id),
}

/// The greatest exponent of a polynomial; above are powers.
pub(super) const DEGREE: usize = 16;

/// sum_k rising[k] u^(k+1) + sum_k falling[k] u^-(k+1), u = scale v + shift.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Polynomial {
    pub base: Id,
    pub scale: f64,
    pub shift: f64,
    pub rising: Vec<f64>,
    pub falling: Vec<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Combination {
    pub constant: f64,
    pub linear: Vec<(f64, Id)>,
    pub polynomials: Vec<Polynomial>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// A coordinate.
    Input(u32),
    Combination(Combination),
    Product(Id, Id),
    Quotient(Id, Id),
    Function(Function, Id),
    Power(f64, Id),
    /// |x_i - x_j|^2 of particles.
    Distance2(u32, u32),
    LogSumExp(Vec<Id>),
    /// The greater or the smaller one.
    Extremum(bool, Id, Id),
    /// 1 where it holds, else 0.
    Mask(Comparison, Id, Id),
    /// The second where the mask is 1, else the third.
    Select(Id, Id, Id),
}

impl Node {
    /// The operands, with repetitions.
    pub fn operands(&self) -> Vec<Id> {
        match self {
            Self::Input(_) | Self::Distance2(..) => Vec::new(),
            Self::Combination(c) => {
                c.linear.iter().map(|(_, v)| *v).chain(c.polynomials.iter().map(|p| p.base)).collect()
            }
            Self::Function(_, a) | Self::Power(_, a) => vec![*a],
            Self::Product(a, b) | Self::Quotient(a, b) | Self::Extremum(_, a, b) | Self::Mask(_, a, b) => {
                vec![*a, *b]
            }
            Self::LogSumExp(terms) => terms.clone(),
            Self::Select(m, a, b) => vec![*m, *a, *b],
        }
    }

    /// The node as numbers: equal nodes have equal ones.
    fn key(&self) -> Vec<u64> {
        let two = |tag: u64, a: Id, b: Id| vec![tag, u64::from(a) << 32 | u64::from(b)];
        match self {
            Self::Input(a) => vec![0, u64::from(*a)],
            Self::Combination(c) => {
                let mut key = vec![1, c.constant.to_bits(), c.linear.len() as u64];
                key.extend(c.linear.iter().flat_map(|(c, v)| [c.to_bits(), u64::from(*v)]));
                for p in &c.polynomials {
                    let sizes = (p.rising.len() as u64) << 32 | p.falling.len() as u64;
                    key.extend([u64::from(p.base), sizes, p.scale.to_bits(), p.shift.to_bits()]);
                    key.extend(p.rising.iter().chain(&p.falling).map(|c| c.to_bits()));
                }
                key
            }
            Self::Product(a, b) => two(2, *a, *b),
            Self::Quotient(a, b) => two(3, *a, *b),
            Self::Function(f, a) => two(4, *f as u32, *a),
            Self::Power(p, a) => vec![5, p.to_bits(), u64::from(*a)],
            Self::Distance2(i, j) => two(6, *i, *j),
            Self::LogSumExp(terms) => std::iter::once(7).chain(terms.iter().map(|v| u64::from(*v))).collect(),
            Self::Extremum(greater, a, b) => two(8 + u64::from(*greater), *a, *b),
            Self::Mask(c, a, b) => two(10 + *c as u64, *a, *b),
            Self::Select(m, a, b) => vec![20, u64::from(*m), u64::from(*a) << 32 | u64::from(*b)],
        }
    }
}

/// Nodes in the order in which they can be worked out.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    known: HashMap<Vec<u64>, Id>,
    /// Nodes and parts of sums: what the graph takes in memory.
    pub size: usize,
}

impl Graph {
    pub fn node(&mut self, node: Node) -> Id {
        let key = node.key();
        let new = self.nodes.len() as Id;
        match self.known.entry(key) {
            std::collections::hash_map::Entry::Occupied(old) => *old.get(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(new);
                self.size += 1 + match &node {
                    Node::Combination(c) => c.linear.len() + 2 * c.polynomials.len(),
                    Node::LogSumExp(terms) => terms.len(),
                    _ => 0,
                };
                self.nodes.push(node);
                new
            }
        }
    }

    fn vector(&mut self, node: Node) -> Value {
        Value::Vector(self.node(node))
    }

    /// A number as a vector.
    pub fn constant(&mut self, value: f64) -> Id {
        self.node(Node::Combination(Combination { constant: value, ..Combination::default() }))
    }

    pub fn id(&mut self, value: Value) -> Id {
        match value {
            Value::Scalar(value) => self.constant(value),
            Value::Vector(id) => id,
        }
    }

    /// sum_k c_k v_k.
    pub fn sum(&mut self, terms: impl IntoIterator<Item = (f64, Value)>) -> Value {
        let mut c = Combination::default();
        for (factor, value) in terms {
            match value {
                Value::Scalar(value) => c.constant += factor * value,
                Value::Vector(id) => c.linear.push((factor, id)),
            }
        }
        if let ([(factor, id)], 0.0) = (&mut c.linear[..], c.constant)
            && let Node::Combination(Combination { constant: 0.0, linear, polynomials }) =
                &self.nodes[*id as usize]
            && let ([(inner, u)], []) = (&linear[..], &polynomials[..])
        {
            (*factor, *id) = (*factor * inner, *u);
        }
        match (&c.linear[..], c.constant) {
            ([], constant) => Value::Scalar(constant),
            ([(1.0, only)], 0.0) => Value::Vector(*only),
            _ => self.vector(Node::Combination(c)),
        }
    }

    pub fn product(&mut self, a: Value, b: Value) -> Value {
        match (a, b) {
            (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(a * b),
            (Value::Scalar(a), v) | (v, Value::Scalar(a)) => self.sum([(a, v)]),
            (Value::Vector(a), Value::Vector(b)) => {
                let (left, right) = (self.monomial(a), self.monomial(b));
                match left.exponent + right.exponent {
                    n if left.base == right.base && fits(n) => {
                        self.powers(left.base, 1.0, 0.0, left.factor * right.factor, n)
                    }
                    _ if a == b => self.integer_power(a, 2),
                    _ => self.vector(Node::Product(a.min(b), a.max(b))),
                }
            }
        }
    }

    pub fn quotient(&mut self, a: Value, b: Value) -> Value {
        match (a, b) {
            (a, Value::Scalar(b)) => self.sum([(1.0 / b, a)]),
            (Value::Scalar(a), Value::Vector(b)) => {
                let inverse = self.integer_power(b, -1);
                self.sum([(a, inverse)])
            }
            (Value::Vector(a), Value::Vector(b)) if a == b => Value::Scalar(1.0),
            (Value::Vector(a), Value::Vector(b)) => self.vector(Node::Quotient(a, b)),
        }
    }

    /// a^p with a fixed exponent.
    pub fn power(&mut self, a: Id, p: f64) -> Value {
        match p {
            0.0 => Value::Scalar(1.0),
            1.0 => Value::Vector(a),
            0.5 => self.vector(Node::Function(Function::Sqrt, a)),
            p if p.fract() == 0.0 && p.abs() <= DEGREE as f64 => self.integer_power(a, p as i32),
            p => self.vector(Node::Power(p, a)),
        }
    }

    pub fn function(&mut self, function: Function, a: Value) -> Value {
        match a {
            Value::Scalar(a) => Value::Scalar(function.value(a)),
            Value::Vector(a) => self.vector(Node::Function(function, a)),
        }
    }

    /// a^n, n not 0, as a polynomial: of c u^m one in u, of a number times a vector plus a number one in that vector.
    fn integer_power(&mut self, a: Id, n: i32) -> Value {
        let Monomial { factor, base, exponent } = self.monomial(a);
        if base != a && fits(exponent * n) {
            return self.powers(base, 1.0, 0.0, factor.powi(n), exponent * n);
        }
        let (base, scale, shift) = self.affine(a);
        self.powers(base, scale, shift, 1.0, n)
    }

    /// factor (scale v + shift)^n.
    fn powers(&mut self, base: Id, scale: f64, shift: f64, factor: f64, n: i32) -> Value {
        let mut coefficients = vec![0.0; n.unsigned_abs() as usize];
        coefficients[n.unsigned_abs() as usize - 1] = factor;
        let (rising, falling) = if n > 0 { (coefficients, Vec::new()) } else { (Vec::new(), coefficients) };
        let polynomials = vec![Polynomial { base, scale, shift, rising, falling }];
        self.vector(Node::Combination(Combination { polynomials, ..Combination::default() }))
    }

    /// v as s u + t.
    fn affine(&self, v: Id) -> (Id, f64, f64) {
        match &self.nodes[v as usize] {
            Node::Combination(Combination { constant, linear, polynomials })
                if linear.len() == 1 && polynomials.is_empty() =>
            {
                (linear[0].1, linear[0].0, *constant)
            }
            _ => (v, 1.0, 0.0),
        }
    }

    /// v as c u^n.
    fn monomial(&self, v: Id) -> Monomial {
        let whole = Monomial { factor: 1.0, base: v, exponent: 1 };
        let Node::Combination(Combination { constant: 0.0, linear, polynomials }) = &self.nodes[v as usize]
        else {
            return whole;
        };
        match (&linear[..], &polynomials[..]) {
            ([(factor, u)], []) => {
                // What is scaled is no scaled vector itself, but it may be a power.
                let inner = self.monomial(*u);
                Monomial { factor: factor * inner.factor, ..inner }
            }
            ([], [Polynomial { base, scale: 1.0, shift: 0.0, rising, falling }]) => {
                let (coefficients, sign) = if falling.is_empty() { (rising, 1) } else { (falling, -1) };
                match coefficients.split_last() {
                    Some((factor, rest))
                        if rest.iter().all(|c| *c == 0.0) && (falling.is_empty() || rising.is_empty()) =>
                    {
                        Monomial { factor: *factor, base: *base, exponent: sign * coefficients.len() as i32 }
                    }
                    _ => whole,
                }
            }
            _ => whole,
        }
    }
}

/// factor base^exponent.
struct Monomial {
    factor: f64,
    base: Id,
    exponent: i32,
}

/// Whether a power is one of a polynomial.
fn fits(n: i32) -> bool {
    n != 0 && n.unsigned_abs() as usize <= DEGREE
}
