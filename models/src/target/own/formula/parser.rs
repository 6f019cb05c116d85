//! From text to a tree.
//!
//! | what | binds | |
//! |---|---|---|
//! | `a + b`, `a - b` | least | from left to right |
//! | `a * b`, `a / b`, `a % b` | | from left to right; the remainder is that of numbers without x, and never negative |
//! | `-a` | | |
//! | `a ^ b` | | from right to left: `-x^2` is -(x^2), `2^-3^2` is 2^(-(3^2)) |
//! | numbers, names, `NAME[i]`, `NAME[i, j]`, `(a)`, functions, loops, `if` | most | |
//!
//! Loops are `sum(i, a:b, e)`, `prod(...)` and `logsumexp(...)`, i from a to b - 1; several indices, of which later
//! ranges may use earlier ones: `sum(i, 0:n, j, i+1:n, e)`. Without a range, `sum(i, e)`, an index runs over all
//! particles, or coordinates. `if(a < b, c, d)` compares by `<`, `<=`, `>`, `>=`, `==` or `!=`.

use super::Fault;
use super::lexer::{Token, words};

/// A part of a formula, and where it is in the text.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub at: usize,
    pub len: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Number(f64),
    Name(String),
    /// `name[i]` or `name[i, j]`.
    Element(String, Vec<Expr>),
    /// Each with whether it is taken away.
    Sum(Vec<(bool, Expr)>),
    Product(Vec<(Factor, Expr)>),
    Minus(Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    Loop(Fold, Vec<Index>, Box<Expr>),
    If(Comparison, Box<[Expr; 4]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    Times,
    Over,
    Remainder,
}

/// What a loop does with its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Product,
    LogSumExp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

impl Comparison {
    /// Of two numbers.
    #[inline(always)]
    pub fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Equal => a == b,
            Self::NotEqual => a != b,
        }
    }
}

/// An index of a loop.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub name: String,
    pub at: usize,
    /// From, and to before; all of them without.
    pub range: Option<(Expr, Expr)>,
}

pub(super) const LOOPS: [(&str, Fold); 3] =
    [("sum", Fold::Sum), ("prod", Fold::Product), ("logsumexp", Fold::LogSumExp)];

/// How deep brackets, signs and powers may be nested: what walks through a tree calls itself.
const DEEPEST: usize = 100;

/// Reads a formula.
pub(super) fn parse(text: &str) -> Result<Expr, Fault> {
    let mut parser = Parser { words: words(text)?, next: 0, depth: 0 };
    let expr = parser.sum()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.wanted("an operator, or the end of the formula")),
    }
}

struct Parser {
    words: Vec<(usize, usize, Token)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.words[self.next].2
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    fn advance(&mut self) {
        // The end stays the next word.
        self.next = (self.next + 1).min(self.words.len() - 1);
    }

    fn at(&self) -> usize {
        self.words[self.next].0
    }

    /// Where the word before the next one ends.
    fn end(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |k| self.words[k].0 + self.words[k].1)
    }

    fn wanted(&self, what: &str) -> Fault {
        let (at, len, token) = &self.words[self.next];
        let is = match token {
            Token::Number(_) => "a number".into(),
            Token::Name(name) => format!("`{name}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end of the formula".into(),
        };
        Fault::new(*at, *len, format!("wants {what}, and finds {is}"))
    }

    fn expect(&mut self, sign: &str, what: &str) -> Result<(), Fault> {
        if !self.is(sign) {
            return Err(self.wanted(what));
        }
        self.advance();
        Ok(())
    }

    fn whole(&self, at: usize, kind: Kind) -> Expr {
        Expr { at, len: self.end().saturating_sub(at), kind }
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        let mut terms = vec![(false, self.product()?)];
        while self.is("+") || self.is("-") {
            let minus = self.is("-");
            self.advance();
            terms.push((minus, self.product()?));
        }
        Ok(match (terms.len(), terms.pop()) {
            (1, Some((_, only))) => only,
            (_, last) => {
                terms.extend(last);
                self.whole(at, Kind::Sum(terms))
            }
        })
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        let mut factors = vec![(Factor::Times, self.signed()?)];
        loop {
            let factor = match self.peek() {
                Token::Sign("*") => Factor::Times,
                Token::Sign("/") => Factor::Over,
                Token::Sign("%") => Factor::Remainder,
                _ => break,
            };
            self.advance();
            factors.push((factor, self.signed()?));
        }
        Ok(match (factors.len(), factors.pop()) {
            (1, Some((_, only))) => only,
            (_, last) => {
                factors.extend(last);
                self.whole(at, Kind::Product(factors))
            }
        })
    }

    /// A power with signs before it. Every way to nest comes by here.
    fn signed(&mut self) -> Result<Expr, Fault> {
        if self.depth == DEEPEST {
            let (at, len, _) = self.words[self.next];
            return Err(Fault::new(
                at,
                len,
                format!(
                    "more than {DEEPEST} levels of brackets, signs and powers; name parts of it in [let]"
                ),
            ));
        }
        self.depth += 1;
        let at = self.at();
        let expr = if self.is("-") || self.is("+") {
            let minus = self.is("-");
            self.advance();
            let inner = self.signed()?;
            if minus { self.whole(at, Kind::Minus(Box::new(inner))) } else { inner }
        } else {
            let base = self.primary()?;
            if self.is("^") {
                self.advance();
                let exponent = self.signed()?;
                self.whole(at, Kind::Power(Box::new(base), Box::new(exponent)))
            } else {
                base
            }
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        match self.peek().clone() {
            Token::Number(value) => {
                self.advance();
                Ok(self.whole(at, Kind::Number(value)))
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.sum()?;
                self.expect(")", "an operator, or `)`")?;
                Ok(inner)
            }
            Token::Name(name) => {
                self.advance();
                if self.is("[") {
                    self.advance();
                    let indices = self.list("]")?;
                    return Ok(self.whole(at, Kind::Element(name, indices)));
                }
                if !self.is("(") {
                    return Ok(self.whole(at, Kind::Name(name)));
                }
                self.advance();
                let kind = match (name.as_str(), LOOPS.iter().find(|(known, _)| *known == name)) {
                    (_, Some((_, fold))) => self.fold(*fold)?,
                    ("if", _) => self.choice()?,
                    _ => Kind::Call(name, self.list(")")?),
                };
                Ok(self.whole(at, kind))
            }
            _ => Err(self.wanted("a number, a name or `(`")),
        }
    }

    /// Parts between commas, and the bracket after them.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>, Fault> {
        let mut parts = vec![self.sum()?];
        while self.is(",") {
            self.advance();
            parts.push(self.sum()?);
        }
        self.expect(close, &format!("an operator, `,` or `{close}`"))?;
        Ok(parts)
    }

    /// What is in the brackets of a loop.
    fn fold(&mut self, fold: Fold) -> Result<Kind, Fault> {
        let mut indices = Vec::new();
        loop {
            let (at, _, token) = self.words[self.next].clone();
            // After the first index, what has no comma behind it is the term.
            let is_index = matches!(self.words.get(self.next + 1), Some((_, _, Token::Sign(","))));
            let Token::Name(name) = token else {
                if indices.is_empty() {
                    return Err(self.wanted("the name of an index, as in sum(i, 0:8, x[i])"));
                }
                break;
            };
            if !is_index {
                if indices.is_empty() {
                    self.advance();
                    return Err(self.wanted("`,` after the name of an index"));
                }
                break;
            }
            self.advance();
            self.advance();
            let part = self.sum()?;
            if self.is(":") {
                self.advance();
                let to = self.sum()?;
                indices.push(Index { name, at, range: Some((part, to)) });
                self.expect(",", "an operator, or `,` and what is summed")?;
                continue;
            }
            indices.push(Index { name, at, range: None });
            match part.kind {
                // `sum(i, j, e)`: the part is the next index.
                Kind::Name(_) if self.is(",") => self.next -= 1,
                _ => {
                    self.expect(")", "an operator, `:` or `)`")?;
                    return Ok(Kind::Loop(fold, indices, Box::new(part)));
                }
            }
        }
        let body = self.sum()?;
        self.expect(")", "an operator, or `)`")?;
        Ok(Kind::Loop(fold, indices, Box::new(body)))
    }

    /// What is in the brackets of `if`.
    fn choice(&mut self) -> Result<Kind, Fault> {
        let left = self.sum()?;
        let (comparison, swapped) = match self.peek() {
            Token::Sign("<") => (Comparison::Less, false),
            Token::Sign("<=") => (Comparison::LessOrEqual, false),
            Token::Sign(">") => (Comparison::Less, true),
            Token::Sign(">=") => (Comparison::LessOrEqual, true),
            Token::Sign("==") => (Comparison::Equal, false),
            Token::Sign("!=") => (Comparison::NotEqual, false),
            _ => return Err(self.wanted("a comparison (<, <=, >, >=, ==, !=), as in if(x[0] < 1, a, b)")),
        };
        self.advance();
        let right = self.sum()?;
        self.expect(",", "an operator, or `,` and the value where this holds")?;
        let then = self.sum()?;
        self.expect(",", "an operator, or `,` and the value elsewhere")?;
        let other = self.sum()?;
        self.expect(")", "an operator, or `)`")?;
        let (left, right) = if swapped { (right, left) } else { (left, right) };
        Ok(Kind::If(comparison, Box::new([left, right, then, other])))
    }
}
