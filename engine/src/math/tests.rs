/// Arguments of `sin_cos` beyond this magnitude lose accuracy: the reduction by pi/2 has run out of bits.
const SIN_COS_LIMIT: f64 = 8192.0;
use crate::Real;

/// The distance from |x| to the next larger number of type T.
fn ulp<T: Real>(x: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    f64::from_bits(x.abs().max(f64::MIN_POSITIVE).to_bits() & EXPONENT) * T::EPSILON.f64()
}

/// The largest error of `f` against `exact`, in ulp of the exact value, over `xs`; infinite if a result is NaN.
fn worst_ulp<T: Real>(xs: impl Iterator<Item = f64>, f: impl Fn(T) -> T, exact: impl Fn(f64) -> f64) -> f64 {
    xs.map(|x| {
        let x = T::of(x);
        let want = exact(x.f64());
        (f(x).f64() - want).abs() / ulp::<T>(want)
    })
    .fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { error.max(worst) })
}

fn grid(low: f64, high: f64) -> impl Iterator<Item = f64> {
    const N: usize = 200_001;
    (0..N).map(move |i| low + (high - low) * i as f64 / (N - 1) as f64)
}

/// Holds the errors to the stated bounds: `tanh` in ulp, `sin_cos` absolute, and those that are the same in both
/// precisions. `normal` is where e^x is a normal number, to two decimals.
fn check<T: Real>(normal: (f64, f64), tanh: f64, sin_cos: f64) {
    let within = |name: &str, bound: f64, worst: f64| assert!(worst <= bound, "{name}: {worst} ulp");
    within("exp", 1.5, worst_ulp::<T>(grid(normal.0, normal.1), T::exp, f64::exp));
    for x in grid(normal.0 - 3.0, 0.0).map(T::of).chain([T::NEG_INFINITY]) {
        assert_eq!(x.exp_up_to_zero().f64().to_bits(), x.exp().f64().to_bits(), "{x}");
    }
    let powers = grid(-100.0, 100.0).map(|e| (e * 0.8).exp());
    within("ln", 1.5, worst_ulp::<T>(powers, T::ln, f64::ln));
    within("tanh", tanh, worst_ulp::<T>(grid(-12.0, 12.0), T::tanh, f64::tanh));
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let range = normal.0.ceil();
    within("sigmoid", 3.0, worst_ulp::<T>(grid(range, -range), T::sigmoid, logistic));
    within("sigmoid near 0", 3.0, worst_ulp::<T>(grid(-8.0, 8.0), T::sigmoid, logistic));
    for x in grid(-100.0, 100.0).chain(grid(-SIN_COS_LIMIT, SIN_COS_LIMIT)) {
        let x = T::of(x);
        let (s, c) = x.sin_cos();
        assert!((s.f64() - x.f64().sin()).abs() < sin_cos, "sin {x}: {s}");
        assert!((c.f64() - x.f64().cos()).abs() < sin_cos, "cos {x}: {c}");
    }
}

#[test]
fn single_precision_errors_are_as_stated() {
    check::<f32>((-87.33, 88.72), 2.0, 1e-7);
}

#[test]
fn double_precision_errors_are_as_stated() {
    check::<f64>((-708.39, 709.78), 6.0, 3e-16);
}

fn special<T: Real>() {
    let nan = T::of(f64::NAN);
    assert_eq!(T::NEG_INFINITY.exp(), T::ZERO);
    assert_eq!(T::INFINITY.exp(), T::INFINITY);
    assert!(nan.exp().f64().is_nan());
    assert_eq!(T::ZERO.exp(), T::ONE);
    assert_eq!(T::ONE.ln(), T::ZERO);
    assert_eq!(T::ZERO.ln(), T::NEG_INFINITY);
    assert_eq!(T::INFINITY.ln(), T::INFINITY);
    assert!((-T::ONE).ln().f64().is_nan());
    assert!(nan.ln().f64().is_nan());
    assert_eq!(T::INFINITY.tanh(), T::ONE);
    assert_eq!(T::NEG_INFINITY.tanh(), -T::ONE);
    assert!(nan.tanh().f64().is_nan());
    assert_eq!(T::ZERO.tanh(), T::ZERO);
    assert_eq!(T::INFINITY.sigmoid(), T::ONE);
    assert!(T::NEG_INFINITY.sigmoid().f64() < 2e-38);
    assert!(nan.sigmoid().f64().is_nan());
    assert_eq!(T::ZERO.sigmoid(), T::HALF);
    assert_eq!(T::ZERO.sin_cos(), (T::ZERO, T::ONE));
    for x in [T::INFINITY, T::NEG_INFINITY, nan] {
        let (s, c) = x.sin_cos();
        assert!(s.f64().is_nan() && c.f64().is_nan());
    }
}

#[test]
fn special_values_are_as_stated() {
    special::<f32>();
    special::<f64>();
}

#[test]
fn unit_numbers_stay_inside_the_interval() {
    for bits in [0, u64::MAX] {
        let (a, b) = (f32::unit_from_bits(bits), f64::unit_from_bits(bits));
        assert!(a > 0.0 && a < 1.0 && b > 0.0 && b < 1.0);
    }
}
