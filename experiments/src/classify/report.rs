//! What a run over splits says: figures, metrics.json, a table.

use models::gnn::training::classification::Metric;
use models::metrics::{mean, sd};
use serde_json::json;

use super::GraphConfig;
use super::jobs::Job;
use super::significance::{holm, resampled, sign_flip};
use crate::table::plain;

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Data set.
    pub data: String,
    /// Network.
    pub model: String,
    /// What the figures are.
    pub metric: Metric,
    /// Classes.
    pub classes: usize,
    /// Mean test figure over all trainings.
    pub test: f64,
    /// Its standard deviation over splits (of each split's mean over initialisations).
    pub test_sd: f64,
    /// Mean validation figure.
    pub validation: f64,
    /// Mean over all trainings of the mean F1 of the classes in the test part.
    pub macro_f1: f64,
    /// Mean share of the largest class in the test parts.
    pub majority: f64,
    /// Mean test figure without aggregation.
    pub ablation: Option<f64>,
    /// Probability of a difference to the ablation as large as this by chance, for splits that overlap (Nadeau and
    /// Bengio 2003).
    pub ablation_p: Option<f64>,
    /// The same by a sign-flip test, which takes the splits for independent: smaller than it should be.
    pub ablation_p_sign_flip: Option<f64>,
    /// Mean test figure of each split.
    pub per_split: Vec<f64>,
    /// Nodes of the test parts for each node of the training parts.
    pub(super) tested: f64,
    /// Parameters.
    pub parameters: usize,
    /// Milliseconds of an epoch, evaluation included, with one training on each thread.
    pub epoch_ms: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
}

impl Summary {
    /// The figures of a run whose test parts have the shares `majorities` of their largest classes, and `tested` nodes
    /// for each node of the training parts.
    pub(super) fn new(
        config: &GraphConfig,
        jobs: &[Job],
        (classes, majorities, tested): (usize, &[f64], f64),
        parameters: usize,
        seconds: f64,
    ) -> Self {
        let splits = jobs.iter().map(|j| j.split).max().map_or(0, |k| k + 1);
        let each = |f: fn(&Job) -> f64| -> Vec<f64> {
            let of = |k: usize| mean(&jobs.iter().filter(|j| j.split == k).map(f).collect::<Vec<_>>());
            (0..splits).map(of).collect()
        };
        let all = |f: fn(&Job) -> f64| mean(&jobs.iter().map(f).collect::<Vec<_>>());
        let per_split = each(|j| j.test);
        let ablation = all(|j| j.ablation);
        let gains: Vec<f64> = per_split.iter().zip(each(|j| j.ablation)).map(|(a, b)| a - b).collect();
        Self {
            data: config.data.name.clone(),
            model: config.model.name().into(),
            metric: config.data.metric,
            classes,
            test: all(|j| j.test),
            test_sd: if splits > 1 {
                sd(&per_split)
            } else {
                sd(&jobs.iter().map(|j| j.test).collect::<Vec<_>>())
            },
            validation: all(|j| j.validation),
            macro_f1: all(|j| j.macro_f1),
            majority: mean(majorities),
            ablation: ablation.is_finite().then_some(ablation),
            ablation_p: ablation.is_finite().then(|| resampled(&gains, tested)),
            ablation_p_sign_flip: ablation.is_finite().then(|| sign_flip(&gains)),
            per_split,
            tested,
            parameters,
            epoch_ms: 1e3 * all(|j| j.seconds / j.epochs.max(1) as f64),
            seconds,
        }
    }

    /// The figures over splits that have settings of their own each; none of no split.
    pub(super) fn nested(rows: &[Self]) -> Option<Self> {
        let first = rows.first()?.clone();
        let all = |f: fn(&Self) -> f64| rows.iter().map(f).collect::<Vec<f64>>();
        let per_split = all(|s| s.test);
        let ablations: Option<Vec<f64>> = rows.iter().map(|s| s.ablation).collect();
        let gains = ablations.as_ref().map(|without| -> Vec<f64> {
            per_split.iter().zip(without).map(|(with, without)| with - without).collect()
        });
        Some(Self {
            data: format!("{}, settings by split", first.data),
            test: mean(&per_split),
            test_sd: sd(&per_split),
            validation: mean(&all(|s| s.validation)),
            macro_f1: mean(&all(|s| s.macro_f1)),
            majority: mean(&all(|s| s.majority)),
            ablation: ablations.map(|without| mean(&without)),
            ablation_p: gains.as_ref().map(|gains| resampled(gains, mean(&all(|s| s.tested)))),
            ablation_p_sign_flip: gains.as_ref().map(|gains| sign_flip(gains)),
            epoch_ms: mean(&all(|s| s.epoch_ms)),
            seconds: all(|s| s.seconds).iter().sum(),
            parameters: rows.iter().map(|s| s.parameters).max().unwrap_or(0),
            per_split,
            ..first
        })
    }

    /// The same as a file of its own: what each split was trained with stands in its folder.
    pub(super) fn nested_json(&self, seed: u64) -> String {
        let value = json!({
            "data": self.data, "model": self.model, "seed": seed, "metric": self.metric,
            "test": self.test, "test_sd": self.test_sd, "validation": self.validation,
            "macro_f1": self.macro_f1, "majority": self.majority,
            "per_split": self.per_split, "ablation": self.ablation, "ablation_p": self.ablation_p,
            "ablation_p_sign_flip": self.ablation_p_sign_flip, "seconds": self.seconds,
        });
        format!("{value:#}\n")
    }

    pub(super) fn to_json(&self, config: &GraphConfig) -> String {
        let network = json!(config.model);
        let value = json!({
            "data": self.data, "model": self.model, "seed": config.seed,
            "form": network["form"], "kernel": network["kernel"], "metric": config.data.metric,
            "split": config.data.split, "initialisations": config.data.initialisations,
            "test": self.test, "test_sd": self.test_sd, "validation": self.validation,
            "macro_f1": self.macro_f1, "majority": self.majority,
            "per_split": self.per_split, "ablation": self.ablation, "ablation_p": self.ablation_p,
            "ablation_p_sign_flip": self.ablation_p_sign_flip,
            "parameters": self.parameters, "epoch_ms": self.epoch_ms, "seconds": self.seconds,
            "peak_mib": crate::peak_mib(),
        });
        format!("{value:#}\n")
    }

    /// A line where the figure says no more than that one class is large.
    fn warning(&self) -> Option<String> {
        let Self { data, model, test, majority, .. } = self;
        let area =
            if self.classes == 2 { ", and data.metric=roc-auc judges by the order of scores" } else { "" };
        (self.metric == Metric::Accuracy && test <= majority).then(|| {
            format!(
                "warning: {model} on {data}: an accuracy of {} % does not beat the largest class, which has {} % of the test nodes; macro_f1 and confusion.csv tell more{area}\n",
                percent(*test),
                percent(*majority)
            )
        })
    }
}

fn percent(v: f64) -> String {
    format!("{:.2}", 100.0 * v)
}

/// The table at the end, and a line for each figure that says little.
pub fn table(rows: &[Summary]) -> String {
    let warnings: String = rows.iter().filter_map(Summary::warning).collect();
    // Where several data sets are asked, each p is made right for all of them together.
    let known: Vec<f64> = rows.iter().filter_map(|s| s.ablation_p).collect();
    let mut adjusted = holm(&known).into_iter();
    let rows: Vec<Vec<String>> = (rows.iter())
        .map(|s| {
            let p = s.ablation_p.and_then(|_| adjusted.next());
            let ablation = s.ablation.map(|a| match p {
                Some(p) => format!("{} (p {p:.3})", percent(a)),
                None => percent(a),
            });
            vec![
                s.data.clone(),
                s.model.clone(),
                s.metric.name().into(),
                if s.test_sd.is_finite() {
                    format!("{} +- {}", percent(s.test), percent(s.test_sd))
                } else {
                    percent(s.test)
                },
                percent(s.validation),
                percent(s.macro_f1),
                percent(s.majority),
                ablation.unwrap_or_default(),
                s.parameters.to_string(),
                format!("{:.1}", s.epoch_ms),
            ]
        })
        .collect();
    let header = [
        "data",
        "model",
        "figure",
        "test %",
        "validation %",
        "macro-F1 %",
        "largest class %",
        "without aggregation %",
        "parameters",
        "ms/epoch",
    ];
    plain(&header, &rows) + &warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accuracy_that_one_class_explains_is_warned_of() {
        let job = Job {
            split: 0,
            initialisation: 0,
            best: 0,
            epochs: 1,
            validation: 0.5,
            test: 0.5,
            macro_f1: 0.25,
            ablation: f64::NAN,
            seconds: 1.0,
        };
        let nested = Summary::nested(&[0.25, 0.75].map(|test| {
            let mut own = Summary::new(&GraphConfig::default(), &[job], (2, &[0.5], 0.4), 1, 1.0);
            (own.test, own.ablation) = (test, Some(0.25));
            own
        }))
        .unwrap();
        assert_eq!((nested.test, nested.ablation, nested.seconds), (0.5, Some(0.25), 2.0));
        assert_eq!((nested.test_sd, nested.per_split), (0.125_f64.sqrt(), vec![0.25, 0.75]));
        assert!(Summary::nested(&[]).is_none());
        let mut config = GraphConfig::default();
        let said = |config: &GraphConfig, classes: usize, majority: f64| {
            table(&[Summary::new(config, &[job], (classes, &[majority], 0.4), 1, 1.0)])
        };
        let line = "warning: grade on karate: an accuracy of 50.00 % does not beat the largest class, which has 50.00 % of the test nodes";
        let two = said(&config, 2, 0.5);
        assert!(two.contains(line) && two.contains("data.metric=roc-auc"), "{two}");
        let three = said(&config, 3, 0.5);
        assert!(three.contains(line) && !three.contains("roc-auc"), "{three}");
        assert!(!said(&config, 2, 0.49).contains("warning"));
        config.data.metric = Metric::RocAuc;
        let area = said(&config, 2, 0.9);
        assert!(!area.contains("warning") && area.contains("ROC AUC"), "{area}");
    }
}
