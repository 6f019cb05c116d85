//! From the tree to the graph: names and indices are looked up, loops unrolled, numbers worked out.

use std::collections::BTreeMap;

use super::function::FUNCTIONS;
use super::graph::{Graph, Id, Node, Value};
use super::parser::{Comparison, Expr, Factor, Fold, Index, Kind, LOOPS};
use super::{Constant, Fault};
use crate::target::Geometry;
use crate::words::hint;

/// Most nodes and parts of sums: 100 MB of program and graph at most.
const MOST: usize = 1 << 20;
/// Most steps of loops, those included that only make numbers.
const MOST_STEPS: usize = 1 << 24;

/// Names that stand for numbers wherever the user has no such constant.
/// The last two are of particles.
const NUMBERS: [&str; 4] = ["pi", "dim", "particles", "space"];

pub(super) struct Lowering<'a> {
    pub graph: Graph,
    pub geometry: Geometry,
    pub constants: &'a BTreeMap<String, Constant>,
    /// Named parts, in their order.
    pub parts: Vec<(String, Value)>,
    /// Indices of loops that surround the expression, the innermost last.
    loops: Vec<(String, i64)>,
    steps: usize,
}

impl<'a> Lowering<'a> {
    pub fn new(geometry: Geometry, constants: &'a BTreeMap<String, Constant>) -> Self {
        Self { graph: Graph::default(), geometry, constants, parts: Vec::new(), loops: Vec::new(), steps: 0 }
    }

    /// What an expression comes to.
    pub fn value(&mut self, e: &Expr) -> Result<Value, Fault> {
        self.steps += 1;
        if self.graph.size > MOST || self.steps > MOST_STEPS {
            let (most, what) = if self.graph.size > MOST {
                (MOST, "operations")
            } else {
                (MOST_STEPS, "steps in its loops")
            };
            return Err(
                self.fault(e, format!("the formula makes more than {most} {what}; sum over fewer terms"))
            );
        }
        let value = match &e.kind {
            Kind::Number(value) => Value::Scalar(*value),
            Kind::Name(name) => self.name(e, name)?,
            Kind::Element(name, indices) => self.element(e, name, indices)?,
            Kind::Minus(inner) => {
                let inner = self.value(inner)?;
                self.graph.sum([(-1.0, inner)])
            }
            Kind::Sum(terms) => {
                let terms: Vec<(f64, Value)> = terms
                    .iter()
                    .map(|(minus, term)| Ok((if *minus { -1.0 } else { 1.0 }, self.value(term)?)))
                    .collect::<Result<_, Fault>>()?;
                self.graph.sum(terms)
            }
            Kind::Product(factors) => self.product(factors)?,
            Kind::Power(base, exponent) => self.power(exponent, base)?,
            Kind::Call(name, arguments) => self.call(e, name, arguments)?,
            Kind::Loop(fold, indices, body) => {
                let mut terms = Vec::new();
                self.unroll(indices, body, &mut terms)?;
                self.fold(*fold, terms)
            }
            Kind::If(comparison, parts) => self.choice(*comparison, parts)?,
        };
        match value {
            Value::Scalar(value) if !value.is_finite() => {
                Err(self.fault(e, format!("this is {value:?}; it must be a finite number")))
            }
            value => Ok(value),
        }
    }

    /// What is wrong with a part, with the indices of the loops around it.
    fn fault(&self, e: &Expr, what: impl std::fmt::Display) -> Fault {
        let loops: Vec<String> = self.loops.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let loops = if loops.is_empty() { String::new() } else { format!(", where {}", loops.join(", ")) };
        Fault::new(e.at, e.len, format!("{what}{loops}"))
    }

    fn name(&self, e: &Expr, name: &str) -> Result<Value, Fault> {
        if let Some((_, value)) = self.loops.iter().rev().find(|(index, _)| index == name) {
            return Ok(Value::Scalar(*value as f64));
        }
        if let Some((_, value)) = self.parts.iter().find(|(part, _)| part == name) {
            return Ok(*value);
        }
        if let Some(constant) = self.constants.get(name) {
            return match constant.shape[..] {
                [] => Ok(Value::Scalar(constant.values[0])),
                [n] => {
                    Err(self.fault(e, format!("`{name}` is a list of {n} numbers; take one, as {name}[0]")))
                }
                _ => Err(self.fault(e, format!("`{name}` is a matrix; take an entry, as {name}[0, 0]"))),
            };
        }
        let system = self.geometry.particles();
        match (name, system) {
            ("pi", _) => Ok(Value::Scalar(std::f64::consts::PI)),
            ("dim", _) => Ok(Value::Scalar(self.geometry.dim() as f64)),
            ("particles", Some(system)) => Ok(Value::Scalar(system.particles as f64)),
            ("space", Some(system)) => Ok(Value::Scalar(system.space as f64)),
            ("x", Some(_)) => {
                Err(self.fault(e, "`x` is all coordinates; take one, as x[0, 0] of particle 0"))
            }
            ("x", None) => Err(self.fault(e, "`x` is all coordinates; take one, as x[0]")),
            _ if FUNCTIONS.iter().any(|(known, _)| *known == name) => {
                Err(self.fault(e, format!("`{name}` is a function; write {name}(...)")))
            }
            _ => Err(self.fault(e, format!("unknown name `{name}`{}", hint(name, &self.names())))),
        }
    }

    /// Names that may stand for a number.
    fn names(&self) -> Vec<&str> {
        let loops = self.loops.iter().map(|(name, _)| name.as_str());
        let parts = self.parts.iter().map(|(name, _)| name.as_str());
        let numbers = if self.geometry.particles().is_some() { &NUMBERS[..] } else { &NUMBERS[..2] };
        let constants = self.constants.keys().map(String::as_str);
        loops.chain(parts).chain(constants).chain(["x"]).chain(numbers.iter().copied()).collect()
    }

    fn element(&mut self, e: &Expr, name: &str, indices: &[Expr]) -> Result<Value, Fault> {
        let at: Vec<i64> = indices.iter().map(|index| self.index(index)).collect::<Result<_, _>>()?;
        let constants = self.constants;
        if let Some(constant) = constants.get(name) {
            let shape = &constant.shape;
            if shape.len() != at.len() {
                let is = [
                    "a number; write it without brackets",
                    "a list; it has one index",
                    "a matrix; it has two indices",
                ];
                return Err(self.fault(e, format!("`{name}` is {}", is[shape.len().min(2)])));
            }
            let mut place = 0;
            for ((index, at), n) in indices.iter().zip(&at).zip(shape) {
                place = place * n + self.within(index, *at, *n, name)?;
            }
            return Ok(Value::Scalar(constant.values[place]));
        }
        if name != "x" {
            let lists = constants.iter().filter(|(_, c)| !c.shape.is_empty()).map(|(name, _)| name.as_str());
            let lists: Vec<&str> = lists.chain(["x"]).collect();
            return Err(self.fault(e, format!("unknown name `{name}`{}", hint(name, &lists))));
        }
        let place = match (&at[..], self.geometry.particles()) {
            ([a], _) => self.within(&indices[0], *a, self.geometry.dim(), name)?,
            ([i, k], Some(system)) => {
                let i = self.within(&indices[0], *i, system.particles, name)?;
                i * system.space + self.within(&indices[1], *k, system.space, name)?
            }
            (_, Some(_)) => {
                return Err(self.fault(e, "x has two indices, x[i, k]: a particle and a direction"));
            }
            (_, None) => {
                return Err(self.fault(
                    e,
                    "x has one index, as x[0]; it has two where `particles` is given in place of `dim`",
                ));
            }
        };
        Ok(Value::Vector(self.graph.node(Node::Input(place as u32))))
    }

    /// A whole number without x.
    fn index(&mut self, e: &Expr) -> Result<i64, Fault> {
        match self.value(e)? {
            Value::Scalar(value) if value.fract() == 0.0 && value.abs() < 1e15 => Ok(value as i64),
            Value::Scalar(value) => {
                Err(self.fault(e, format!("an index must be a whole number, and is {value}")))
            }
            Value::Vector(_) => Err(self.fault(e, "an index cannot depend on x")),
        }
    }

    fn within(&self, e: &Expr, at: i64, n: usize, name: &str) -> Result<usize, Fault> {
        match usize::try_from(at) {
            Ok(at) if at < n => Ok(at),
            _ => Err(self.fault(e, format!("index {at} is out of range; {name} has 0 to {}", n - 1))),
        }
    }

    fn product(&mut self, factors: &[(Factor, Expr)]) -> Result<Value, Fault> {
        let mut whole = Value::Scalar(1.0);
        for (k, (factor, e)) in factors.iter().enumerate() {
            let value = self.value(e)?;
            whole = match (factor, whole, value) {
                (Factor::Times, _, value) if k == 0 => value,
                (Factor::Times, whole, value) => self.graph.product(whole, value),
                (Factor::Over, _, Value::Scalar(0.0)) => return Err(self.fault(e, "this is 0, and divides")),
                (Factor::Over, whole, value) => self.graph.quotient(whole, value),
                (_, Value::Scalar(a), Value::Scalar(b)) if b > 0.0 => Value::Scalar(a.rem_euclid(b)),
                (_, _, Value::Scalar(b)) if b <= 0.0 => {
                    return Err(self.fault(e, format!("% wants a positive number on its right, and has {b}")));
                }
                _ => return Err(self.fault(e, "% is for indices; neither side can depend on x")),
            };
        }
        Ok(whole)
    }

    fn power(&mut self, exponent: &Expr, base: &Expr) -> Result<Value, Fault> {
        let (a, p) = (self.value(base)?, self.value(exponent)?);
        match (a, p) {
            (Value::Scalar(a), Value::Scalar(p)) => Ok(Value::Scalar(a.powf(p))),
            (Value::Vector(a), Value::Scalar(p)) => Ok(self.graph.power(a, p)),
            (Value::Scalar(a), Value::Vector(_)) if a <= 0.0 => {
                Err(self.fault(base, format!("what is raised to a power of x must be positive, and is {a}")))
            }
            (a, p) => {
                let log = self.graph.function(super::function::Function::Log, a);
                let product = self.graph.product(p, log);
                Ok(self.graph.function(super::function::Function::Exp, product))
            }
        }
    }

    fn call(&mut self, e: &Expr, name: &str, arguments: &[Expr]) -> Result<Value, Fault> {
        let wants = |lowering: &Self, n: &str, as_in: &str| {
            let has = arguments.len();
            Err(lowering.fault(e, format!("{name} wants {n}, and has {has}; write it as {as_in}")))
        };
        if let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) {
            let [a] = arguments else { return wants(self, "one argument", &format!("{name}(a)")) };
            let a = self.value(a)?;
            return Ok(self.graph.function(*function, a));
        }
        match (name, arguments) {
            ("min" | "max", [_, _, ..]) => {
                let mut values =
                    arguments.iter().map(|a| self.value(a)).collect::<Result<Vec<_>, _>>()?.into_iter();
                let first = values.next().unwrap_or(Value::Scalar(0.0));
                Ok(values.fold(first, |a, b| self.extremum(name == "max", a, b)))
            }
            ("min" | "max", _) => wants(self, "two arguments or more", &format!("{name}(a, b)")),
            ("dist", [i, j]) => {
                let Some(system) = self.geometry.particles() else {
                    return Err(self.fault(e, "dist is for particles; give `particles` in place of `dim`"));
                };
                let (at, to) = (self.index(i)?, self.index(j)?);
                let (at, to) = (
                    self.within(i, at, system.particles, "particles")?,
                    self.within(j, to, system.particles, "particles")?,
                );
                if at == to {
                    return Err(self.fault(e, format!("this is the distance of particle {at} from itself")));
                }
                let row = |i: usize| (i * system.space) as u32;
                let square = self.graph.node(Node::Distance2(row(at.min(to)), row(at.max(to))));
                Ok(self.graph.function(super::function::Function::Sqrt, Value::Vector(square)))
            }
            ("dist", _) => wants(self, "two particles", "dist(i, j)"),
            ("len", [Expr { kind: Kind::Name(list), .. }]) => {
                match self.constants.get(list).map(|c| &c.shape[..]) {
                    Some([n, ..]) => Ok(Value::Scalar(*n as f64)),
                    _ => Err(self
                        .fault(&arguments[0], format!("`{list}` is no list or matrix among the constants"))),
                }
            }
            ("len", _) => wants(self, "the name of a list", "len(y)"),
            _ if self.names().contains(&name) => {
                Err(self.fault(e, format!("`{name}` is no function; to multiply, write {name} * (...)")))
            }
            ("ln", _) => Err(self.fault(e, "the natural logarithm is `log`")),
            _ => {
                let functions = FUNCTIONS.iter().map(|(known, _)| *known);
                let loops = LOOPS.iter().map(|(known, _)| *known);
                let known: Vec<&str> =
                    functions.chain(loops).chain(["min", "max", "dist", "len", "if"]).collect();
                Err(self.fault(e, format!("unknown function `{name}`{}", hint(name, &known))))
            }
        }
    }

    fn extremum(&mut self, greater: bool, a: Value, b: Value) -> Value {
        match (a, b) {
            (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(if greater { a.max(b) } else { a.min(b) }),
            (a, b) if a == b => a,
            (a, b) => {
                let (a, b) = (self.graph.id(a), self.graph.id(b));
                Value::Vector(self.graph.node(Node::Extremum(greater, a, b)))
            }
        }
    }

    /// The terms of a loop.
    fn unroll(&mut self, indices: &[Index], body: &Expr, terms: &mut Vec<Value>) -> Result<(), Fault> {
        let Some((index, inner)) = indices.split_first() else {
            terms.push(self.value(body)?);
            return Ok(());
        };
        let taken = self.loops.iter().any(|(name, _)| *name == index.name)
            || self.names().contains(&index.name.as_str()) && !NUMBERS.contains(&index.name.as_str());
        if taken {
            let what = format!("`{}` has a meaning already; give the index another name", index.name);
            return Err(Fault::new(index.at, index.name.len(), what));
        }
        let all = self.geometry.particles().map_or(self.geometry.dim(), |system| system.particles);
        let (from, to) = match &index.range {
            Some((from, to)) => (self.index(from)?, self.index(to)?),
            None => (0, all as i64),
        };
        for value in from..to {
            self.steps += 1;
            self.loops.push((index.name.clone(), value));
            let done = self.unroll(inner, body, terms);
            self.loops.pop();
            done?;
            if self.steps > MOST_STEPS {
                let what = format!(
                    "the formula makes more than {MOST_STEPS} steps in its loops; sum over fewer terms"
                );
                return Err(Fault::new(index.at, index.name.len(), what));
            }
        }
        Ok(())
    }

    fn fold(&mut self, fold: Fold, terms: Vec<Value>) -> Value {
        match fold {
            Fold::Sum => self.graph.sum(terms.into_iter().map(|term| (1.0, term))),
            Fold::Product => {
                // By halves: a chain would be as deep as it is long.
                let mut factors = terms;
                while factors.len() > 1 {
                    factors = factors
                        .chunks(2)
                        .map(|pair| match pair {
                            [a, b] => self.graph.product(*a, *b),
                            rest => rest[0],
                        })
                        .collect();
                }
                factors.pop().unwrap_or(Value::Scalar(1.0))
            }
            Fold::LogSumExp => {
                let scalars: Option<Vec<f64>> = terms
                    .iter()
                    .map(|term| match term {
                        Value::Scalar(value) => Some(*value),
                        Value::Vector(_) => None,
                    })
                    .collect();
                if let Some(scalars) = scalars {
                    let most = scalars.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = scalars.iter().map(|v| (v - most).exp()).sum();
                    return Value::Scalar(most + sum.ln());
                }
                let terms: Vec<Id> = terms.into_iter().map(|term| self.graph.id(term)).collect();
                Value::Vector(self.graph.node(Node::LogSumExp(terms)))
            }
        }
    }

    fn choice(&mut self, comparison: Comparison, parts: &[Expr; 4]) -> Result<Value, Fault> {
        let [left, right, then, other] = parts;
        let (a, b) = (self.value(left)?, self.value(right)?);
        if let (Value::Scalar(a), Value::Scalar(b)) = (a, b) {
            // The other part need not make sense.
            return self.value(if comparison.holds(a, b) { then } else { other });
        }
        let (then, other) = (self.value(then)?, self.value(other)?);
        if then == other {
            return Ok(then);
        }
        if a == b {
            return Ok(if comparison.holds(0.0, 0.0) { then } else { other });
        }
        let [a, b, then, other] = [a, b, then, other].map(|value| self.graph.id(value));
        let mask = self.graph.node(Node::Mask(comparison, a, b));
        Ok(Value::Vector(self.graph.node(Node::Select(mask, then, other))))
    }
}
