//! Data of other programs: geom-gcn's text files, LINQS `.content` and `.cites`, the archives of Shchur et
//! al. and of Platonov et al.

use std::path::{Path, PathBuf};

use models::gnn::FeatureMatrix;
use models::gnn::data::check::split_problem;
use sprs::TriMatI;

use super::classes::Classes;
use super::csr;
use super::native_npz::{self, MOST_FEATURES, codes, rows, splits};
use super::npz::Npz;
use super::reading::{Listed, Pairs, Reading, dataset, graph};
use super::text::{Lines, Names};
use crate::run::error::CliError;

/// A line's node, features that are not 0, and label.
struct NodeLine {
    line: usize,
    node: usize,
    features: Vec<(usize, f32)>,
    label: u32,
}

/// The files of geom-gcn in a folder: nodes, edges.
pub fn geom_gcn_files(folder: &Path) -> [PathBuf; 2] {
    ["out1_node_feature_label.txt", "out1_graph_edges.txt"].map(|file| folder.join(file))
}

/// geom-gcn: a folder with out1_node_feature_label.txt (node, features separated by commas, label; tabs
/// between) and out1_graph_edges.txt (from, to). Film lists the indices of its features instead of all.
pub fn geom_gcn(folder: &Path, name: &str, listed: Option<usize>) -> Result<Reading, CliError> {
    if let Some(width) = listed.filter(|w| *w > MOST_FEATURES) {
        return Err(CliError::usage(format!(
            "--listed {width}: at most {MOST_FEATURES} features are possible"
        )));
    }
    let [nodes, edges] = geom_gcn_files(folder);
    let nodes = Lines::read(&nodes)?;
    let mut rows: Vec<NodeLine> = Vec::new();
    let mut width = listed;
    for (k, line) in nodes.filled().skip(header(&nodes)?) {
        let [node, features, label] = line.split('\t').map(str::trim).collect::<Vec<_>>()[..] else {
            return Err(nodes.wrong(k, "wants three fields between tabs: node, features, label"));
        };
        let own = match listed {
            // No feature is set.
            Some(_) if features.is_empty() => Vec::new(),
            Some(width) => {
                let index = |field: String| match nodes.number(k, &field)? {
                    j if j < width => Ok((j, 1.0)),
                    j => Err(nodes.wrong(k, format!("feature {j} is beyond {width}"))),
                };
                let fields = nodes.split(k, features, b',')?;
                let mut set = fields.into_iter().map(index).collect::<Result<Vec<_>, _>>()?;
                // Film lists some twice, which sets them no more.
                set.sort_by_key(|(j, _)| *j);
                set.dedup();
                set
            }
            None => {
                let fields = nodes.split(k, features, b',')?;
                same_width(&nodes, k, fields.len(), &mut width)?;
                set_features(&nodes, k, &fields)?
            }
        };
        rows.push(NodeLine {
            line: k,
            node: nodes.number(k, node)?,
            features: own,
            label: nodes.class(k, label)?,
        });
    }
    rows.sort_by_key(|r| r.node);
    if let Some(w) = rows.windows(2).find(|w| w[0].node == w[1].node) {
        return Err(nodes.wrong(w[1].line, format!("node {} is given twice", w[1].node)));
    }
    if let Some((k, row)) = rows.iter().enumerate().find(|(k, r)| *k != r.node) {
        return Err(nodes.wrong(row.line, format!("node {} is given, but no node {k}", row.node)));
    }
    let entries = rows.iter().enumerate().flat_map(|(i, r)| r.features.iter().map(move |(j, v)| (i, *j, *v)));
    let features = sparse(rows.len(), width, entries);
    let edges = Lines::read(&edges)?;
    let raw = edge_list(&edges, rows.len(), header(&edges)?)?;
    let codes: Vec<_> = rows.iter().map(|r| Some(i64::from(r.label))).collect();
    let classes = Classes::of_codes(&codes).map_err(|what| nodes.wrong(0, format!("holds {what}")))?;
    dataset(name, &nodes.path, Listed::from(raw), features, classes)
}

/// How many lines to skip: 1 if the first does not begin with a number.
fn header(lines: &Lines) -> Result<usize, CliError> {
    let first = lines.rows().next().transpose()?;
    Ok(usize::from(first.is_some_and(|(_, f)| f.first().is_some_and(|f| f.parse::<f64>().is_err()))))
}

/// Every line has as many features as the first.
fn same_width(lines: &Lines, line: usize, got: usize, width: &mut Option<usize>) -> Result<(), CliError> {
    let width = *width.get_or_insert(got);
    if got != width {
        return Err(lines.wrong(line, format!("has {got} features, others have {width}")));
    }
    if width > MOST_FEATURES {
        return Err(lines.wrong(line, format!("has {width} features; at most {MOST_FEATURES} are possible")));
    }
    Ok(())
}

/// The features that are not 0.
fn set_features(lines: &Lines, line: usize, fields: &[String]) -> Result<Vec<(usize, f32)>, CliError> {
    let values = fields.iter().enumerate().map(|(j, field)| Ok((j, lines.real(line, field)?)));
    values.filter(|v| !matches!(v, Ok((_, 0.0)))).collect()
}

/// The matrix of (node, feature, value), of no columns where no line had any.
pub(super) fn sparse(
    nodes: usize,
    width: Option<usize>,
    entries: impl IntoIterator<Item = (usize, usize, f32)>,
) -> FeatureMatrix {
    let mut features = TriMatI::<f32, u32>::new((nodes, width.unwrap_or(0)));
    entries.into_iter().for_each(|(i, j, v)| features.add_triplet(i, j, v));
    FeatureMatrix::from(features.to_csr())
}

/// Pairs of node numbers below `nodes`, after `skip` lines that are not blank.
fn edge_list(lines: &Lines, nodes: usize, skip: usize) -> Result<Pairs, CliError> {
    let mut out = Vec::new();
    for row in lines.rows().skip(skip) {
        let (k, fields) = row?;
        let [u, v, ..] = &fields[..] else {
            return Err(lines.wrong(k, "wants two nodes"));
        };
        let (u, v): (u32, u32) = (lines.number(k, u)?, lines.number(k, v)?);
        if u as usize >= nodes || v as usize >= nodes {
            return Err(lines.wrong(
                k,
                format!("edge ({u}, {v}) leads to a node that does not exist; there are {nodes}"),
            ));
        }
        out.push((u, v));
    }
    Ok(out)
}

/// LINQS: NAME.content (node, features, label) and NAME.cites (cited, citing) by names of nodes. Links to
/// nodes without content are left out.
pub fn linqs(content: &Path, cites: &Path, name: &str) -> Result<Reading, CliError> {
    let lines = Lines::read(content)?;
    let (mut nodes, mut node_names) = (Names::default(), Vec::new());
    let (mut labels, mut entries, mut width) = (Vec::new(), Vec::new(), None);
    for row in lines.rows() {
        let (k, fields) = row?;
        let [node, features @ .., label] = &fields[..] else {
            return Err(lines.wrong(k, "wants node, features, label"));
        };
        if nodes.number(node) as usize != labels.len() {
            return Err(lines.wrong(k, format!("node {node} is given twice")));
        }
        same_width(&lines, k, features.len(), &mut width)?;
        let own = set_features(&lines, k, features)?;
        entries.extend(own.into_iter().map(|(j, v)| (labels.len(), j, v)));
        node_names.push(node.clone());
        labels.push(label.clone());
    }
    let links = Lines::read(cites)?;
    let mut raw = Listed::default();
    for row in links.rows() {
        let (k, fields) = row?;
        let [a, b] = &fields[..] else {
            return Err(links.wrong(k, "wants two nodes"));
        };
        match (nodes.find(a), nodes.find(b)) {
            (Some(a), Some(b)) => raw.pairs.push((b, a)),
            _ => raw.unknown += 1,
        }
    }
    // Numbers are in the order of numbers.
    let codes: Option<Vec<_>> = labels.iter().map(|label| label.parse().ok().map(Some)).collect();
    let classes = match codes {
        Some(codes) => Classes::of_codes(&codes),
        None => Classes::of_names(&labels.into_iter().map(Some).collect::<Vec<_>>()),
    };
    let classes = classes.map_err(|what| lines.wrong(0, format!("holds {what}")))?;
    let nowhere = raw.pairs.is_empty() && raw.unknown > 0;
    let features = sparse(node_names.len(), width, entries);
    let mut reading = dataset(name, content, raw, features, classes)?;
    reading.data.node_names = node_names;
    if nowhere {
        let (links, content) = (links.path.display(), content.display());
        reading
            .notes
            .push(format!("no link of {links} is between nodes of {content}: do they belong together?"));
    }
    Ok(reading)
}

/// Our own layout with edges in any order, in one direction or both: they become the source's list, unless it
/// gives one.
pub fn npz(path: &Path, name: &str) -> Result<Reading, CliError> {
    let npz = Npz::read(path)?;
    let mut data = native_npz::dataset(&npz, path)?;
    data.name = name.into();
    let listed = Listed { weights: data.edge_weights, ..Listed::from(data.edges) };
    let graph = graph(listed);
    data.edges = graph.edges;
    data.edge_weights = graph.weights;
    if data.raw_edges.is_none() {
        (data.raw_edges, data.raw_weights) = (graph.raw_edges, graph.raw_weights);
    }
    Ok(Reading { facts: vec![graph.fact], notes: native_npz::unread(&npz), data })
}

/// Shchur et al.: adj_data, adj_indices, adj_indptr, adj_shape, attr_*, labels in one npz. An entry of 0 is no edge.
pub fn shchur(path: &Path, name: &str) -> Result<Reading, CliError> {
    let npz = Npz::read(path)?;
    let adjacency = csr::read(&npz, "adj", u32::MAX as usize)?;
    if adjacency.rows() != adjacency.cols() {
        return Err(
            npz.wrong("adj_shape", format!("is {:?}; an adjacency matrix is square", adjacency.shape()))
        );
    }
    let classes = codes(&npz, "labels", &[])?;
    if classes.labels.len() != adjacency.rows() {
        let (n, nodes) = (classes.labels.len(), adjacency.rows());
        return Err(npz.wrong("labels", format!("has {n} entries for {nodes} nodes")));
    }
    let mut listed = Listed::default();
    let mut other = None;
    for (w, (i, j)) in &adjacency {
        other = other.or(Some(*w).filter(|w| *w != 0.0 && *w != 1.0));
        match *w {
            0.0 => listed.weightless += 1,
            _ => listed.pairs.push((i, j)),
        }
    }
    let mut reading = dataset(name, path, listed, csr::read(&npz, "attr", MOST_FEATURES)?.into(), classes)?;
    let note = |w| format!("adj_data holds {w} beside 0 and 1: every entry but 0 is an edge of weight 1");
    reading.notes.extend(other.map(note));
    Ok(reading)
}

/// Platonov et al. (2023): node_features, node_labels, edges [E, 2] and {train,val,test}_masks in one npz,
/// each edge once. The directed list, where there is one, is an archive of the same make.
pub fn heterophilous(path: &Path, directed: Option<&Path>, name: &str) -> Result<Reading, CliError> {
    let npz = Npz::read(path)?;
    let classes = codes(&npz, "node_labels", &[])?;
    let nodes = classes.labels.len();
    let list = |npz: &Npz| -> Result<Pairs, CliError> {
        let (shape, ends) = npz.indices("edges", nodes)?;
        match shape[..] {
            [_, 2] => Ok(ends.chunks_exact(2).map(|e| (e[0], e[1])).collect()),
            _ => Err(npz.wrong("edges", format!("has the shape {shape:?}; [edges, 2] is wanted"))),
        }
    };
    let raw_edges = directed.map(|path| list(&Npz::read(path)?)).transpose()?;
    let splits = splits(&npz, |part| format!("{part}_masks"), nodes)?;
    let features = rows(&npz, "node_features", nodes)?;
    let mut reading = dataset(name, path, Listed::from(list(&npz)?), features, classes)?;
    (reading.data.raw_edges, reading.data.splits) = (raw_edges, splits);
    Ok(reading)
}

/// With splits of geom-gcn: files with train_mask, val_mask and test_mask, one for each split.
pub fn with_splits(mut reading: Reading, files: &[PathBuf]) -> Result<Reading, CliError> {
    let n = reading.data.nodes();
    for path in files {
        let mut own = splits(&Npz::read(path)?, |part| format!("{part}_mask"), n)?;
        let what = match &own[..] {
            [split] => split_problem(split, n),
            _ => Some(format!("holds {} splits; one is wanted", own.len())),
        };
        if let Some(what) = what {
            return Err(CliError::usage(format!("{}: {what}", path.display())));
        }
        reading.data.splits.append(&mut own);
    }
    Ok(reading)
}
