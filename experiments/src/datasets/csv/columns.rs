//! Which column is what: by names that many programs use, or as a user states it.

use super::super::labels::{LABEL, SPLIT, WEIGHT, bare};
use super::table::{Kind, Table};
use crate::run::error::CliError;

const SOURCE: &[&str] =
    &["source", "sourceid", "src", "srcid", "from", "fromid", "fromnode", "fromnodeid", "u", "node1", "id1"];
const TARGET: &[&str] =
    &["target", "targetid", "dst", "dstid", "to", "toid", "tonode", "tonodeid", "v", "node2", "id2"];
const ID: &[&str] = &["id", "node", "nodeid"];

/// The roles that a column of each file may have, with their names.
fn roles(kind: Kind, labelled: bool) -> &'static [(&'static str, &'static [&'static str])] {
    match kind {
        Kind::Edges => &[("source", SOURCE), ("target", TARGET), ("weight", WEIGHT)],
        Kind::Features if !labelled => &[("id", ID)],
        Kind::Features | Kind::Labels => &[("id", ID), ("label", LABEL), ("split", SPLIT)],
    }
}

/// The names that say what a column is.
pub(super) struct Names(&'static [(&'static str, &'static [&'static str])]);

impl Names {
    /// Those of a file; of features that are `labelled`, labels and splits among them.
    pub fn of(kind: Kind, labelled: bool) -> Self {
        Self(roles(kind, labelled))
    }

    /// Whether a column of this name has a role.
    pub fn known(&self, name: &str) -> bool {
        self.0.iter().any(|(role, _)| self.names(role, name))
    }

    /// Whether a column of this name has that role.
    fn names(&self, role: &str, name: &str) -> bool {
        let name = bare(name);
        // split0, split1, ...: several splits.
        let name = if role == "split" { name.trim_end_matches(|c: char| c.is_ascii_digit()) } else { &name };
        self.0.iter().any(|(r, names)| *r == role && names.contains(&name))
    }
}

/// What a user states: roles, of one file or of all, and their columns by name or by place from 1.
#[derive(Default)]
pub(super) struct Stated(Vec<(Option<String>, String, String)>);

impl Stated {
    /// Reads ROLE=COLUMN or FILE.ROLE=COLUMN.
    pub fn parse(settings: &[String]) -> Result<Self, CliError> {
        let all = ["source", "target", "weight", "id", "label", "split"];
        let files = ["edges", "features", "labels"];
        let one = |setting: &String| {
            let (role, column) = setting.split_once('=').unwrap_or((setting, ""));
            let (file, role) = match role.split_once('.') {
                Some((file, role)) => (Some(file), role),
                None => (None, role),
            };
            let known = all.contains(&role) && file.is_none_or(|file| files.contains(&file));
            if !known || column.is_empty() {
                return Err(CliError::usage(format!(
                    "--columns {setting}: write ROLE=COLUMN, a name or a place from 1; roles are {}, of one file features.id",
                    all.join(", ")
                )));
            }
            Ok((file.map(String::from), role.to_string(), column.to_string()))
        };
        Ok(Self(settings.iter().map(one).collect::<Result<_, _>>()?))
    }

    fn of(&self, kind: Kind, role: &str) -> Option<&str> {
        let own = |file: &Option<String>| file.as_deref().is_none_or(|file| file == kind.name());
        self.0.iter().rev().find(|(file, r, _)| own(file) && r == role).map(|(.., column)| column.as_str())
    }
}

/// The columns of a file.
pub(super) struct Columns {
    names: Names,
    /// What the columns are called; their places where the file has no header.
    pub titles: Vec<String>,
    /// The role of each, if it has one.
    pub roles: Vec<Option<&'static str>>,
    /// Whether the role was stated.
    stated: bool,
    /// Roles that no column has, as the user states.
    refused: Vec<&'static str>,
    line: usize,
}

impl Columns {
    /// What is stated wins over names. A column without a name that counts the lines is pandas' index.
    pub fn of(table: &Table, stated: &Stated, labelled: bool) -> Result<Self, CliError> {
        let names = Names::of(table.kind, labelled);
        let (line, first) = table.first()?;
        let place = |k: usize| format!("column {}", k + 1);
        let titles: Vec<String> = match table.titled {
            true => first,
            false => (0..first.len()).map(place).collect(),
        };
        let mut columns =
            Self { roles: vec![None; titles.len()], titles, names, stated: false, refused: Vec::new(), line };
        for (role, _) in columns.names.0 {
            if let Some(column) = stated.of(table.kind, role) {
                columns.stated = true;
                if column == "none" {
                    columns.refused.push(role);
                    continue;
                }
                let k = columns.find(column).ok_or_else(|| {
                    let held = columns.titles.join(", ");
                    table.wrong(line, format!("has no column {column} for --columns {role}; it has {held}"))
                })?;
                columns.roles[k] = Some(role);
            } else if table.titled {
                let named = |k: &usize| columns.names.names(role, &columns.titles[*k]);
                let found: Vec<usize> = (0..columns.titles.len()).filter(named).collect();
                if let [a, b, ..] = found[..]
                    && *role != "split"
                {
                    let (a, b, kind) = (&columns.titles[a], &columns.titles[b], table.kind.name());
                    let what = format!(
                        "`{a}` and `{b}` may both be the {role}; say it by --columns {kind}.{role}={a}"
                    );
                    return Err(table.wrong(line, what));
                }
                found.into_iter().for_each(|k| _ = columns.roles[k].get_or_insert(role));
            }
        }
        Ok(columns)
    }

    /// A column by name, else by its place from 1.
    fn find(&self, column: &str) -> Option<usize> {
        let named = self.titles.iter().position(|title| title == column);
        let named = named.or_else(|| self.titles.iter().position(|title| bare(title) == bare(column)));
        let placed = || column.parse::<usize>().ok().filter(|k| (1..=self.titles.len()).contains(k));
        named.or_else(|| placed().map(|k| k - 1))
    }

    /// The place of a role.
    pub fn at(&self, role: &str) -> Option<usize> {
        self.roles.iter().position(|r| *r == Some(role))
    }

    /// The places of a role that several columns may have.
    pub fn every(&self, role: &str) -> Vec<usize> {
        (0..self.roles.len()).filter(|k| self.roles[*k] == Some(role)).collect()
    }

    /// Gives a column its role.
    pub fn give(&mut self, k: usize, role: &'static str) {
        self.roles[k] = Some(role);
    }

    /// Columns without a role.
    pub fn free(&self) -> Vec<usize> {
        (0..self.titles.len()).filter(|k| self.roles[*k].is_none()).collect()
    }

    /// The place of a column without a name in a file with a header, as pandas writes its index.
    pub fn unnamed(&self, table: &Table) -> Option<usize> {
        let empty = |title: &String| title.is_empty() || title.eq_ignore_ascii_case("Unnamed: 0");
        table.titled.then(|| self.titles.first().filter(|t| empty(t)).map(|_| 0)).flatten()
    }

    /// Whether the user stated a role of this file.
    pub fn stated(&self) -> bool {
        self.stated
    }

    /// Whether the user stated that no column has a role.
    pub fn refused(&self, role: &str) -> bool {
        self.refused.contains(&role)
    }

    /// An error about the columns, with the remedy.
    pub fn unclear(&self, table: &Table, what: &str, example: &str) -> CliError {
        let held = self.titles.join(", ");
        table.wrong(self.line, format!("{what} (columns: {held}); say it by --columns {example}"))
    }

    /// What was understood, for the summary.
    pub fn describe(&self, table: &Table, unread: &[usize]) -> String {
        let title = |k: &usize| match table.titled && !self.titles[*k].is_empty() {
            true => format!("`{}`", self.titles[*k]),
            false => format!("column {}", k + 1),
        };
        let known = (0..self.titles.len()).filter_map(|k| self.roles[k].map(|role| (k, role)));
        let mut parts: Vec<String> = known.map(|(k, role)| format!("{role} = {}", title(&k))).collect();
        if !unread.is_empty() {
            parts.push(format!("not read: {}", unread.iter().map(title).collect::<Vec<_>>().join(", ")));
        }
        parts.join(", ")
    }
}
