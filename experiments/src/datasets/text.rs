//! Other programs' text files, line by line; every complaint names the file and the line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::native_npz::LAST_CLASS;
use crate::read;
use crate::run::error::CliError;

/// A text file.
pub(super) struct Lines {
    /// Its name, for messages.
    pub path: PathBuf,
    text: String,
    /// What its fields are separated by; none if by blanks.
    separator: Option<u8>,
}

impl Lines {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let text = read::text(path, read::DATA)?;
        // Some programs put a byte order mark first, which is no part of the data.
        let text = text.trim_start_matches('\u{feff}').to_string();
        let unquoted = || text.lines().flat_map(|line| line.split('"').step_by(2));
        let separates = |c: &u8| unquoted().any(|part| part.contains(char::from(*c)));
        let separator = [b'\t', b';', b','].into_iter().find(separates);
        Ok(Self { path: path.to_path_buf(), text, separator })
    }

    /// An error in a line.
    pub fn wrong(&self, line: usize, what: impl std::fmt::Display) -> CliError {
        CliError::usage(format!("{}:{}: {what}", self.path.display(), line + 1))
    }

    /// (line number, text) of every line that is not blank.
    pub fn filled(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty())
    }

    /// (line number, fields) of every line that is not blank.
    pub fn rows(&self) -> impl Iterator<Item = Result<(usize, Vec<String>), CliError>> {
        self.filled().map(|(k, l)| match self.separator {
            Some(c) => Ok((k, self.split(k, l, c)?)),
            None => Ok((k, l.split_whitespace().map(String::from).collect())),
        })
    }

    /// The fields of a line; what stands between quotes separates nothing. An empty one is an error: left out, it
    /// would move those behind it.
    pub fn split(&self, line: usize, text: &str, separator: u8) -> Result<Vec<String>, CliError> {
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).delimiter(separator).terminator(csv::Terminator::Any(b'\n'));
        let text = text.trim_matches(' ').as_bytes();
        let record = reader.buffer_capacity(text.len()).from_reader(text).into_records().next();
        let record = record.transpose().map_err(|e| self.wrong(line, e))?.unwrap_or_default();
        // A quote after a blank is one of the field's letters to `csv`.
        let bare = |field: &str| field.trim().trim_matches('"').trim().to_string();
        let fields: Vec<String> = record.iter().map(bare).collect();
        match fields.iter().position(String::is_empty) {
            Some(j) => Err(self.wrong(line, format!("field {} is empty; write what it holds", j + 1))),
            None => Ok(fields),
        }
    }

    /// How many lines to skip: 1 if the first does not begin with a number.
    pub fn header(&self) -> Result<usize, CliError> {
        let first = self.rows().next().transpose()?;
        Ok(usize::from(first.is_some_and(|(_, f)| f.first().is_some_and(|f| !is_number(f)))))
    }

    /// A number of any type.
    pub fn number<V: FromStr>(&self, line: usize, field: &str) -> Result<V, CliError> {
        field.parse().map_err(|_| self.wrong(line, format!("`{field}` is not a number as it is wanted here")))
    }

    /// A number that is finite.
    pub fn real(&self, line: usize, field: &str) -> Result<f32, CliError> {
        let v: f32 = self.number(line, field)?;
        if v.is_finite() { Ok(v) } else { Err(self.wrong(line, format!("feature {field} is not finite"))) }
    }

    /// The number of a class.
    pub fn class(&self, line: usize, field: &str) -> Result<u32, CliError> {
        field.parse().ok().filter(|c| *c <= LAST_CLASS).ok_or_else(|| {
            self.wrong(
                line,
                format!("`{field}` is no class; whole numbers from 0 to {LAST_CLASS} are wanted here"),
            )
        })
    }

    /// A class for each line, which may follow the node's number: all are numbers, or all are names, which
    /// get numbers in the order in which they appear.
    pub fn classes(&self) -> Result<Vec<u32>, CliError> {
        // Names hold blanks: where no line has another separator, each is one field.
        let separator = self.separator.unwrap_or(b',');
        let row = |(k, l)| Ok((k, self.split(k, l, separator)?));
        let mut rows: Vec<(usize, Vec<String>)> = self.filled().map(row).collect::<Result<_, _>>()?;
        let numeric = |k: usize| rows.get(k).and_then(|(_, f)| f.last()).map(|f| is_number(f));
        let titled = |f: &String| ["label", "class", "y"].iter().any(|t| t.eq_ignore_ascii_case(f));
        let titled = rows.first().and_then(|(_, f)| f.last()).is_some_and(titled);
        if titled || (numeric(0), numeric(1)) == (Some(false), Some(true)) {
            rows.remove(0);
        }
        let mut names = Names::default();
        let numbers = rows.first().and_then(|(_, f)| f.last()).is_some_and(|f| is_number(f));
        let class = |(node, (k, fields)): (usize, &(usize, Vec<String>))| {
            let class = match &fields[..] {
                [class] => class,
                [i, class] if i.parse() == Ok(node) => class,
                _ => {
                    return Err(self
                        .wrong(*k, format!("wants one class, or node {node} and its class in this place")));
                }
            };
            match (numbers, is_number(class)) {
                (true, _) => self.class(*k, class),
                (false, false) => Ok(names.number(class)),
                (false, true) => Err(self.wrong(*k, format!("`{class}` is a number where others are names"))),
            }
        };
        rows.iter().enumerate().map(class).collect()
    }
}

fn is_number(field: &str) -> bool {
    field.parse::<f64>().is_ok()
}

/// Names of things in the order in which they appear, as numbers.
#[derive(Default)]
pub(super) struct Names(HashMap<String, u32>);

impl Names {
    /// The number of a name, which is new or known.
    pub fn number(&mut self, name: &str) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name.to_string()).or_insert(next)
    }

    /// The number of a name that is known.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Lines::read(file.path()).unwrap()
    }

    fn fields(text: &str) -> Result<Vec<Vec<String>>, CliError> {
        lines(text).rows().map(|row| Ok(row?.1)).collect()
    }

    fn classes(text: &str) -> Result<Vec<u32>, String> {
        lines(text).classes().map_err(|e| e.to_string())
    }

    #[test]
    fn fields_are_split_by_what_the_file_uses() {
        for text in ["\u{feff}a,b c\n\nd,e\n", "a;b c\r\nd;e", "a\tb c\nd\te\n", "\"a\", \"b c\" \n d , e"] {
            assert_eq!(fields(text).unwrap(), [vec!["a", "b c"], vec!["d", "e"]], "{text:?}");
        }
        assert_eq!(fields(" 1  2 \n3 4").unwrap(), [["1", "2"], ["3", "4"]]);
        assert_eq!(fields("1,5;2").unwrap(), [["1,5", "2"]]);
    }

    #[test]
    fn a_quoted_separator_separates_nothing() {
        let rows = fields("\"Graz, Styria\",1,\"a \"\"b\"\" c\"\n\"x;y\tz\",2,d\n").unwrap();
        assert_eq!(rows, [["Graz, Styria", "1", "a \"b\" c"], ["x;y\tz", "2", "d"]]);
        assert_eq!(classes("\"Graz, Styria\"\nVienna\n\"Graz, Styria\"\n").unwrap(), [0, 1, 0]);
        assert_eq!(classes("0,\"New, York\"\n1,\"York\"\n").unwrap(), [0, 1]);
    }

    #[test]
    fn an_empty_field_is_an_error_with_its_line() {
        for (text, at) in [("1,2\n1,,3", ":2: field 2"), ("4,5, ", ":1: field 3"), ("\n\t1", ":2: field 1")] {
            let error = fields(text).unwrap_err().to_string();
            assert!(error.contains(at) && error.contains("is empty"), "{error}");
        }
    }

    #[test]
    fn classes_are_numbers_or_names_under_any_header() {
        for text in
            ["1\n0\n1\n", "\u{feff}1\n0\n1", "label\n1\n0\n1\n", "target\n1\n0\n1\n", "\nY\n\n1\n0\n1"]
        {
            assert_eq!(classes(text).unwrap(), [1, 0, 1], "{text:?}");
        }
        assert_eq!(classes("New York\nOld York\nNew York\n").unwrap(), [0, 1, 0]);
        assert_eq!(classes("\u{feff}Class\nb\na\n").unwrap(), [0, 1]);
        assert_eq!(classes("node,label\n0,1\n1,0\n").unwrap(), [1, 0]);
        assert_eq!(classes("").unwrap(), [0_u32; 0]);
    }

    #[test]
    fn a_number_that_is_no_class_is_an_error_with_its_line() {
        for (text, what) in [
            ("0\n-1\n", ":2: `-1` is no class"),
            ("0.0\n1.0\n", ":1: `0.0` is no class"),
            ("label\n5000000000\n", ":2: `5000000000` is no class"),
            ("100000\n100001\n", ":2: `100001` is no class"),
            ("nan\n0\n", ":1: `nan` is no class"),
            ("0\nred\n", ":2: `red` is no class"),
            ("red\nblue\n1\n", ":3: `1` is a number where others are names"),
            ("1,a\n0,b\n", ":1: wants one class, or node 0"),
        ] {
            let error = classes(text).unwrap_err();
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }
}
