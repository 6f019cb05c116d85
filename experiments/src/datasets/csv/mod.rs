//! A user's own files: edges, features and labels as text. What separates fields, whether there is a header and which
//! column is what is found by rules that docs/data.md states, or is stated by the user; what was understood is told.

mod columns;
mod edges;
mod header;
mod join;
mod market;
mod nodes;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use models::gnn::FeatureMatrix;

pub use self::edges::EdgesFormat;

use self::columns::{Columns, Names, Stated};
use self::edges::Leave;
use self::header::Verdict;
use self::market::Market;
use self::nodes::Nodes;
use self::table::{Kind, Separator, Table, short};
use super::features::{WORDS, made};
use super::labels::{bare, is_number};
use super::reading::{Listed, Reading, dataset};
use super::text::plain;
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
    /// A class for each node, a number or a name; without this file the one of features has a column `label`,
    /// or no node has a label.
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

impl Csv {
    /// The files that are read.
    pub(super) fn inputs(&self) -> Vec<PathBuf> {
        let features = self.word().is_none().then(|| self.features.clone());
        [Some(self.edges.clone()), features, self.labels.clone()].into_iter().flatten().collect()
    }

    fn word(&self) -> Option<&'static str> {
        WORDS.into_iter().find(|word| self.features == Path::new(word))
    }

    fn open(&self, path: &Path, text: String, kind: Kind) -> Result<Table, CliError> {
        let stated = stated("--separator", &self.separator, kind, &Separator::WORDS)?;
        let table = Table::of(path, text, kind, stated.and_then(Separator::of))?;
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
        let leave = Leave { unknown: self.drop_unknown, weights: self.ignore_weights };
        let text = plain(&self.edges)?;
        let edges = match text.starts_with(market::BANNER) {
            true => Edges::Market(market::read(&self.edges, &text, &leave)?),
            false => Edges::Table(self.open(&self.edges, text, Kind::Edges)?),
        };
        let open = |path: &Path, kind: Kind| self.open(path, plain(path)?, kind);
        let own = self.word().is_none().then(|| open(&self.features, Kind::Features)).transpose()?;
        let labels = self.labels.as_deref().map(|path| open(path, Kind::Labels)).transpose()?;
        let mut tables: Vec<Table> = own.into_iter().chain(labels).collect();
        let verdicts = tables.iter().map(|t| self.judge(t)).collect::<Result<Vec<_>, _>>()?;
        let judged: Vec<_> = tables.iter().zip(verdicts.iter().copied()).collect();
        let titled = header::agree(&judged, || edges.highest())?;
        tables.iter_mut().zip(titled).for_each(|(table, titled)| table.titled = titled);

        let mut facts = Vec::new();
        let mut notes = Vec::new();
        let mut read = Vec::new();
        for (table, verdict) in tables.iter().zip(&verdicts) {
            notes.extend(doubted(table, *verdict)?);
            notes.extend(table.doubted_comment()?);
            let mut columns = Columns::of(table, &stated, self.labels.is_none())?;
            let (features, unread) = of_nodes(table, &mut columns, self.labels.is_none(), &mut notes)?;
            facts.push(fact(table, &columns, &unread));
            read.push(nodes::rows(table, &columns, &features)?);
        }
        let (nodes, places) = join::nodes(&tables, &read)?;
        let classes = join::classes(&tables, &read, &places, nodes.count, &self.unlabelled)?;
        let splits = join::splits(&tables, &read, &places, nodes.count)?;

        let listed = match edges {
            Edges::Table(table) => self.listed(table, &stated, &nodes, &leave, &mut facts, &mut notes)?,
            Edges::Market(market) if market.nodes != nodes.count => {
                let (path, rows, n) = (self.edges.display(), market.nodes, nodes.count);
                return Err(CliError::usage(format!(
                    "{path}: is a matrix of {rows} nodes; the other files have {n}"
                )));
            }
            Edges::Market(market) => {
                facts.insert(0, (file_name(&self.edges), market.fact));
                market.listed
            }
        };
        let features = match self.word() {
            None if !read.is_empty() => {
                let rows = read.swap_remove(0);
                rows.features.placed(rows.width, &places[0])
            }
            _ => FeatureMatrix::zero(nodes.count, 0),
        };
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

    /// The edges of a table.
    fn listed(
        &self,
        mut table: Table,
        stated: &Stated,
        nodes: &Nodes,
        leave: &Leave,
        facts: &mut Vec<(String, String)>,
        notes: &mut Vec<String>,
    ) -> Result<Listed, CliError> {
        let verdict = match self.edges_format {
            EdgesFormat::EdgeList => self.judge(&table)?,
            _ => Verdict::Data,
        };
        table.titled = match verdict {
            // Names of nodes and of columns look alike: the former are known.
            Verdict::Open(_) => table.first()?.1.iter().take(2).all(|cell| nodes.find(cell).is_none()),
            decided => decided.guess().unwrap_or(false),
        };
        notes.extend(doubted(&table, verdict)?);
        notes.extend(table.doubted_comment()?);
        match self.edges_format {
            _ if table.count() == 0 => Ok(Listed::default()),
            EdgesFormat::EdgeList => {
                let mut columns = Columns::of(&table, stated, false)?;
                let (source, target, weight, unread) = edges::ends(&table, &mut columns)?;
                if !unread.is_empty() && !table.titled && !columns.stated() {
                    let what = "a third column is neither named nor stated";
                    let example = "source=1,target=2,weight=3 (or leave weight= out)";
                    return Err(columns.unclear(&table, what, example));
                }
                facts.insert(0, fact(&table, &columns, &unread));
                edges::list(&table, (source, target, weight), nodes, leave)
            }
            EdgesFormat::AdjacencyList => edges::lists(&table, nodes, leave),
            EdgesFormat::AdjacencyMatrix => edges::matrix(&table, nodes, leave),
        }
    }
}

/// The file of edges.
enum Edges {
    Table(Table),
    Market(Market),
}

impl Edges {
    /// The last node that it names, if nodes are numbers.
    fn highest(&self) -> Result<Option<u64>, CliError> {
        match self {
            Self::Table(table) => edges::highest(table),
            Self::Market(market) => Ok((market.nodes as u64).checked_sub(1)),
        }
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
    let first = short(&first.join(", "));
    Ok(Some(format!("{path}:{line}: `{first}` is taken for a header; --header {kind}=no takes it for data")))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// How a file was understood.
fn fact(table: &Table, columns: &Columns, unread: &[usize]) -> (String, String) {
    let file = file_name(&table.path);
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
        let title = bare(&columns.titles[**k]);
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
    if labelled && columns.at("label").is_none() && !columns.refused("label") && table.lines() > 0 {
        let what = "no column is the class, and there are no --labels";
        let first = table.rows().next().transpose()?.map_or_else(Vec::new, |(_, cells)| cells);
        let words = free_columns.iter().filter_map(|k| first.get(*k)).any(|cell| !is_number(cell));
        // What is no feature, or a part of a split, speaks of classes.
        if words || columns.at("split").is_some() {
            return Err(columns.unclear(table, what, "features.label=NAME or features.label=none"));
        }
        let path = table.path.display();
        notes.push(format!("{path}: {what}; --columns features.label=NAME would name one"));
    }
    if !labelled && table.titled {
        let telling = ["label", "class", "subject"];
        let told =
            free_columns.iter().map(|k| &columns.titles[*k]).find(|t| telling.contains(&bare(t).as_str()));
        notes.extend(told.map(|title| format!("the column `{title}` is a feature: does it tell the class?")));
    }
    let unread = unnamed.filter(|k| columns.roles[*k].is_none()).into_iter().collect();
    Ok((free_columns, unread))
}
