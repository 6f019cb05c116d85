//! Elementary functions without branches or table look-ups, so that loops over them vectorise.
//!
//! Method: reduce the argument, evaluate a polynomial with fused multiply-adds, put the exponent
//! back by integer arithmetic. Errors, in units in the last place (ulp), over the whole finite
//! range unless said otherwise; the tests below hold them:
//!
//! | function | f32 | f64 | special values |
//! |---|---|---|---|
//! | `exp` | 1.5 | 1.5 | 0 below the least normal result, inf on overflow, NaN |
//! | `ln` | 1.5 | 1.5 | subnormal arguments count as 0, ln 0 = -inf, NaN below 0 |
//! | `sin_cos` | 2 (absolute 1e-7) | 2 (absolute 2e-16) | NaN beyond the stated range |
//! | `tanh` | 3 | 3 | +-1 at +-inf, NaN |
//! | `sigmoid` | 2.5 | 2.5 | constant below -87 (f32) and -708 (f64), at 1e-38 and 1e-308, NaN |
//!
//! Reductions follow Cody and Waite (1980); the kernel of `ln` is the one of fdlibm's `e_log.c`
//! (Sun Microsystems 1993), the coefficients of the f32 `exp`, `sin` and `cos` are those of Cephes
//! (Moshier 1992); the f64 ones are the Taylor coefficients, whose remainder lies below the rounding.

pub(crate) mod double;
pub(crate) mod single;

/// Arguments of [`Real::sin_cos`](crate::Real::sin_cos) beyond this magnitude lose accuracy: the
/// reduction by pi/2 has run out of bits.
pub const SIN_COS_LIMIT: f64 = 8192.0;

/// Horner's rule with fused multiply-adds, highest coefficient first.
macro_rules! horner {
    ($x:expr, $top:expr $(, $c:expr)*) => {{
        let p = $top;
        $(let p = p.mul_add($x, $c);)*
        p
    }};
}
pub(crate) use horner;

#[cfg(test)]
mod tests;
