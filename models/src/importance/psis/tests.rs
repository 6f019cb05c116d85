use engine::rng::Stream;

use super::*;

const NONE: f64 = f64::NEG_INFINITY;

/// Logarithms of n Pareto weights, P(w > t) = t^(-1/k): above any u their exceedances follow the
/// generalised law with shape k exactly.
fn pareto_draws(k: f64, n: usize, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, "pareto", 0, 0);
    (0..n).map(|_| -k * stream.uniform().ln()).collect()
}

#[test]
fn the_shape_of_exact_pareto_weights_is_recovered() {
    // The maximum-likelihood estimate has standard deviation (1 + k) / sqrt(M); M = 948.
    for k in [0.3, 0.7, 1.0] {
        let sd = (1.0 + k) / 948f64.sqrt();
        let estimates: Vec<f64> = (0..16).map(|s| pareto_k_hat(&pareto_draws(k, 100_000, s))).collect();
        assert!(estimates.iter().all(|e| (e - k).abs() < 4.0 * sd), "k {k}: {estimates:?}");
        let mean = estimates.iter().sum::<f64>() / 16.0;
        assert!((mean - k).abs() < 3.0 * sd / 4.0, "k {k}: mean {mean}");
        let spread = estimates.iter().map(|e| (e - k).powi(2)).sum::<f64>() / 16.0;
        assert!((0.5..1.5).contains(&(spread.sqrt() / sd)), "k {k}: spread {spread} against {sd}^2");
    }
}

#[test]
fn bounded_weights_have_a_negative_shape() {
    // 1 - w is uniform near 0: a uniform law is generalised Pareto with k = -1.
    let log_w: Vec<f64> = (0..100_000).map(|i| -(i as f64 + 0.5) / 100_000.0).collect();
    let k = pareto_k_hat(&log_w);
    assert!((k + 1.0).abs() < 0.05, "{k}");
}

#[test]
fn estimates_are_those_of_arviz() {
    // arviz-stats 0.8.0, `psislw` of the negated log-weights with r_eff = 1.
    let quantiles =
        |k: f64| -> Vec<f64> { (0..1000).map(|i| -k * ((f64::from(i) + 0.5) / 1000.0).ln()).collect() };
    let sines: Vec<f64> = (0..500).map(|i| 3.0 * f64::from(i).sin()).collect();
    for (log_w, k) in [
        (quantiles(0.7), 0.669_900_412_042_983_2),
        (quantiles(0.3), 0.323_419_613_511_096_16),
        (sines, -1.422_041_200_615_399_5),
    ] {
        let ours = pareto_k_hat(&log_w);
        assert!((ours - k).abs() < 1e-9, "{ours} against {k}");
    }
}

#[test]
fn smoothed_weights_are_those_of_arviz() {
    let raw: Vec<f64> = (0..1000).map(|i| -0.7 * ((f64::from(i) + 0.5) / 1000.0).ln()).collect();
    let (log_w, _) = pareto_smooth(&raw);
    assert!((log_w[0] - log_w[999] - 5.215_878_207_634_213).abs() < 1e-9, "{}", log_w[0] - log_w[999]);
}

#[test]
fn the_order_of_weights_and_all_below_the_tail_stay() {
    let raw = pareto_draws(0.8, 1000, 3);
    let (smooth, k) = pareto_smooth(&raw);
    assert_eq!(k, pareto_k_hat(&raw));
    let order = |x: &[f64]| {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
        order
    };
    let tail = 94;
    let by_size = order(&raw);
    assert_eq!(by_size[..1000 - tail], order(&smooth)[..1000 - tail]);
    assert!(by_size[..1000 - tail].iter().all(|&i| smooth[i] == raw[i]));
    assert!(by_size.windows(2).all(|p| smooth[p[0]] <= smooth[p[1]]));
    assert!(smooth.iter().all(|l| *l <= raw[by_size[999]]));
}

#[test]
fn smoothing_pulls_in_an_outlier() {
    let mut raw = pareto_draws(0.3, 1000, 4);
    raw[17] = 12.0;
    assert!(pareto_smooth(&raw).0[17] < 8.0);
}

#[test]
fn constant_weights_have_no_tail() {
    assert_eq!(pareto_k_hat(&[-3.0; 100]), NONE);
    assert_eq!(pareto_smooth(&[-3.0; 100]), (vec![-3.0; 100], NONE));
}

#[test]
fn a_tail_that_cannot_be_judged_is_nan() {
    let too_few = pareto_draws(0.3, 24, 1);
    assert!(pareto_k_hat(&too_few).is_nan());
    assert!(pareto_k_hat(&pareto_draws(0.3, 25, 1)).is_finite());
    assert_eq!(pareto_smooth(&too_few).0, too_few);
    assert!(pareto_k_hat(&[]).is_nan());
    // A single sample has all the weight.
    let mut log_w = vec![NONE; 1000];
    assert!(pareto_k_hat(&log_w).is_nan());
    log_w[3] = 0.0;
    assert!(pareto_k_hat(&log_w).is_nan());
    log_w[3] = f64::NAN;
    assert!(pareto_k_hat(&log_w).is_nan());
    assert!(pareto_k_hat(&[f64::INFINITY; 100]).is_nan());
}

#[test]
fn weights_that_underflow_have_a_hopeless_tail() {
    let log_w: Vec<f64> = (0..1000).map(|i| -30.0 * f64::from(i)).collect();
    let (smooth, k) = pareto_smooth(&log_w);
    assert!(k > 5.0 && k.is_finite(), "{k}");
    assert!(smooth.iter().all(|l| l.is_finite() || *l == NONE));
}

#[test]
fn zero_weights_below_the_tail_are_no_trouble() {
    let mut log_w = vec![NONE; 900];
    log_w.extend(pareto_draws(0.5, 100, 8));
    let k = pareto_k_hat(&log_w);
    assert!(k.is_finite(), "{k}");
    assert!(pareto_smooth(&log_w).0.iter().filter(|l| **l == NONE).count() == 900);
}

#[test]
fn a_proposal_that_is_too_narrow_has_the_shape_of_theory() {
    // p = N(0, 1), q = N(0, t^2): P(w > y) falls like y^(-1/k) with k = 1 - t^2, but for logarithms.
    let mut z = vec![0.0; 100_000];
    Stream::new(6, "narrow", 0, 0).fill_normal(&mut z);
    let k_hat = |variance: f64| {
        let log_w: Vec<f64> = z.iter().map(|z| 0.5 * z * z * (1.0 - variance)).collect();
        pareto_k_hat(&log_w)
    };
    assert!((k_hat(0.7) - 0.3).abs() < 0.12, "{}", k_hat(0.7));
    assert!((k_hat(0.3) - 0.7).abs() < 0.15, "{}", k_hat(0.3));
}
