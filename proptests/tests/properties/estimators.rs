//! The Monte Carlo estimates against the closed form: for a mixture, p_t and its score are known.

use engine::rng::Stream;
use models::sampler::iwsm::noised_score::Estimates;
use models::target::{Geometry, Mixture, Target};

/// Points from p_t at one noise level, with the exact log density and score there.
fn points(target: &Mixture, sigma: f64, n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let noised = target.noised(sigma);
    let mut x = vec![0.0; 2 * n];
    Target::<f64>::sample(&noised, &mut Stream::new(11, "points", 0, 0), &mut x);
    let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; 2 * n]);
    noised.evaluate(&x, &mut log_p, &mut score).unwrap();
    (x, log_p, score)
}

fn target() -> Mixture {
    let means = vec![-4.0, 0.0, 3.0, 2.0, 0.0, -5.0];
    Mixture::new(2, means, vec![1.0, 0.7, 1.5], vec![0.5, 0.2, 0.3]).unwrap()
}

#[test]
fn the_density_estimate_is_unbiased_at_every_noise_level() {
    const N: usize = 40;
    for sigma in [0.05, 0.5, 2.0, 10.0] {
        let (x, log_p, _) = points(&target(), sigma, N);
        for draws in [1, 7, 64] {
            let mut estimates = Estimates::new(Geometry::Euclidean(2));
            const REPEATS: u64 = 400;
            let mut ratios = Vec::new();
            for step in 0..REPEATS {
                estimates.run(&target(), &x, &[sigma; N], draws, (3, step)).unwrap();
                let mean =
                    (0..N).map(|i| (estimates.get(i).log_density - log_p[i]).exp()).sum::<f64>() / N as f64;
                ratios.push(mean);
            }
            let mean = ratios.iter().sum::<f64>() / REPEATS as f64;
            let var = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / REPEATS as f64;
            let se = (var / REPEATS as f64).sqrt();
            assert!((mean - 1.0).abs() < 5.0 * se + 1e-12, "sigma {sigma}, K {draws}: {mean} +- {se}");
        }
    }
}

/// Root mean square errors of the three score estimates: target, denoising, best mixture by level.
fn score_errors(sigma: f64, draws: usize) -> [f64; 3] {
    const N: usize = 300;
    let (x, _, score) = points(&target(), sigma, N);
    let mut estimates = Estimates::new(Geometry::Euclidean(2));
    estimates.run(&target(), &x, &[sigma; N], draws, (5, 0)).unwrap();
    let mut v = [0.0; 3];
    for i in 0..N {
        (0..3).for_each(|k| v[k] += estimates.get(i).covariance[k]);
    }
    let kappa = (v[2] - v[1]) / (v[0] - 2.0 * v[1] + v[2]);
    let mut squares = [0.0; 3];
    for i in 0..N {
        let e = estimates.get(i);
        for a in 0..2 {
            let want = score[2 * i + a];
            let mixed = kappa * e.target[a] + (1.0 - kappa) * e.denoising[a];
            for (s, got) in squares.iter_mut().zip([e.target[a], e.denoising[a], mixed]) {
                *s += (got - want).powi(2);
            }
        }
    }
    squares.map(|s| (s / N as f64).sqrt())
}

#[test]
fn score_errors_fall_as_one_over_the_root_of_the_draws() {
    for sigma in [0.3, 1.0, 4.0] {
        let (few, many) = (score_errors(sigma, 1000), score_errors(sigma, 100_000));
        for k in 0..3 {
            let ratio = few[k] / many[k];
            assert!((5.0..20.0).contains(&ratio), "sigma {sigma}, identity {k}: {few:?} to {many:?}");
        }
    }
}

#[test]
fn the_mixed_identity_is_the_best_at_every_noise_level() {
    for sigma in [0.05, 0.3, 1.0, 3.0, 10.0] {
        let [target, denoising, mixed] = score_errors(sigma, 500);
        assert!(mixed <= 1.05 * target.min(denoising), "sigma {sigma}: {target} {denoising} {mixed}");
    }
    // The target identity wins at little noise, the denoising identity at much.
    let (little, much) = (score_errors(0.05, 500), score_errors(10.0, 500));
    assert!(little[0] < 0.1 * little[1] && much[1] < 0.5 * much[0], "{little:?} {much:?}");
}

#[test]
fn for_one_gaussian_the_mixed_identity_has_no_variance() {
    // kappa = s^2 / (s^2 + sigma^2), and the score is exact from a single draw.
    let (s, sigma) = (1.5_f64, 2.0_f64);
    let gaussian = Mixture::new(2, vec![1.0, -1.0], vec![s], vec![1.0]).unwrap();
    let kappa = s * s / (s * s + sigma * sigma);
    let x = [4.0, 2.0];
    let mut estimates = Estimates::new(Geometry::Euclidean(2));
    estimates.run(&gaussian, &x, &[sigma], 1, (0, 0)).unwrap();
    let e = estimates.get(0);
    for a in 0..2 {
        let want = -(x[a] - [1.0, -1.0][a]) / (s * s + sigma * sigma);
        let got = kappa * e.target[a] + (1.0 - kappa) * e.denoising[a];
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
}

#[test]
fn weighted_draws_follow_the_target_whatever_the_number_of_draws() {
    // E[w f(x0)] / E[w] over a wide proposal is the target's mean of f = x, with K = 4 only.
    const N: usize = 4000;
    let t = target();
    let exact = 0.5 * -4.0 + 0.2 * 3.0;
    let mut estimates = Estimates::new(Geometry::Euclidean(2));
    let (mut weights, mut residuals) = (Vec::new(), Vec::new());
    for step in 0..40 {
        let mut x = vec![0.0_f64; 2 * N];
        Stream::new(1, "wide", step, 0).fill_normal(&mut x);
        x.iter_mut().for_each(|v| *v *= 6.0);
        estimates.run(&t, &x, &[1.0; N], 4, (9, step)).unwrap();
        for i in 0..N {
            let (e, r2) = (estimates.get(i), x[2 * i].powi(2) + x[2 * i + 1].powi(2));
            let w = (e.log_density + r2 / 72.0).exp();
            weights.push(w);
            residuals.push(w * (e.draw[0] - exact));
        }
    }
    let n = weights.len() as f64;
    let (w, r) = (weights.iter().sum::<f64>() / n, residuals.iter().sum::<f64>() / n);
    let variance = residuals.iter().map(|v| (v - r).powi(2)).sum::<f64>() / n;
    let (error, se) = (r / w, (variance / n).sqrt() / w);
    assert!(error.abs() < 5.0 * se && se < 0.05, "{error} +- {se}");
}

#[test]
fn estimates_have_the_same_bits_for_any_number_of_threads() {
    let (x, _, _) = points(&target(), 1.0, 100);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut e = Estimates::new(Geometry::Euclidean(2));
            e.run(&target(), &x, &[1.0; 100], 130, (0, 7)).unwrap();
            (0..100).map(|i| (e.get(i).log_density.to_bits(), e.get(i).draw[0].to_bits())).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn a_point_out_of_reach_of_the_target_carries_no_information() {
    let t = Mixture::new(2, vec![0.0, 0.0], vec![1e-3], vec![1.0]).unwrap();
    let mut e = Estimates::<f32>::new(Geometry::Euclidean(2));
    e.run(&t, &[1e30, 0.0], &[1.0], 16, (0, 0)).unwrap();
    assert_eq!(e.get(0).log_density, f32::NEG_INFINITY);
    assert!(e.get(0).target.iter().all(|v| *v == 0.0));
}
