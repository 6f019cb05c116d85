//! Whether the first line of a file names its columns. The rule is written in docs/data.md; where it cannot tell, the
//! numbers of nodes in the files decide, and where they cannot either, the user is asked.

use super::super::labels::is_number;
use super::columns::Names;
use super::table::{Kind, Table};
use crate::run::error::CliError;

/// Why a first line is a header.
pub(super) const KNOWN: &str = "known names";
pub(super) const STATED: &str = "as stated";
pub(super) const INDEX: &str = "an index without a name";
pub(super) const WORDS: &str = "words above numbers";

/// What the first line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A header, and why.
    Header(&'static str),
    /// Data.
    Data,
    /// Either, with what is likelier, if anything.
    Open(Option<bool>),
}

impl Verdict {
    /// The likelier.
    pub fn guess(self) -> Option<bool> {
        match self {
            Self::Header(_) => Some(true),
            Self::Data => Some(false),
            Self::Open(guess) => guess,
        }
    }
}

/// What stands in a column below the first line.
#[derive(Clone, Copy, Default)]
struct Below {
    filled: usize,
    numbers: usize,
    fractions: usize,
    /// Fields equal to the first line's.
    again: usize,
}

impl Below {
    fn all_numbers(&self) -> bool {
        self.filled > 0 && self.numbers == self.filled
    }
}

/// The rule.
pub(super) fn judge(table: &Table, names: &Names) -> Result<Verdict, CliError> {
    let (line, first) = table.first()?;
    let known = first.iter().any(|cell| names.known(cell));
    let words = first.iter().all(|cell| is_word(cell));
    if table.lines() < 2 {
        return Ok(if known && words { Verdict::Header(KNOWN) } else { Verdict::Data });
    }
    let below = below(table, &first)?;
    if (table.kind, first.len()) == (Kind::Labels, 1) {
        return Ok(of_labels(&first[0], known, &below[0]));
    }
    let again = below.iter().any(|column| column.again > 0);
    if known && words_or_empty(&first) {
        // A node may be called `to`.
        let names_only = below.iter().all(|column| column.numbers == 0);
        return Ok(if names_only && again { Verdict::Open(None) } else { Verdict::Header(KNOWN) });
    }
    if first[0].is_empty() && below[0].all_numbers() {
        return Ok(Verdict::Header(INDEX));
    }
    if first.iter().enumerate().all(|(k, cell)| *cell == k.to_string()) {
        // What pandas writes above columns without names.
        let fractions = below.iter().any(|column| column.fractions > 0);
        return Ok(match table.kind {
            Kind::Edges => Verdict::Data,
            _ => Verdict::Open(fractions.then_some(true)),
        });
    }
    let odd = first.iter().zip(&below).find(|(cell, column)| column.all_numbers() && !is_number(cell));
    match odd {
        Some((cell, _)) if !words && !cell.is_empty() => {
            let kind = table.kind.name();
            Err(table.wrong(line, format!(
                "`{cell}` is no number, as all below it are: a slip, or a header? Say it by --header {kind}=no or --header {kind}=yes"
            )))
        }
        Some((cell, _)) if cell.is_empty() => Ok(Verdict::Data),
        Some(_) => Ok(Verdict::Header(WORDS)),
        None if below.iter().any(Below::all_numbers) => Ok(Verdict::Data),
        None if table.kind == Kind::Edges => Ok(Verdict::Open(None)),
        None => Ok(Verdict::Open(Some(false))),
    }
}

/// A column of labels by itself.
fn of_labels(cell: &str, known: bool, below: &Below) -> Verdict {
    match is_number(cell) {
        true if below.filled > 0 && below.numbers == 0 => Verdict::Open(Some(true)),
        true if cell == "0" => Verdict::Open(None),
        true => Verdict::Data,
        false if known || below.all_numbers() => Verdict::Open(Some(below.again == 0)),
        false => Verdict::Open(Some(false)),
    }
}

fn below(table: &Table, first: &[String]) -> Result<Vec<Below>, CliError> {
    let mut below = vec![Below::default(); first.len()];
    for row in table.all().skip(1) {
        for ((cell, column), above) in row?.1.iter().zip(&mut below).zip(first) {
            let missing = cell.is_empty() || cell.eq_ignore_ascii_case("nan");
            column.filled += usize::from(!missing);
            column.numbers += usize::from(is_number(cell));
            column.fractions += usize::from(is_number(cell) && cell.parse::<i64>().is_err());
            column.again += usize::from(cell == above);
        }
    }
    Ok(below)
}

/// What a column may be called.
fn is_word(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn words_or_empty(cells: &[String]) -> bool {
    cells.iter().all(|cell| cell.is_empty() || is_word(cell))
}

/// Files whose lines are nodes: which of them have a header, so that all have as many nodes. `highest` is the last node
/// that an edge names.
pub(super) fn agree(
    tables: &[(&Table, Verdict)],
    highest: impl FnOnce() -> Result<Option<u64>, CliError>,
) -> Result<Vec<bool>, CliError> {
    let may = |(table, verdict): &(&Table, Verdict), n: usize| match verdict {
        Verdict::Header(_) => table.lines() == n + 1,
        Verdict::Data => table.lines() == n,
        Verdict::Open(_) => table.lines() == n || table.lines() == n + 1,
    };
    let Some((first, _)) = tables.first() else { return Ok(Vec::new()) };
    let sizes = [first.lines(), first.lines().saturating_sub(1)];
    let mut sizes: Vec<usize> = sizes.into_iter().filter(|n| tables.iter().all(|t| may(t, *n))).collect();
    sizes.dedup();
    let guessed = |(table, verdict): &(&Table, Verdict)| {
        verdict.guess().map(|header| table.lines() - usize::from(header).min(table.lines()))
    };
    let nodes = match sizes[..] {
        [] => {
            let likely = |(_, verdict): &(&Table, Verdict)| verdict.guess().unwrap_or(false);
            return Ok(tables.iter().map(likely).collect());
        }
        [n] => n,
        _ => {
            let mut guesses: Vec<usize> = tables.iter().filter_map(guessed).collect();
            guesses.dedup();
            match guesses[..] {
                [n] => n,
                _ if highest()? == Some(first.lines() as u64 - 1) => first.lines(),
                _ => {
                    let kind = first.kind.name();
                    let what = format!(
                        "may be the first node, or a header as pandas writes it; say it by --header {kind}=no or --header {kind}=yes"
                    );
                    return Err(first.wrong(first.first()?.0, what));
                }
            }
        }
    };
    Ok(tables.iter().map(|(table, _)| table.lines() == nodes + 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: Kind, text: &str) -> Table {
        Table::of(std::path::Path::new("a.csv"), text.into(), kind, None).unwrap()
    }

    fn verdict(kind: Kind, text: &str) -> Verdict {
        judge(&table(kind, text), &Names::of(kind, false)).unwrap()
    }

    #[test]
    fn of_edges() {
        use Verdict::{Data, Header, Open};
        let of = |text: &str| verdict(Kind::Edges, text);
        assert_eq!(of("source,target\n0,1\n"), Header(KNOWN));
        assert_eq!(of("source,target\n"), Header(KNOWN));
        assert_eq!(of("page_a,page_b\n0,1\n"), Header(WORDS));
        assert_eq!(of(",source,target\n0,0,1\n"), Header(KNOWN));
        assert_eq!(of("0,1\n1,2\n"), Data);
        assert_eq!(of("anna,bert\nbert,carl\n"), Open(None));
        assert_eq!(of("from,to\nto,from\nto,to\n"), Open(None));
        for text in ["O,1\n1,2\n", "'0','1'\n1,2\n"] {
            let error = judge(&table(Kind::Edges, text), &Names::of(Kind::Edges, false)).unwrap_err();
            assert!(error.to_string().contains(":1: `") && error.to_string().contains("--header edges=no"));
        }
    }

    #[test]
    fn of_features_and_labels() {
        use Verdict::{Data, Header, Open};
        let of = |text: &str| verdict(Kind::Features, text);
        assert_eq!(of("id,f0\n3,0.5\n"), Header(KNOWN));
        assert_eq!(of("f0,f1\n3,0.5\n"), Header(WORDS));
        assert_eq!(of(",0,1\n0,1.5,2\n"), Header(INDEX));
        assert_eq!(of("0,1,2\n0.5,1,2\n"), Open(Some(true)));
        assert_eq!(of("0,1,2\n5,1,2\n"), Open(None));
        assert_eq!(of("0.5,1\n5,1\n"), Data);
        let of = |text: &str| verdict(Kind::Labels, text);
        assert_eq!(of("y\nn\nn\ny\n"), Open(Some(false)));
        assert_eq!(of("subject\nBio\nChem\n"), Open(Some(true)));
        assert_eq!(of("discipline\nBio\nChem\n"), Open(Some(false)));
        assert_eq!(of("0\n0\n1\n"), Open(None));
        assert_eq!(of("0\nred\nblue\n"), Open(Some(true)));
        assert_eq!(of("1\n0\n"), Data);
        assert_eq!(of("label\n1\n0\n"), Open(Some(true)));
        assert_eq!(of("id,label\n1,a\n"), Header(KNOWN));
    }

    #[test]
    fn files_agree_on_the_number_of_nodes() {
        let both = |x: &str, y: &str, highest: Option<u64>| {
            let (x, y) = (table(Kind::Features, x), table(Kind::Labels, y));
            let judged = |t: &Table| judge(t, &Names::of(t.kind, false)).unwrap();
            agree(&[(&x, judged(&x)), (&y, judged(&y))], || Ok(highest)).map_err(|e| e.to_string())
        };
        assert_eq!(both("0,1\n1,2\n2,3\n", "subject\nBio\nChem\n", None).unwrap(), [true, true]);
        assert_eq!(both("0,1\n1,2\n2,3\n", "y\nn\ny\n", None).unwrap(), [false, false]);
        assert_eq!(both("0,1\n0.5,2\n2,3\n", "0\n1\n0\n", None).unwrap(), [true, true]);
        assert_eq!(both("0,1\n1,0\n0,1\n", "0\n1\n0\n", Some(2)).unwrap(), [false, false]);
        assert!(both("0,1\n1,0\n0,1\n", "0\n1\n0\n", Some(1)).unwrap_err().contains("--header features=no"));
    }
}
