//! Diagnostics of importance weights w_i = exp(l_i), from the logarithms l_i, which may be -inf.

/// log sum_i exp(x_i), without overflow. -inf for no terms, NaN if any is NaN.
pub fn log_sum_exp(x: &[f64]) -> f64 {
    let top = largest(x);
    if top.is_infinite() || top.is_nan() {
        return top;
    }
    top + x.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
}

/// log (1/n) sum_i exp(x_i). -inf for no terms, NaN if any is NaN.
pub fn log_mean_exp(x: &[f64]) -> f64 {
    if x.is_empty() { f64::NEG_INFINITY } else { log_sum_exp(x) - (x.len() as f64).ln() }
}

/// The effective sample size of Kish (1965) as a share of the n samples, for w_i = exp(log_w_i),
///
/// ESS = (sum_i w_i)^2 / (n sum_i w_i^2), in [1/n, 1].
///
/// A constant added to every log-weight does not change it. NaN if there is no positive weight, or a
/// log-weight is NaN or +inf.
pub fn normalised_ess(log_w: &[f64]) -> f64 {
    normalised_ess_of(log_w.iter().copied())
}

/// The same of logarithms that are computed when they are asked for.
pub(crate) fn normalised_ess_of(log_w: impl Iterator<Item = f64> + Clone) -> f64 {
    let (top, count) = (log_w.clone().fold(f64::NEG_INFINITY, larger), log_w.clone().count());
    kish(log_w.map(|l| (l - top).exp()), count)
}

/// The same from weights themselves; 0 if no weight is positive.
pub fn effective_share(w: &[f64]) -> f64 {
    let share = kish(w.iter().copied(), w.len());
    if share.is_nan() { 0.0 } else { share }
}

/// (sum w)^2 / (n sum w^2); NaN if all weights are 0.
fn kish(w: impl Iterator<Item = f64>, n: usize) -> f64 {
    let (sum, squares) = w.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    sum * sum / (n as f64 * squares)
}

/// The estimate log (1/n) sum_i w_i of log Z and its standard error by the delta method,
///
/// se = sqrt(var(w) / n) / mean(w), var with n - 1 in the denominator.
///
/// With x_i from q and log_w_i = log p~(x_i) - log q(x_i), the mean of w_i estimates Z = integral of p~
/// without bias; its logarithm is low by about se^2 / 2. The error holds only for
/// [`pareto_k_hat`](super::pareto_k_hat) < 0.7: [`LogZ`](super::LogZ) keeps all three together. It is NaN for fewer than two samples or no positive
/// weight; both results are NaN if a log-weight is.
pub fn log_z(log_w: &[f64]) -> (f64, f64) {
    let n = log_w.len() as f64;
    let estimate = log_mean_exp(log_w);
    // w_i / mean(w), whose mean is 1.
    let variance = log_w.iter().map(|l| ((l - estimate).exp() - 1.0).powi(2)).sum::<f64>() / (n - 1.0);
    (estimate, (variance / n).sqrt())
}

/// The largest of some numbers; -inf for none, NaN if any is NaN.
pub(super) fn largest(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::NEG_INFINITY, larger)
}

/// The larger of two numbers, NaN if one is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;

    const NONE: f64 = f64::NEG_INFINITY;

    #[test]
    fn sums_and_means_in_logarithms() {
        let x = [1f64.ln(), 2f64.ln(), 5f64.ln(), NONE];
        assert!((log_sum_exp(&x) - 8f64.ln()).abs() < 1e-15);
        assert!((log_mean_exp(&x) - 2f64.ln()).abs() < 1e-15);
        assert_eq!(log_sum_exp(&[1000.0, 1000.0]), 1000.0 + 2f64.ln());
        assert_eq!(log_sum_exp(&[-1e5, NONE]), -1e5);
    }

    #[test]
    fn sums_of_nothing_and_of_everything() {
        assert_eq!(log_sum_exp(&[]), NONE);
        assert_eq!(log_mean_exp(&[]), NONE);
        assert_eq!(log_mean_exp(&[NONE, NONE]), NONE);
        assert_eq!(log_sum_exp(&[0.0, f64::INFINITY]), f64::INFINITY);
        assert!(log_sum_exp(&[NONE, f64::NAN]).is_nan());
        assert!(log_sum_exp(&[f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn effective_sample_sizes_worked_out_by_hand() {
        assert_eq!(normalised_ess(&[-700.0; 9]), 1.0);
        assert_eq!(normalised_ess(&[3.0, NONE, NONE, NONE]), 0.25);
        // Weights 1, 2, 3: 36 / (3 * 14).
        assert!((normalised_ess(&[0.0, 2f64.ln(), 3f64.ln()]) - 6.0 / 7.0).abs() < 1e-15);
    }

    #[test]
    fn effective_sample_sizes_without_meaning_are_nan() {
        for log_w in [&[][..], &[NONE, NONE], &[0.0, f64::NAN], &[0.0, f64::INFINITY]] {
            assert!(normalised_ess(log_w).is_nan(), "{log_w:?}");
        }
    }

    #[test]
    fn an_estimate_of_log_z_worked_out_by_hand() {
        // Weights 1 and 3: mean 2, variance 2, se = sqrt(2 / 2) / 2.
        let (estimate, error) = log_z(&[0.0, 3f64.ln()]);
        assert!((estimate - 2f64.ln()).abs() < 1e-15 && (error - 0.5).abs() < 1e-15);
        assert_eq!(log_z(&[-3.0; 4]), (-3.0, 0.0));
    }

    #[test]
    fn estimates_of_log_z_without_meaning_are_nan() {
        assert_eq!(log_z(&[2.0]).0, 2.0);
        assert!(log_z(&[2.0]).1.is_nan());
        assert!(log_z(&[]).1.is_nan());
        assert!(log_z(&[NONE; 3]).1.is_nan());
        assert!(log_z(&[0.0, f64::NAN]).0.is_nan());
    }

    #[test]
    fn gaussian_importance_sampling_agrees_with_its_closed_form() {
        // p~ = exp(-x^2 / 2), Z = sqrt(2 pi), from q = N(0, 2): E w^2 / Z^2 = 2 / sqrt(3), so that
        // ESS = sqrt(3) / 2 and n se^2 = 2 / sqrt(3) - 1.
        const N: usize = 100_000;
        let mut x = vec![0.0; N];
        Stream::new(5, "weights", 0, 0).fill_normal(&mut x);
        let log_q = |z: f64| -0.5 * z * z - 0.5 * (2.0 * std::f64::consts::TAU).ln();
        let log_w: Vec<f64> = x.iter().map(|z| -z * z - log_q(*z)).collect();
        let (estimate, error) = log_z(&log_w);
        let exact = (2.0 / 3f64.sqrt() - 1.0) / N as f64;
        assert!((error / exact.sqrt() - 1.0).abs() < 0.01, "{error}");
        assert!((estimate - 0.5 * std::f64::consts::TAU.ln()).abs() < 4.0 * error, "{estimate}");
        assert!((normalised_ess(&log_w) - 0.75f64.sqrt()).abs() < 0.002);
    }
}
