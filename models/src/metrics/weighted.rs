//! Means over weighted samples, and over states of Markov chains, with standard errors.

use std::collections::HashMap;

/// Samples with weights.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    /// Weights, whose sum is 1.
    pub weights: &'a [f64],
    /// Markov chains that the samples are of, in turn: sample k is of chain k modulo this. None for independent samples.
    pub chains: Option<usize>,
    /// A factor of the errors, for samples that are not quite independent.
    pub inflation: f64,
}

impl Weighted<'_> {
    /// The mean of a figure f of the samples with its standard error; samples of weight 0, and those whose figure is not
    /// finite, do not count.
    pub fn mean(&self, f: &[f64]) -> (f64, f64) {
        let counts = |w: f64, f: f64| w > 0.0 && f.is_finite();
        let inside = || self.weights.iter().zip(f).filter(|(w, f)| counts(**w, **f));
        let total: f64 = inside().map(|(w, _)| w).sum();
        let value = inside().map(|(w, f)| w * f).sum::<f64>() / total;
        let influence = |(w, f): (&f64, &f64)| if counts(*w, *f) { (f - value) / total } else { 0.0 };
        let influence: Vec<f64> = self.weights.iter().zip(f).map(influence).collect();
        (value, self.error(&influence))
    }

    /// log of the ratio of the masses of two regions, of which `a` and `b` tell the samples (1 inside, 0 outside), with
    /// its standard error by the delta method: the influence of a sample is a / P(a) - b / P(b).
    pub fn log_ratio(&self, a: &[f64], b: &[f64]) -> (f64, f64) {
        let mass = |of: &[f64]| self.weights.iter().zip(of).map(|(w, inside)| w * inside).sum::<f64>();
        let (of_a, of_b) = (mass(a), mass(b));
        let influence: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / of_a - b / of_b).collect();
        ((of_a / of_b).ln(), self.error(&influence))
    }

    /// The standard error of a sum of weights times influences, whose expectation is 0.
    fn error(&self, influence: &[f64]) -> f64 {
        let terms: Vec<f64> = self.weights.iter().zip(influence).map(|(w, i)| w * i).collect();
        let independent = terms.iter().map(|t| t * t).sum::<f64>().sqrt();
        let error = match self.chains.filter(|c| *c > 1 && *c < terms.len()) {
            None => independent,
            Some(chains) => error_of_sum(&terms, |i| i % chains).max(independent),
        };
        self.inflation * error
    }
}

/// The standard error of a sum of terms, whose expectation is 0, from the sums T_c over groups c = 1..m that are
/// independent of each other: sqrt(m / (m - 1) sum_c T_c^2), NaN for less than two groups. `group` names that of a term.
pub(crate) fn error_of_sum(terms: &[f64], group: impl Fn(usize) -> usize) -> f64 {
    let mut places = HashMap::new();
    let mut sums: Vec<f64> = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let place = *places.entry(group(i)).or_insert(sums.len());
        if place == sums.len() {
            sums.push(0.0);
        }
        sums[place] += term;
    }
    let m = sums.len() as f64;
    let small = if m > 1.0 { m / (m - 1.0) } else { f64::NAN };
    (small * sums.iter().map(|s| s * s).sum::<f64>()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::sd;
    use engine::rng::Stream;

    fn equal(n: usize) -> Vec<f64> {
        vec![1.0 / n as f64; n]
    }

    #[test]
    fn errors_cover_the_truth_as_often_as_they_should() {
        // Importance sampling of N(0, 1) from N(0, 1.5^2): E x^2 = 1 and P(x > 1) / P(x < 0) = 0.158655 / 0.5.
        let (mut within, runs) = ([0; 2], 400);
        for run in 0..runs {
            let mut x = vec![0.0_f64; 500];
            Stream::new(run, "weighted", 0, 0).fill_normal(&mut x);
            x.iter_mut().for_each(|x| *x *= 1.5);
            let w: Vec<f64> = x.iter().map(|x| (-0.5 * x * x + 0.5 * x * x / 2.25).exp()).collect();
            let total: f64 = w.iter().sum();
            let weights: Vec<f64> = w.iter().map(|w| w / total).collect();
            let all = Weighted { weights: &weights, chains: None, inflation: 1.0 };
            let (value, error) = all.mean(&x.iter().map(|x| x * x).collect::<Vec<_>>());
            within[0] += usize::from((value - 1.0).abs() < 2.0 * error);
            let region =
                |f: fn(f64) -> bool| x.iter().map(|x| f64::from(u8::from(f(*x)))).collect::<Vec<_>>();
            let (value, error) = all.log_ratio(&region(|x| x > 1.0), &region(|x| x < 0.0));
            within[1] += usize::from((value - (0.158_655_f64 / 0.5).ln()).abs() < 2.0 * error);
        }
        // 95 % of 400, with five standard deviations of 4.4; the errors of 500 samples are a little small.
        assert!(within.iter().all(|w| (350..=400).contains(w)), "{within:?}");
    }

    #[test]
    fn chains_that_stay_where_they_are_have_the_error_of_their_number() {
        // Ten chains, each with one value: the error is that of ten numbers.
        let f: Vec<f64> = (0..1000).map(|k| f64::from(k % 10)).collect();
        let weights = equal(1000);
        let of = |chains| Weighted { weights: &weights, chains, inflation: 1.0 }.mean(&f);
        let (value, error) = of(Some(10));
        assert!((value - 4.5).abs() < 1e-12 && (error - sd(&f[..10]) / 10f64.sqrt()).abs() < 1e-12);
        assert!(of(None).1 < 0.2 * error);
    }

    #[test]
    fn what_has_no_weight_or_no_figure_does_not_count() {
        let weights = [0.0, 0.25, 0.75, 0.0];
        let all = Weighted { weights: &weights, chains: None, inflation: 1.0 };
        assert_eq!(all.mean(&[f64::NAN, 1.0, 1.0, 7.0]), (1.0, 0.0));
        assert_eq!(all.mean(&[0.0, f64::INFINITY, 2.0, 0.0]).0, 2.0);
        assert!((all.log_ratio(&[0.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 0.0]).0 - 3f64.ln()).abs() < 1e-12);
    }
}
