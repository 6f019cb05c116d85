//! An energy by a formula, with exact derivatives.
//!
//! ```
//! use models::target::own::Names;
//! use models::target::{Geometry, Target};
//! let mut names = Names::new(Geometry::Euclidean(2));
//! names.constant("a", &[], vec![0.5]).unwrap();
//! let wells = names.formula("(x[0]^2 - 1)^2 - a*x[0] + 2*x[1]^2").unwrap();
//! let (mut log_p, mut score) = ([0.0], [0.0; 2]);
//! wells.evaluate(&[2.0, 1.0], &mut log_p, &mut score).unwrap();
//! assert_eq!((log_p[0], score), (-10.0, [-23.5, -4.0]));
//! let said = names.formula("x[0]^2 + exp(b)").unwrap_err().to_string();
//! assert_eq!(said, "unknown name `b`, did you mean a? here: x[0]^2 + exp(>>b<<)");
//! ```
//!
//! A formula is read into a tree (`parser`), whose loops are unrolled into a graph of vectors over points (`lower`,
//! `graph`); sums are gathered into linear combinations and polynomials (`simplify`), and values and derivatives put in an
//! order in which few of them live at a time (`schedule`). The program (`program`) runs over blocks of points (`kernel`).
//!
//! The engine's tape could differentiate it too. It is recorded anew for each batch, its values are matrices on the heap,
//! and all of them are kept until the derivatives are taken; an energy of a few hundred operations on a block that fits
//! the cache would spend its time on that. A program is made once, runs in one piece of memory of a few rows, and its
//! operations are fused to what energies consist of: a polynomial with its derivative, a distance, an exponential with
//! its sum.
//!
//! Energies are computed in double precision whatever the precision of the states: differences of nearly equal terms and
//! powers of distances need it.

mod function;
mod graph;
mod kernel;
mod lexer;
mod lower;
mod parser;
mod program;
mod schedule;
mod simplify;

use std::collections::BTreeMap;
use std::sync::Arc;

use graph::{Combination, Node, Value as Lowered};
use lower::Lowering;
use parser::Expr;
use program::{Program, Row, WIDTH};

use super::keys::{Keys, Value};
use super::{Built, Description};
use crate::target::{Double, Geometry, Target, TargetError};

/// What is wrong with a formula, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first byte of the part that is wrong.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
    /// What is wrong with it.
    pub what: String,
}

/// A formula that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaError {
    /// What is wrong.
    pub fault: Fault,
    /// The formula.
    pub text: String,
}

impl std::error::Error for FormulaError {}

/// One line.
impl std::fmt::Display for FormulaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { what, .. } = &self.fault;
        let comma = if what.ends_with('?') { "" } else { "," };
        write!(f, "{what}{comma} here: {}", self.fault.marked(&self.text))
    }
}

impl Fault {
    fn new(at: usize, len: usize, what: String) -> Self {
        Self { at, len, what }
    }

    /// The part of the text's line that is wrong between `>>` and `<<`, with what is around it.
    fn marked(&self, text: &str) -> String {
        /// Characters shown on either side, and of the part itself.
        const AROUND: usize = 30;
        let (at, end) = (self.at.min(text.len()), (self.at + self.len).min(text.len()));
        let [before, part, after] =
            [text.get(..at), text.get(at..end), text.get(end..)].map(Option::unwrap_or_default);
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let before = before.rsplit('\n').next().unwrap_or_default().trim_start();
        let skip = before.chars().count().saturating_sub(AROUND);
        let before: String = before.chars().skip(skip).collect();
        let after = after.split('\n').next().unwrap_or_default().trim_end();
        let tail: String = after.chars().take(AROUND).collect();
        let part = line(part);
        let short = match part.chars().count() > 2 * AROUND {
            true => format!("{}...", part.chars().take(2 * AROUND).collect::<String>()),
            false => part,
        };
        let dots = |there: bool| if there { "..." } else { "" };
        format!("{}{before}>>{short}<<{tail}{}", dots(skip > 0), dots(tail.len() < after.len()))
    }
}

/// A number, a list or a matrix that a formula uses by name.
#[derive(Clone, Debug, PartialEq)]
struct Constant {
    /// No length for a number, one for a list, two for a matrix.
    shape: Vec<usize>,
    /// Row by row.
    values: Vec<f64>,
}

/// What the names of a formula stand for.
#[derive(Clone, Debug)]
pub struct Names {
    geometry: Geometry,
    constants: BTreeMap<String, Constant>,
    parts: Vec<(String, Expr)>,
}

/// Names that a constant or a part cannot have.
fn is_taken(name: &str) -> bool {
    let functions = function::FUNCTIONS.iter().any(|(known, _)| *known == name);
    let loops = parser::LOOPS.iter().any(|(known, _)| *known == name);
    functions || loops || ["x", "if", "min", "max", "dist", "len"].contains(&name)
}

fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

impl Names {
    /// No constants yet, for states of this space.
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, constants: BTreeMap::new(), parts: Vec::new() }
    }

    /// A number (no `shape`), a list (its length) or a matrix (rows and columns), `values` row by row.
    ///
    /// # Errors
    /// In words, if the name is none, or has a meaning already, or the values do not fit.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f64>) -> Result<(), String> {
        self.check(name)?;
        if shape.len() > 2 || shape.iter().product::<usize>() != values.len() || values.is_empty() {
            return Err(format!(
                "has {} values, which is no list or matrix of the shape {shape:?}",
                values.len()
            ));
        }
        self.constants.insert(name.into(), Constant { shape: shape.to_vec(), values });
        Ok(())
    }

    fn check(&self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err("is no name: letters, digits and _, a letter first".into());
        }
        if is_taken(name)
            || self.constants.contains_key(name)
            || self.parts.iter().any(|(part, _)| part == name)
        {
            return Err("has a meaning already; choose another name".into());
        }
        Ok(())
    }

    /// A part of later formulas by name.
    ///
    /// # Errors
    /// If it cannot be read, or the name has a meaning already.
    pub fn part(&mut self, name: &str, text: &str) -> Result<(), FormulaError> {
        let wrong = |fault| FormulaError { fault, text: text.into() };
        self.check(name).map_err(|what| wrong(Fault::new(0, 0, format!("{name} {what}"))))?;
        let expr = parser::parse(text).map_err(wrong)?;
        let mut lowering = self.lowering().map_err(wrong)?;
        lowering.value(&expr).map_err(wrong)?;
        self.parts.push((name.into(), expr));
        Ok(())
    }

    /// With all parts, which were found to be sound when they were given.
    fn lowering(&self) -> Result<Lowering<'_>, Fault> {
        let mut lowering = Lowering::new(self.geometry, &self.constants);
        for (name, part) in &self.parts {
            let value = lowering.value(part)?;
            lowering.parts.push((name.clone(), value));
        }
        Ok(lowering)
    }

    /// The energy of a text.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn formula(&self, text: &str) -> Result<Formula, FormulaError> {
        let wrong = |fault| FormulaError { fault, text: text.into() };
        let expr = parser::parse(text).map_err(wrong)?;
        let mut lowering = self.lowering().map_err(wrong)?;
        let energy = lowering.value(&expr).map_err(wrong)?;
        let mut graph = lowering.graph;
        // log p = -E.
        let (constant, linear) = match energy {
            Lowered::Scalar(energy) => (-energy, Vec::new()),
            Lowered::Vector(id) => (0.0, vec![(-1.0, id)]),
        };
        let root = graph.node(Node::Combination(Combination { constant, linear, polynomials: Vec::new() }));
        let (nodes, root) = simplify::simplify(graph, root);
        let absent = absent(&nodes, root, self.geometry);
        let program = schedule::schedule(&nodes, root, self.geometry);
        let memory = (program.rows * WIDTH * size_of::<f64>()) as f64;
        if memory > MOST_BYTES {
            return Err(wrong(Fault::new(
                expr.at,
                expr.len,
                format!(
                    "needs {:.0} MB for {WIDTH} points, and may need {:.0}; put fewer terms into nonlinear functions",
                    memory / 1e6,
                    MOST_BYTES / 1e6
                ),
            )));
        }
        Ok(Formula { geometry: self.geometry, program, absent, low: Vec::new(), high: Vec::new() })
    }
}

/// Coordinates that a formula does not depend on.
fn absent(nodes: &[Node], root: graph::Id, geometry: Geometry) -> Vec<usize> {
    let space = geometry.particles().map_or(0, |system| system.space);
    let mut occurs = vec![false; geometry.dim()];
    for (node, uses) in nodes.iter().zip(simplify::uses(nodes, root)) {
        match node {
            Node::Input(a) if uses > 0 => occurs[*a as usize] = true,
            Node::Distance2(i, j) if uses > 0 => {
                for first in [*i as usize, *j as usize] {
                    occurs[first..first + space].fill(true);
                }
            }
            _ => {}
        }
    }
    (0..occurs.len()).filter(|a| !occurs[*a]).collect()
}

/// Most memory of a program's rows.
const MOST_BYTES: f64 = 256e6;

/// An energy by a formula, zero density outside the bounds of its support.
#[derive(Clone, Debug)]
pub struct Formula {
    geometry: Geometry,
    program: Program,
    /// Coordinates that do not occur.
    absent: Vec<usize>,
    /// (coordinate, bound).
    low: Vec<(usize, f64)>,
    high: Vec<(usize, f64)>,
}

impl Formula {
    /// The same within bounds of each coordinate, infinite ones where there are none.
    pub fn within(mut self, low: &[f64], high: &[f64]) -> Self {
        let finite =
            |bounds: &[f64]| bounds.iter().copied().enumerate().filter(|(_, b)| b.is_finite()).collect();
        (self.low, self.high) = (finite(low), finite(high));
        self
    }

    /// Operations of the program.
    pub fn operations(&self) -> usize {
        self.program.ops.len() + self.program.terms.len()
    }
}

impl Target<f64> for Formula {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn log_density_block(
        &self,
        n: usize,
        x: &[f64],
        log_p: &mut [f64],
        score: &mut [f64],
        scratch: &mut Vec<f64>,
    ) -> Result<(), TargetError> {
        let (dim, program) = (self.program.dim, &self.program);
        scratch.resize(program.rows * WIDTH, 0.0);
        let rows: &mut [Row] = scratch.as_chunks_mut().0;
        for first in (0..n).step_by(WIDTH) {
            let count = WIDTH.min(n - first);
            for (a, row) in rows[..dim].iter_mut().enumerate() {
                let x = &x[a * n + first..][..count];
                row[..count].copy_from_slice(x);
                // What has no point repeats the first one.
                row[count..].fill(x[0]);
            }
            kernel::run(program, rows);
            let total = program.total() as usize;
            let bounds = self.low.iter().map(|b| (b, 1.0)).chain(self.high.iter().map(|b| (b, -1.0)));
            for ((a, bound), sign) in bounds {
                let (x, rest) = rows.split_at_mut(dim);
                for (x, log_p) in x[*a].iter().zip(&mut rest[total - dim]) {
                    // No number is outside too.
                    let inside = sign * x >= sign * bound;
                    *log_p = if inside { *log_p } else { f64::NEG_INFINITY };
                }
            }
            log_p[first..first + count].copy_from_slice(&rows[total][..count]);
            for (a, row) in rows[dim..2 * dim].iter().enumerate() {
                score[a * n + first..][..count].copy_from_slice(&row[..count]);
            }
        }
        Ok(())
    }
}

/// Builds the energy of the kind `formula`.
pub(super) fn build(description: &Description, mut keys: Keys<'_>) -> Built {
    if description.length != 1.0 {
        let what = "length is for energies of other programs; write the unit into the formula";
        return Err(keys.source().whole(what));
    }
    let energy = keys.need("energy", "energy = \"0.5*x[0]^2\"")?;
    let mut names = Names::new(description.geometry);
    for (name, value) in keys.take("constants").map(Value::table).transpose()?.map_or(Vec::new(), Keys::rest)
    {
        let (shape, values) = constant(&value)?;
        names.constant(&name, &shape, values).map_err(|what| value.error(what))?;
    }
    let located = |value: &Value<'_>, e: FormulaError| value.error_at(&e.text, e.fault.at, &e);
    for (name, value) in keys.take("let").map(Value::table).transpose()?.map_or(Vec::new(), Keys::rest) {
        let text = value.text()?;
        names.part(&name, &text).map_err(|e| located(&value, e))?;
    }
    let support = keys.take("support");
    keys.finish()?;
    let formula = names.formula(&energy.text()?).map_err(|e| located(&energy, e))?;
    let formula = match support {
        Some(support) => {
            let (low, high) = bounds(description.geometry, support)?;
            formula.within(&low, &high)
        }
        None => formula,
    };
    let is_bounded = |a: &&usize| {
        let among = |bounds: &[(usize, f64)]| bounds.iter().any(|(b, _)| b == *a);
        among(&formula.low) && among(&formula.high)
    };
    if let Some(a) = formula.absent.iter().find(|a| !is_bounded(a)) {
        return Err(energy.error(format!(
            "does not depend on x[{a}]: a density that is flat in it has no integral; add a term in it, lower dim, or give bounds in [support]"
        )));
    }
    Ok(Arc::new(Double(formula)))
}

/// A number, a list or a list of lists of equal length.
fn constant(value: &Value<'_>) -> Result<(Vec<usize>, Vec<f64>), TargetError> {
    if !value.is_list() {
        return Ok((Vec::new(), vec![value.number()?]));
    }
    let list = value.list()?;
    if !list.first().is_some_and(Value::is_list) {
        let values = value.numbers()?;
        return Ok((vec![values.len()], values));
    }
    let rows = list.iter().map(Value::numbers).collect::<Result<Vec<_>, _>>()?;
    match rows.iter().position(|row| row.len() != rows[0].len()) {
        Some(k) => {
            Err(list[k].error(format!("has {} numbers, and row 0 has {}", rows[k].len(), rows[0].len())))
        }
        None => Ok((vec![rows.len(), rows[0].len()], rows.concat())),
    }
}

/// The bounds of each coordinate.
fn bounds(geometry: Geometry, support: Value<'_>) -> Result<(Vec<f64>, Vec<f64>), TargetError> {
    if geometry.particles().is_some() {
        return Err(support.error("is for coordinates; particles have no bounds, because their mean is 0"));
    }
    let mut keys = support.table()?;
    let dim = geometry.dim();
    let (low, high) = (keys.take("low"), keys.take("high"));
    keys.finish()?;
    let of = |value: &Option<Value<'_>>, none: f64| match value {
        None => Ok(vec![none; dim]),
        Some(value) if !value.is_list() => Ok(vec![value.bound()?; dim]),
        Some(value) => {
            let list = value.list()?;
            match list.len() == dim {
                true => list.iter().map(Value::bound).collect(),
                false => Err(value.error(format!(
                    "has {} numbers; give one, or {dim}, as many as coordinates",
                    list.len()
                ))),
            }
        }
    };
    let (lows, highs) = (of(&low, f64::NEG_INFINITY)?, of(&high, f64::INFINITY)?);
    if let (Some(a), Some(value)) = ((0..dim).find(|a| lows[*a] >= highs[*a]), high.or(low)) {
        return Err(value
            .error(format!("leaves nothing of coordinate {a}: low is {} and high {}", lows[a], highs[a])));
    }
    Ok((lows, highs))
}

#[cfg(test)]
mod tests;
