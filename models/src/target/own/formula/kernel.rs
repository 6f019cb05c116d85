//! The machine that runs a program: a loop over its operations, each a loop over the points of a row.
//!
//! All of it is compiled for each SIMD level, so that an operation costs a jump and no call.

use engine::{Real, simd_fn};

use super::program::{Op, Powers, Program, Row, WIDTH};

simd_fn! {
    /// Runs a program on rows, of which the first d hold x; log p and the score are among the others afterwards.
    pub(super) fn run(program: &Program, rows: &mut [Row]) {
        let (dim, space) = (program.dim, program.space);
        for op in &program.ops {
            match op {
                Op::Fill { out, value } => rows[*out as usize] = [*value; WIDTH],
                Op::Shift { out, value } => rows[*out as usize].iter_mut().for_each(|v| *v += value),
                Op::Linear { out, constant, terms } => {
                    let terms = &program.terms[terms.start as usize..terms.end as usize];
                    linear(rows, *out, *constant, terms);
                }
                Op::Axpy { out, factor, v, add } => {
                    let [out, v] = disjoint(rows, [*out, *v]);
                    axpy(out, *factor, v, *add);
                }
                Op::Powers { out, powers, v, constant, add } => {
                    let [out, v] = disjoint(rows, [*out, *v]);
                    sized(&program.powers[*powers as usize], Values { out, v, constant: *constant, add: *add });
                }
                Op::PowersBack { out, powers, v, g, add } => {
                    let [out, v, g] = disjoint(rows, [*out, *v, *g]);
                    sized(&program.powers[*powers as usize], Back { out, v, g, add: *add });
                }
                Op::PowersBoth { total, out, powers, v, add } => {
                    let [total, out, v] = disjoint(rows, [*total, *out, *v]);
                    sized(&program.powers[*powers as usize], Both { total, out, v, add: *add });
                }
                Op::Product { out, a, b, add } => {
                    let [out, a, b] = disjoint(rows, [*out, *a, *b]);
                    if *add {
                        each(out, a, b, |out, a, b| a.mul_add(b, out));
                    } else {
                        each(out, a, b, |_, a, b| a * b);
                    }
                }
                Op::ProductBoth { total, to: [to_a, to_b], a, b, factor, add } => {
                    let [total, to_a, to_b, a, b] = disjoint(rows, [*total, *to_a, *to_b, *a, *b]);
                    each(total, a, b, |total, a, b| (factor * a).mul_add(b, total));
                    for (to, other, add) in [(to_a, b, add[0]), (to_b, a, add[1])] {
                        axpy(to, *factor, other, add);
                    }
                }
                Op::ProductBack { out, g, b, add } => {
                    let [out, g, b] = disjoint(rows, [*out, *g, *b]);
                    hand_on(out, g, b, *add);
                }
                Op::Quotient { out, a, b } => {
                    let [out, a, b] = disjoint(rows, [*out, *a, *b]);
                    each(out, a, b, |_, a, b| a / b);
                }
                Op::InverseBack { out, g, b, add } => {
                    let [out, g, b] = disjoint(rows, [*out, *g, *b]);
                    let slope = b.map(|b| 1.0 / b);
                    hand_on(out, g, &slope, *add);
                }
                Op::QuotientBack { out, g, r, b, add } => {
                    let [out, g, r, b] = disjoint(rows, [*out, *g, *r, *b]);
                    let mut slope = [0.0; WIDTH];
                    each(&mut slope, r, b, |_, r, b| -r / b);
                    hand_on(out, g, &slope, *add);
                }
                Op::Function { function, out, a } => {
                    let [out, a] = disjoint(rows, [*out, *a]);
                    function.values(a, out);
                }
                Op::FunctionBack { function, out, a, r, g, add } => {
                    let [out, a, r, g] = disjoint(rows, [*out, *a, *r, *g]);
                    let mut slope = [0.0; WIDTH];
                    function.slopes(a, r, &mut slope);
                    hand_on(out, g, &slope, *add);
                }
                Op::Power { out, a, p } => {
                    let [out, a] = disjoint(rows, [*out, *a]);
                    power(a, *p, out);
                }
                Op::PowerBack { out, a, g, p, add } => {
                    let [out, a, g] = disjoint(rows, [*out, *a, *g]);
                    let mut slope = [0.0; WIDTH];
                    power(a, p - 1.0, &mut slope);
                    slope.iter_mut().for_each(|v| *v *= p);
                    hand_on(out, g, &slope, *add);
                }
                Op::Distance2 { out, i, j } => {
                    let (i, j) = (*i as usize, *j as usize);
                    match space {
                        1 => distance2::<1>(rows, *out, i, j),
                        2 => distance2::<2>(rows, *out, i, j),
                        _ => distance2::<3>(rows, *out, i, j),
                    }
                }
                Op::Distance2Back { g, i, j } => {
                    let (x, rest) = rows.split_at_mut(dim);
                    for k in 0..space {
                        let (a, b) = (&x[*i as usize + k], &x[*j as usize + k]);
                        let first = dim as u32;
                        let [to_a, to_b, g] = disjoint(rest, [i + k as u32, j + k as u32, g - first]);
                        for l in 0..WIDTH {
                            let push = 2.0 * g[l] * (a[l] - b[l]);
                            to_a[l] += push;
                            to_b[l] -= push;
                        }
                    }
                }
                Op::Most { out, a, add } => {
                    let [out, a] = disjoint(rows, [*out, *a]);
                    if *add {
                        // NaN stays, and gets into the exponentials if it does not.
                        out.iter_mut().zip(a).for_each(|(out, a)| *out = if *a > *out { *a } else { *out });
                    } else {
                        *out = *a;
                    }
                }
                Op::ExpShift { out, sum, a, most, add } => {
                    let [out, sum, a, most] = disjoint(rows, [*out, *sum, *a, *most]);
                    each(out, a, most, |_, a, most| Real::exp(a - most));
                    if *add {
                        sum.iter_mut().zip(out).for_each(|(sum, out)| *sum += *out);
                    } else {
                        *sum = *out;
                    }
                }
                Op::LogSum { out, most, sum } => {
                    let [out, most, sum] = disjoint(rows, [*out, *most, *sum]);
                    // No term is there at all.
                    let log = |most: f64, sum: f64| if most == f64::NEG_INFINITY { most } else { most + Real::ln(sum) };
                    each(out, most, sum, |_, most, sum| log(most, sum));
                }
                Op::Extremum { out, a, b, greater } => {
                    let [out, a, b] = disjoint(rows, [*out, *a, *b]);
                    let sign = if *greater { 1.0 } else { -1.0 };
                    // NaN of either is NaN.
                    let of = |a: f64, b: f64| {
                        let other = if sign * a <= sign * b { b } else { f64::NAN };
                        if sign * a > sign * b { a } else { other }
                    };
                    each(out, a, b, |_, a, b| of(a, b));
                }
                Op::Mask { out, comparison, a, b } => {
                    let [out, a, b] = disjoint(rows, [*out, *a, *b]);
                    each(out, a, b, |_, a, b| if comparison.holds(a, b) { 1.0 } else { 0.0 });
                }
                Op::Select { out, mask, a, b } => {
                    let [out, mask, a, b] = disjoint(rows, [*out, *mask, *a, *b]);
                    for l in 0..WIDTH {
                        out[l] = if mask[l] == 1.0 { a[l] } else { b[l] };
                    }
                }
                Op::SelectBack { out, mask, g, when, add } => {
                    let [out, mask, g] = disjoint(rows, [*out, *mask, *g]);
                    if !*add {
                        *out = [0.0; WIDTH];
                    }
                    each(out, mask, g, |out, mask, g| if mask == *when { out + g } else { out });
                }
            }
        }
    }
}

/// Rows, of which those after the first are only read; an operation's rows are never the same.
#[inline(always)]
fn disjoint<const N: usize>(rows: &mut [Row], at: [u32; N]) -> [&mut Row; N] {
    rows.get_disjoint_mut(at.map(|at| at as usize)).expect("the rows of an operation are different ones")
}

#[inline(always)]
fn each(out: &mut Row, a: &Row, b: &Row, f: impl Fn(f64, f64, f64) -> f64) {
    for l in 0..WIDTH {
        out[l] = f(out[l], a[l], b[l]);
    }
}

/// out += c v.
#[inline(always)]
fn axpy(out: &mut Row, factor: f64, v: &Row, add: bool) {
    if add {
        out.iter_mut().zip(v).for_each(|(out, v)| *out = factor.mul_add(*v, *out));
    } else {
        out.iter_mut().zip(v).for_each(|(out, v)| *out = factor * *v);
    }
}

/// out = |a - b|^2 of the rows of two points in S dimensions.
#[inline(always)]
fn distance2<const S: usize>(rows: &mut [Row], out: u32, i: usize, j: usize) {
    let mut sum = [0.0; WIDTH];
    let (a, b): ([&Row; S], [&Row; S]) =
        (std::array::from_fn(|k| &rows[i + k]), std::array::from_fn(|k| &rows[j + k]));
    for l in 0..WIDTH {
        for k in 0..S {
            let way = a[k][l] - b[k][l];
            sum[l] = way.mul_add(way, sum[l]);
        }
    }
    rows[out as usize] = sum;
}

/// `product`, or 0 where the factor g is: what is not chosen has no derivative, be it infinite.
#[inline(always)]
fn unless_zero(g: f64, product: f64) -> f64 {
    if g == 0.0 { 0.0 } else { product }
}

/// out += g slope.
#[inline(always)]
fn hand_on(out: &mut Row, g: &Row, slope: &Row, add: bool) {
    if add {
        each(out, g, slope, |out, g, slope| out + unless_zero(g, g * slope));
    } else {
        each(out, g, slope, |_, g, slope| unless_zero(g, g * slope));
    }
}

/// out = constant + sum_k c_k v_k, by parts of a row that stay in registers.
#[inline(always)]
fn linear(rows: &mut [Row], out: u32, constant: f64, terms: &[(f64, u32)]) {
    const PART: usize = 32;
    for part in 0..WIDTH / PART {
        let mut sum = [constant; PART];
        for (c, v) in terms {
            let v = &rows[*v as usize][part * PART..(part + 1) * PART];
            for l in 0..PART {
                sum[l] = c.mul_add(v[l], sum[l]);
            }
        }
        rows[out as usize][part * PART..(part + 1) * PART].copy_from_slice(&sum);
    }
}

/// a^p: by squaring for a whole p, else exp(p log a).
#[inline(always)]
fn power(a: &Row, p: f64, out: &mut Row) {
    if p.fract() != 0.0 || p.abs() > 1e9 {
        out.iter_mut().zip(a).for_each(|(out, a)| *out = Real::exp(p * Real::ln(*a)));
        return;
    }
    let (mut left, mut square) = (p.abs() as u64, *a);
    *out = [1.0; WIDTH];
    while left > 0 {
        if left & 1 == 1 {
            out.iter_mut().zip(&square).for_each(|(out, s)| *out *= *s);
        }
        square.iter_mut().for_each(|s| *s *= *s);
        left >>= 1;
    }
    if p < 0.0 {
        out.iter_mut().for_each(|out| *out = 1.0 / *out);
    }
}

/// What is done with a polynomial of N coefficients.
trait Use {
    fn run<const N: usize, const INVERSE: bool>(self, p: &Polynomial<N>);
}

/// A polynomial whose length the compiler knows: its loops unroll. Coefficients of the highest powers come first.
struct Polynomial<const N: usize> {
    scale: f64,
    shift: f64,
    coefficients: [f64; N],
}

/// Runs `what` with as many coefficients as are needed, or some more, which are 0.
#[inline(always)]
fn sized(powers: &Powers, what: impl Use) {
    #[inline(always)]
    fn of<const N: usize>(powers: &Powers, what: impl Use) {
        let mut coefficients = [0.0; N];
        coefficients.iter_mut().rev().zip(&powers.coefficients).for_each(|(to, from)| *to = *from);
        let p = Polynomial { scale: powers.scale, shift: powers.shift, coefficients };
        if powers.inverse { what.run::<N, true>(&p) } else { what.run::<N, false>(&p) }
    }
    match powers.coefficients.len() {
        0..=2 => of::<2>(powers, what),
        3..=4 => of::<4>(powers, what),
        5..=6 => of::<6>(powers, what),
        7..=8 => of::<8>(powers, what),
        _ => of::<16>(powers, what),
    }
}

impl<const N: usize> Polynomial<N> {
    /// P at v and its derivative by v, by Horner's rule.
    #[inline(always)]
    fn at<const INVERSE: bool>(&self, v: f64) -> (f64, f64) {
        /// Greater numbers are infinite as far as powers are concerned; times a coefficient of 0 they stay 0.
        const MOST: f64 = 1e300;
        let u = self.scale.mul_add(v, self.shift);
        let u = if INVERSE { 1.0 / u } else { u };
        let u = if u > MOST { MOST } else { u };
        let u = if u < -MOST { -MOST } else { u };
        let (mut value, mut slope) = (self.coefficients[0], 0.0);
        for c in &self.coefficients[1..] {
            slope = slope.mul_add(u, value);
            value = value.mul_add(u, *c);
        }
        slope = slope.mul_add(u, value);
        value *= u;
        if INVERSE {
            slope *= -(u * u);
        }
        (value, slope * self.scale)
    }
}

struct Values<'a> {
    out: &'a mut Row,
    v: &'a Row,
    constant: f64,
    add: bool,
}

impl Use for Values<'_> {
    #[inline(always)]
    fn run<const N: usize, const INVERSE: bool>(self, p: &Polynomial<N>) {
        let Self { out, v, constant, add } = self;
        if add {
            out.iter_mut().zip(v).for_each(|(out, v)| *out += p.at::<INVERSE>(*v).0);
        } else {
            out.iter_mut().zip(v).for_each(|(out, v)| *out = constant + p.at::<INVERSE>(*v).0);
        }
    }
}

struct Back<'a> {
    out: &'a mut Row,
    v: &'a Row,
    g: &'a Row,
    add: bool,
}

impl Use for Back<'_> {
    #[inline(always)]
    fn run<const N: usize, const INVERSE: bool>(self, p: &Polynomial<N>) {
        let Self { out, v, g, add } = self;
        if add {
            each(out, v, g, |out, v, g| out + unless_zero(g, g * p.at::<INVERSE>(v).1));
        } else {
            each(out, v, g, |_, v, g| unless_zero(g, g * p.at::<INVERSE>(v).1));
        }
    }
}

struct Both<'a> {
    total: &'a mut Row,
    out: &'a mut Row,
    v: &'a Row,
    add: bool,
}

impl Use for Both<'_> {
    #[inline(always)]
    fn run<const N: usize, const INVERSE: bool>(self, p: &Polynomial<N>) {
        let Self { total, out, v, add } = self;
        for ((total, out), v) in total.iter_mut().zip(out).zip(v) {
            let (value, slope) = p.at::<INVERSE>(*v);
            *total += value;
            *out = if add { *out + slope } else { slope };
        }
    }
}
