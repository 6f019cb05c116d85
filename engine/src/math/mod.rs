//! Elementary functions without branches or table look-ups, so that loops over them vectorise.
//!
//! Method: reduce the argument, evaluate a polynomial with fused multiply-adds, restore the exponent by integer
//! arithmetic. Errors in units in the last place (ulp) of the exact value, over the whole finite range unless
//! stated otherwise, checked by the tests:
//!
//! | function | f32 | f64 | special values |
//! |---|---|---|---|
//! | `exp` | 1.5 | 1.5 | 0 below the least normal result, inf on overflow, NaN |
//! | `exp_up_to_zero` | 1.5 | 1.5 | for arguments up to 0 |
//! | `ln` | 1.5 | 1.5 | subnormal arguments count as 0, ln 0 = -inf, NaN below 0 |
//! | `sin_cos` | absolute 1e-7 | absolute 3e-16 | anything beyond 8192, NaN at +-inf, NaN |
//! | `tanh` | 2 | 6 | +-1 at +-inf, NaN |
//! | `sigmoid` | 3 | 3 | constant below -87 (f32) and -708 (f64), at 1e-38 and 1e-308, NaN |
//!
//! Reductions follow Cody and Waite (1980); the kernel of `ln` is the one of fdlibm's `e_log.c`
//! (Sun Microsystems 1993), the coefficients of the f32 `sin`, `cos` and `tanh` are those of Cephes
//! (Moshier 1992), those of the f32 `exp` a minimax fit; the f64 ones are Taylor coefficients, with a
//! remainder below the rounding error.

pub(crate) mod double;
pub(crate) mod single;

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
