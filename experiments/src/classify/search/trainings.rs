//! The trainings of a search: a line of trainings.csv for each.

use crate::classify::rows;
use crate::failure::Failure;
use crate::run_folder::RunFolder;

const FILE: &str = "trainings.csv";
const COLUMNS: &str = "trial,split,initialisation,validation";

/// One training: (trial, split, initialisation).
pub(super) type Place = (u64, usize, usize);

/// The trainings that are in trainings.csv; each number of their places lies below that of `most`.
pub(super) fn read(folder: &RunFolder, most: Place) -> Result<Vec<(Place, f64)>, Failure> {
    let belongs = |((trial, split, init), figure): &(Place, f64)| {
        *trial < most.0 && *split < most.1 && *init < most.2 && (0.0..=1.0).contains(figure)
    };
    rows::read(folder, FILE, COLUMNS, |line| parse(line).filter(belongs), |(place, _)| *place)
}

/// Writes trainings.csv, sorted.
pub(super) fn write(folder: &RunFolder, done: &[(Place, f64)]) -> Result<(), Failure> {
    let mut sorted = done.to_vec();
    sorted.sort_by_key(|(place, _)| *place);
    let line = |((trial, split, init), v): &(Place, f64)| format!("{trial},{split},{init},{v}\n");
    let lines: String = sorted.iter().map(line).collect();
    folder.write(FILE, format!("{COLUMNS}\n{lines}").as_bytes())
}

fn parse(line: &str) -> Option<(Place, f64)> {
    let v: Vec<&str> = line.split(',').collect();
    let [trial, split, init, figure] = v[..] else { return None };
    Some(((trial.parse().ok()?, split.parse().ok()?, init.parse().ok()?), figure.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_reads_back() {
        assert_eq!(parse("3,1,2,0.875"), Some(((3, 1, 2), 0.875)));
        assert_eq!(parse("3,1,0.875"), None);
    }

    #[test]
    fn trainings_that_the_search_cannot_have_had_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), false).unwrap();
        let row = ((3, 1, 0), 0.5);
        write(&folder, &[row]).unwrap();
        assert_eq!(read(&folder, (4, 10, 3)), Ok(vec![row]));
        for line in ["3,0,0,nan", "3,0,0,7", "3,0,0,-0.1", "4,0,0,1", "3,10,0,1", "3,0,3,1", "3,1,0,0.5"] {
            folder.write(FILE, format!("{COLUMNS}\n3,1,0,0.5\n{line}\n").as_bytes()).unwrap();
            let error = read(&folder, (4, 10, 3)).unwrap_err().to_string();
            assert!(error.contains("trainings.csv: line 3 is damaged"), "{line}: {error}");
        }
    }
}
