//! Formulas made at random, against a plain interpreter with dual numbers, and against differences.

use std::fmt::Write;

use models::target::own::Names;
use models::target::{Geometry, Target};
use proptest::prelude::*;

const DIM: usize = 3;

/// A formula as a tree of its own.
#[derive(Clone, Debug)]
enum Plain {
    Number(f64),
    Coordinate(usize),
    Sum(Vec<(bool, Plain)>),
    Times(Box<Plain>, Box<Plain>),
    Over(Box<Plain>, Box<Plain>),
    Whole(Box<Plain>, i32),
    Real(Box<Plain>, f64),
    Function(usize, Box<Plain>),
    Greatest(Box<Plain>, Box<Plain>),
    Choice(Box<[Plain; 4]>),
    LogSumExp(Vec<Plain>),
}

use Plain::*;

/// A number with its derivatives, and how large the numbers were that it was made of.
#[derive(Clone, Copy, Debug)]
struct Dual {
    value: f64,
    slope: [f64; DIM],
    size: f64,
}

impl Dual {
    fn number(value: f64) -> Self {
        Self { value, slope: [0.0; DIM], size: value.abs() }
    }

    /// f(self), with the derivative f'.
    fn map(self, value: f64, slope: f64) -> Self {
        let size = value.abs() + slope.abs() * self.size;
        Self { value, slope: self.slope.map(|s| slope * s), size }
    }

    /// f(self, other), with both derivatives.
    fn with(self, other: Self, value: f64, by: [f64; 2]) -> Self {
        let slope = std::array::from_fn(|a| by[0] * self.slope[a] + by[1] * other.slope[a]);
        Self { value, slope, size: value.abs() + by[0].abs() * self.size + by[1].abs() * other.size }
    }
}

/// Functions that are tame wherever their argument is: inside each stands e in place of the argument.
const FUNCTIONS: [&str; 12] = [
    "sin(e)",
    "cos(e)",
    "tanh(e)",
    "sigmoid(e)",
    "softplus(e)",
    "exp(-(e)^2)",
    "log(1 + (e)^2)",
    "log1p((e)^2)",
    "sqrt(1 + (e)^2)",
    "cosh(tanh(e))",
    "sinh(sin(e))",
    "abs(e)",
];

impl Plain {
    fn eval(&self, x: &[f64; DIM]) -> Dual {
        match self {
            Number(value) => Dual::number(*value),
            Coordinate(a) => {
                let mut d = Dual::number(x[*a]);
                d.slope[*a] = 1.0;
                d
            }
            Sum(terms) => terms.iter().fold(Dual::number(0.0), |sum, (minus, term)| {
                let (term, sign) = (term.eval(x), if *minus { -1.0 } else { 1.0 });
                sum.with(term, sum.value + sign * term.value, [1.0, sign])
            }),
            Times(a, b) => {
                let (a, b) = (a.eval(x), b.eval(x));
                a.with(b, a.value * b.value, [b.value, a.value])
            }
            Over(a, b) => {
                // a / (1 + b^2)
                let (a, b) = (a.eval(x), b.eval(x));
                let under = 1.0 + b.value * b.value;
                a.with(b, a.value / under, [1.0 / under, -a.value * 2.0 * b.value / (under * under)])
            }
            Whole(a, n) => {
                let a = a.eval(x);
                a.map(a.value.powi(*n), f64::from(*n) * a.value.powi(n - 1))
            }
            Real(a, p) => {
                // (1 + a^2)^p
                let a = a.eval(x);
                let base = 1.0 + a.value * a.value;
                a.map(base.powf(*p), p * base.powf(p - 1.0) * 2.0 * a.value)
            }
            Function(k, a) => {
                let a = a.eval(x);
                let e = a.value;
                let sigmoid = 1.0 / (1.0 + (-e).exp());
                let (value, slope) = match k {
                    0 => (e.sin(), e.cos()),
                    1 => (e.cos(), -e.sin()),
                    2 => (e.tanh(), 1.0 - e.tanh().powi(2)),
                    3 => (sigmoid, sigmoid * (1.0 - sigmoid)),
                    4 => (e.max(0.0) + (-e.abs()).exp().ln_1p(), sigmoid),
                    5 => ((-e * e).exp(), -2.0 * e * (-e * e).exp()),
                    6 | 7 => ((e * e).ln_1p(), 2.0 * e / (1.0 + e * e)),
                    8 => (1.0f64.hypot(e), e / 1.0f64.hypot(e)),
                    9 => (e.tanh().cosh(), e.tanh().sinh() * (1.0 - e.tanh().powi(2))),
                    10 => (e.sin().sinh(), e.sin().cosh() * e.cos()),
                    _ => (e.abs(), if e == 0.0 { 0.0 } else { e.signum() }),
                };
                a.map(value, slope)
            }
            Greatest(a, b) => {
                let (a, b) = (a.eval(x), b.eval(x));
                if a.value > b.value { a } else { b }
            }
            Choice(parts) => {
                let [a, b, then, other] = &**parts;
                (if a.eval(x).value < b.eval(x).value { then } else { other }).eval(x)
            }
            LogSumExp(terms) => {
                let terms: Vec<Dual> = terms.iter().map(|t| t.eval(x)).collect();
                let most = terms.iter().fold(f64::NEG_INFINITY, |m, t| m.max(t.value));
                let total: f64 = terms.iter().map(|t| (t.value - most).exp()).sum();
                let value = most + total.ln();
                let zero = Dual { value, slope: [0.0; DIM], size: value.abs() };
                terms.iter().fold(zero, |sum, t| sum.with(*t, value, [1.0, (t.value - value).exp()]))
            }
        }
    }

    /// How near an alternative came to being the other one; infinite without any.
    fn margin(&self, x: &[f64; DIM]) -> f64 {
        let near = |a: &Plain, b: &Plain| (a.eval(x).value - b.eval(x).value).abs();
        let (own, parts): (f64, Vec<&Plain>) = match self {
            Number(_) | Coordinate(_) => (f64::INFINITY, vec![]),
            Sum(terms) => (f64::INFINITY, terms.iter().map(|(_, t)| t).collect()),
            Times(a, b) | Over(a, b) => (f64::INFINITY, vec![a, b]),
            Whole(a, _) | Real(a, _) => (f64::INFINITY, vec![a]),
            Function(k, a) => (if *k == 11 { a.eval(x).value.abs() } else { f64::INFINITY }, vec![a]),
            Greatest(a, b) => (near(a, b), vec![a, b]),
            Choice(parts) => (near(&parts[0], &parts[1]), parts.iter().collect()),
            LogSumExp(terms) => (f64::INFINITY, terms.iter().collect()),
        };
        parts.into_iter().fold(own, |m, part| m.min(part.margin(x)))
    }

    /// In words that the parser knows; `depth` keeps indices of loops apart.
    fn text(&self, depth: usize) -> String {
        match self {
            Number(value) => format!("({value:?})"),
            Coordinate(a) => format!("x[{a}]"),
            Sum(terms) => {
                let mut out = String::from("(0");
                for (minus, term) in terms {
                    write!(out, " {} {}", if *minus { '-' } else { '+' }, term.text(depth + 1)).unwrap();
                }
                out + ")"
            }
            Times(a, b) => format!("{}*{}", a.text(depth + 1), b.text(depth + 1)),
            Over(a, b) => format!("({}/(1 + ({})^2))", a.text(depth + 1), b.text(depth + 1)),
            Whole(a, n) => format!("({})^{n}", a.text(depth + 1)),
            Real(a, p) => format!("(1 + ({})^2)^({p:?})", a.text(depth + 1)),
            Function(k, a) => {
                let (before, after) = FUNCTIONS[*k].split_at(FUNCTIONS[*k].rfind("e)").unwrap());
                format!("{before}{}{}", a.text(depth + 1), &after[1..])
            }
            Greatest(a, b) => format!("max({}, {})", a.text(depth + 1), b.text(depth + 1)),
            Choice(parts) => {
                let [a, b, then, other] = parts.each_ref().map(|part| part.text(depth + 1));
                format!("if({a} < {b}, {then}, {other})")
            }
            LogSumExp(terms) => {
                let inner: Vec<String> = terms
                    .iter()
                    .enumerate()
                    .map(|(k, term)| format!("if(n{depth} == {k}, {}, ", term.text(depth + 1)))
                    .collect();
                format!(
                    "logsumexp(n{depth}, 0:{}, {}0{})",
                    terms.len(),
                    inner.concat(),
                    ")".repeat(terms.len())
                )
            }
        }
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let leaf = prop_oneof![
        (-8i32..=8).prop_map(|k| Number(f64::from(k) / 4.0)),
        (0..DIM).prop_map(Coordinate),
        (0..DIM).prop_map(Coordinate),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            3 => prop::collection::vec((any::<bool>(), inner.clone()), 1..5).prop_map(Sum),
            2 => (boxed(), boxed()).prop_map(|(a, b)| Times(a, b)),
            1 => (boxed(), boxed()).prop_map(|(a, b)| Over(a, b)),
            2 => (boxed(), 2..5i32).prop_map(|(a, n)| Whole(a, n)),
            1 => (boxed(), -3.0..3.0f64).prop_map(|(a, p)| Real(a, p)),
            3 => (0..FUNCTIONS.len(), boxed()).prop_map(|(k, a)| Function(k, a)),
            1 => (boxed(), boxed()).prop_map(|(a, b)| Greatest(a, b)),
            1 => prop::array::uniform4(inner.clone()).prop_map(|parts| Choice(Box::new(parts))),
            1 => prop::collection::vec(inner, 1..4).prop_map(LogSumExp),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_formula_is_what_a_plain_interpreter_says(
        plain in plain(),
        points in prop::collection::vec(prop::array::uniform3(-2.0..2.0f64), 1..80),
    ) {
        let text = plain.text(0);
        let formula = Names::new(Geometry::Euclidean(DIM)).formula(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let x = points.concat();
        let (mut log_p, mut score) = (vec![0.0; points.len()], vec![0.0; x.len()]);
        formula.log_density_batch(&x, &mut log_p, &mut score).unwrap();
        for (l, x) in points.iter().enumerate() {
            let want = plain.eval(x);
            // Rounding is bounded by the numbers that came along; beyond, nothing is said.
            if want.size > 1e8 || want.slope.iter().any(|s| s.abs() > 1e8) || plain.margin(x) < 1e-6 {
                continue;
            }
            let size = 1.0 + want.size + want.slope.iter().map(|s| s.abs()).sum::<f64>();
            prop_assert!((-log_p[l] - want.value).abs() < 1e-10 * size, "{text} at {x:?}: {} {want:?}", -log_p[l]);
            for a in 0..DIM {
                let slope = -score[l * DIM + a];
                prop_assert!((slope - want.slope[a]).abs() < 1e-7 * size, "{text} at {x:?}, {a}: {slope} {want:?}");
            }
        }
        // Differences of the formula itself, at the first point.
        let (x, h) = (points[0], 1e-5);
        let want = plain.eval(&x);
        if want.size > 1e3 || want.slope.iter().any(|s| s.abs() > 1e3) || plain.margin(&x) < 1e-2 {
            return Ok(());
        }
        let moved = |a: usize, h: f64| {
            let (mut x, mut log_p) = (x, [0.0]);
            x[a] += h;
            formula.log_density_batch(&x, &mut log_p, &mut []).unwrap();
            -log_p[0]
        };
        for a in 0..DIM {
            let of = |h: f64| (moved(a, h) - moved(a, -h)) / (2.0 * h);
            let (near, far) = (of(h), of(2.0 * h));
            let error = 10.0 * (near - far).abs() + 1e-9 * (1.0 + want.size) / h * 1e-2;
            prop_assert!((near + score[a]).abs() < 1e-6 + error, "{text} at {x:?}, {a}: {near} {}", -score[a]);
        }
    }
}
