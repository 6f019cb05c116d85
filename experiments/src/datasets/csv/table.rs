//! A text file as a table: what separates its fields, and that every line has as many of them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::market::BANNER;
use crate::run::error::CliError;

/// What the lines of a file are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Edges,
    Features,
    Labels,
}

impl Kind {
    /// What settings of one file call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edges => "edges",
            Self::Features => "features",
            Self::Labels => "labels",
        }
    }
}

/// What stands between two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    Letter(char),
    /// Any number of blanks.
    Blanks,
    /// Each line is one field.
    None,
}

impl Separator {
    pub const WORDS: [&str; 6] = ["auto", "comma", "semicolon", "tab", "blank", "none"];

    /// What a user calls it; none for `auto`.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "comma" => Some(Self::Letter(',')),
            "semicolon" => Some(Self::Letter(';')),
            "tab" => Some(Self::Letter('\t')),
            "blank" => Some(Self::Blanks),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Letter(';') => "semicolon",
            Self::Letter('\t') => "tab",
            Self::Letter(_) => "comma",
            Self::Blanks => "blank",
            Self::None => "none",
        }
    }
}

/// The letters that may separate, the surest first: `1,5;2` has decimal commas.
const LETTERS: [char; 3] = ['\t', ';', ','];

/// What comments begin with.
const MARKS: [char; 2] = ['#', '%'];

/// A file's lines without comments and blank lines.
pub(super) struct Table {
    pub path: PathBuf,
    pub kind: Kind,
    pub separator: Separator,
    /// Lines that begin with # or %.
    pub comments: usize,
    /// Those of them that may be data: nothing but their place above all data says that they are comments.
    doubtful: Vec<(usize, usize, usize)>,
    text: String,
    /// (number from 1, beginning, end) of each line.
    lines: Vec<(usize, usize, usize)>,
    /// Whether the first line names the columns.
    pub titled: bool,
}

impl Table {
    /// A file's text, of which `stated` may say what separates.
    pub fn of(path: &Path, text: String, kind: Kind, stated: Option<Separator>) -> Result<Self, CliError> {
        let (mut lines, mut doubtful, mut comments, mut start) = (Vec::new(), Vec::new(), 0, 0);
        for (k, line) in text.split_inclusive('\n').enumerate() {
            let end = start + line.trim_end().len();
            let bare = line.trim_start().trim_start_matches(MARKS);
            let place = (k + 1, start, end.max(start));
            match line.trim_start().starts_with(MARKS) {
                true => {
                    comments += 1;
                    doubtful.extend(
                        (!bare.is_empty() && !bare.starts_with(char::is_whitespace)).then_some(place),
                    );
                }
                false => lines.push(place),
            }
            start += line.len();
        }
        let filled = |l: &(usize, usize, usize)| !text[l.1..l.2].trim().is_empty();
        let blank: Vec<_> = lines.iter().copied().filter(|l| !filled(l)).collect();
        lines.retain(filled);
        let separator = Separator::None;
        let path = path.into();
        let mut table = Self { path, kind, separator, comments, doubtful, text, lines, titled: false };
        table.refuse_other_formats()?;
        table.refuse_names_as_comments()?;
        table.separator = match stated {
            Some(separator) => separator,
            None => table.detect()?,
        };
        // A blank line between others is a node without a label where a line is nothing but a label.
        if (kind, table.separator) == (Kind::Labels, Separator::None)
            && let (Some(first), Some(last)) = (table.lines.first().copied(), table.lines.last().copied())
        {
            table.lines.extend(blank.into_iter().filter(|l| (first.0..last.0).contains(&l.0)));
            table.lines.sort_unstable();
        }
        Ok(table)
    }

    fn refuse_other_formats(&self) -> Result<(), CliError> {
        let wrong = |what: &str| CliError::usage(format!("{}: {what}", self.path.display()));
        if self.text.starts_with(BANNER) {
            return Err(wrong("is a Matrix Market file, which only --edges may be"));
        }
        match self.text.trim_start().as_bytes().first() {
            Some(b'[' | b'{') if self.kind != Kind::Labels => {
                Err(wrong("is JSON; write a line for each edge or node, fields separated by commas"))
            }
            Some(b'<') => Err(wrong("is XML; GraphML is read by `data import graphml`")),
            _ => Ok(()),
        }
    }

    /// Nodes and classes may be called #rust: below the first line of data, or without one, it is not for us to say
    /// that such a line is a comment.
    fn refuse_names_as_comments(&self) -> Result<(), CliError> {
        let first = self.lines.first().map_or(0, |line| line.0);
        match self.doubtful.iter().find(|line| line.0 > first) {
            Some((line, ..)) => Err(self.wrong(
                *line,
                "begins with # or %; put a blank behind it if it is a comment, quotes around the name if it is one",
            )),
            None => Ok(()),
        }
    }

    /// A note on a line that was taken for a comment, though it has as many fields as those of data.
    pub fn doubted_comment(&self) -> Result<Option<String>, CliError> {
        let width = self.first()?.1.len();
        let alike = |line: &&(usize, usize, usize)| {
            split(&self.text[line.1..line.2], self.separator).is_ok_and(|cells| cells.len() == width)
        };
        Ok(self.doubtful.iter().find(alike).map(|(line, start, end)| {
            let (path, text) = (self.path.display(), short(self.text[*start..*end].trim()));
            format!(
                "{path}:{line}: `{text}` is taken for a comment; a name that begins so has quotes around it"
            )
        }))
    }

    /// What separates the fields: of tab, semicolon and comma the first that stands in every line outside quotes, else
    /// blanks. Names of classes may hold any of them.
    fn detect(&self) -> Result<Separator, CliError> {
        let has = |line: &(usize, usize, usize), c: char| {
            let line = &self.text[line.1..line.2];
            line.contains(c) && line.split('"').step_by(2).any(|part| part.contains(c))
        };
        let count = |c: char| self.lines.iter().filter(|l| has(l, c)).count();
        let counts = LETTERS.map(|c| (c, count(c)));
        if let Some((c, _)) = counts.into_iter().find(|(_, n)| *n > 0 && *n == self.lines.len()) {
            return Ok(Separator::Letter(c));
        }
        let first = |line: &(usize, usize, usize), by: Separator| {
            let cells = split(&self.text[line.1..line.2], by).unwrap_or_default();
            (cells.len() > 1).then(|| cells[0].to_string())
        };
        let numbered = |by: Separator, lines: Vec<&(usize, usize, usize)>| {
            lines.iter().all(|line| first(line, by).is_some_and(|cell| cell.parse::<u64>().is_ok()))
        };
        let most = counts.into_iter().filter(|(_, n)| *n > 0).max_by_key(|(_, n)| *n);
        if let Some((c, _)) = most {
            let by = Separator::Letter(c);
            let ids = numbered(by, self.lines.iter().skip(1).filter(|l| has(l, c)).collect());
            let without = self.lines.iter().find(|l| !has(l, c));
            if let Some(line) = without.filter(|_| self.kind != Kind::Labels || ids) {
                let remedy = match self.kind {
                    Kind::Edges => "; lists of neighbours are read by --edges-format adjacency-list",
                    _ => "",
                };
                let what = format!("has no {} between fields, as other lines have{remedy}", by.word());
                return Err(self.wrong(line.0, what));
            }
        }
        if self.kind != Kind::Labels {
            return Ok(Separator::Blanks);
        }
        // A class may be called New York: blanks separate only behind the number of a node, below a header or not.
        let cells = |line| first(line, Separator::Blanks);
        let titled = self.lines.first().and_then(cells).is_some_and(|cell| cell.parse::<u64>().is_err());
        let lines: Vec<_> = self.lines.iter().skip(usize::from(titled)).collect();
        let mut numbers: Vec<_> = lines.iter().map(|line| cells(line)).collect();
        let wholes = self.lines.len() > 1 && !lines.is_empty() && numbered(Separator::Blanks, lines);
        numbers.sort_unstable();
        let distinct = numbers.windows(2).all(|w| w[0] != w[1]);
        Ok(if most.is_none() && wholes && distinct { Separator::Blanks } else { Separator::None })
    }

    /// Every line has as many fields as the first.
    pub fn check_width(&self) -> Result<(), CliError> {
        let mut width = None;
        for row in self.all() {
            let (line, cells) = row?;
            let wanted = *width.get_or_insert(cells.len());
            if cells.len() != wanted {
                let (first, by) = (self.lines[0].0, self.separator.word());
                let remedy = match self.kind {
                    Kind::Edges => "; lists of neighbours are read by --edges-format adjacency-list",
                    _ => "",
                };
                let what = format!(
                    "has {} fields, line {first} has {wanted} (separator: {by}){remedy}",
                    cells.len()
                );
                return Err(self.wrong(line, what));
            }
        }
        Ok(())
    }

    /// An error in a line.
    pub fn wrong(&self, line: usize, what: impl std::fmt::Display) -> CliError {
        CliError::usage(format!("{}:{line}: {what}", self.path.display()))
    }

    /// (number, fields) of every line.
    pub fn all(&self) -> impl Iterator<Item = Result<(usize, Vec<Cow<'_, str>>), CliError>> {
        self.lines.iter().map(|(line, start, end)| {
            let cells = split(&self.text[*start..*end], self.separator);
            cells.map(|cells| (*line, cells)).map_err(|what| self.wrong(*line, what))
        })
    }

    /// The same of every line below the header.
    pub fn rows(&self) -> impl Iterator<Item = Result<(usize, Vec<Cow<'_, str>>), CliError>> {
        self.all().skip(usize::from(self.titled))
    }

    /// Lines, the header's among them.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Lines below the header.
    pub fn count(&self) -> usize {
        self.lines.len() - usize::from(self.titled && !self.lines.is_empty())
    }

    /// The first line's number and fields; none of an empty file.
    pub fn first(&self) -> Result<(usize, Vec<String>), CliError> {
        let first = self.all().next().transpose()?;
        Ok(first.map_or((1, Vec::new()), |(line, cells)| (line, cells.into_iter().map(Cow::into).collect())))
    }
}

/// A line as messages show it.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}

/// The fields of a line; what stands between quotes separates nothing.
fn split(line: &str, separator: Separator) -> Result<Vec<Cow<'_, str>>, String> {
    if !line.contains('"') {
        let cells = match separator {
            Separator::None => vec![line.trim()],
            Separator::Blanks => line.split_whitespace().collect(),
            Separator::Letter(c) => line.split(c).map(str::trim).collect(),
        };
        return Ok(cells.into_iter().map(Cow::Borrowed).collect());
    }
    let mut reader = csv::ReaderBuilder::new();
    let letter = match separator {
        Separator::Letter(c) => c as u8,
        Separator::Blanks => b' ',
        // No text has this byte.
        Separator::None => 0,
    };
    reader.has_headers(false).delimiter(letter).terminator(csv::Terminator::Any(b'\n'));
    let text = line.trim_matches(' ').as_bytes();
    let record = reader.buffer_capacity(text.len()).from_reader(text).into_records().next();
    let record = record.transpose().map_err(|e| e.to_string())?.unwrap_or_default();
    let bare = |cell: &str| {
        let cell = cell.trim();
        // A quote after a blank is one of the field's letters to `csv`.
        match cell.strip_prefix('"') {
            Some(inner) => inner.strip_suffix('"').map(|inner| inner.trim().to_string()).ok_or_else(|| {
                format!("`{cell}`: a quote that does not end in its field; put no blank before a quote")
            }),
            None => Ok(cell.to_string()),
        }
    };
    let cells = record.iter().filter(|c| separator != Separator::Blanks || !c.is_empty()).map(bare);
    cells.map(|cell| cell.map(Cow::Owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: Kind, text: &str) -> Result<Table, String> {
        let table = Table::of(Path::new("a.csv"), text.into(), kind, None).map_err(|e| e.to_string())?;
        table.check_width().map_err(|e| e.to_string())?;
        Ok(table)
    }

    fn cells(kind: Kind, text: &str) -> Vec<Vec<String>> {
        let table = table(kind, text).unwrap();
        table.all().map(|row| row.unwrap().1.into_iter().map(Cow::into).collect()).collect()
    }

    #[test]
    fn fields_are_split_by_what_every_line_has() {
        use Kind::{Edges, Features, Labels};
        for text in ["\u{feff}a,b c\n\nd,e\n", "a;b c\r\nd;e", "a\tb c\nd\te\n", "\"a\", \"b c\" \n d , e"] {
            assert_eq!(
                cells(Labels, text.trim_start_matches('\u{feff}')),
                [vec!["a", "b c"], vec!["d", "e"]],
                "{text:?}"
            );
        }
        assert_eq!(cells(Edges, " 1  2 \n# a, b\n3 4"), [["1", "2"], ["3", "4"]]);
        assert_eq!(cells(Features, "1,5;2"), [["1,5", "2"]]);
        assert_eq!(cells(Edges, "1,,2"), [["1", "", "2"]]);
        assert_eq!(cells(Edges, "\"a b\" c\nd e"), [["a b", "c"], ["d", "e"]]);
    }

    #[test]
    fn blanks_and_separators_may_belong_to_names() {
        use Kind::Labels;
        assert_eq!(cells(Labels, "cs; AI\nbio\ncs; AI\n"), [["cs; AI"], ["bio"], ["cs; AI"]]);
        assert_eq!(
            cells(Labels, "New York\nOld York\nNew York\n"),
            [["New York"], ["Old York"], ["New York"]]
        );
        assert_eq!(cells(Labels, "1 star\n2 stars\n1 star\n"), [["1 star"], ["2 stars"], ["1 star"]]);
        assert_eq!(
            cells(Labels, "node label\n0 red\n1 blue\n"),
            [["node", "label"], ["0", "red"], ["1", "blue"]]
        );
        let quoted = [["0", "New, York"], ["1", "a \"b\""]];
        assert_eq!(cells(Labels, "0,\"New, York\"\n1,\"a \"\"b\"\"\"\n"), quoted);
        assert_eq!(cells(Labels, "0\n\n1\n"), [["0"], [""], ["1"]]);
    }

    #[test]
    fn names_are_not_taken_for_comments() {
        use Kind::{Edges, Labels};
        let error = |kind, text: &str| table(kind, text).err().unwrap();
        let remedy = "begins with # or %; put a blank behind it";
        assert!(error(Edges, "a,b\n#rust,@anna\n").contains(&format!("a.csv:2: {remedy}")));
        assert!(error(Edges, "#rust,@anna\n#go,@bert\n").contains(&format!("a.csv:1: {remedy}")));
        assert!(error(Labels, "a\n%b\n").contains(&format!("a.csv:2: {remedy}")));
        assert_eq!(cells(Edges, "\"#rust\",@anna\n# a\n#\n## b\nc,d"), [["#rust", "@anna"], ["c", "d"]]);
        let note =
            |text: &str| table(Edges, text).unwrap().doubted_comment().map_err(|e| e.to_string()).unwrap();
        assert!(
            note("#rust,@anna\nc,d\n").unwrap().starts_with("a.csv:1: `#rust,@anna` is taken for a comment")
        );
        assert_eq!((note("#edges\nc,d\n"), note("# c,d\nc,d\n")), (None, None));
    }

    #[test]
    fn a_line_of_another_width_is_named() {
        let error = |kind, text: &str| table(kind, text).err().unwrap();
        assert!(
            error(Kind::Features, "1,2\n1,2,3\n")
                .contains(":2: has 3 fields, line 1 has 2 (separator: comma)")
        );
        assert!(error(Kind::Edges, "0 1 2\n1 2\n").contains("--edges-format adjacency-list"));
        assert!(error(Kind::Edges, "0,1\n1 2\n").contains(":2: has no comma"));
        assert!(error(Kind::Labels, "0,a\n1,b\n2\n").contains(":3: has no comma"));
        assert!(error(Kind::Edges, "[[0,1]]").contains("is JSON"));
        assert!(error(Kind::Features, "%%MatrixMarket matrix\n").contains("only --edges"));
        assert!(error(Kind::Labels, "0, \"a, b\"\n").contains("no blank before a quote"));
    }
}
