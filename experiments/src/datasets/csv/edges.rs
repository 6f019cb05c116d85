//! Files of edges: two nodes in a line, lists of neighbours, or a matrix.

use std::borrow::Cow;

use clap::ValueEnum;

use super::super::labels::is_number;
use super::super::reading::Listed;
use super::columns::Columns;
use super::nodes::{Nodes, node_name};
use super::table::Table;
use crate::run::error::CliError;

/// What a line of the file of edges holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EdgesFormat {
    /// Two nodes, and perhaps a weight.
    #[default]
    EdgeList,
    /// A node and its neighbours, as many as it has.
    AdjacencyList,
    /// The weights of the edges from the node of that line to every node.
    AdjacencyMatrix,
}

/// What to do with edges that cannot be taken as they are.
pub(super) struct Leave {
    /// Leave out edges to nodes that do not exist.
    pub unknown: bool,
    /// Take every edge for one of weight 1.
    pub weights: bool,
}

/// Why a weight below 0 is refused.
pub(super) const NEGATIVE: &str =
    "is negative, and no network here has a place for it; --ignore-weights takes every edge for 1";

/// The columns of a list of edges: source, target, and the weight where there is one; those that are not read.
pub(super) fn ends(
    table: &Table,
    columns: &mut Columns,
) -> Result<(usize, usize, Option<usize>, Vec<usize>), CliError> {
    let unnamed = columns.unnamed(table);
    let free = |columns: &Columns| -> Vec<usize> {
        columns.free().into_iter().filter(|k| Some(*k) != unnamed).collect()
    };
    let example = if table.titled { "source=NAME,target=NAME" } else { "source=1,target=2,weight=3" };
    if columns.titles.len() < 2 {
        return Err(table.wrong(table.first()?.0, "wants two nodes"));
    }
    if let (None, None, &[a, b]) = (columns.at("source"), columns.at("target"), &free(columns)[..]) {
        columns.give(a, "source");
        columns.give(b, "target");
    }
    let (Some(source), Some(target)) = (columns.at("source"), columns.at("target")) else {
        return Err(columns.unclear(table, "which columns are the ends of an edge is not clear", example));
    };
    let mut unread = free(columns);
    unread.extend(unnamed);
    Ok((source, target, columns.at("weight"), unread))
}

/// Reads a list of edges.
pub(super) fn list(
    table: &Table,
    (source, target, weight): (usize, usize, Option<usize>),
    nodes: &Nodes,
    leave: &Leave,
) -> Result<Listed, CliError> {
    let mut listed = Listed::default();
    for row in table.rows() {
        let (line, cells) = row?;
        let w = weight.map(|k| edge_weight(table, line, &cells[k], leave)).transpose()?;
        put(table, line, [&cells[source], &cells[target]], w, nodes, leave, &mut listed)?;
    }
    Ok(listed)
}

/// A line for a node: its name, and those of its neighbours.
pub(super) fn lists(table: &Table, nodes: &Nodes, leave: &Leave) -> Result<Listed, CliError> {
    let mut listed = Listed::default();
    for row in table.rows() {
        let (line, cells) = row?;
        let mut cells = cells.iter().filter(|cell| !cell.is_empty());
        let Some(from) = cells.next() else { continue };
        for to in cells {
            put(table, line, [from, to], None, nodes, leave, &mut listed)?;
        }
    }
    Ok(listed)
}

/// A line for a node: the weight of its edge to every node, 0 for none. Above the lines and before them there may be
/// names of nodes, as pandas writes them.
pub(super) fn matrix(table: &Table, nodes: &Nodes, leave: &Leave) -> Result<Listed, CliError> {
    let n = nodes.count;
    let (first_line, first) = table.first()?;
    let named = first.len() == n + 1 && first[0].is_empty();
    let find = |line: usize, cell: &str| {
        let name = node_name(table, line, cell)?;
        nodes.find(&name).ok_or_else(|| table.wrong(line, format!("`{name}` is no node of the other files")))
    };
    let columns: Vec<u32> = match named {
        true => first[1..].iter().map(|cell| find(first_line, cell)).collect::<Result<_, _>>()?,
        false => (0..n as u32).collect(),
    };
    let (mut listed, mut k) = (Listed::default(), 0);
    for row in table.rows().skip(usize::from(named)) {
        let (line, cells) = row?;
        let (from, cells) = match cells.split_first() {
            Some((name, cells)) if named => (find(line, name)?, cells),
            _ => (k, &cells[..]),
        };
        if cells.len() != n || k as usize >= n {
            let what = format!("line {} of {} entries; {n} of {n} are wanted", k + 1, cells.len());
            return Err(table.wrong(line, what));
        }
        for (cell, to) in cells.iter().zip(&columns) {
            match edge_weight(table, line, cell, leave)? {
                0.0 => (),
                w => {
                    listed.pairs.push((from, *to));
                    listed.weights.extend((!leave.weights).then_some(w));
                }
            }
        }
        k += 1;
    }
    match k as usize == n {
        true => Ok(listed),
        false => Err(table.wrong(first_line, format!("has {k} lines for {n} nodes"))),
    }
}

/// A weight as it stands there: 0 means no edge whatever becomes of the others.
fn edge_weight(table: &Table, line: usize, cell: &str, leave: &Leave) -> Result<f32, CliError> {
    let w = cell.parse::<f32>().ok().filter(|w| w.is_finite());
    let problem = match w {
        None => "is no finite number",
        Some(w) if w < 0.0 && !leave.weights => NEGATIVE,
        Some(w) => return Ok(w),
    };
    Err(table.wrong(line, format!("the weight `{cell}` {problem}")))
}

/// One edge more, unless its weight is 0 or it leads nowhere.
fn put(
    table: &Table,
    line: usize,
    ends: [&Cow<'_, str>; 2],
    weight: Option<f32>,
    nodes: &Nodes,
    leave: &Leave,
    listed: &mut Listed,
) -> Result<(), CliError> {
    let [u, v] = ends.map(|cell| node_name(table, line, cell));
    let (u, v) = (u?, v?);
    match (nodes.find(&u), nodes.find(&v), weight) {
        (Some(_), Some(_), Some(0.0)) => listed.weightless += 1,
        (Some(u), Some(v), w) => {
            listed.pairs.push((u, v));
            listed.weights.extend(w.filter(|_| !leave.weights));
        }
        _ if leave.unknown => listed.unknown += 1,
        (a, ..) => return Err(table.wrong(line, nowhere(nodes, (&u, &v), if a.is_none() { &u } else { &v }))),
    }
    Ok(())
}

/// An edge that leads to no node.
fn nowhere(nodes: &Nodes, (u, v): (&str, &str), end: &str) -> String {
    let n = nodes.count;
    if nodes.have_names() {
        return format!("edge ({u}, {v}): no line has the id {end}; --drop-unknown leaves such edges out");
    }
    match is_number(end) {
        true if end == n.to_string() => format!(
            "edge ({u}, {v}) leads to a node that does not exist; there are {n}, counted from 0; where yours are counted from 1, give the files a column id"
        ),
        true => format!("edge ({u}, {v}) leads to a node that does not exist; there are {n}, counted from 0"),
        false => format!(
            "`{end}` is no node: they are counted from 0 to {}, unless a file has a column id",
            n.max(1) - 1
        ),
    }
}

/// The highest whole number in the first two columns.
pub(super) fn highest(table: &Table) -> Result<Option<u64>, CliError> {
    let mut highest = None;
    for row in table.all() {
        let numbers = row?.1.into_iter().take(2).filter_map(|cell| cell.parse::<u64>().ok());
        highest = numbers.max().max(highest);
    }
    Ok(highest)
}
