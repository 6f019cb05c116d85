//! The trainings of a run: a line of jobs.csv for each.

use serde::{Deserialize, Serialize};

use super::GraphConfig;
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::rows::{self, Row};

/// One training: a split and an initialisation, with and without aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// The split.
    pub split: usize,
    /// The initialisation.
    pub initialisation: usize,
    /// The epoch that counts.
    pub best: usize,
    /// Epochs trained.
    pub epochs: usize,
    /// Validation figure.
    #[serde(serialize_with = "rows::plain")]
    pub validation: f64,
    /// Test figure.
    #[serde(serialize_with = "rows::plain")]
    pub test: f64,
    /// Mean F1 over the classes of the test part.
    #[serde(serialize_with = "rows::plain")]
    pub macro_f1: f64,
    /// Test figure of the ablation; NaN without one.
    #[serde(serialize_with = "rows::plain")]
    pub ablation: f64,
    /// Seconds, without the ablation.
    #[serde(serialize_with = "rows::plain")]
    pub seconds: f64,
}

impl Row for Job {
    const FILE: &'static str = "jobs.csv";
    const COLUMNS: &'static str =
        "split,initialisation,best_epoch,epochs,validation,test,macro_f1,ablation,seconds";
}

impl Job {
    /// Its split and initialisation.
    pub fn key(&self) -> (usize, usize) {
        (self.split, self.initialisation)
    }

    /// Whether a run with these settings on so many splits can have had this training.
    fn belongs(&self, config: &GraphConfig, splits: usize) -> bool {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        self.split < splits
            && self.initialisation < config.data.initialisations
            && self.best < self.epochs
            && self.epochs <= config.train.epochs
            && share(self.validation)
            && share(self.test)
            && share(self.macro_f1)
            && (if config.ablated() { share(self.ablation) } else { self.ablation.is_nan() })
            && self.seconds >= 0.0
            && self.seconds.is_finite()
    }
}

/// The trainings that are in jobs.csv.
pub(super) fn read(folder: &RunFolder, config: &GraphConfig, splits: usize) -> Result<Vec<Job>, CliError> {
    rows::read(folder, |job: &Job| job.belongs(config, splits), Job::key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Place;

    #[test]
    fn trainings_that_the_run_cannot_have_had_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&Place::Named(dir.path().into()), false).unwrap();
        let mut config = GraphConfig::default();
        config.data.initialisations = 2;
        let error = |config: &GraphConfig, lines: &[&str]| {
            let text: String = [Job::COLUMNS].iter().chain(lines).map(|line| format!("{line}\n")).collect();
            folder.write(Job::FILE, text.as_bytes()).unwrap();
            read(&folder, config, 10).map_or_else(|e| e.to_string(), |_| String::new())
        };
        let good = ["3,1,17,200,0.3333333333333333,0.25,0.125,0.25,1.5", "9,0,0,1,0,1,1,1,0"];
        assert_eq!(error(&config, &good), "");
        let text = folder.read(Job::FILE).unwrap();
        rows::write(&folder, &read(&folder, &config, 10).unwrap()).unwrap();
        assert_eq!(folder.read(Job::FILE).unwrap(), text, "what is read is written back the same");
        for line in [
            "10000000,0,17,200,0.5,0.5,0.5,0.5,1",
            "10,0,17,200,0.5,0.5,0.5,0.5,1",
            "-1,0,17,200,0.5,0.5,0.5,0.5,1",
            "0.5,0,17,200,0.5,0.5,0.5,0.5,1",
            "0,2,17,200,0.5,0.5,0.5,0.5,1",
            "0,0,200,200,0.5,0.5,0.5,0.5,1",
            "0,0,17,201,0.5,0.5,0.5,0.5,1",
            "0,0,17,200,1.5,0.5,0.5,0.5,1",
            "0,0,17,200,NaN,0.5,0.5,0.5,1",
            "0,0,17,200,0.5,-0.5,0.5,0.5,1",
            "0,0,17,200,0.5,0.5,1.5,0.5,1",
            "0,0,17,200,0.5,0.5,0.5,7,1",
            "0,0,17,200,0.5,0.5,0.5,0.5,inf",
            // The second of one place.
            "1,0,17,200,0.5,0.5,0.5,0.5,1",
        ] {
            let error = error(&config, &["1,0,17,200,0.5,0.5,0.5,0.5,1", line]);
            assert!(error.contains("jobs.csv: line 3 is damaged"), "{line}: {error}");
        }
        let without = "0,0,17,200,0.5,0.5,0.5,NaN,1";
        assert!(error(&config, &[without]).contains("damaged"));
        config.data.ablation = false;
        assert_eq!(error(&config, &[without]), "");
        assert!(error(&config, &["0,0,17,200,0.5,0.5,0.5,0.5,1"]).contains("damaged"));
    }
}
