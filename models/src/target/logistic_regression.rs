//! The posterior of a Bayesian logistic regression.

use std::path::Path;
use std::sync::Arc;

use engine::{Real, simd_fn};

use super::book::Page;
use super::logistic_rows::{known_log_z, made_up, read, standardised, text};
use super::registry::{Entry, Parameter};
use super::{Geometry, Target, TargetError};

/// The targets of this file.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "logistic",
    about: "weights of a Bayesian logistic regression on the rows of a csv file (without one: made-up rows)",
    parameters: &[
        ("data", Parameter::Text(String::new()), [0.0, 0.0]),
        ("prior", Parameter::Real(1.0), [1e-3, 1e3]),
        ("centred", Parameter::Integer(1), [0.0, 1.0]),
    ],
    scales: |c| Some([c.real("prior"), 0.3 * c.real("prior")]),
    build: |c| {
        let (prior, centred) = (c.real("prior"), c.real("centred") == 1.0);
        let ((x, labels), log_z) = match c.text("data") {
            "" => (made_up(), None),
            file => {
                let text = text(Path::new(file))?;
                (read(Path::new(file), &text)?, known_log_z(text.as_bytes(), prior, centred))
            }
        };
        let features = standardised(x, labels.len(), centred);
        Ok(Arc::new(LogisticRegression { log_z, ..LogisticRegression::new(features, &labels, prior)? }))
    },
    page: Page {
        log_z: None,
        how: "of two public sets, known by the sha256 of the file: german_credit.csv with prior 10, centred 0: -585.109 +- 0.008; sonar.csv with prior 1: -108.397 +- 0.009",
        values: &[],
        source: "rows and labels of the user; the two sets are of the UCI repository",
        traps: &[
            "german credit has two conventions in use, 80.6 nats apart: with the prior and without it",
            "without a prior separable data have infinite mass",
        ],
    },
}];

/// Weights w of a logistic regression with the prior N(0, s^2 I), given rows x_i of features and labels y_i:
///
/// log p(w) = sum_i log sigma(t_i <x_i, w>) - |w|^2 / 2 s^2 - (d / 2) log(2 pi s^2),  t_i = 1 where y_i, else -1,
///
/// sigma the logistic function, so that Z is the evidence of the labels (Gelman et al. 2013, "Bayesian data
/// analysis", chapter 16). A constant 1 among the features makes an intercept.
///
/// The prior is a part of the target: without it classes that a plane separates have no posterior, and evidences
/// with priors of other widths are not comparable.
///
/// ```
/// use models::target::{LogisticRegression, Target};
/// // Two rows of an intercept and one feature.
/// let target = LogisticRegression::new(vec![1.0, -0.5, 1.0, 2.0], &[false, true], 10.0).unwrap();
/// let mut log_p = [0.0];
/// target.evaluate(&[0.0_f64; 2], &mut log_p, &mut []).unwrap();
/// let prior = -(std::f64::consts::TAU * 100.0).ln();
/// assert!((log_p[0] - (2.0 * 0.5_f64.ln() + prior)).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticRegression {
    /// Rows t_i x_i, d numbers each.
    rows: Vec<f64>,
    dim: usize,
    /// 1 / s^2.
    precision: f64,
    /// (d / 2) log(2 pi s^2).
    log_norm: f64,
    /// log of the evidence, where it is known.
    log_z: Option<f64>,
}

impl LogisticRegression {
    /// `features` has a row for each of the `labels`, one after another; `prior_sd` is s.
    ///
    /// # Errors
    /// If there are no labels, the features are no whole number for each, one is not finite, or `prior_sd` is no
    /// positive number.
    pub fn new(mut features: Vec<f64>, labels: &[bool], prior_sd: f64) -> Result<Self, TargetError> {
        let wrong = |what: String| Err(TargetError::Parameter(what));
        let (numbers, rows) = (features.len(), labels.len());
        if rows == 0 || numbers == 0 || !numbers.is_multiple_of(rows) {
            return wrong(format!(
                "{numbers} features for {rows} labels: give as many features for each label, and at least one"
            ));
        }
        let dim = numbers / rows;
        if let Some(at) = features.iter().position(|x| !x.is_finite()) {
            let (row, column) = (at / dim, at % dim);
            return wrong(format!("feature {column} of row {row} is {}: it must be finite", features[at]));
        }
        if !(prior_sd > 0.0 && prior_sd.is_finite()) {
            return wrong(format!("prior_sd = {prior_sd} must be a positive number"));
        }
        for (row, label) in features.chunks_exact_mut(dim).zip(labels) {
            if !label {
                row.iter_mut().for_each(|x| *x = -*x);
            }
        }
        let variance = prior_sd * prior_sd;
        let log_norm = 0.5 * dim as f64 * (std::f64::consts::TAU * variance).ln();
        Ok(Self { rows: features, dim, precision: 1.0 / variance, log_norm, log_z: None })
    }
}

impl<T: Real> Target<T> for LogisticRegression {
    fn geometry(&self) -> Geometry {
        Geometry::Euclidean(self.dim)
    }

    fn log_z(&self) -> Option<f64> {
        self.log_z
    }

    /// log sigma(z) = min(z, 0) - log(1 + exp(-|z|)), whose derivative is sigma(-z).
    fn log_density_block(
        &self,
        n: usize,
        x: &[T],
        log_p: &mut [T],
        score: &mut [T],
        scratch: &mut Vec<T>,
    ) -> Result<(), TargetError> {
        scratch.resize(n, T::ZERO);
        let (precision, log_norm) = (T::of(self.precision), T::of(self.log_norm));
        posterior(&self.rows, self.dim, precision, log_norm, x, log_p, score, scratch);
        Ok(())
    }
}

simd_fn! {
    /// `rows` are t_i x_i; `z` is scratch, as long as `log_p`.
    fn posterior<T: Real>(
        rows: &[f64], dim: usize, precision: T, log_norm: T,
        x: &[T], log_p: &mut [T], score: &mut [T], z: &mut [T],
    ) {
        let n = log_p.len();
        log_p.fill(-log_norm);
        for (x, score) in x.chunks_exact(n).zip(score.chunks_exact_mut(n)) {
            for ((x, score), log_p) in x.iter().zip(score).zip(log_p.iter_mut()) {
                let pull = precision * *x;
                *log_p -= T::HALF * pull * *x;
                *score = -pull;
            }
        }
        for row in rows.chunks_exact(dim) {
            z.fill(T::ZERO);
            for (x, feature) in x.chunks_exact(n).zip(row) {
                let feature = T::of(*feature);
                z.iter_mut().zip(x).for_each(|(z, x)| *z = feature.mul_add(*x, *z));
            }
            for (z, log_p) in z.iter_mut().zip(log_p.iter_mut()) {
                *log_p += z.min(T::ZERO) - (T::ONE + (-z.abs()).exp()).ln();
                *z = (-*z).sigmoid();
            }
            for (score, feature) in score.chunks_exact_mut(n).zip(row) {
                let feature = T::of(*feature);
                score.iter_mut().zip(z.iter()).for_each(|(s, pull)| *s = pull.mul_add(feature, *s));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;
    use crate::target::TargetConfig;

    #[test]
    fn a_file_is_read_with_its_names_and_standardised() {
        let folder = tempfile::tempdir().unwrap();
        let built = |text: &str, centred: u64| {
            let path = folder.path().join("rows.csv");
            std::fs::write(&path, text).unwrap();
            let mut config = TargetConfig::of("logistic").unwrap();
            config.parameters.insert("data".into(), Parameter::Text(path.display().to_string()));
            config.parameters.insert("centred".into(), Parameter::Integer(centred));
            config.parameters.insert("prior".into(), Parameter::Real(2.0));
            config.build()
        };
        let at = |target: &dyn Target<f64>, w: &[f64]| {
            let mut log_p = [0.0];
            target.evaluate(w, &mut log_p, &mut []).unwrap();
            log_p[0]
        };
        // Feature 1, 3 has the mean 2 and the deviation 1, the constant one stays.
        let text = "size, height, label\n1, 7, 2\n3, 7, 1\n";
        let w = [0.5, -1.0, 0.25];
        let log_sigma = |z: f64| -(-z).exp().ln_1p();
        let prior = -(0.25 + 1.0 + 0.0625) / 8.0 - 1.5 * (std::f64::consts::TAU * 4.0).ln();
        // Label 2 is y = 1. Centred, the constant feature is 0.
        let want = log_sigma(0.5 + 1.0) + log_sigma(-(0.5 - 1.0)) + prior;
        assert!((at(built(text, 1).unwrap().double(), &w) - want).abs() < 1e-12);
        let want = log_sigma(0.5 - 1.0 + 1.75) + log_sigma(-(0.5 - 3.0 + 1.75)) + prior;
        assert!((at(built(text, 0).unwrap().double(), &w) - want).abs() < 1e-12);
        // A byte order mark, blank lines, and columns that are constant up to the rounding of sums.
        let rows: String = (0..200).map(|i| format!("0.1,{},{}\n\n", i % 7, i % 2)).collect();
        let target = built(&format!("\u{feff}a,b,y\n{rows}"), 0).unwrap();
        let (one, two) = ([0.3, 0.0, 0.1], [0.2, 1.0, 0.1]);
        let prior = |w: &[f64; 3]| w.iter().map(|w| w * w / 8.0).sum::<f64>();
        assert!(
            (at(target.double(), &one) + prior(&one) - at(target.double(), &two) - prior(&two)).abs() < 1e-9
        );
        for (text, says) in [
            ("1,2,0\n\n1,x,1\n", "line 3, column 2: `x` is no number"),
            ("5.1,,0\n1,2,1\n", "line 1, column 2: `` is no number"),
            ("1,2,0\n1,nan,1\n", "line 2, column 2: a number must be finite"),
            ("1,2,0\n1,3,1\n2,2,5\n", "the last column has labels 0, 5 and 1: two classes are wanted"),
            ("1,2,0\n1,3,0\n", "the last column must have labels of two classes"),
            ("", "the last column must have labels of two classes"),
            ("0\n1\n", "line 1: give features, and a label in the last column"),
            ("1,2,0\n1,3\n", "found record with 2 fields, but the previous record has 3 fields"),
        ] {
            let said = built(text, 1).err().map_or(String::new(), |e| e.to_string());
            assert!(said.contains(says) && said.starts_with("target.data = "), "{said}");
        }
    }

    /// Twenty rows of an intercept and two made-up features.
    fn small() -> LogisticRegression {
        let mut x = vec![0.0; 60];
        Stream::new(1, "features", 0, 0).fill_normal(&mut x);
        x.iter_mut().step_by(3).for_each(|x| *x = 1.0);
        let labels: Vec<bool> = x.chunks(3).map(|x| 0.3 + x[1] - 0.5 * x[2] > 0.0).collect();
        LogisticRegression::new(x, &labels, 2.0).unwrap()
    }

    #[test]
    fn one_row_worked_out_by_hand() {
        // y = 1, x = 2, w = 1/2, s = 1: log sigma(1) - 1/8 - log(2 pi) / 2; score 2 sigma(-1) - 1/2.
        let target = LogisticRegression::new(vec![2.0], &[true], 1.0).unwrap();
        let (mut log_p, mut score) = ([0.0_f64], [0.0]);
        target.evaluate(&[0.5], &mut log_p, &mut score).unwrap();
        let want = -(-1f64).exp().ln_1p() - 0.125 - 0.5 * std::f64::consts::TAU.ln();
        assert!(
            (log_p[0] - want).abs() < 1e-14 && (score[0] - (2.0 / (1.0 + 1f64.exp()) - 0.5)).abs() < 1e-14
        );
    }

    #[test]
    fn the_score_is_the_gradient() {
        let target = small();
        let at = |x: &[f64]| {
            let (mut log_p, mut score) = ([0.0], [0.0; 3]);
            target.evaluate(x, &mut log_p, &mut score).unwrap();
            (log_p[0], score)
        };
        for x in [[0.0, 0.0, 0.0], [0.5, -1.0, 2.0], [-30.0, 20.0, 10.0]] {
            for a in 0..3 {
                let moved =
                    |h: f64| std::array::from_fn::<f64, 3, _>(|b| x[b] + if a == b { h } else { 0.0 });
                let difference = (at(&moved(1e-5)).0 - at(&moved(-1e-5)).0) / 2e-5;
                assert!((at(&x).1[a] - difference).abs() < 1e-6, "{x:?} {a}");
            }
        }
    }

    #[test]
    fn in_one_dimension_the_evidence_of_balanced_labels_is_known() {
        // Rows x and labels 1 and 0 with x = 1 each once: Z = E[sigma(w) sigma(-w)]; for labels 1 alone Z = 1/2 by
        // symmetry. By the trapezoidal rule.
        let z = |labels: &[bool]| {
            let target = LogisticRegression::new(vec![1.0; labels.len()], labels, 1.5).unwrap();
            let x: Vec<f64> = (-1500..=1500).map(|i| 0.01 * f64::from(i)).collect();
            let mut log_p = vec![0.0; x.len()];
            target.evaluate(&x, &mut log_p, &mut []).unwrap();
            log_p.iter().map(|l: &f64| l.exp()).sum::<f64>() * 0.01
        };
        assert!((z(&[true]) - 0.5).abs() < 1e-12);
        // P(1, 1) + P(1, 0) = P(1).
        assert!((z(&[true, true]) + z(&[true, false]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn bad_data_are_refused_in_one_line() {
        let said = |x: &[f64], y: &[bool], s: f64| {
            LogisticRegression::new(x.to_vec(), y, s).unwrap_err().to_string()
        };
        let lengths = "3 features for 2 labels: give as many features for each label, and at least one";
        assert_eq!(said(&[1.0; 3], &[true, false], 1.0), lengths);
        assert!(said(&[], &[], 1.0).starts_with("0 features for 0 labels"));
        let nan = [1.0, 2.0, f64::NAN, 4.0];
        assert_eq!(said(&nan, &[true, false], 1.0), "feature 0 of row 1 is NaN: it must be finite");
        assert_eq!(said(&[1.0], &[true], 0.0), "prior_sd = 0 must be a positive number");
    }
}
