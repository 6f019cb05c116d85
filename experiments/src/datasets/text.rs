//! Other programs' text files, line by line; every complaint names the file and the line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::native_npz::LAST_CLASS;
use crate::read;
use crate::run::error::CliError;

/// The text of a file, packed by gzip or not. What is no text, or in a form that few programs write, is refused with the
/// remedy: read as it is, it would give another graph.
pub(super) fn plain(path: &Path) -> Result<String, CliError> {
    let wrong = |what: &str| CliError::usage(format!("{}: {what}", path.display()));
    let mut bytes = read::bytes(path, read::DATA)?;
    if bytes.starts_with(b"\x1f\x8b") {
        bytes = read::unpacked(path, &bytes)?;
    }
    let refused = match &bytes[..] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16 text; save it as UTF-8"),
        [b'P', b'K', 3, 4, ..] => {
            Some("is an archive; an npz is read by `data import npz`, others are unpacked first")
        }
        bytes if bytes.contains(&0) => Some("holds bytes of zero: no text, or UTF-16; save it as UTF-8 text"),
        bytes if bytes.contains(&b'\r') && !bytes.contains(&b'\n') => {
            Some("has lines that end with CR alone; save it with the line ends LF")
        }
        _ => None,
    };
    if let Some(what) = refused {
        return Err(wrong(what));
    }
    let text = read::utf8(path, bytes)?;
    // Some programs put a byte order mark first, which is no part of the data.
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

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
        let text = plain(path)?;
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
    }

    #[test]
    fn an_empty_field_is_an_error_with_its_line() {
        for (text, at) in [("1,2\n1,,3", ":2: field 2"), ("4,5, ", ":1: field 3"), ("\n\t1", ":2: field 1")] {
            let error = fields(text).unwrap_err().to_string();
            assert!(error.contains(at) && error.contains("is empty"), "{error}");
        }
    }

    #[test]
    fn what_is_no_plain_text_is_refused_with_the_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            plain(file.path()).map_or_else(|e| e.to_string(), |_| String::new())
        };
        assert_eq!(error(b"1\r\n2"), "");
        assert!(error(b"\xff\xfe1\x00").contains("is UTF-16 text; save it as UTF-8"));
        assert!(error(b"1\x00\n\x00").contains("bytes of zero"));
        assert!(error(b"0,1\r1,2\r").contains("CR alone"));
        assert!(error(b"PK\x03\x04").contains("data import npz"));
    }
}
