//! The mixture's kernels against a plain reference, finite differences and each other.

use engine::rng::Stream;
use models::target::{Mixture, Target};
use proptest::prelude::*;

use crate::cases::cases;

/// log pi and score, term by term.
fn reference(m: &Mixture, d: usize, x: &[f64]) -> (f64, Vec<f64>) {
    let q: Vec<f64> = (0..m.components())
        .map(|j| {
            let s2 = m.scales()[j].powi(2);
            let r2: f64 = x.iter().zip(&m.means()[j * d..]).map(|(x, m)| (x - m).powi(2)).sum();
            m.weights()[j].ln() - 0.5 * r2 / s2 - 0.5 * d as f64 * (std::f64::consts::TAU * s2).ln()
        })
        .collect();
    let max = q.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = q.iter().map(|q| (q - max).exp()).sum();
    let log_p = max + total.ln();
    let score = (0..d)
        .map(|a| {
            let pull =
                |j: usize| (q[j] - log_p).exp() * (m.means()[j * d + a] - x[a]) / m.scales()[j].powi(2);
            (0..m.components()).map(pull).sum()
        })
        .collect();
    (log_p, score)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn kernels_agree_with_the_reference(d in 1_usize..6, components in 1_usize..9, n in 0_usize..200, seed in 0_u64..1000) {
        let m = Mixture::random(components, d, 5.0, 0.8, true, seed).unwrap();
        let mut x = vec![0.0_f64; n * d];
        Stream::new(seed, "x", 0, 0).fill_normal(&mut x);
        x.iter_mut().for_each(|x| *x *= 4.0);
        let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; n * d]);
        m.evaluate(&x, &mut log_p, &mut score).unwrap();
        let single: Vec<f32> = x.iter().map(|x| *x as f32).collect();
        let (mut log_p32, mut score32) = (vec![0.0; n], vec![0.0; n * d]);
        m.evaluate(&single, &mut log_p32, &mut score32).unwrap();
        for i in 0..n {
            let (want, want_score) = reference(&m, d, &x[i * d..(i + 1) * d]);
            prop_assert!((log_p[i] - want).abs() < 1e-11 * want.abs().max(1.0), "{} {want}", log_p[i]);
            prop_assert!((f64::from(log_p32[i]) - want).abs() < 1e-4 * want.abs().max(1.0));
            for a in 0..d {
                prop_assert!((score[i * d + a] - want_score[a]).abs() < 1e-10 * want_score[a].abs().max(1.0));
                // Rounding of x moves a point that lies between two modes across their border.
                prop_assert!((f64::from(score32[i * d + a]) - want_score[a]).abs() < 2e-2 * want_score[a].abs().max(1.0));
            }
        }
    }

    #[test]
    fn the_score_is_the_gradient(d in 1_usize..5, seed in 0_u64..1000) {
        let m = Mixture::random(6, d, 3.0, 1.0, true, seed).unwrap();
        let mut x = vec![0.0_f64; d];
        Stream::new(seed, "x", 1, 0).fill_normal(&mut x);
        let at = |x: &[f64]| { let mut l = [0.0]; m.evaluate(x, &mut l, &mut []).unwrap(); l[0] };
        let mut score = vec![0.0; d];
        m.evaluate(&x, &mut [0.0], &mut score).unwrap();
        for a in 0..d {
            let h = 1e-5;
            let (mut up, mut down) = (x.clone(), x.clone());
            (up[a], down[a]) = (x[a] + h, x[a] - h);
            let numeric = (at(&up) - at(&down)) / (2.0 * h);
            prop_assert!((numeric - score[a]).abs() < 1e-6 * score[a].abs().max(1.0), "{numeric} {}", score[a]);
        }
    }
}
