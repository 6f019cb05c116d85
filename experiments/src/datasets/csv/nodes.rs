//! Files whose lines are nodes: their ids, features, classes and parts.

use std::collections::HashMap;

use super::super::features::FeatureRows;
use super::super::labels::is_number;
use super::super::native_npz::MOST_FEATURES;
use super::columns::Columns;
use super::table::Table;
use crate::run::error::CliError;

/// What the lines of a file say, in their order.
#[derive(Default)]
pub(super) struct Rows {
    /// The number of each line in the file.
    pub lines: Vec<usize>,
    pub ids: Option<Vec<String>>,
    pub labels: Option<Vec<String>>,
    /// The part of each node in each split.
    pub parts: Vec<Vec<String>>,
    pub width: usize,
    pub features: FeatureRows,
}

/// Reads a file; the columns `features` are its nodes' features.
pub(super) fn rows(table: &Table, columns: &Columns, features: &[usize]) -> Result<Rows, CliError> {
    let (id, label, splits) = (columns.at("id"), columns.at("label"), columns.every("split"));
    let mut rows = Rows { width: features.len(), parts: vec![Vec::new(); splits.len()], ..Rows::default() };
    if features.len() > MOST_FEATURES {
        let what = format!("has {} features; at most {MOST_FEATURES} are possible", features.len());
        return Err(table.wrong(1, what));
    }
    rows.ids = id.map(|_| Vec::with_capacity(table.count()));
    rows.labels = label.map(|_| Vec::with_capacity(table.count()));
    for row in table.rows() {
        let (line, cells) = row?;
        rows.lines.push(line);
        if let (Some(ids), Some(k)) = (&mut rows.ids, id) {
            ids.push(node_name(table, line, &cells[k])?);
        }
        if let (Some(labels), Some(k)) = (&mut rows.labels, label) {
            labels.push(cells[k].to_string());
        }
        for (parts, k) in rows.parts.iter_mut().zip(&splits) {
            parts.push(cells[*k].to_string());
        }
        for (j, k) in features.iter().enumerate() {
            rows.features.push(j, feature(table, line, &columns.titles[*k], &cells[*k])?);
        }
        rows.features.end();
    }
    Ok(rows)
}

fn feature(table: &Table, line: usize, title: &str, cell: &str) -> Result<f32, CliError> {
    let wrong = |what: String| Err(table.wrong(line, format!("{title}: {what}")));
    match cell.parse::<f32>() {
        Ok(v) if v.is_finite() => Ok(v),
        Ok(_) if is_number(cell) => wrong(format!("{cell} is beyond single precision; scale it")),
        Ok(_) => wrong(format!("`{cell}` is no finite number; write one, or leave the node out")),
        Err(_) if cell.is_empty() => wrong("is empty; write what it holds".into()),
        Err(_) if is_number(&cell.replace(',', ".")) => {
            wrong(format!("`{cell}` has a decimal comma; write a point"))
        }
        Err(_) => wrong(format!("`{cell}` is no number; leave the column out, or write numbers for it")),
    }
}

/// A node's name: whole numbers have no zeros before them.
pub(super) fn node_name(table: &Table, line: usize, cell: &str) -> Result<String, CliError> {
    if let Ok(number) = cell.parse::<u64>() {
        return Ok(number.to_string());
    }
    let what = match cell {
        "" => "the name of a node is empty; write it".to_string(),
        _ if is_number(cell) => format!("`{cell}` is no node; whole numbers from 0, or names, are wanted"),
        _ => return Ok(cell.to_string()),
    };
    Err(table.wrong(line, what))
}

/// The nodes.
pub(super) struct Nodes {
    pub count: usize,
    /// The number of each name; none where lines are counted.
    places: Option<HashMap<String, u32>>,
    /// Names, unless they are 0, 1, 2, ...
    pub names: Vec<String>,
}

impl Nodes {
    /// Lines without names: node k is line k.
    pub fn counted(count: usize) -> Self {
        Self { count, places: None, names: Vec::new() }
    }

    /// Nodes with names: whole numbers in their order, others in that of the file.
    pub fn named(table: &Table, ids: &[String], lines: &[usize]) -> Result<Self, CliError> {
        let mut names = ids.to_vec();
        let numbers: Option<Vec<u64>> = ids.iter().map(|id| id.parse().ok()).collect();
        if numbers.is_some() {
            // Without zeros before them the shorter is the smaller.
            names.sort_unstable_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        }
        let mut places = HashMap::with_capacity(names.len());
        for (k, name) in names.iter().enumerate() {
            if places.insert(name.clone(), k as u32).is_some() {
                let again = ids.iter().rposition(|id| id == name).unwrap_or_default();
                return Err(table.wrong(lines[again], format!("node {name} is given twice")));
            }
        }
        if names.iter().enumerate().all(|(k, name)| *name == k.to_string()) {
            names.clear();
        }
        Ok(Self { count: ids.len(), places: Some(places), names })
    }

    /// Whether nodes have names.
    pub fn have_names(&self) -> bool {
        self.places.is_some()
    }

    /// The number of a node by its name.
    pub fn find(&self, name: &str) -> Option<u32> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => name.parse().ok().filter(|k| (*k as usize) < self.count),
        }
    }

    /// The node of each line of a file; those of a file without names follow in the order of `order`.
    pub fn of_lines(&self, table: &Table, rows: &Rows, order: Option<&[u32]>) -> Result<Vec<u32>, CliError> {
        let Some(ids) = &rows.ids else {
            return Ok(order.map_or_else(|| (0..rows.lines.len() as u32).collect(), <[u32]>::to_vec));
        };
        let (mut places, mut taken) = (Vec::with_capacity(ids.len()), vec![false; self.count]);
        for (id, line) in ids.iter().zip(&rows.lines) {
            let place = self.find(id).ok_or_else(|| {
                table.wrong(*line, format!("node {id} is not among the {} of the other file", self.count))
            })?;
            if std::mem::replace(&mut taken[place as usize], true) {
                return Err(table.wrong(*line, format!("node {id} is given twice")));
            }
            places.push(place);
        }
        Ok(places)
    }
}
