use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use super::observed_order;
use crate::Real;
use crate::integrate::Sde;

/// Standard normal numbers (Box and Muller 1958).
fn normal(seed: u64, len: usize) -> Vec<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut unit = || f64::unit_from_bits(rng.next_u64());
    let mut z = Vec::with_capacity(len + 1);
    while z.len() < len {
        let radius = (-2.0 * unit().ln()).sqrt();
        let (sin, cos) = (2.0 * std::f64::consts::PI * unit()).sin_cos();
        z.extend([radius * cos, radius * sin]);
    }
    z.truncate(len);
    z
}

#[derive(Clone, Copy, Debug)]
enum Method {
    EulerMaruyama,
    Heun,
}

/// Paths from `x0` to t = 1 with the finest noise `z` (a column is one step), `coarsen` of whose steps
/// are added up into one.
fn paths(
    method: Method,
    coefficients: impl Fn(f64, &[f64], &mut [f64], &mut [f64]),
    x0: f64,
    n: usize,
    z: &[f64],
    coarsen: usize,
) -> Vec<f64> {
    let steps = z.len() / n / coarsen;
    let dt = 1.0 / steps as f64;
    let (mut x, mut sde) = (vec![x0; n], Sde::default());
    for i in 0..steps {
        let mut noise = vec![0.0; n];
        for column in z[i * coarsen * n..][..coarsen * n].chunks(n) {
            noise.iter_mut().zip(column).for_each(|(sum, z)| *sum += z / (coarsen as f64).sqrt());
        }
        let t = i as f64 * dt;
        match method {
            Method::EulerMaruyama => sde.euler_maruyama(&coefficients, t, dt, &mut x, &noise),
            Method::Heun => sde.heun(&coefficients, t, dt, &mut x, &noise),
        }
    }
    x
}

const N: usize = 4000;
const FINEST: usize = 256;
const COARSEN: [usize; 5] = [4, 8, 16, 32, 64];

/// The observed strong order E|X - exact| ~ dt^order, each path against `exact` of its own noise.
fn strong_order(
    method: Method,
    coefficients: impl Fn(f64, &[f64], &mut [f64], &mut [f64]),
    exact: impl Fn(&[f64]) -> Vec<f64>,
) -> f64 {
    let z = normal(1, N * FINEST);
    let exact = exact(&z);
    let errors = COARSEN.map(|coarsen| {
        let x = paths(method, &coefficients, 1.0, N, &z, coarsen);
        x.iter().zip(&exact).map(|(x, e)| (x - e).abs()).sum::<f64>() / N as f64
    });
    observed_order(&COARSEN.map(|c| c as f64), &errors)
}

const MU: f64 = 0.3;
const SIGMA: f64 = 0.5;

/// dX = mu X dt + sigma X dW.
fn geometric_brownian_motion(_: f64, x: &[f64], f: &mut [f64], g: &mut [f64]) {
    for i in 0..x.len() {
        (f[i], g[i]) = (MU * x[i], SIGMA * x[i]);
    }
}

/// X(1) = exp(rate + sigma W(1)).
fn geometric_exact(rate: f64) -> impl Fn(&[f64]) -> Vec<f64> {
    move |z| {
        let mut w = vec![0.0; N];
        for column in z.chunks(N) {
            w.iter_mut().zip(column).for_each(|(w, z)| *w += z / (FINEST as f64).sqrt());
        }
        w.iter().map(|w| f64::exp(rate + SIGMA * w)).collect()
    }
}

/// dX = -2 X dt + dW.
fn ornstein_uhlenbeck(_: f64, x: &[f64], f: &mut [f64], g: &mut [f64]) {
    for i in 0..x.len() {
        (f[i], g[i]) = (-2.0 * x[i], 1.0);
    }
}

#[test]
fn one_step_is_the_one_done_by_hand() {
    // dX = -X dt + t X dW from X(2) = 3 with dt = 1/4 and z = 1: dW = 1/2.
    let coefficients = |t: f64, x: &[f64], f: &mut [f64], g: &mut [f64]| (f[0], g[0]) = (-x[0], t * x[0]);
    let mut x = [3.0];
    Sde::default().euler_maruyama(coefficients, 2.0, 0.25, &mut x, &[1.0]);
    // 3 - 3/4 + 6/2.
    assert_eq!(x, [5.25]);
    let mut x = [3.0];
    Sde::default().heun(coefficients, 2.0, 0.25, &mut x, &[1.0]);
    // 3 + (-3 - 5.25)/2 / 4 + (6 + 2.25 * 5.25)/2 / 2.
    assert_eq!(x, [3.0 - 1.03125 + 4.453125]);
}

#[test]
fn euler_maruyama_has_strong_order_one_half() {
    let rate = MU - 0.5 * SIGMA * SIGMA;
    let order = strong_order(Method::EulerMaruyama, geometric_brownian_motion, geometric_exact(rate));
    assert!((order - 0.5).abs() < 0.1, "{order}");
}

#[test]
fn heun_solves_the_stratonovich_equation_with_strong_order_one() {
    let order = strong_order(Method::Heun, geometric_brownian_motion, geometric_exact(MU));
    assert!((order - 1.0).abs() < 0.1, "{order}");
}

#[test]
fn additive_noise_has_strong_order_one() {
    // The reference is the same method on the finest noise.
    for method in [Method::EulerMaruyama, Method::Heun] {
        let reference = |z: &[f64]| paths(Method::Heun, ornstein_uhlenbeck, 1.0, N, z, 1);
        let order = strong_order(method, ornstein_uhlenbeck, reference);
        assert!((order - 1.0).abs() < 0.2, "{method:?}: {order}");
    }
}

/// Mean and variance at t = 1, in exact arithmetic over the noise: both methods map X to a X + b z, so
/// that two paths (z = 0, from 1 and from 0) and one unit of noise in each step tell a and b.
fn moments(method: Method, steps: usize) -> (f64, f64) {
    let dt = 1.0 / steps as f64;
    let step = |x: f64, z: f64| {
        let mut x = [x];
        match method {
            Method::EulerMaruyama => Sde::default().euler_maruyama(ornstein_uhlenbeck, 0.0, dt, &mut x, &[z]),
            Method::Heun => Sde::default().heun(ornstein_uhlenbeck, 0.0, dt, &mut x, &[z]),
        }
        x[0]
    };
    let (a, b) = (step(1.0, 0.0), step(0.0, 1.0));
    (0..steps).fold((1.0, 0.0), |(mean, variance), _| (a * mean, a * a * variance + b * b))
}

#[test]
fn weak_orders_are_one_and_two() {
    // X(1) has mean e^-2 and variance (1 - e^-4) / 4.
    let (mean, variance) = ((-2.0f64).exp(), (1.0 - (-4.0f64).exp()) / 4.0);
    let steps = [32, 64, 128, 256];
    let dt = steps.map(|n| 1.0 / n as f64);
    for (method, want) in [(Method::EulerMaruyama, 1.0), (Method::Heun, 2.0)] {
        let of_mean = observed_order(&dt, &steps.map(|n| (moments(method, n).0 - mean).abs()));
        let of_variance = observed_order(&dt, &steps.map(|n| (moments(method, n).1 - variance).abs()));
        assert!((of_mean - want).abs() < 0.2, "{method:?}: mean {of_mean}");
        assert!((of_variance - want).abs() < 0.2, "{method:?}: variance {of_variance}");
    }
}

#[test]
fn sampled_moments_are_those_of_the_law() {
    let z = normal(2, N * 64);
    let x = paths(Method::Heun, ornstein_uhlenbeck, 1.0, N, &z, 1);
    let mean = x.iter().sum::<f64>() / N as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (N - 1) as f64;
    let exact = (1.0 - (-4.0f64).exp()) / 4.0;
    // Within 4 standard errors.
    assert!((mean - (-2.0f64).exp()).abs() < 4.0 * (exact / N as f64).sqrt(), "{mean}");
    assert!((variance - exact).abs() < 4.0 * exact * (2.0 / N as f64).sqrt(), "{variance}");
    let geometric = paths(Method::EulerMaruyama, geometric_brownian_motion, 1.0, N, &z, 1);
    let mean = geometric.iter().sum::<f64>() / N as f64;
    // E X = e^mu, Var X = e^(2 mu) (e^(sigma^2) - 1).
    let deviation = MU.exp() * ((SIGMA * SIGMA).exp() - 1.0).sqrt();
    assert!((mean - MU.exp()).abs() < 4.0 * deviation / (N as f64).sqrt() + 2e-3, "{mean}");
}

#[test]
#[should_panic(expected = "a state of 2 numbers was given 1 numbers of noise")]
fn noise_must_be_as_long_as_the_state() {
    Sde::default().heun(ornstein_uhlenbeck, 0.0, 0.1, &mut [0.0; 2], &[0.0]);
}
