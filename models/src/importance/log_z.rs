//! log Z from importance weights, with what may be said of its error.

use std::fmt::{self, Display};

use super::{log_z, pareto_k_hat};

/// The largest k-hat at which a standard error of the mean of weights means anything (Vehtari, Simpson, Gelman, Yao
/// and Gabry, JMLR 25, 2024).
pub const K_HAT: f64 = 0.7;

/// The estimate log (1/n) sum_i w_i of log Z.
///
/// The mean of the weights estimates Z without bias, Z = E[Z-hat]. By Jensen's inequality
///
/// E[log Z-hat] <= log E[Z-hat] = log Z:
///
/// the estimate is a lower bound in expectation. How far below it lies is told by the standard error, se^2 / 2 to
/// leading order, if the weights have a variance that the draws show. Where their tail is heavy (k-hat of 0.7 and
/// more, or one that cannot be judged) the largest weights have not been drawn, the standard error is one of the
/// weights that have (with all of the sum in one weight it is 1, wherever log Z lies), and the lower bound is all
/// that is known.
///
/// As text: `384.0 +- 0.3`, or `at least about 370.2 (k-hat 1.2: a lower bound, no error can be given)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogZ {
    /// The estimate.
    pub value: f64,
    /// Its standard error by the delta method; to be used only where [`trusted`](Self::trusted).
    pub standard_error: f64,
    /// The estimated tail shape of the weights ([`pareto_k_hat`]).
    pub k_hat: f64,
}

impl LogZ {
    /// From the logarithms of the weights, which may be -inf.
    pub fn of(log_w: &[f64]) -> Self {
        let (value, standard_error) = log_z(log_w);
        Self { value, standard_error, k_hat: pareto_k_hat(log_w) }
    }

    /// Whether the standard error may be used: k-hat < 0.7 and the error a number.
    pub fn trusted(&self) -> bool {
        self.k_hat < K_HAT && self.standard_error.is_finite()
    }

    /// The standard error, where it may be used.
    pub fn error(&self) -> Option<f64> {
        self.trusted().then_some(self.standard_error)
    }
}

impl Display for LogZ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error() {
            // One digit of the error.
            Some(error) if error > 0.0 => {
                let digits = (-error.log10()).ceil().clamp(0.0, 9.0) as usize;
                write!(f, "{:.digits$} +- {error:.digits$}", self.value)
            }
            Some(error) => write!(f, "{} +- {error}", self.value),
            None => {
                let k = if self.k_hat.is_nan() { "unknown".into() } else { format!("{:.1}", self.k_hat) };
                write!(
                    f,
                    "at least about {:.1} (k-hat {k}: a lower bound, no error can be given)",
                    self.value
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;

    #[test]
    fn the_text_gives_an_error_only_where_there_is_one() {
        let z = |value, standard_error, k_hat| LogZ { value, standard_error, k_hat }.to_string();
        assert_eq!(z(384.04, 0.31, 0.4), "384.0 +- 0.3");
        assert_eq!(z(0.00171, 0.0042, 0.1), "0.002 +- 0.004");
        assert_eq!(z(-3.0, 0.0, f64::NEG_INFINITY), "-3 +- 0");
        let bound = "at least about 370.2 (k-hat 1.2: a lower bound, no error can be given)";
        assert_eq!(z(370.21, 0.7, 1.2), bound);
        assert_eq!(z(370.21, 0.7, 0.7), bound.replace("1.2", "0.7"));
        assert_eq!(z(370.21, 0.7, f64::NAN), bound.replace("1.2", "unknown"));
    }

    /// Weights w = u^-k of uniform u have the tail shape k and, for k < 1, the mean 1 / (1 - k).
    fn pareto(k: f64, seed: u64) -> Vec<f64> {
        let mut u = vec![0.0; 2000];
        Stream::new(seed, "pareto", 0, 0).fill_uniform(&mut u);
        u.iter().map(|u: &f64| -k * u.max(1e-300).ln()).collect()
    }

    #[test]
    fn errors_that_are_given_hold_and_heavy_tails_have_none() {
        let runs = |k: f64| (0..100).map(move |seed| (LogZ::of(&pareto(k, seed)), -(1.0 - k).ln()));
        let light: Vec<_> = runs(0.3).collect();
        assert!(light.iter().all(|(z, _)| z.trusted()), "{light:?}");
        let inside = light.iter().filter(|(z, want)| (z.value - want).abs() < 2.0 * z.standard_error).count();
        assert!(inside >= 88, "{inside} of 100 within two errors");
        // With k = 0.95 the mean is 20. Without the gate the truth lies outside of most errors; k-hat itself has one of
        // (1 + k) / sqrt(M) = 0.17, so that some pass.
        let heavy: Vec<_> = runs(0.95).collect();
        let astray = heavy.iter().filter(|(z, want)| want - z.value > 2.0 * z.standard_error).count();
        let given = heavy.iter().filter(|(z, _)| z.error().is_some()).count();
        assert!(astray > 50 && given <= 20, "{astray} astray, {given} given");
        let mean = heavy.iter().map(|(z, want)| z.value - want).sum::<f64>() / 100.0;
        assert!(mean < -0.3, "a lower bound in expectation: {mean}");
    }
}
