//! The learning curve of a run, history.csv.

use crate::run::error::CliError;
use crate::table::shortest;

/// The learning curve: rows of numbers under a header, kept in memory and written whole.
#[derive(Clone, Debug)]
pub struct History {
    header: Vec<String>,
    rows: Vec<Vec<f64>>,
}

impl History {
    /// Nothing yet.
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|h| h.to_string()).collect(), rows: Vec::new() }
    }

    /// Reads history.csv: a row for each of `steps`, in order. What an interrupted run wrote beyond is redone.
    ///
    /// # Errors
    /// Other columns, a damaged line, or a row that is not there.
    pub fn read(text: &str, header: &[&str], steps: impl IntoIterator<Item = u64>) -> Result<Self, CliError> {
        let wrong = |what: String| CliError::usage(format!("history.csv: {what}; start a new run"));
        let (names, mut rows) = numbers(text);
        if names != header {
            return Err(wrong("has other columns than this version writes".into()));
        }
        let mut history = Self::new(header);
        for step in steps {
            match rows.next() {
                Some(Err(line)) => return Err(wrong(format!("line {line} is damaged"))),
                Some(Ok(row)) if row[0] == step as f64 => history.rows.push(row),
                _ => return Err(wrong(format!("the row of step {step} is not there"))),
            }
        }
        Ok(history)
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[f64]) {
        assert_eq!(row.len(), self.header.len(), "a row has one number for each column");
        self.rows.push(row.to_vec());
    }

    /// Whether there is a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.header.iter().any(|h| h == name)
    }

    /// (first column, column of that name) of every row.
    pub fn series(&self, name: &str) -> Vec<(f64, f64)> {
        let k = self.header.iter().position(|h| h == name).unwrap_or(0);
        self.rows.iter().map(|r| (r[0], r[k])).collect()
    }

    /// As CSV.
    pub fn to_csv(&self) -> String {
        let mut out = self.header.join(",") + "\n";
        for row in &self.rows {
            out += &(row.iter().map(|v| shortest(*v)).collect::<Vec<_>>().join(",") + "\n");
        }
        out
    }
}

/// The header of a CSV table of numbers, and its rows, or the number of a line that is none.
pub fn numbers(text: &str) -> (Vec<String>, impl Iterator<Item = Result<Vec<f64>, u64>>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_or_else(|_| Vec::new(), |h| h.iter().map(String::from).collect());
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|e| e.position().map_or(0, csv::Position::line))?;
        let line = record.position().map_or(0, csv::Position::line);
        record.iter().map(|cell| cell.parse().map_err(|_| line)).collect()
    };
    (names, reader.into_records().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_reads_back_up_to_the_resumed_step() {
        let mut h = History::new(&["step", "loss"]);
        [(1.0, 0.5), (2.0, 0.1 + 0.2), (3.0, 0.0)].iter().for_each(|(s, l)| h.push(&[*s, *l]));
        let read = |text: &str, steps: &[u64]| {
            History::read(text, &["step", "loss"], steps.iter().copied()).map_err(|e| e.to_string())
        };
        let back = read(&h.to_csv(), &[1, 2]).unwrap();
        assert_eq!(back.series("loss"), h.series("loss")[..2]);
        for (text, steps, error) in [
            ("step,other\n", &[][..], "has other columns than this version writes"),
            ("step,loss\n1,0\n1,x\n", &[1, 2], "line 3 is damaged"),
            ("step,loss\n1,0\n1\n", &[1, 2], "line 3 is damaged"),
            ("step,loss\n1,0\n1,2,3\n", &[1, 2], "line 3 is damaged"),
            ("step,loss\n1,0\n3,0\n", &[1, 2, 3], "the row of step 2 is not there"),
            ("step,loss\n1,0\n1,0\n", &[1, 2], "the row of step 2 is not there"),
            ("step,loss\n1,0\n", &[1, 2], "the row of step 2 is not there"),
        ] {
            let error = format!("history.csv: {error}; start a new run");
            assert_eq!(read(text, steps).unwrap_err(), error, "{text}");
        }
    }
}
