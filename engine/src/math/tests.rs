use crate::Real;

/// The largest error of `f` against `exact`, in ulp of the exact value, over `xs`.
fn worst_ulp<T: Real>(xs: impl Iterator<Item = f64>, f: impl Fn(T) -> T, exact: impl Fn(f64) -> f64) -> f64 {
    xs.map(|x| {
        let x = T::of(x);
        let want = exact(x.f64());
        let ulp = want.abs().max(1e-300) * T::EPSILON.f64() * 0.5;
        (f(x).f64() - want).abs() / ulp
    })
    .fold(0.0, f64::max)
}

fn grid(low: f64, high: f64) -> impl Iterator<Item = f64> {
    const N: usize = 200_001;
    (0..N).map(move |i| low + (high - low) * i as f64 / (N - 1) as f64)
}

fn check<T: Real>(exp_range: f64, largest: f64) {
    assert!(worst_ulp::<T>(grid(-exp_range, exp_range), T::exp, f64::exp) < 3.0, "exp");
    let powers = || grid(-100.0, 100.0).map(|e| (e * 0.8).exp());
    assert!(worst_ulp::<T>(powers(), T::ln, f64::ln) < 3.0, "ln");
    assert!(worst_ulp::<T>(grid(-12.0, 12.0).filter(|x| *x != 0.0), T::tanh, f64::tanh) < 6.0, "tanh");
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert!(worst_ulp::<T>(grid(-exp_range, exp_range), T::sigmoid, logistic) < 5.0, "sigmoid");
    assert!(worst_ulp::<T>(grid(-8.0, 8.0), T::sigmoid, logistic) < 5.0, "sigmoid near 0");
    let eps = T::EPSILON.f64();
    for x in grid(-100.0, 100.0).chain(grid(-largest, largest)) {
        let x = T::of(x);
        let (s, c) = x.sin_cos();
        assert!((s.f64() - x.f64().sin()).abs() < 1.5 * eps, "sin {x}: {s}");
        assert!((c.f64() - x.f64().cos()).abs() < 1.5 * eps, "cos {x}: {c}");
    }
}

#[test]
fn single_precision_errors_are_as_stated() {
    check::<f32>(87.0, 8192.0);
}

#[test]
fn double_precision_errors_are_as_stated() {
    check::<f64>(708.0, 8192.0);
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
