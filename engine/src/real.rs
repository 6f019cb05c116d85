//! The scalar trait: f32 for training, f64 for gradient checks and references.

use std::fmt::{Debug, Display, LowerExp};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::math;
use crate::packed_gemm::HasRegisters;

/// A real number type on which every kernel, op and model is generic: `f32` or `f64`.
///
/// The elementary functions are branch-free polynomials that vectorise inside
/// [`simd_fn!`](crate::simd_fn). The module `math` states their errors. Unlike those of `libm` they give the same bits
/// on every machine.
pub trait Real:
    faer::traits::RealField
    + HasRegisters
    + Copy
    + Default
    + Debug
    + Display
    + LowerExp
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// 1/2.
    const HALF: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Distance from 1 to the next larger number.
    const EPSILON: Self;
    /// Numbers in 64 bytes: the widest SIMD register, and a cache line.
    const LANES: usize;
    /// The type's name in a safetensors header: `F32` or `F64`.
    const DTYPE: &'static str;

    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
    /// Conversion to f64, exact.
    fn f64(self) -> f64;
    /// `self * a + b` with one rounding.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// Square root; NaN below 0.
    fn sqrt(self) -> Self;
    /// The larger of two numbers; `other` if `self` is NaN.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// The smaller of two numbers; `other` if `self` is NaN.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    /// Whether the number is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// e^x.
    fn exp(self) -> Self;
    /// e^x with the bits of [`exp`](Self::exp) for x up to 0, in fewer instructions; anything for others. NaN may become
    /// any number.
    fn exp_up_to_zero(self) -> Self;
    /// The natural logarithm; -inf at 0, NaN below.
    fn ln(self) -> Self;
    /// (sin x, cos x), for |x| up to 8192, where the reduction by pi/2 runs out of bits.
    fn sin_cos(self) -> (Self, Self);
    /// tanh x.
    fn tanh(self) -> Self;
    /// 1 / (1 + e^-x).
    fn sigmoid(self) -> Self;
    /// Appends the little-endian bytes of `values` to `out`.
    fn append_bytes(values: &[Self], out: &mut Vec<u8>);
    /// Reads little-endian bytes.
    ///
    /// # Panics
    /// If `bytes` is not a whole number of values.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
    /// A number in the open interval (0, 1) from 64 random bits.
    fn unit_from_bits(bits: u64) -> Self;
}

macro_rules! real {
    ($t:ident, $lanes:literal, $dtype:literal, $math:ident, $unit:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const HALF: Self = 0.5;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const EPSILON: Self = $t::EPSILON;
            const LANES: usize = $lanes;
            const DTYPE: &'static str = $dtype;

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $t::mul_add(self, a, b)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                math::$math::exp(self)
            }
            #[inline(always)]
            fn exp_up_to_zero(self) -> Self {
                math::$math::exp_up_to_zero(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                math::$math::ln(self)
            }
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                math::$math::sin_cos(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                math::$math::tanh(self)
            }
            #[inline(always)]
            fn sigmoid(self) -> Self {
                math::$math::sigmoid(self)
            }
            fn append_bytes(values: &[Self], out: &mut Vec<u8>) {
                out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                let (chunks, rest) = bytes.as_chunks();
                assert!(rest.is_empty(), "{} bytes are not a whole number of {}", bytes.len(), $dtype);
                chunks.iter().map(|b| $t::from_le_bytes(*b)).collect()
            }
            #[inline(always)]
            fn unit_from_bits(bits: u64) -> Self {
                $unit(bits)
            }
        }
    };
}

// The top bits as a mantissa, centred in their interval, so that neither 0 nor 1 occurs.
real!(f32, 16, "F32", single, |bits: u64| {
    f32::from_bits(0x3f80_0000 | ((bits >> 41) as u32)) - 1.0 + 0.5 / (1u32 << 23) as f32
});
real!(f64, 8, "F64", double, |bits: u64| {
    f64::from_bits(0x3ff0_0000_0000_0000 | (bits >> 12)) - 1.0 + 0.5 / (1u64 << 52) as f64
});
