//! Stochastic differential equations dX = f(X, t) dt + g(t) dW by the method of Euler and Maruyama
//! (Maruyama 1955): X += f h + g sqrt(|h|) z, z standard Gaussian. Weak order 1; strong order 1 for
//! this additive noise.

use crate::{Real, simd_fn};

/// One step of length `h` (negative backwards in time): `x` moves along `drift` and gets noise of
/// standard deviation `diffusion * sqrt(|h|)` from the standard Gaussians `z`.
pub fn euler_maruyama<T: Real>(x: &mut [T], drift: &[T], diffusion: f64, h: f64, z: &[T]) {
    assert!(drift.len() == x.len() && z.len() == x.len(), "drift and noise have the length of the state");
    advance(T::of(h), T::of(diffusion * h.abs().sqrt()), drift, z, x);
}

simd_fn! {
    fn advance<T: Real>(h: T, noise: T, drift: &[T], z: &[T], x: &mut [T]) {
        for ((f, z), x) in drift.iter().zip(z).zip(x) {
            *x = h.mul_add(*f, noise.mul_add(*z, *x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// dX = -X dt + sqrt(2) dW from X = 1: mean e^-t, variance 1 - e^-2t. Returns their errors at t = 1.
    fn ornstein_uhlenbeck(steps: usize) -> (f64, f64) {
        const N: usize = 200_000;
        let (mut x, mut z) = (vec![1.0_f64; N], vec![0.0; N]);
        for i in 0..steps {
            let drift: Vec<f64> = x.iter().map(|x| -x).collect();
            Stream::new(1, "ou", i as u64, steps as u64).fill_normal(&mut z);
            euler_maruyama(&mut x, &drift, 2f64.sqrt(), 1.0 / steps as f64, &z);
        }
        let mean = x.iter().sum::<f64>() / N as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / N as f64;
        (mean - (-1f64).exp(), variance - (1.0 - (-2f64).exp()))
    }

    #[test]
    fn weak_errors_fall_with_the_first_power_of_the_step() {
        // The scheme's own mean is (1 - h)^n; its bias at h = 1/4 and 1/8 is -0.051 and -0.024.
        let (coarse, fine) = (ornstein_uhlenbeck(4), ornstein_uhlenbeck(8));
        // Five standard errors of a mean over 200 000 paths are 0.011.
        assert!((coarse.0 - (0.75f64.powi(4) - (-1f64).exp())).abs() < 0.011, "{coarse:?}");
        assert!((fine.0 - (0.875f64.powi(8) - (-1f64).exp())).abs() < 0.011, "{fine:?}");
        let ratio = coarse.1 / fine.1;
        assert!((1.5..3.0).contains(&ratio), "variance errors {coarse:?} {fine:?}");
    }
}
