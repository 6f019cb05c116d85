//! Functions of one argument, with their derivatives.

use engine::Real;

/// A function of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Function {
    Exp,
    Log,
    Log1p,
    Sqrt,
    Sin,
    Cos,
    Tan,
    Sinh,
    Cosh,
    Tanh,
    Sigmoid,
    Softplus,
    Abs,
}

use Function::*;

/// By name.
pub(super) const FUNCTIONS: [(&str, Function); 13] = [
    ("exp", Exp),
    ("log", Log),
    ("log1p", Log1p),
    ("sqrt", Sqrt),
    ("sin", Sin),
    ("cos", Cos),
    ("tan", Tan),
    ("sinh", Sinh),
    ("cosh", Cosh),
    ("tanh", Tanh),
    ("sigmoid", Sigmoid),
    ("softplus", Softplus),
    ("abs", Abs),
];

/// log(1 + a), exact near 0: log(u) a / (u - 1), u = 1 + a rounded (Kahan; Goldberg 1991, theorem 4).
#[inline(always)]
fn log1p(a: f64) -> f64 {
    let u = 1.0 + a;
    let corrected = Real::ln(u) * (a / (u - 1.0));
    let value = if u == 1.0 { a } else { corrected };
    if u < f64::INFINITY { value } else { u }
}

impl Function {
    /// f(a) of a number, where a formula is read.
    pub fn value(self, a: f64) -> f64 {
        match self {
            Exp => a.exp(),
            Log => a.ln(),
            Log1p => a.ln_1p(),
            Sqrt => a.sqrt(),
            Sin => a.sin(),
            Cos => a.cos(),
            Tan => a.tan(),
            Sinh => a.sinh(),
            Cosh => a.cosh(),
            Tanh => a.tanh(),
            Sigmoid => 1.0 / (1.0 + (-a).exp()),
            Softplus => a.max(0.0) + (-a.abs()).exp().ln_1p(),
            Abs => a.abs(),
        }
    }

    /// f(a) of each number.
    #[inline(always)]
    pub fn values(self, a: &[f64], out: &mut [f64]) {
        #[inline(always)]
        fn each(a: &[f64], out: &mut [f64], f: impl Fn(f64) -> f64) {
            out.iter_mut().zip(a).for_each(|(out, a)| *out = f(*a));
        }
        match self {
            Exp => each(a, out, Real::exp),
            Log => each(a, out, Real::ln),
            Log1p => each(a, out, log1p),
            Sqrt => each(a, out, Real::sqrt),
            Sin => each(a, out, |a| Real::sin_cos(a).0),
            Cos => each(a, out, |a| Real::sin_cos(a).1),
            Tan => each(a, out, |a| {
                let (s, c) = Real::sin_cos(a);
                s / c
            }),
            Sinh => each(a, out, |a| sinh_cosh(a).0),
            Cosh => each(a, out, |a| sinh_cosh(a).1),
            Tanh => each(a, out, Real::tanh),
            Sigmoid => each(a, out, Real::sigmoid),
            Softplus => each(a, out, |a| Real::max(a, 0.0) + log1p(Real::exp(-Real::abs(a)))),
            Abs => each(a, out, Real::abs),
        }
    }

    /// f'(a) of each number, given r = f(a).
    #[inline(always)]
    pub fn slopes(self, a: &[f64], r: &[f64], out: &mut [f64]) {
        #[inline(always)]
        fn each(a: &[f64], r: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
            for ((a, r), out) in a.iter().zip(r).zip(out) {
                *out = f(*a, *r);
            }
        }
        /// What a distance of 0 is taken for, so that its slope times the difference of equal points is 0.
        const LEAST: f64 = 1e-150;
        match self {
            Exp => each(a, r, out, |_, r| r),
            Log => each(a, r, out, |a, _| 1.0 / a),
            Log1p => each(a, r, out, |a, _| 1.0 / (1.0 + a)),
            Sqrt => each(a, r, out, |_, r| 0.5 / if r < LEAST { LEAST } else { r }),
            Sin => each(a, r, out, |a, _| Real::sin_cos(a).1),
            Cos => each(a, r, out, |a, _| -Real::sin_cos(a).0),
            Tan => each(a, r, out, |_, r| 1.0 + r * r),
            Sinh => each(a, r, out, |a, _| sinh_cosh(a).1),
            Cosh => each(a, r, out, |a, _| sinh_cosh(a).0),
            Tanh => each(a, r, out, |_, r| 1.0 - r * r),
            Sigmoid => each(a, r, out, |_, r| r * (1.0 - r)),
            Softplus => each(a, r, out, |a, _| Real::sigmoid(a)),
            Abs => each(a, r, out, |a, _| if a == 0.0 { a } else { 1f64.copysign(a) }),
        }
    }
}

/// (sinh a, cosh a); the first as tanh times the second, which loses nothing near 0.
#[inline(always)]
fn sinh_cosh(a: f64) -> (f64, f64) {
    let (up, down) = (Real::exp(a), Real::exp(-a));
    let cosh = 0.5 * (up + down);
    (Real::tanh(a) * cosh, cosh)
}
