//! Clipping by the global norm.

use super::PART;
use crate::{Real, parallel, simd_fn};

/// Clips `gradient` to the Euclidean norm `limit` (Pascanu, Mikolov and Bengio 2013), g *= min(1, limit / |g|),
/// and returns the norm before. If the norm is not finite the gradient is left unchanged.
pub fn clip_by_norm<T: Real>(gradient: &mut [T], limit: f64) -> f64 {
    let norm = parallel::sum(gradient.len(), PART, |r| sum_of_squares(&gradient[r])).sqrt();
    if norm > limit && norm.is_finite() {
        let factor = T::of(limit / norm);
        parallel::for_chunks(gradient, PART, |_, g| g.iter_mut().for_each(|g| *g *= factor));
    }
    norm
}

simd_fn! {
    /// Eight running sums in f64, folded in order.
    fn sum_of_squares<T: Real>(x: &[T]) -> f64 {
        let mut sums = [0.0_f64; 8];
        let (blocks, rest) = x.as_chunks::<8>();
        for x in blocks {
            for l in 0..8 {
                sums[l] += x[l].f64() * x[l].f64();
            }
        }
        for (x, sum) in rest.iter().zip(&mut sums) {
            *sum += x.f64() * x.f64();
        }
        sums.iter().fold(0.0, |total, sum| total + sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_of_all_numbers() {
        for n in [0, 1, 7, 8, 9, PART, PART + 1, 3 * PART + 13] {
            let mut g: Vec<f64> = (0..n).map(|k| f64::from(k as u32).sin()).collect();
            let want = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            let got = clip_by_norm(&mut g, f64::INFINITY);
            assert!((got - want).abs() <= 1e-13 * want, "{n}: {got}, not {want}");
        }
    }

    #[test]
    fn a_long_gradient_is_shortened_and_a_short_one_kept() {
        let mut g = [3.0, 4.0];
        assert_eq!(clip_by_norm(&mut g, 1.0), 5.0);
        assert!((g[0] - 0.6).abs() < 1e-15 && (g[1] - 0.8).abs() < 1e-15);
        assert!((clip_by_norm(&mut g, 2.0) - 1.0).abs() < 1e-15);
        assert!((g[0] - 0.6).abs() < 1e-15);
        assert!(clip_by_norm(&mut [f64::NAN], 1.0).is_nan());
    }
}
