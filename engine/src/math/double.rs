//! The f64 functions of [`math`](super).

use super::horner;

/// 1.5 * 2^52: adding it rounds to an integer and leaves that integer in the low mantissa bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Below, e^x would be subnormal and is 0.
const LOW: f64 = -708.396_418_532_264;
const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// e^x = 2^n y with y = e^r, |r| <= ln 2 / 2: y, and a number with n in its low mantissa bits.
#[inline(always)]
fn exp_parts(x: f64) -> (f64, f64) {
    let shifted = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HI, x);
    let r = n.mul_add(-LN2_LO, r);
    let p = horner!(
        r,
        1.0_f64 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5
    );
    (p.mul_add(r * r, r) + 1.0, shifted)
}

#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    const HIGH: f64 = 709.782_712_893_384;
    let (y, shifted) = exp_parts(x);
    // 2^n in two factors, so that n = 1024 does not overflow the exponent field too early.
    let n = (shifted.to_bits() as i64) << 13 >> 13;
    let half = n >> 1;
    let two_to = |k: i64| f64::from_bits(((k + 1023) << 52) as u64);
    let y = y * two_to(half) * two_to(n - half);
    let y = if x < LOW { 0.0 } else { y };
    if x > HIGH { f64::INFINITY } else { y }
}

/// `exp` of numbers up to 0, with the same bits: 2^n is one addition to the exponent.
#[inline(always)]
pub(crate) fn exp_up_to_zero(x: f64) -> f64 {
    let (y, shifted) = exp_parts(x);
    let y = f64::from_bits(y.to_bits().wrapping_add(shifted.to_bits() << 52));
    if x < LOW { 0.0 } else { y }
}

/// See the one in single precision.
#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    const LIMIT: f64 = 708.0;
    let x = if x > LIMIT { LIMIT } else { x };
    let x = if x < -LIMIT { -LIMIT } else { x };
    let (y, shifted) = exp_parts(-x);
    1.0 / (1.0 + f64::from_bits(y.to_bits().wrapping_add(shifted.to_bits() << 52)))
}

#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    // The exponent as a float without a 64-bit conversion, which AVX2 lacks.
    let k = f64::from_bits(((bits as i64 >> 52) as u64).wrapping_add(ROUND.to_bits())) - ROUND;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * horner!(
        z,
        1.479_819_860_511_658_6e-1_f64,
        1.531_383_769_920_937_3e-1,
        1.818_357_216_161_805e-1,
        2.222_219_843_214_978_4e-1,
        2.857_142_874_366_239e-1,
        3.999_999_999_940_942e-1,
        6.666_666_666_666_735e-1
    );
    let h = 0.5 * f * f;
    let y = k.mul_add(LN2_HI, (s * (h + r) + k * LN2_LO) - h + f);
    let y = if x < f64::MIN_POSITIVE { f64::NEG_INFINITY } else { y };
    let y = if x < 0.0 { f64::NAN } else { y };
    if x < f64::INFINITY { y } else { x }
}

#[inline(always)]
pub(crate) fn sin_cos(x: f64) -> (f64, f64) {
    let shifted = x.mul_add(std::f64::consts::FRAC_2_PI, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-1.570_796_326_734_125_6, x);
    let r = n.mul_add(-6.077_100_506_303_966e-11, r);
    let r = n.mul_add(-2.022_266_248_795_950_6e-21, r);
    let z = r * r;
    let s = horner!(
        z,
        -1.0_f64 / 121_645_100_408_832_000.0,
        1.0 / 355_687_428_096_000.0,
        -1.0 / 1_307_674_368_000.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0
    )
    .mul_add(z * r, r);
    let c = horner!(
        z,
        -1.0_f64 / 6_402_373_705_728_000.0,
        1.0 / 20_922_789_888_000.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0
    )
    .mul_add(z * z, 1.0 - 0.5 * z);
    let quadrant = shifted.to_bits();
    let (a, b) = if quadrant & 1 == 0 { (s, c) } else { (c, s) };
    let sign = |bit: u64, v: f64| f64::from_bits(v.to_bits() ^ (bit << 63));
    (sign(quadrant >> 1 & 1, a), sign((quadrant.wrapping_add(1)) >> 1 & 1, b))
}

#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    // e^{-2|x|} - 1, by its Taylor polynomial where the subtraction would cancel.
    let a = x.abs();
    let t = -2.0 * a;
    let p = horner!(
        t,
        1.0_f64 / 355_687_428_096_000.0,
        1.0 / 20_922_789_888_000.0,
        1.0 / 1_307_674_368_000.0,
        1.0 / 87_178_291_200.0,
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5
    );
    let near = p.mul_add(t * t, t);
    let far = exp(t) - 1.0;
    let em1 = if a < 0.5 { near } else { far };
    (-em1 / (2.0 + em1)).copysign(x)
}
