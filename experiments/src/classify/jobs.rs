//! The trainings of a run: a line of jobs.csv for each.

use super::{GraphConfig, rows};
use crate::failure::Failure;
use crate::run_folder::RunFolder;

const FILE: &str = "jobs.csv";
const COLUMNS: &str = "split,initialisation,best_epoch,epochs,validation,test,ablation,seconds";

/// One training: a split and an initialisation, with and without aggregation.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    pub validation: f64,
    /// Test figure.
    pub test: f64,
    /// Test figure of the ablation; NaN without one.
    pub ablation: f64,
    /// Seconds, without the ablation.
    pub seconds: f64,
}

impl Job {
    fn to_csv(self) -> String {
        let Self { split, initialisation, best, epochs, validation, test, ablation, seconds } = self;
        format!("{split},{initialisation},{best},{epochs},{validation},{test},{ablation},{seconds}")
    }

    fn from_csv(line: &str) -> Option<Self> {
        let v: Vec<&str> = line.split(',').collect();
        let [split, initialisation, best, epochs, validation, test, ablation, seconds] = v[..] else {
            return None;
        };
        let count = |text: &str| text.parse::<usize>().ok();
        let number = |text: &str| text.parse::<f64>().ok();
        Some(Self {
            split: count(split)?,
            initialisation: count(initialisation)?,
            best: count(best)?,
            epochs: count(epochs)?,
            validation: number(validation)?,
            test: number(test)?,
            ablation: number(ablation)?,
            seconds: number(seconds)?,
        })
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
            && (self.ablation.is_nan() || (config.ablated() && share(self.ablation)))
            && self.seconds >= 0.0
            && self.seconds.is_finite()
    }
}

/// The trainings that are in jobs.csv.
pub(super) fn read(folder: &RunFolder, config: &GraphConfig, splits: usize) -> Result<Vec<Job>, Failure> {
    let parse = |line: &str| Job::from_csv(line).filter(|job| job.belongs(config, splits));
    let jobs = rows::read(folder, FILE, COLUMNS, parse, |job| (job.split, job.initialisation))?;
    // Versions that did not keep --no-ablation leave such folders.
    match jobs.iter().find(|job| config.ablated() && job.ablation.is_nan()) {
        Some(job) => Err(Failure::usage(format!(
            "{}: split {} has no ablation, which config.toml asks for; write ablation = false under [data] there",
            folder.file(FILE).display(),
            job.split
        ))),
        None => Ok(jobs),
    }
}

/// Writes jobs.csv.
pub(super) fn write(folder: &RunFolder, jobs: &[Job]) -> Result<(), Failure> {
    let lines: String = jobs.iter().map(|job| job.to_csv() + "\n").collect();
    folder.write(FILE, format!("{COLUMNS}\n{lines}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Job = Job {
        split: 3,
        initialisation: 1,
        best: 17,
        epochs: 200,
        validation: 0.5,
        test: 1.0 / 3.0,
        ablation: 0.25,
        seconds: 1.5,
    };

    #[test]
    fn a_job_reads_back() {
        assert_eq!(Job::from_csv(&JOB.to_csv()), Some(JOB));
        assert_eq!(Job::from_csv("1,2"), None);
    }

    #[test]
    fn trainings_that_the_run_cannot_have_had_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), false).unwrap();
        let mut config = GraphConfig::default();
        config.data.initialisations = 2;
        let error = |config: &GraphConfig, lines: &[&str]| {
            folder.write(FILE, format!("{COLUMNS}\n{}", lines.join("\n")).as_bytes()).unwrap();
            read(&folder, config, 10).map_or_else(|e| e.to_string(), |_| String::new())
        };
        assert_eq!(error(&config, &["3,1,17,200,0.5,0.25,0.25,1.5", "9,0,0,1,0,1,1,0"]), "");
        for line in [
            "10000000,0,17,200,0.5,0.5,0.5,1",
            "10,0,17,200,0.5,0.5,0.5,1",
            "-1,0,17,200,0.5,0.5,0.5,1",
            "0.5,0,17,200,0.5,0.5,0.5,1",
            "0,2,17,200,0.5,0.5,0.5,1",
            "0,0,200,200,0.5,0.5,0.5,1",
            "0,0,17,201,0.5,0.5,0.5,1",
            "0,0,17,200,1.5,0.5,0.5,1",
            "0,0,17,200,NaN,0.5,0.5,1",
            "0,0,17,200,0.5,-0.5,0.5,1",
            "0,0,17,200,0.5,0.5,7,1",
            "0,0,17,200,0.5,0.5,0.5,inf",
            // The second of one place.
            "1,0,17,200,0.5,0.5,0.5,1",
        ] {
            let error = error(&config, &["1,0,17,200,0.5,0.5,0.5,1", line]);
            assert!(error.contains("jobs.csv: line 3 is damaged"), "{line}: {error}");
        }
        let without = "0,0,17,200,0.5,0.5,NaN,1";
        assert!(error(&config, &[without]).contains("ablation = false"));
        config.data.ablation = false;
        assert_eq!(error(&config, &[without]), "");
        assert!(error(&config, &["0,0,17,200,0.5,0.5,0.5,1"]).contains("damaged"));
    }
}
