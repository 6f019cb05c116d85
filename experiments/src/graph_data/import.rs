//! Data of other programs: geom-gcn's text files, LINQS `.content` and `.cites`, the CSR archives of Shchur
//! et al., and a user's own CSV files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use models::graph::synthetic::both_ways;
use models::graph::{Dataset, Split};
use sprs::{CsMat, TriMat};

use super::npz::Npz;
use crate::failure::Failure;

/// A text file, line by line, with its name for messages.
struct Lines {
    path: PathBuf,
    text: String,
}

impl Lines {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::io(path, &e))?;
        Ok(Self { path: path.to_path_buf(), text })
    }

    fn wrong(&self, line: usize, what: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}:{}: {what}", self.path.display(), line + 1))
    }

    /// (line number, fields) of every line that is not empty; fields are separated by commas, tabs or blanks.
    fn rows(&self) -> impl Iterator<Item = (usize, Vec<&str>)> {
        let separator = |c: char| c == ',' || c == ';' || c.is_whitespace();
        self.text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty())
            .map(move |(k, l)| (k, l.split(separator).map(str::trim).filter(|f| !f.is_empty()).collect()))
    }

    fn number<V: std::str::FromStr>(&self, line: usize, field: &str) -> Result<V, Failure> {
        field.parse().map_err(|_| self.wrong(line, format!("`{field}` is not a number as it is wanted here")))
    }
}

/// Names of things in the order in which they appear, as numbers.
#[derive(Default)]
struct Names(HashMap<String, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name.to_string()).or_insert(next)
    }
}

fn dataset(name: &str, raw: Vec<(u32, u32)>, features: CsMat<f32>, labels: Vec<u32>) -> Dataset {
    let edges = both_ways(&raw);
    Dataset {
        name: name.into(),
        raw_edges: (raw.len() != edges.len() || raw.iter().any(|e| edges.binary_search(e).is_err()))
            .then_some(raw),
        edges,
        features,
        classes: labels.iter().max().map_or(0, |m| *m as usize + 1),
        labels,
        unlabelled: Vec::new(),
        splits: Vec::new(),
        public: None,
    }
}

/// geom-gcn: a folder with out1_node_feature_label.txt (node, features separated by commas, label; tabs
/// between) and out1_graph_edges.txt (from, to). Film lists the indices of its features instead of all.
pub fn geom_gcn(folder: &Path, name: &str, listed: Option<usize>) -> Result<Dataset, Failure> {
    let nodes = Lines::read(&folder.join("out1_node_feature_label.txt"))?;
    let mut rows: Vec<NodeLine> = Vec::new();
    let mut width = listed.unwrap_or(0);
    for (k, line) in nodes.text.lines().enumerate().skip(1).filter(|(_, l)| !l.trim().is_empty()) {
        let [node, features, label] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(nodes.wrong(k, "wants three fields: node, features, label"));
        };
        let fields: Vec<&str> = features.split(',').filter(|f| !f.is_empty()).collect();
        let mut own = Vec::new();
        for (j, field) in fields.iter().enumerate() {
            if let Some(width) = listed {
                let j: usize = nodes.number(k, field)?;
                if j >= width {
                    return Err(nodes.wrong(k, format!("feature {j} is beyond {width}")));
                }
                own.push((j, 1.0));
            } else {
                let v: f32 = nodes.number(k, field)?;
                if v != 0.0 {
                    own.push((j, v));
                }
            }
        }
        if listed.is_none() {
            if width != 0 && fields.len() != width {
                return Err(nodes.wrong(k, format!("has {} features, others have {width}", fields.len())));
            }
            width = fields.len();
        }
        rows.push((nodes.number(k, node)?, own, nodes.number(k, label)?));
    }
    rows.sort_by_key(|r| r.0);
    if let Some((k, row)) = rows.iter().enumerate().find(|(k, r)| *k != r.0) {
        return Err(Failure::usage(format!(
            "{}: node {k} is missing or given twice (next is {})",
            nodes.path.display(),
            row.0
        )));
    }
    let mut features = TriMat::new((rows.len(), width));
    for (i, own, _) in &rows {
        own.iter().for_each(|(j, v)| features.add_triplet(*i, *j, *v));
    }
    let edges = Lines::read(&folder.join("out1_graph_edges.txt"))?;
    let raw = edge_list(&edges, rows.len(), 1)?;
    Ok(dataset(name, raw, features.to_csr(), rows.iter().map(|r| r.2).collect()))
}

/// A node's number, the features that are not 0, its label.
type NodeLine = (usize, Vec<(usize, f32)>, u32);

/// Pairs of node numbers below `nodes`, after `skip` lines.
fn edge_list(lines: &Lines, nodes: usize, skip: usize) -> Result<Vec<(u32, u32)>, Failure> {
    let mut out = Vec::new();
    for (k, fields) in lines.rows().filter(|(k, _)| *k >= skip) {
        let [u, v, ..] = fields[..] else {
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
pub fn linqs(content: &Path, cites: &Path, name: &str) -> Result<Dataset, Failure> {
    let lines = Lines::read(content)?;
    let (mut nodes, mut classes) = (Names::default(), Names::default());
    let (mut labels, mut entries, mut width) = (Vec::new(), Vec::new(), None);
    for (k, fields) in lines.rows() {
        let [node, features @ .., label] = &fields[..] else {
            return Err(lines.wrong(k, "wants node, features, label"));
        };
        if nodes.number(node) as usize != labels.len() {
            return Err(lines.wrong(k, format!("node {node} is given twice")));
        }
        if *width.get_or_insert(features.len()) != features.len() {
            return Err(lines
                .wrong(k, format!("has {} features, others have {}", features.len(), width.unwrap_or(0))));
        }
        for (j, field) in features.iter().enumerate() {
            let v: f32 = lines.number(k, field)?;
            if v != 0.0 {
                entries.push((labels.len(), j, v));
            }
        }
        labels.push(classes.number(label));
    }
    let mut features = TriMat::new((labels.len(), width.unwrap_or(0)));
    entries.into_iter().for_each(|(i, j, v)| features.add_triplet(i, j, v));
    let links = Lines::read(cites)?;
    let mut raw = Vec::new();
    for (k, fields) in links.rows() {
        let [a, b] = fields[..] else {
            return Err(links.wrong(k, "wants two nodes"));
        };
        if let (Some(a), Some(b)) = (nodes.0.get(a), nodes.0.get(b)) {
            raw.push((*b, *a));
        }
    }
    Ok(dataset(name, raw, features.to_csr(), labels))
}

/// Shchur et al.: adj_data, adj_indices, adj_indptr, adj_shape, attr_*, labels in one npz.
pub fn shchur(path: &Path, name: &str) -> Result<Dataset, Failure> {
    let npz = Npz::read(path)?;
    let square = |prefix: &str| -> Result<(usize, usize), Failure> {
        let key = format!("{prefix}_shape");
        match npz.integers(&key)?.1 {
            [r, c] if (0..1 << 31).contains(r) && (0..1 << 31).contains(c) => Ok((*r as usize, *c as usize)),
            other => Err(npz.wrong(&key, format!("is {other:?}; two sizes are wanted"))),
        }
    };
    let matrix = |prefix: &str| -> Result<CsMat<f32>, Failure> {
        let (rows, cols) = square(prefix)?;
        let (_, values) = npz.floats(&format!("{prefix}_data"))?;
        let wide = |v: Vec<u32>| v.into_iter().map(|i| i as usize).collect::<Vec<usize>>();
        let starts = wide(npz.indices(&format!("{prefix}_indptr"), values.len() + 1)?);
        let indices = wide(npz.indices(&format!("{prefix}_indices"), cols)?);
        CsMat::new_from_unsorted((rows, cols), starts, indices, values).map_err(|(.., e)| {
            npz.wrong(&format!("{prefix}_indptr"), format!("and its companions are no CSR matrix: {e}"))
        })
    };
    let adjacency = matrix("adj")?;
    if adjacency.rows() != adjacency.cols() {
        return Err(
            npz.wrong("adj_shape", format!("is {:?}; an adjacency matrix is square", adjacency.shape()))
        );
    }
    let raw: Vec<(u32, u32)> = adjacency.iter().map(|(_, (i, j))| (i as u32, j as u32)).collect();
    let labels = npz.indices("labels", 100_000)?;
    if labels.len() != adjacency.rows() {
        return Err(
            npz.wrong("labels", format!("has {} entries for {} nodes", labels.len(), adjacency.rows()))
        );
    }
    Ok(dataset(name, raw, matrix("attr")?, labels))
}

/// A user's own: edges (two node numbers in a line), features (one line for each node), labels (one line for
/// each node, numbers or names). A first line that does not begin with a number is a header.
pub fn csv(edges: &Path, features: &Path, labels: &Path, name: &str) -> Result<Dataset, Failure> {
    let header = |l: &Lines| {
        let first = l.rows().next().and_then(|(_, f)| f.first().map(|f| f.parse::<f64>().is_err()));
        usize::from(first.unwrap_or(false))
    };
    let label_lines = Lines::read(labels)?;
    let mut classes = Names::default();
    let given: Vec<(usize, &str)> = label_lines.rows().filter_map(|(k, f)| Some((k, *f.last()?))).collect();
    let numbers: Result<Vec<u32>, _> = given.iter().map(|(_, f)| f.parse::<u32>()).collect();
    let labels: Vec<u32> = match numbers {
        Ok(numbers) => numbers,
        Err(_) => {
            let skip = usize::from(given.first().is_some_and(|(_, f)| ["label", "class", "y"].contains(f)));
            given.iter().skip(skip).map(|(_, f)| classes.number(f)).collect()
        }
    };
    let lines = Lines::read(features)?;
    let skip = header(&lines);
    let (mut x, mut width, mut n) = (Vec::new(), None, 0);
    for (k, fields) in lines.rows().skip(skip) {
        if *width.get_or_insert(fields.len()) != fields.len() {
            return Err(
                lines.wrong(k, format!("has {} features, others have {}", fields.len(), width.unwrap_or(0)))
            );
        }
        for field in &fields {
            let v: f32 = lines.number(k, field)?;
            if !v.is_finite() {
                return Err(lines.wrong(k, format!("feature {field} is not finite")));
            }
            x.push(v);
        }
        n += 1;
    }
    if n != labels.len() {
        return Err(Failure::usage(format!(
            "{} has features of {n} nodes, {} labels of {}",
            lines.path.display(),
            label_lines.path.display(),
            labels.len()
        )));
    }
    let pairs = Lines::read(edges)?;
    let raw = edge_list(&pairs, n, header(&pairs))?;
    Ok(dataset(name, raw, models::graph::synthetic::dense(n, width.unwrap_or(0), &x), labels))
}

/// Splits of geom-gcn: files with train_mask, val_mask and test_mask, one for each split.
pub fn add_splits(data: &mut Dataset, files: &[PathBuf]) -> Result<(), Failure> {
    let n = data.nodes();
    for path in files {
        let npz = Npz::read(path)?;
        let part = |name: &str| -> Result<Vec<u32>, Failure> {
            let (_, mask) = npz.integers(name)?;
            if mask.len() != n {
                return Err(npz.wrong(name, format!("has {} entries for {n} nodes", mask.len())));
            }
            Ok((0..n as u32).filter(|i| mask[*i as usize] != 0).collect())
        };
        data.splits.push(Split {
            train: part("train_mask")?,
            validation: part("val_mask")?,
            test: part("test_mask")?,
        });
    }
    Ok(())
}
