//! The trainings of a search: a row of trainings.csv for each.

use serde::{Deserialize, Serialize};

use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::rows::{self, Row};

/// (trial, split, initialisation).
pub(super) type Key = (u64, usize, usize);

/// One training with its figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Training {
    pub trial: u64,
    pub split: usize,
    pub initialisation: usize,
    #[serde(serialize_with = "rows::plain")]
    pub validation: f64,
}

impl Row for Training {
    const FILE: &'static str = "trainings.csv";
    const COLUMNS: &'static str = "trial,split,initialisation,validation";
}

impl Training {
    pub fn key(&self) -> Key {
        (self.trial, self.split, self.initialisation)
    }
}

/// The trainings that are in trainings.csv; each number of their keys lies below that of `most`.
pub(super) fn read(folder: &RunFolder, most: Key) -> Result<Vec<Training>, CliError> {
    let belongs = |t: &Training| {
        t.trial < most.0
            && t.split < most.1
            && t.initialisation < most.2
            && (0.0..=1.0).contains(&t.validation)
    };
    rows::read(folder, belongs, Training::key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Place;

    #[test]
    fn trainings_that_the_search_cannot_have_had_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&Place::Named(dir.path().into()), false).unwrap();
        let row = Training { trial: 3, split: 1, initialisation: 0, validation: 0.5 };
        rows::write(&folder, &[row]).unwrap();
        assert_eq!(read(&folder, (4, 10, 3)), Ok(vec![row]));
        for line in ["3,0,0,nan", "3,0,0,7", "3,0,0,-0.1", "4,0,0,1", "3,10,0,1", "3,0,3,1", "3,1,0,0.5"] {
            folder
                .write(Training::FILE, format!("{}\n3,1,0,0.5\n{line}\n", Training::COLUMNS).as_bytes())
                .unwrap();
            let error = read(&folder, (4, 10, 3)).unwrap_err().to_string();
            assert!(error.contains("trainings.csv: line 3 is damaged"), "{line}: {error}");
        }
    }
}
