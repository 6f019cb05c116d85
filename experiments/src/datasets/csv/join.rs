//! What several files say of the same nodes.

use models::gnn::Split;
use models::gnn::data::check::split_problem;

use super::super::classes::Classes;
use super::super::labels::{Labels, part};
use super::nodes::{Nodes, Rows};
use super::table::{Kind, Table};
use crate::run::error::CliError;

/// The nodes, and the node of each line of each file.
pub(super) fn nodes(tables: &[Table], read: &[Rows]) -> Result<(Nodes, Vec<Vec<u32>>), CliError> {
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
pub(super) fn classes(
    tables: &[Table],
    read: &[Rows],
    places: &[Vec<u32>],
    count: usize,
    unlabelled: &[String],
) -> Result<Classes, CliError> {
    let Some(k) = read.iter().position(|rows| rows.labels.is_some()) else {
        return Ok(Classes::none(count));
    };
    let (table, rows) = (&tables[k], &read[k]);
    let cells = rows.labels.as_deref().unwrap_or_default();
    let labels = Labels::of(cells, unlabelled, &|line, what| table.wrong(rows.lines[line], what))?;
    let classes = labels.placed(&places[k], count);
    classes.map_err(|what| CliError::usage(format!("{}: holds {what}", table.path.display())))
}

/// A split for each column of parts.
pub(super) fn splits(
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
                if let Some(part) = part(cell).map_err(|what| table.wrong(*line, what))? {
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
