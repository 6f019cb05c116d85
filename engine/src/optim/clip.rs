//! Clipping by the global norm.

use crate::{Real, parallel};

/// Clips `gradient` to the Euclidean norm `limit` (Pascanu, Mikolov and Bengio 2013), g *= min(1, limit / |g|),
/// and returns the norm before. If the norm is not finite the gradient is left unchanged.
pub fn clip_by_norm<T: Real>(gradient: &mut [T], limit: f64) -> f64 {
    let norm = parallel::sum(gradient.len(), parallel::CHUNK, |r| {
        gradient[r].iter().map(|g| g.f64() * g.f64()).sum()
    })
    .sqrt();
    if norm > limit && norm.is_finite() {
        let factor = T::of(limit / norm);
        parallel::for_chunks(gradient, parallel::CHUNK, |_, g| g.iter_mut().for_each(|g| *g *= factor));
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

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
