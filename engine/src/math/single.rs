//! The f32 functions of [`math`](super).

use super::horner;

/// 1.5 * 2^23: adding it rounds to an integer and leaves that integer in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;
/// Below, e^x would be subnormal and is 0.
const LOW: f32 = -87.336_54;
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// e^(s x) = 2^n y with y = e^r, |r| <= ln 2 / 2, for a sign s: y, and a number with n in its low mantissa bits.
/// The polynomial is the best of degree 6 that begins with 1 + r (relative error 3e-9, found by Lawson's
/// iteration), in Estrin's order, whose chain of dependent operations is half as long as Horner's.
#[inline(always)]
fn exp_parts(x: f32, s: f32) -> (f32, f32) {
    let shifted = x.mul_add(s * std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-s * LN2_HI, x);
    let r = n.mul_add(-s * LN2_LO, r);
    // r is s times the reduced argument: its odd powers have the sign.
    let r2 = r * r;
    let low = (s * 0.166_665_21).mul_add(r, 0.499_999_94);
    let high = (s * 8.368_745e-3).mul_add(r, 4.166_839e-2);
    let q = 1.381_453_9e-3_f32.mul_add(r2, high).mul_add(r2, low);
    (q.mul_add(r2, s.mul_add(r, 1.0)), shifted)
}

#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Above: it overflows. NaN fails both comparisons.
    const HIGH: f32 = 88.722_83;
    let (y, shifted) = exp_parts(x, 1.0);
    // 2^n in two factors, so that n = 128 does not overflow the exponent field too early.
    let half = (shifted.to_bits() as i32) << 9 >> 10;
    let rest = ((shifted.to_bits() as i32) << 9 >> 9) - half;
    let two_to = |k: i32| f32::from_bits(((k + 127) << 23) as u32);
    let y = y * two_to(half) * two_to(rest);
    let y = if x < LOW { 0.0 } else { y };
    if x > HIGH { f32::INFINITY } else { y }
}

/// `exp` of numbers up to 0, with the same bits: 2^n is one addition to the exponent.
#[inline(always)]
pub(crate) fn exp_up_to_zero(x: f32) -> f32 {
    let (y, shifted) = exp_parts(x, 1.0);
    let y = f32::from_bits(y.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < LOW { 0.0 } else { y }
}

/// 1 / (1 + e^-x), with its own `exp`: for clamped x, 2^n is one addition to the exponent.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    // Beyond: 1 to the last bit, and 1.2e-38 in place of less. NaN fails both comparisons.
    const LIMIT: f32 = 87.0;
    let x = if x > LIMIT { LIMIT } else { x };
    let x = if x < -LIMIT { -LIMIT } else { x };
    let (y, shifted) = exp_parts(x, -1.0);
    1.0 / (1.0 + f32::from_bits(y.to_bits().wrapping_add(shifted.to_bits() << 23)))
}

#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = 2^k m with m in [sqrt(1/2), sqrt(2)).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let k = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * horner!(z, 0.242_790_79_f32, 0.284_987_87, 0.400_009_72, 0.666_666_6);
    let h = 0.5 * f * f;
    let y = k.mul_add(LN2_HI, (s * (h + r) + k * LN2_LO) - h + f);
    let y = if x < f32::MIN_POSITIVE { f32::NEG_INFINITY } else { y };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x < f32::INFINITY { y } else { x }
}

#[inline(always)]
pub(crate) fn sin_cos(x: f32) -> (f32, f32) {
    // x = n pi/2 + r with |r| <= pi/4; pi/2 in three parts (Cody and Waite).
    let shifted = x.mul_add(std::f32::consts::FRAC_2_PI, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-1.570_312_5, x);
    let r = n.mul_add(-4.837_513e-4, r);
    let r = n.mul_add(-7.549_79e-8, r);
    let z = r * r;
    let s = horner!(z, -1.951_529_6e-4_f32, 8.332_161e-3, -0.166_666_55).mul_add(z * r, r);
    let c = horner!(z, 2.443_315_7e-5_f32, -1.388_731_6e-3, 4.166_664_6e-2).mul_add(z * z, 1.0 - 0.5 * z);
    let quadrant = shifted.to_bits();
    let (a, b) = if quadrant & 1 == 0 { (s, c) } else { (c, s) };
    let sign = |bit: u32, v: f32| f32::from_bits(v.to_bits() ^ (bit << 31));
    (sign(quadrant >> 1 & 1, a), sign((quadrant.wrapping_add(1)) >> 1 & 1, b))
}

#[inline(always)]
#[allow(clippy::excessive_precision)] // the digits of the source
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    // Near 0 the quotient cancels: odd polynomial (Cephes tanhf) instead.
    let z = x * x;
    let p = horner!(z, -5.704_988_7e-3_f32, 2.063_908_9e-2, -5.373_971_5e-2, 0.133_314_42, -0.333_332_8);
    let near = p.mul_add(z * x, x);
    let e = exp(-2.0 * a);
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    if a < 0.625 { near } else { far }
}
