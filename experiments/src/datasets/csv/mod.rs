//! A user's own files: edges, features and labels as text. What separates fields, whether there is a header and which
//! column is what is found by rules that docs/data.md states, or is stated by the user; what was understood is told.

mod columns;
mod edges;
mod header;
mod nodes;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use models::gnn::Split;
use models::gnn::data::check::split_problem;
use sprs::CsMat;

pub use self::edges::EdgesFormat;

use self::columns::{Columns, Names, Stated, plain};
use self::edges::Leave;
use self::header::Verdict;
use self::nodes::{Nodes, Rows};
use self::table::{Kind, Separator, Table};
use super::classes::Classes;
use super::import::sparse;
use super::reading::{Listed, Reading, dataset};
use crate::run::error::CliError;

/// The files, and what a user states of them.
#[derive(Args, Clone, Debug, Default)]
pub struct Csv {
    /// Two nodes in each line, and perhaps a weight.
    #[arg(long, value_name = "FILE")]
    pub edges: PathBuf,
    /// A line of numbers for each node; or `none` (a constant), `degree` (log(1 + degree)), `identity` (one feature for
    /// each node).
    #[arg(long, value_name = "FILE|WORD")]
    pub features: PathBuf,
    /// A class for each node, a number or a name; without this file the one of features has a column `label`.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// What a line of --edges holds.
    #[arg(long, value_enum, default_value_t)]
    pub edges_format: EdgesFormat,
    /// Whether the first line names the columns: auto, yes or no, for all files or for one (labels=yes).
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub header: Vec<String>,
    /// What separates fields: auto, comma, semicolon, tab, blank or none, for all files or for one (labels=none).
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub separator: Vec<String>,
    /// Which column is what, by name or place: source=2,target=3,weight=4,id=1,label=2,split=3; of one file features.id=1;
    /// features.id=none for no such column.
    #[arg(long, value_name = "ROLE=COLUMN", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// What stands for no label, beside an empty field, nan, NA and -1.
    #[arg(long, value_name = "VALUE")]
    pub unlabelled: Vec<String>,
    /// Take every edge for one of weight 1.
    #[arg(long)]
    pub ignore_weights: bool,
    /// Leave out edges to nodes that no file has, in place of an error.
    #[arg(long)]
    pub drop_unknown: bool,
    /// The npz to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Graphs without a file of features.
const WORDS: [&str; 3] = ["none", "degree", "identity"];

impl Csv {
    /// The files that are read.
    pub(super) fn inputs(&self) -> Vec<PathBuf> {
        let features = self.word().is_none().then(|| self.features.clone());
        [Some(self.edges.clone()), features, self.labels.clone()].into_iter().flatten().collect()
    }

    fn word(&self) -> Option<&'static str> {
        WORDS.into_iter().find(|word| self.features == Path::new(word))
    }

    fn open(&self, path: &Path, kind: Kind) -> Result<Table, CliError> {
        let stated = stated("--separator", &self.separator, kind, &Separator::WORDS)?;
        let table = Table::read(path, kind, stated.and_then(Separator::of))?;
        if kind != Kind::Edges || self.edges_format != EdgesFormat::AdjacencyList {
            table.check_width()?;
        }
        Ok(table)
    }

    /// Whether the first line is a header, as far as the file by itself tells.
    fn judge(&self, table: &Table) -> Result<Verdict, CliError> {
        Ok(match stated("--header", &self.header, table.kind, &["auto", "yes", "no"])? {
            Some("yes") => Verdict::Header(header::STATED),
            Some("no") => Verdict::Data,
            _ => header::judge(table, &Names::of(table.kind, self.labels.is_none()))?,
        })
    }

    pub(super) fn read(&self, name: &str) -> Result<Reading, CliError> {
        let stated = Stated::parse(&self.columns)?;
        if self.labels.is_none() && self.word().is_some() {
            return Err(CliError::usage("--labels FILE is wanted where --features is no file"));
        }
        let mut pairs = self.open(&self.edges, Kind::Edges)?;
        let own = self.word().is_none().then(|| self.open(&self.features, Kind::Features)).transpose()?;
        let labels = self.labels.as_deref().map(|path| self.open(path, Kind::Labels)).transpose()?;
        let mut tables: Vec<Table> = own.into_iter().chain(labels).collect();
        let verdicts = tables.iter().map(|t| self.judge(t)).collect::<Result<Vec<_>, _>>()?;
        let judged: Vec<_> = tables.iter().zip(verdicts.iter().copied()).collect();
        let titled = header::agree(&judged, || edges::highest(&pairs))?;
        tables.iter_mut().zip(titled).for_each(|(table, titled)| table.titled = titled);

        let mut facts = Vec::new();
        let mut notes = Vec::new();
        let mut read = Vec::new();
        for (table, verdict) in tables.iter().zip(&verdicts) {
            notes.extend(doubted(table, *verdict)?);
            let mut columns = Columns::of(table, &stated, self.labels.is_none())?;
            let (features, unread) = of_nodes(table, &mut columns, self.labels.is_none(), &mut notes)?;
            facts.push(fact(table, &columns, &unread));
            read.push(nodes::rows(table, &columns, &features)?);
        }
        let (nodes, places) = match_nodes(&tables, &read)?;
        let classes = classes(&tables, &read, &places, nodes.count, &self.unlabelled)?;
        let splits = splits(&tables, &read, &places, nodes.count)?;

        let verdict = match self.edges_format {
            EdgesFormat::EdgeList => self.judge(&pairs)?,
            _ => Verdict::Data,
        };
        pairs.titled = match verdict {
            // Names of nodes and of columns look alike: the former are known.
            Verdict::Open(_) => pairs.first()?.1.iter().take(2).all(|cell| nodes.find(cell).is_none()),
            decided => decided.guess().unwrap_or(false),
        };
        notes.extend(doubted(&pairs, verdict)?);
        let leave = Leave { unknown: self.drop_unknown, weights: self.ignore_weights };
        let listed = match self.edges_format {
            _ if pairs.count() == 0 => Listed::default(),
            EdgesFormat::EdgeList => {
                let mut columns = Columns::of(&pairs, &stated, false)?;
                let (source, target, weight, unread) = edges::ends(&pairs, &mut columns)?;
                if !unread.is_empty() && !pairs.titled && !columns.stated() {
                    let what = "a third column is neither named nor stated";
                    return Err(columns.unclear(
                        &pairs,
                        what,
                        "source=1,target=2,weight=3 (or leave weight= out)",
                    ));
                }
                facts.insert(0, fact(&pairs, &columns, &unread));
                edges::list(&pairs, (source, target, weight), &nodes, &leave)?
            }
            EdgesFormat::AdjacencyList => edges::lists(&pairs, &nodes, &leave)?,
            EdgesFormat::AdjacencyMatrix => edges::matrix(&pairs, &nodes, &leave)?,
        };
        let features = read.first().filter(|_| self.word().is_none());
        let features = features.map(|rows| {
            let entries = rows.features.iter().map(|(n, j, v)| (places[0][*n] as usize, *j, *v));
            sparse(nodes.count, Some(rows.width), entries)
        });
        let features = features.unwrap_or_else(|| CsMat::zero((nodes.count, 0)));
        let source = tables.first().map_or(&self.edges, |table| &table.path);
        let mut reading = dataset(name, source, listed, features, classes)?;
        if let Some(word) = self.word() {
            reading.data.features = made(word, &reading.data.degrees());
        }
        reading.data.node_names = nodes.names;
        reading.data.splits = splits;
        reading.facts.splice(0..0, facts);
        reading.notes.extend(notes);
        Ok(reading)
    }
}

/// A setting of one file, or of all.
fn stated<'a>(
    flag: &str,
    settings: &'a [String],
    kind: Kind,
    words: &[&str],
) -> Result<Option<&'a str>, CliError> {
    let mut found = None;
    for setting in settings {
        let (file, word) = setting.split_once('=').map_or((None, setting.as_str()), |(f, w)| (Some(f), w));
        if !words.contains(&word) || file.is_some_and(|f| !["edges", "features", "labels"].contains(&f)) {
            return Err(CliError::usage(format!(
                "{flag} {setting}: {} are possible, for one file labels={word}",
                words.join(", "),
                word = words[1]
            )));
        }
        if file.is_none_or(|file| file == kind.name()) {
            found = Some(word);
        }
    }
    Ok(found)
}

/// A first line that was taken for a header though it has no known name.
fn doubted(table: &Table, verdict: Verdict) -> Result<Option<String>, CliError> {
    let known = matches!(verdict, Verdict::Header(header::KNOWN | header::STATED | header::INDEX));
    if known || !table.titled {
        return Ok(None);
    }
    let (line, first) = table.first()?;
    let (path, kind) = (table.path.display(), table.kind.name());
    let mut first = first.join(", ");
    if first.chars().count() > 40 {
        first = first.chars().take(40).chain("...".chars()).collect();
    }
    Ok(Some(format!("{path}:{line}: `{first}` is taken for a header; --header {kind}=no takes it for data")))
}

/// How a file was understood.
fn fact(table: &Table, columns: &Columns, unread: &[usize]) -> (String, String) {
    let file = table.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let header = if table.titled { "header" } else { "no header" };
    let mut what = format!("{} lines, {header}, separator {}", table.count(), table.separator.word());
    if table.comments > 0 {
        what += &format!(", {} comments", table.comments);
    }
    match columns.describe(table, unread) {
        columns if columns.is_empty() => (file, what),
        columns => (file, format!("{what}; {columns}")),
    }
}

/// Gives the columns of a file of nodes their roles; those of features, and those that are not read.
fn of_nodes(
    table: &Table,
    columns: &mut Columns,
    labelled: bool,
    notes: &mut Vec<String>,
) -> Result<(Vec<usize>, Vec<usize>), CliError> {
    let unnamed = columns.unnamed(table);
    if let (Some(k), None) = (unnamed, columns.at("id")) {
        columns.give(k, "id");
    }
    let free = |columns: &Columns| -> Vec<usize> {
        columns.free().into_iter().filter(|k| Some(*k) != unnamed).collect()
    };
    let kind = table.kind.name();
    if table.kind == Kind::Labels {
        match (columns.at("label"), &free(columns)[..]) {
            (None, &[k]) => columns.give(k, "label"),
            (None, &[id, label]) if !table.titled && columns.at("id").is_none() => {
                columns.give(id, "id");
                columns.give(label, "label");
            }
            (None, _) if table.lines() > 0 => {
                return Err(columns.unclear(
                    table,
                    "which column is the class is not clear",
                    "labels.label=NAME",
                ));
            }
            _ => (),
        }
    }
    // A column that is called so without being known may say which node a line is about.
    let names_nodes = |k: &&usize| {
        let title = plain(&columns.titles[**k]);
        title.ends_with("id") || title.ends_with("name") || title == "index"
    };
    let free_columns = free(columns);
    if table.titled
        && columns.at("id").is_none()
        && !columns.stated()
        && let Some(k) = free_columns.iter().find(names_nodes)
    {
        let title = &columns.titles[*k];
        let what = format!("whether `{title}` says which node a line is about is not clear");
        return Err(columns.unclear(table, &what, &format!("{kind}.id={title} or {kind}.id=none")));
    }
    if table.kind == Kind::Labels {
        let unread = free_columns.into_iter().chain(unnamed.filter(|k| columns.roles[*k].is_none()));
        return Ok((Vec::new(), unread.collect()));
    }
    if labelled && columns.at("label").is_none() && table.lines() > 0 {
        let what = "no column is the class, and there are no --labels";
        return Err(columns.unclear(table, what, "features.label=NAME"));
    }
    if !labelled && table.titled {
        let telling = ["label", "class", "subject"];
        let told =
            free_columns.iter().map(|k| &columns.titles[*k]).find(|t| telling.contains(&plain(t).as_str()));
        notes.extend(told.map(|title| format!("the column `{title}` is a feature: does it tell the class?")));
    }
    let unread = unnamed.filter(|k| columns.roles[*k].is_none()).into_iter().collect();
    Ok((free_columns, unread))
}

/// The nodes, and the node of each line of each file.
fn match_nodes(tables: &[Table], read: &[Rows]) -> Result<(Nodes, Vec<Vec<u32>>), CliError> {
    let with_ids = read.iter().position(|rows| rows.ids.is_some());
    let counts: Vec<usize> = read.iter().map(|rows| rows.lines.len()).collect();
    let differ = || {
        let (a, b) = (&tables[0], &tables[1]);
        CliError::usage(format!(
            "{} has features of {} nodes, {} labels of {}",
            a.path.display(),
            counts[0],
            b.path.display(),
            counts[1]
        ))
    };
    let Some(first) = with_ids else {
        return match counts[..] {
            [a, b] if a != b => Err(differ()),
            _ => {
                let count = counts.first().copied().unwrap_or(0);
                Ok((Nodes::counted(count), counts.iter().map(|n| (0..*n as u32).collect()).collect()))
            }
        };
    };
    let ids = read[first].ids.as_deref().unwrap_or_default();
    let nodes = Nodes::named(&tables[first], ids, &read[first].lines)?;
    let order = nodes.of_lines(&tables[first], &read[first], None)?;
    let mut places = Vec::new();
    for (table, rows) in tables.iter().zip(read) {
        if rows.ids.is_none() && rows.lines.len() != nodes.count {
            return Err(differ());
        }
        if rows.ids.is_none() && !order.is_sorted() {
            return Err(table.wrong(
                rows.lines.first().copied().unwrap_or(1),
                "does not say which node a line is about, and the other file lists them in another order than 0, 1, 2, ...; give it a column id",
            ));
        }
        places.push(nodes.of_lines(table, rows, Some(&order))?);
    }
    // Nodes may lack a label, but not their features.
    if let (Kind::Features, true) = (tables[0].kind, counts[0] < nodes.count) {
        let there: std::collections::HashSet<u32> = places[0].iter().copied().collect();
        let missing = (0..nodes.count as u32).find(|i| !there.contains(i)).unwrap_or(0);
        let name = nodes.names.get(missing as usize).cloned().unwrap_or_else(|| missing.to_string());
        return Err(CliError::usage(format!(
            "{}: has no line for node {name}, which {} lists",
            tables[0].path.display(),
            tables[1].path.display()
        )));
    }
    Ok((nodes, places))
}

/// The class of each node.
fn classes(
    tables: &[Table],
    read: &[Rows],
    places: &[Vec<u32>],
    count: usize,
    unlabelled: &[String],
) -> Result<Classes, CliError> {
    let Some(k) = read.iter().position(|rows| rows.labels.is_some()) else {
        return Ok(Classes::default());
    };
    let (codes, names) = nodes::classes(&tables[k], &read[k], unlabelled)?;
    let classes = match names.is_empty() {
        true => Classes::of_codes(&at_places(codes, &places[k], count)),
        false => Classes::of_names(&at_places(names, &places[k], count)),
    };
    classes.map_err(|what| CliError::usage(format!("{}: holds {what}", tables[k].path.display())))
}

/// Values of lines as values of nodes.
fn at_places<V: Clone>(values: Vec<Option<V>>, places: &[u32], count: usize) -> Vec<Option<V>> {
    let mut out = vec![None; count];
    values.into_iter().zip(places).for_each(|(v, place)| out[*place as usize] = v);
    out
}

/// A split for each column of parts.
fn splits(
    tables: &[Table],
    read: &[Rows],
    places: &[Vec<u32>],
    count: usize,
) -> Result<Vec<Split>, CliError> {
    let mut splits = Vec::new();
    for ((table, rows), places) in tables.iter().zip(read).zip(places) {
        for parts in &rows.parts {
            let mut lists = [const { Vec::new() }; 3];
            for ((cell, line), place) in parts.iter().zip(&rows.lines).zip(places) {
                if let Some(part) = nodes::part(table, *line, cell)? {
                    lists[part].push(*place);
                }
            }
            lists.iter_mut().for_each(|list| list.sort_unstable());
            let [train, validation, test] = lists;
            let split = Split { train, validation, test };
            if let Some(what) = split_problem(&split, count) {
                return Err(CliError::usage(format!(
                    "{}: the column of parts: {what}",
                    table.path.display()
                )));
            }
            splits.push(split);
        }
    }
    Ok(splits)
}

/// Features of a graph that has none.
fn made(word: &str, degrees: &[usize]) -> CsMat<f32> {
    let n = degrees.len();
    match word {
        "identity" => CsMat::new((n, n), (0..=n).collect(), (0..n).collect(), vec![1.0; n]),
        "degree" => {
            let of = |(i, d): (usize, &usize)| (i, 0, (*d as f32).ln_1p());
            sparse(n, Some(1), degrees.iter().enumerate().filter(|(_, d)| **d > 0).map(of))
        }
        _ => sparse(n, Some(1), (0..n).map(|i| (i, 0, 1.0))),
    }
}
