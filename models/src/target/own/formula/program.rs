//! A program of vector operations: each works on rows of [`WIDTH`] numbers, one for each of so many points.
//!
//! Rows are those of x (d), of the score (d), of log p (1), and registers.

use super::function::Function;
use super::parser::Comparison;

/// Points that a program works on at once.
pub(super) const WIDTH: usize = 64;
/// One number of each of them.
pub(super) type Row = [f64; WIDTH];

/// The coefficients of u, u^2, ... or, `inverse`, of 1/u, 1/u^2, ..., in u = scale v + shift.
#[derive(Clone, Debug)]
pub(super) struct Powers {
    pub scale: f64,
    pub shift: f64,
    pub inverse: bool,
    pub coefficients: Vec<f64>,
}

/// An operation. Where `add` is set, it adds to what it writes; `f'` is a derivative, `g` the derivative of log p by
/// the result.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// out = value.
    Fill { out: u32, value: f64 },
    /// out += value.
    Shift { out: u32, value: f64 },
    /// out = constant + sum_k c_k v_k, of a range of the program's terms.
    Linear { out: u32, constant: f64, terms: std::ops::Range<u32> },
    /// out += c v.
    Axpy { out: u32, factor: f64, v: u32, add: bool },
    /// out += P(v), or constant + P(v).
    Powers { out: u32, powers: u32, v: u32, constant: f64, add: bool },
    /// out += g P'(v).
    PowersBack { out: u32, powers: u32, v: u32, g: u32, add: bool },
    /// total += P(v), out += P'(v).
    PowersBoth { total: u32, out: u32, powers: u32, v: u32, add: bool },
    /// out += a b.
    Product { out: u32, a: u32, b: u32, add: bool },
    /// total += c a b, to_a += c b, to_b += c a.
    ProductBoth { total: u32, to: [u32; 2], a: u32, b: u32, factor: f64, add: [bool; 2] },
    /// out += g b, the derivative of a b by a.
    ProductBack { out: u32, g: u32, b: u32, add: bool },
    /// out = a / b.
    Quotient { out: u32, a: u32, b: u32 },
    /// out += g / b, the derivative of a / b by a.
    InverseBack { out: u32, g: u32, b: u32, add: bool },
    /// out -= g r / b, the derivative of r = a / b by b.
    QuotientBack { out: u32, g: u32, r: u32, b: u32, add: bool },
    /// out = f(a).
    Function { function: Function, out: u32, a: u32 },
    /// out += g f'(a), r = f(a).
    FunctionBack { function: Function, out: u32, a: u32, r: u32, g: u32, add: bool },
    /// out = a^p.
    Power { out: u32, a: u32, p: f64 },
    /// out += g p a^(p-1).
    PowerBack { out: u32, a: u32, g: u32, p: f64, add: bool },
    /// out = |x_i - x_j|^2, from the first rows of both particles.
    Distance2 { out: u32, i: u32, j: u32 },
    /// The score of both particles += g times its derivative.
    Distance2Back { g: u32, i: u32, j: u32 },
    /// out = max(out, a), or a.
    Most { out: u32, a: u32, add: bool },
    /// out = exp(a - most), sum += out.
    ExpShift { out: u32, sum: u32, a: u32, most: u32, add: bool },
    /// out = most + log sum.
    LogSum { out: u32, most: u32, sum: u32 },
    /// out = the greater, or the smaller one.
    Extremum { out: u32, a: u32, b: u32, greater: bool },
    /// out = 1 where it holds, else 0.
    Mask { out: u32, comparison: Comparison, a: u32, b: u32 },
    /// out = mask = 1 ? a : b.
    Select { out: u32, mask: u32, a: u32, b: u32 },
    /// out += g where the mask is `when`.
    SelectBack { out: u32, mask: u32, g: u32, when: f64, add: bool },
}

/// A compiled formula.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    /// Coordinates.
    pub dim: usize,
    /// Dimension of particles' space, else 0.
    pub space: usize,
    pub ops: Vec<Op>,
    /// (c_k, row of v_k) of all sums.
    pub terms: Vec<(f64, u32)>,
    pub powers: Vec<Powers>,
    /// Rows in all.
    pub rows: usize,
}

impl Program {
    /// The row of log p.
    pub fn total(&self) -> u32 {
        2 * self.dim as u32
    }

    /// The first register.
    pub fn registers(&self) -> u32 {
        self.total() + 1
    }

    /// Gives registers, numbered without end, as few rows as can be: those that are not used any more are used
    /// again.
    pub fn allocate(&mut self) {
        let first = self.registers();
        let mut last = Vec::new();
        for (k, op) in self.ops.iter_mut().enumerate() {
            op.rows(&mut self.terms, |row| {
                if let Some(register) = row.checked_sub(first) {
                    let register = register as usize;
                    if last.len() <= register {
                        last.resize(register + 1, 0);
                    }
                    last[register] = k;
                }
            });
        }
        let mut place: Vec<Option<u32>> = vec![None; last.len()];
        let (mut free, mut used) = (Vec::new(), 0);
        for (k, op) in self.ops.iter_mut().enumerate() {
            let mut done = Vec::new();
            op.rows(&mut self.terms, |row| {
                let Some(register) = row.checked_sub(first) else { return };
                let register = register as usize;
                let at = *place[register].get_or_insert_with(|| {
                    free.pop().unwrap_or_else(|| {
                        used += 1;
                        used - 1
                    })
                });
                *row = first + at;
                if last[register] == k {
                    // Once, if the operation has it twice.
                    last[register] = usize::MAX;
                    done.push(at);
                }
            });
            free.extend(done.into_iter().rev());
        }
        self.rows = (first + used) as usize;
    }
}

impl Op {
    /// Visits every row that it reads or writes.
    fn rows(&mut self, terms: &mut [(f64, u32)], mut visit: impl FnMut(&mut u32)) {
        match self {
            Self::Fill { out, .. } | Self::Shift { out, .. } => visit(out),
            Self::Linear { out, terms: range, .. } => {
                visit(out);
                terms[range.start as usize..range.end as usize].iter_mut().for_each(|(_, v)| visit(v));
            }
            Self::Axpy { out, v, .. } | Self::Powers { out, v, .. } => [out, v].into_iter().for_each(visit),
            Self::PowersBack { out, v, g, .. } => [out, v, g].into_iter().for_each(visit),
            Self::PowersBoth { total, out, v, .. } => [total, out, v].into_iter().for_each(visit),
            Self::Product { out, a, b, .. }
            | Self::Quotient { out, a, b }
            | Self::Extremum { out, a, b, .. }
            | Self::Mask { out, a, b, .. } => [out, a, b].into_iter().for_each(visit),
            Self::ProductBoth { total, to: [to_a, to_b], a, b, .. } => {
                [total, to_a, to_b, a, b].into_iter().for_each(visit)
            }
            Self::ProductBack { out, g, b, .. } | Self::InverseBack { out, g, b, .. } => {
                [out, g, b].into_iter().for_each(visit)
            }
            Self::QuotientBack { out, g, r, b, .. } => [out, g, r, b].into_iter().for_each(visit),
            Self::Function { out, a, .. } | Self::Power { out, a, .. } | Self::Most { out, a, .. } => {
                [out, a].into_iter().for_each(visit)
            }
            Self::FunctionBack { out, a, r, g, .. } => [out, a, r, g].into_iter().for_each(visit),
            Self::PowerBack { out, a, g, .. } => [out, a, g].into_iter().for_each(visit),
            Self::Distance2 { out, .. } => visit(out),
            Self::Distance2Back { g, .. } => visit(g),
            Self::ExpShift { out, sum, a, most, .. } => [out, sum, a, most].into_iter().for_each(visit),
            Self::LogSum { out, most, sum } => [out, most, sum].into_iter().for_each(visit),
            Self::Select { out, mask, a, b } => [out, mask, a, b].into_iter().for_each(visit),
            Self::SelectBack { out, mask, g, .. } => [out, mask, g].into_iter().for_each(visit),
        }
    }
}
