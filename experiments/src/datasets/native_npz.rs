//! Our own layout of a data set in an npz: edge_index [2, E], y [N], features in CSR (x_indptr, x_indices,
//! x_data, x_shape) or dense (x [N, F]), train_mask, val_mask, test_mask [S, N], and where they exist
//! edge_index_raw [2, E'], edge_weight [E], edge_weight_raw [E'], public_*_mask [N], unlabelled, node_names [N],
//! class_names [C].

use std::path::Path;

use models::gnn::data::synthetic::dense;
use models::gnn::{Dataset, Split};
use sprs::CsMat;

use super::csr;
use super::npz::{Npz, Writer};
use crate::run::error::CliError;

/// The last class that there may be.
pub(super) const LAST_CLASS: u32 = 100_000;
/// The most features that a node may have: a network has a row of weights for each.
pub(super) const MOST_FEATURES: usize = 1_000_000;

/// Reads a file; sizes, types and ranges are checked, splits and edges are left to `check`.
pub fn decode(path: &Path) -> Result<Dataset, CliError> {
    dataset(&Npz::read(path)?, path)
}

/// Reads a file's bytes; `path` is its name in messages.
pub fn decode_bytes(path: &Path, bytes: Vec<u8>) -> Result<Dataset, CliError> {
    dataset(&Npz::new(path, bytes)?, path)
}

fn dataset(npz: &Npz, path: &Path) -> Result<Dataset, CliError> {
    let (shape, labels) = npz.indices("y", LAST_CLASS as usize + 1)?;
    let nodes = labels.len();
    if shape.len() != 1 || nodes == 0 {
        return Err(npz.wrong("y", format!("of shape {shape:?} is no list of classes")));
    }
    let raw_edges = npz.has("edge_index_raw").then(|| pairs(npz, "edge_index_raw", nodes)).transpose()?;
    let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let unlabelled = if npz.has("unlabelled") { npz.indices("unlabelled", nodes)?.1 } else { Vec::new() };
    let public =
        npz.has("public_train_mask").then(|| splits(npz, |part| format!("public_{part}_mask"), nodes));
    let public = public.transpose()?;
    let names = |name: &str, fewest: usize| match npz.has(name) {
        true => npz.names(name, fewest),
        false => Ok(Vec::new()),
    };
    let edges = pairs(npz, "edge_index", nodes)?;
    let raw_count = raw_edges.as_ref().map_or(0, Vec::len);
    let highest = labels.iter().max().map_or(0, |top| *top as usize + 1);
    let class_names = names("class_names", highest)?;
    Ok(Dataset {
        name,
        edge_weights: weights(npz, "edge_weight", edges.len())?,
        raw_weights: weights(npz, "edge_weight_raw", raw_count)?,
        edges,
        raw_edges,
        features: features(npz, nodes)?,
        classes: highest.max(class_names.len()),
        labels,
        node_names: names("node_names", nodes)?,
        class_names,
        unlabelled,
        splits: if npz.has("train_mask") {
            splits(npz, |part| format!("{part}_mask"), nodes)?
        } else {
            Vec::new()
        },
        public: public.and_then(|s| s.into_iter().next()),
    })
}

fn pairs(npz: &Npz, name: &str, nodes: usize) -> Result<Vec<(u32, u32)>, CliError> {
    let (shape, ends) = npz.indices(name, nodes)?;
    let [2, count] = shape[..] else {
        return Err(npz.wrong(name, format!("has the shape {shape:?}; [2, edges] is wanted")));
    };
    let (from, to) = ends.split_at(count);
    Ok(from.iter().copied().zip(to.iter().copied()).collect())
}

/// Positive weights of so many edges; none where the file has none.
fn weights(npz: &Npz, name: &str, edges: usize) -> Result<Vec<f32>, CliError> {
    if !npz.has(name) {
        return Ok(Vec::new());
    }
    let (_, weights) = npz.floats(name)?;
    if weights.len() != edges {
        return Err(npz.wrong(name, format!("has {} entries for {edges} edges", weights.len())));
    }
    match weights.iter().position(|w| *w <= 0.0) {
        Some(k) => Err(npz.wrong(
            name,
            format!(
                "holds {} at position {k}; weights are positive, an edge without weight is left out",
                weights[k]
            ),
        )),
        None => Ok(weights),
    }
}

fn features(npz: &Npz, nodes: usize) -> Result<CsMat<f32>, CliError> {
    if !npz.has("x") {
        let x = csr::read(npz, "x", MOST_FEATURES)?;
        return if x.rows() == nodes {
            Ok(x)
        } else {
            Err(npz.wrong("x_shape", format!("is {:?} for {nodes} nodes", x.shape())))
        };
    }
    rows(npz, "x", nodes)
}

/// Features that stand row by row: [nodes, features].
pub(super) fn rows(npz: &Npz, name: &str, nodes: usize) -> Result<CsMat<f32>, CliError> {
    let (shape, x) = npz.floats(name)?;
    let [rows, cols] = shape[..] else {
        return Err(npz.wrong(name, format!("has the shape {shape:?}; [nodes, features] is wanted")));
    };
    if rows != nodes {
        return Err(npz.wrong(name, format!("has {rows} rows for {nodes} nodes")));
    }
    if cols > MOST_FEATURES {
        return Err(npz.wrong(name, format!("has {cols} columns; at most {MOST_FEATURES} are possible")));
    }
    Ok(dense(rows, cols, &x))
}

/// Splits from the masks of the parts `train`, `val` and `test`: [splits, nodes], or [nodes] for one.
pub(super) fn splits(npz: &Npz, mask: impl Fn(&str) -> String, nodes: usize) -> Result<Vec<Split>, CliError> {
    let part = |name: &str| -> Result<Vec<Vec<u32>>, CliError> {
        let name = mask(name);
        let (shape, mask) = npz.mask(&name)?;
        if shape.last() != Some(&nodes) || shape.len() > 2 {
            return Err(npz.wrong(&name, format!("has the shape {shape:?}; [splits, {nodes}] is wanted")));
        }
        let list = |m: &[bool]| (0..nodes as u32).filter(|i| m[*i as usize]).collect();
        Ok(mask.chunks_exact(nodes).map(list).collect())
    };
    let (train, validation, test) = (part("train")?, part("val")?, part("test")?);
    if train.len() != validation.len() || train.len() != test.len() {
        return Err(npz.wrong(&mask("train"), "has another number of splits than those of val or test"));
    }
    let parts = train.into_iter().zip(validation).zip(test);
    Ok(parts.map(|((train, validation), test)| Split { train, validation, test }).collect())
}

/// The bytes of a file that `decode` reads back.
pub fn encode(data: &Dataset) -> Result<Vec<u8>, CliError> {
    let mut w = Writer::default();
    let ends = |name: &str, pairs: &[(u32, u32)]| {
        narrow(name, pairs.iter().map(|p| p.0).chain(pairs.iter().map(|p| p.1)))
    };
    w.integers("edge_index", &[2, data.edges.len()], &ends("edge_index", &data.edges)?)?;
    if let Some(raw) = &data.raw_edges {
        w.integers("edge_index_raw", &[2, raw.len()], &ends("edge_index_raw", raw)?)?;
    }
    for (name, weights) in [("edge_weight", &data.edge_weights), ("edge_weight_raw", &data.raw_weights)] {
        if !weights.is_empty() {
            w.floats(name, &[weights.len()], weights)?;
        }
    }
    for (name, names) in [("node_names", &data.node_names), ("class_names", &data.class_names)] {
        if !names.is_empty() {
            w.names(name, names)?;
        }
    }
    let n = data.nodes();
    w.integers("y", &[n], &narrow("y", data.labels.iter().copied())?)?;
    let x = &data.features;
    let starts = x.indptr();
    w.integers("x_indptr", &[n + 1], &narrow("x_indptr", starts.raw_storage().iter().copied())?)?;
    w.integers("x_indices", &[x.nnz()], &narrow("x_indices", x.indices().iter().copied())?)?;
    w.floats("x_data", &[x.nnz()], x.data())?;
    w.integers("x_shape", &[2], &narrow("x_shape", [n, x.cols()].into_iter())?)?;
    if !data.unlabelled.is_empty() {
        let list = narrow("unlabelled", data.unlabelled.iter().copied())?;
        w.integers("unlabelled", &[list.len()], &list)?;
    }
    let mut masks = |prefix: &str, splits: &[Split], shape: &[usize]| -> Result<(), CliError> {
        type Part = fn(&Split) -> &[u32];
        let parts: [(&str, Part); 3] =
            [("train", |s| &s.train), ("val", |s| &s.validation), ("test", |s| &s.test)];
        for (name, part) in parts {
            let mut mask = vec![false; splits.len() * n];
            for (k, split) in splits.iter().enumerate() {
                part(split).iter().for_each(|i| mask[k * n + *i as usize] = true);
            }
            w.booleans(&format!("{prefix}{name}_mask"), shape, &mask)?;
        }
        Ok(())
    };
    if !data.splits.is_empty() {
        masks("", &data.splits, &[data.splits.len(), n])?;
    }
    if let Some(public) = &data.public {
        masks("public_", std::slice::from_ref(public), &[n])?;
    }
    w.finish()
}

/// Numbers as the file has them, in 32 bits.
fn narrow<V: TryInto<i32> + Copy + std::fmt::Display>(
    name: &str,
    values: impl Iterator<Item = V>,
) -> Result<Vec<i32>, CliError> {
    let fit =
        |v: V| v.try_into().map_err(|_| CliError::usage(format!("{name}: {v} needs more than 32 bits")));
    values.map(fit).collect()
}

#[cfg(test)]
mod tests {
    use models::gnn::data::synthetic::{from_edges, karate};

    use super::*;

    #[test]
    fn weights_and_names_read_back() {
        let mut data = karate();
        data.class_names = ["Mr Hi", "the officer"].map(String::from).to_vec();
        data.node_names = (0..34).map(|i| format!("member {i}")).collect();
        data.edge_weights = (0..data.edges.len()).map(|k| 0.5 + k as f32).collect();
        let read = decode_bytes(Path::new("karate.npz"), encode(&data).unwrap()).unwrap();
        assert_eq!((&read.edges, &read.labels, &read.splits), (&data.edges, &data.labels, &data.splits));
        assert_eq!((&read.class_names, &read.node_names), (&data.class_names, &data.node_names));
        assert_eq!(read.edge_weights, data.edge_weights);
        assert_eq!((read.name.as_str(), read.class_name(1).as_ref()), ("karate", "the officer"));
    }

    #[test]
    fn weights_and_names_that_fit_nothing_are_refused() {
        let error = |change: &dyn Fn(&mut Dataset)| {
            let mut data = from_edges("path", 3, &[(0, 1), (1, 2)], vec![0, 1, 1], 2);
            change(&mut data);
            let read = decode_bytes(Path::new("path.npz"), encode(&data).unwrap());
            read.map_or_else(|e| e.to_string(), |_| String::new())
        };
        assert_eq!(error(&|_| ()), "");
        assert!(error(&|d| d.edge_weights = vec![1.0; 3]).contains("has 3 entries for 4 edges"));
        assert!(error(&|d| d.edge_weights = vec![1.0, 0.0, 1.0, 1.0]).contains("holds 0 at position 1"));
        assert!(error(&|d| d.edge_weights = vec![f32::NAN; 4]).contains("finite"));
        assert!(error(&|d| d.class_names = vec!["one".into()]).contains("has 1 entries; 2 are wanted"));
        assert!(error(&|d| d.node_names = vec!["one".into()]).contains("3 are wanted"));
        assert!(error(&|d| d.node_names = vec![String::new(); 3]).contains("empty text"));
    }
}
