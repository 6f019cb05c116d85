//! Whether two networks differ by more than chance, from their figures on the same splits.
//!
//! Both tests are lenient here: settings were searched for the network with aggregation, not for the one without.

use engine::rng::Stream;
use models::metrics::{mean, sd};

/// Numbers up to which all sign patterns are counted.
const EXACT: usize = 20;
/// Patterns that are drawn beyond.
const FLIPS: u32 = 100_000;

/// The probability of a mean of `gains` as far from 0 by chance, for splits of one graph: Student's t with the
/// variance that overlapping training parts want, (1/n + tested/trained) times that of the gains (Nadeau and Bengio
/// 2003). 1 where there are fewer than two gains, or all are 0.
pub(super) fn resampled(gains: &[f64], tested_to_trained: f64) -> f64 {
    if gains.len() < 2 || gains.iter().all(|g| *g == 0.0) {
        return 1.0;
    }
    let t = mean(gains) / (sd(gains) * (1.0 / gains.len() as f64 + tested_to_trained).sqrt());
    student(t.abs(), gains.len() - 1)
}

/// The probability that Student's t of so many degrees of freedom is farther from 0 than `t`: the finite sums of
/// Abramowitz and Stegun 26.7.3 and 26.7.4.
fn student(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    // Terms cos^k of even k, or of odd k, up to freedom - 2, each from the one before.
    let (mut term, mut sum) = (if odd { cos } else { 1.0 }, 0.0);
    let first = if odd { 1 } else { 0 };
    for k in (first..freedom.saturating_sub(1)).step_by(2) {
        sum += term;
        term *= cos * cos * (k + 1) as f64 / (k + 2) as f64;
    }
    let within = if odd { (angle + sin * sum) * std::f64::consts::FRAC_2_PI } else { sin * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

/// p-values of several questions that are asked at once, so that each is right for all of them together (Holm 1979).
pub(super) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut adjusted, mut least) = (vec![1.0; p.len()], 0.0_f64);
    for (rank, k) in order.into_iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[k]).min(1.0));
        adjusted[k] = least;
    }
    adjusted
}

/// The share of sign patterns of `gains` whose mean is at least as far from 0 as that of `gains`: exact up to 20
/// numbers; beyond, an estimate that is never 0, (1 + as far) / (1 + drawn), from 100 000 patterns drawn with a
/// fixed seed. It takes the splits for independent, which they are not.
pub(super) fn sign_flip(gains: &[f64]) -> f64 {
    let total: f64 = gains.iter().sum();
    let as_far = |sum: f64| sum.abs() >= total.abs() - 1e-12;
    if gains.len() <= EXACT {
        let patterns = 1_u32 << gains.len();
        let count = (0..patterns).filter(|p| as_far(flipped(gains, u64::from(*p)))).count();
        return count as f64 / f64::from(patterns);
    }
    let mut stream = Stream::new(0, "sign flip", 0, 0);
    let mut drawn = || gains.chunks(64).map(|part| flipped(part, stream.next_u64())).sum::<f64>();
    let count = (0..FLIPS).filter(|_| as_far(drawn())).count();
    (1 + count) as f64 / f64::from(1 + FLIPS)
}

/// The sum of `gains`, those whose bit in `pattern` is set with the other sign.
fn flipped(gains: &[f64], pattern: u64) -> f64 {
    gains.iter().enumerate().map(|(k, g)| if pattern >> k & 1 == 1 { -g } else { *g }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_flip_test_counts_patterns() {
        assert_eq!(sign_flip(&[1.0; 10]), 2.0 / 1024.0);
        assert_eq!(sign_flip(&[1.0, -1.0]), 1.0);
        assert_eq!(sign_flip(&[2.0, 1.0]), 0.5);
    }

    #[test]
    fn many_splits_are_tested_by_drawn_patterns() {
        assert_eq!(sign_flip(&[1.0; 100]), 1.0 / 100_001.0);
        assert_eq!(sign_flip(&[[1.0; 50], [-1.0; 50]].concat()), 1.0);
        // The drawn share is near the exact one: zeros change no sum.
        let few: Vec<f64> = (0..12).map(|k| f64::from(k) - 3.0).collect();
        let many = [&few[..], &[0.0; 60]].concat();
        assert!((sign_flip(&few) - sign_flip(&many)).abs() < 0.01);
        assert_eq!(sign_flip(&many), sign_flip(&many));
    }

    #[test]
    fn quantiles_of_student() {
        // Two-sided 5 % points from printed tables: half a unit of the last digit is 6e-5 of probability or less.
        for (freedom, t) in [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042)] {
            assert!((student(t, freedom) - 0.05).abs() < 6e-5, "{freedom}: {}", student(t, freedom));
            assert_eq!(student(0.0, freedom), 1.0);
        }
    }

    #[test]
    fn overlapping_splits_tell_less() {
        let gains = [0.02, 0.01, 0.03, 0.0, 0.02, 0.01, 0.04, -0.01, 0.02, 0.01];
        // Without overlap it is the paired t-test: t = 0.015 / (0.0143372 / sqrt(10)) = 3.3085.
        assert!((resampled(&gains, 0.0) - student(3.308_5, 9)).abs() < 1e-5);
        assert!(resampled(&gains, 20.0 / 48.0) > 5.0 * resampled(&gains, 0.0));
        assert_eq!((resampled(&[0.1], 0.4), resampled(&[0.0; 4], 0.4)), (1.0, 1.0));
        assert!(resampled(&[0.5; 4], 0.4) < 1e-12);
    }

    #[test]
    fn holm_by_hand() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
