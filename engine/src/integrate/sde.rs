//! Steps of stochastic differential equations with diagonal noise.
//!
//! ```text
//! dX = f(t, X) dt + g(t, X) dW
//! ```
//!
//! elementwise in g. The caller gives standard normal numbers z, so that noise stays a pure function
//! of its coordinates; dW = sqrt|dt| z. Time may run backward (dt < 0).

use crate::{Real, simd_fn};

/// Steps of a stochastic equation; keeps its workspace from call to call.
///
/// A coefficient closure `(t, x, f, g)` fills drift `f` and diffusion `g`.
#[derive(Clone, Debug, Default)]
pub struct Sde<T> {
    drift: [Vec<T>; 2],
    diffusion: [Vec<T>; 2],
    predicted: Vec<T>,
}

impl<T: Real> Sde<T> {
    /// One Euler-Maruyama step of the Ito equation:
    ///
    /// ```text
    /// X <- X + f dt + g dW
    /// ```
    ///
    /// Strong order 1/2 (1 if g does not depend on X), weak order 1. Maruyama 1955; Kloeden and Platen,
    /// *Numerical solution of stochastic differential equations* (1992), 10.2.
    pub fn euler_maruyama(
        &mut self,
        mut coefficients: impl FnMut(f64, &[T], &mut [T], &mut [T]),
        t: f64,
        dt: f64,
        x: &mut [T],
        z: &[T],
    ) {
        self.resize(x.len(), z.len());
        let ([f, _], [g, _]) = (&mut self.drift, &mut self.diffusion);
        coefficients(t, x, f, g);
        advance(T::of(dt), T::of(dt.abs().sqrt()), f, g, z, x);
    }

    /// One step of the stochastic Heun method:
    ///
    /// ```text
    /// X' = X + f dt + g dW,      X <- X + (f + f') / 2 dt + (g + g') / 2 dW
    /// ```
    ///
    /// where f', g' are taken at (t + dt, X'). If g does not depend on X it has strong order 1 and weak
    /// order 2; otherwise it solves the **Stratonovich** equation, with strong order 1 for diagonal
    /// noise whose components act on themselves alone. Ruemelin, SIAM J. Numer. Anal. 19 (1982) 604;
    /// Kloeden and Platen 15.1.
    pub fn heun(
        &mut self,
        mut coefficients: impl FnMut(f64, &[T], &mut [T], &mut [T]),
        t: f64,
        dt: f64,
        x: &mut [T],
        z: &[T],
    ) {
        self.resize(x.len(), z.len());
        self.predicted.resize(x.len(), T::ZERO);
        let (h, root) = (T::of(dt), T::of(dt.abs().sqrt()));
        let ([f, f_next], [g, g_next]) = (&mut self.drift, &mut self.diffusion);
        coefficients(t, x, f, g);
        self.predicted.copy_from_slice(x);
        advance(h, root, f, g, z, &mut self.predicted);
        coefficients(t + dt, &self.predicted, f_next, g_next);
        add_half(f_next, f);
        add_half(g_next, g);
        advance(h, root, f, g, z, x);
    }

    fn resize(&mut self, len: usize, noise: usize) {
        assert_eq!(noise, len, "a state of {len} numbers was given {noise} numbers of noise");
        self.drift.iter_mut().chain(&mut self.diffusion).for_each(|v| v.resize(len, T::ZERO));
    }
}

simd_fn! {
    /// x += f dt + g sqrt(dt) z.
    fn advance<T: Real>(dt: T, root: T, f: &[T], g: &[T], z: &[T], x: &mut [T]) {
        for (((f, g), z), x) in f.iter().zip(g).zip(z).zip(x) {
            *x += dt.mul_add(*f, root * *g * *z);
        }
    }

    /// b = (a + b) / 2.
    fn add_half<T: Real>(a: &[T], b: &mut [T]) {
        for (a, b) in a.iter().zip(b) {
            *b = T::HALF * (*a + *b);
        }
    }
}
