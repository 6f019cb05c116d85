//! Our own layout of a data set in an npz: edge_index [2, E], y [N], features in CSR (x_indptr, x_indices,
//! x_data, x_shape) or dense (x [N, F]), train_mask, val_mask, test_mask [S, N], and where they exist
//! edge_index_raw [2, E'], edge_weight [E], edge_weight_raw [E'], public_*_mask [N], unlabelled, node_names [N],
//! class_names [C].

use std::path::Path;

use models::gnn::{Dataset, FeatureMatrix, Split};
use models::words::nearest;

use super::classes::Classes;
use super::csr;
use super::npz::{Npz, Writer};
use crate::run::error::CliError;

/// The highest number that a class may have.
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

/// The classes of nodes by their codes, of which -1 is no label; those that `unlabelled` lists have none either.
pub(super) fn codes(npz: &Npz, name: &str, unlabelled: &[u32]) -> Result<Classes, CliError> {
    let (shape, codes) = npz.integers(name)?;
    if !matches!(shape[..], [_] | [_, 1]) || codes.is_empty() {
        return Err(npz.wrong(name, format!("of shape {shape:?} is no list of classes")));
    }
    if let Some(k) = codes.iter().position(|c| *c < -1) {
        let what = format!(
            "holds {} at position {k}; classes are whole numbers from 0, and -1 is no label",
            codes[k]
        );
        return Err(npz.wrong(name, what));
    }
    let mut codes: Vec<Option<i64>> = codes.into_iter().map(|c| Some(c).filter(|c| *c >= 0)).collect();
    for i in unlabelled {
        if let Some(code) = codes.get_mut(*i as usize) {
            *code = None;
        }
    }
    Classes::of_codes(&codes).map_err(|what| npz.wrong(name, format!("holds {what}")))
}

/// The classes of our own layout: numbers of `class_names`, or codes.
fn classes(npz: &Npz) -> Result<Classes, CliError> {
    let nodes = npz.integers("y")?.1.len();
    let unlabelled = match npz.has("unlabelled") {
        true => npz.indices("unlabelled", nodes)?.1,
        false => Vec::new(),
    };
    let mut classes = codes(npz, "y", &unlabelled)?;
    if npz.has("class_names") {
        // The number of a class is its place in the list, whether a node is of it or not.
        let codes = npz.integers("y")?.1;
        let highest = codes.iter().max().map_or(0, |top| *top + 1);
        classes.names = npz.names("class_names", usize::try_from(highest).unwrap_or(0))?;
        classes.count = classes.names.len();
        classes.labels = codes.iter().map(|c| u32::try_from(*c).unwrap_or(0)).collect();
    }
    // Where no node has a label there is nothing to learn, but something to predict.
    classes.count = classes.count.max(1);
    Ok(classes)
}

pub(super) fn dataset(npz: &Npz, path: &Path) -> Result<Dataset, CliError> {
    let classes = classes(npz)?;
    let nodes = classes.labels.len();
    let raw_edges = npz.has("edge_index_raw").then(|| pairs(npz, "edge_index_raw", nodes)).transpose()?;
    let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let public =
        npz.has("public_train_mask").then(|| splits(npz, |part| format!("public_{part}_mask"), nodes));
    let public = public.transpose()?;
    let edges = pairs(npz, "edge_index", nodes)?;
    let raw_count = raw_edges.as_ref().map_or(0, Vec::len);
    Ok(Dataset {
        name,
        edge_weights: weights(npz, "edge_weight", edges.len())?,
        raw_weights: weights(npz, "edge_weight_raw", raw_count)?,
        edges,
        raw_edges,
        features: features(npz, nodes)?,
        classes: classes.count,
        labels: classes.labels,
        node_names: if npz.has("node_names") { npz.names("node_names", nodes)? } else { Vec::new() },
        class_names: classes.names,
        unlabelled: classes.unlabelled,
        splits: match MASKS.iter().any(|name| npz.has(name)) {
            true => splits(npz, |part| format!("{part}_mask"), nodes)?,
            false => Vec::new(),
        },
        public: public.and_then(|s| s.into_iter().next()),
    })
}

/// The masks of fixed splits.
const MASKS: [&str; 3] = ["train_mask", "val_mask", "test_mask"];

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

fn features(npz: &Npz, nodes: usize) -> Result<FeatureMatrix, CliError> {
    if !npz.has("x") {
        let x = csr::read(npz, "x", MOST_FEATURES)?;
        return if x.rows() == nodes {
            Ok(x.into())
        } else {
            Err(npz.wrong("x_shape", format!("is {:?} for {nodes} nodes", x.shape())))
        };
    }
    rows(npz, "x", nodes)
}

/// Features that stand row by row: [nodes, features].
pub(super) fn rows(npz: &Npz, name: &str, nodes: usize) -> Result<FeatureMatrix, CliError> {
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
    Ok(FeatureMatrix::from_rows(rows, cols, x))
}

/// Splits from the masks of the parts `train`, `val` and `test`: [splits, nodes], or [nodes] for one.
pub(super) fn splits(npz: &Npz, mask: impl Fn(&str) -> String, nodes: usize) -> Result<Vec<Split>, CliError> {
    let part = |name: &str| -> Result<Vec<Vec<u32>>, CliError> {
        let name = mask(name);
        let (shape, mask) = npz.mask(&name)?;
        let list =
            |in_part: &dyn Fn(usize) -> bool| (0..nodes as u32).filter(|i| in_part(*i as usize)).collect();
        match shape[..] {
            [n] | [_, n] if n == nodes => Ok(mask.chunks_exact(nodes).map(|m| list(&|i| m[i])).collect()),
            // A column for each split: no other reading is possible.
            [n, splits] if n == nodes => Ok((0..splits).map(|k| list(&|i| mask[i * splits + k])).collect()),
            _ => Err(npz.wrong(&name, format!("has the shape {shape:?}; [splits, {nodes}] is wanted"))),
        }
    };
    let masks = ["train", "val", "test"].map(&mask);
    if let (Some(missing), Some(there)) =
        (masks.iter().find(|name| !npz.has(name)), masks.iter().find(|name| npz.has(name)))
    {
        return Err(npz.wrong(
            there,
            format!(
                "stands without {missing}; give all three masks of a split, or none and draw splits with `graph --split random`"
            ),
        ));
    }
    let (train, validation, test) = (part("train")?, part("val")?, part("test")?);
    let splits = train.len();
    // One part may serve all splits, as the test nodes of WikiCS do.
    let every = |part: &str, lists: Vec<Vec<u32>>| match lists.len() {
        n if n == splits => Ok(lists),
        1 if splits > 0 => Ok(vec![lists[0].clone(); splits]),
        n => Err(npz.wrong(&mask(part), format!("has {n} splits, {} has {splits}", mask("train")))),
    };
    let parts = train.into_iter().zip(every("val", validation)?).zip(every("test", test)?);
    Ok(parts.map(|((train, validation), test)| Split { train, validation, test }).collect())
}

/// The arrays of our own layout.
const ARRAYS: [&str; 19] = [
    "edge_index",
    "edge_index_raw",
    "edge_weight",
    "edge_weight_raw",
    "y",
    "x",
    "x_indptr",
    "x_indices",
    "x_data",
    "x_shape",
    "train_mask",
    "val_mask",
    "test_mask",
    "public_train_mask",
    "public_val_mask",
    "public_test_mask",
    "unlabelled",
    "node_names",
    "class_names",
];

/// A note on every array that is not read.
pub(super) fn unread(npz: &Npz) -> Vec<String> {
    let note = |name: &str| {
        let near = nearest(name, &ARRAYS).map_or_else(String::new, |near| format!("; {near} would be"));
        format!("the array {name} is not read{near}")
    };
    npz.held().filter(|name| !ARRAYS.contains(name)).map(note).collect()
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
    match &data.features {
        FeatureMatrix::Sparse(x) => {
            let starts = x.indptr();
            w.integers("x_indptr", &[n + 1], &narrow("x_indptr", starts.raw_storage().iter().copied())?)?;
            w.integers("x_indices", &[x.nnz()], &narrow("x_indices", x.indices().iter().copied())?)?;
            w.floats("x_data", &[x.nnz()], x.data())?;
            w.integers("x_shape", &[2], &narrow("x_shape", [n, x.cols()].into_iter())?)?;
        }
        FeatureMatrix::Dense { shape: (rows, cols), values } => w.floats("x", &[*rows, *cols], values)?,
    }
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
    fn dense_features_stay_dense_in_a_file() {
        let mut data = karate();
        let values: Vec<f32> = (0..34 * 2000).map(|k| (k % 3) as f32).collect();
        data.features = FeatureMatrix::from_rows(34, 2000, values);
        assert!(matches!(data.features, FeatureMatrix::Dense { .. }));
        let bytes = encode(&data).unwrap();
        let npz = Npz::new(Path::new("a.npz"), bytes.clone()).unwrap();
        assert!(npz.has("x") && !npz.has("x_data"));
        let read = decode_bytes(Path::new("a.npz"), bytes).unwrap();
        assert_eq!(read.features, data.features);
    }

    fn archive(change: &dyn Fn(&mut Writer)) -> Result<Dataset, String> {
        let mut w = Writer::default();
        w.integers("edge_index", &[2, 2], &[0, 1, 1, 0]).unwrap();
        w.floats("x", &[3, 1], &[1.0; 3]).unwrap();
        change(&mut w);
        decode_bytes(Path::new("a.npz"), w.finish().unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn classes_have_no_gaps_and_some_nodes_no_label() {
        let data = archive(&|w| w.integers("y", &[3], &[7, -1, 3]).unwrap()).unwrap();
        assert_eq!((data.labels, data.classes, data.unlabelled), (vec![1, 0, 0], 2, vec![1]));
        assert_eq!(data.class_names, ["3", "7"]);
        // What the list of names holds is a class, whether a node is of it or not.
        let named = |y: &[i32]| {
            archive(&|w| {
                w.integers("y", &[3], y).unwrap();
                w.names("class_names", &["a", "b", "c"].map(String::from)).unwrap();
            })
        };
        let data = named(&[2, -1, 0]).unwrap();
        assert_eq!((data.labels, data.classes, data.unlabelled), (vec![2, 0, 0], 3, vec![1]));
        assert!(named(&[3, 0, 0]).unwrap_err().contains("class_names has 3 entries; 4 are wanted"));
        let codes = |y: &[i32]| archive(&|w| w.integers("y", &[3], y).unwrap()).unwrap_err();
        assert!(codes(&[0, -2, 0]).contains("holds -2 at position 1"));
    }

    #[test]
    fn masks_may_stand_in_columns_and_one_part_may_serve_all_splits() {
        let masks = |train: (&[usize], &[bool]), test: (&[usize], &[bool])| {
            archive(&|w| {
                w.integers("y", &[3], &[0, 1, 0]).unwrap();
                w.booleans("train_mask", train.0, train.1).unwrap();
                w.booleans("val_mask", train.0, train.1).unwrap();
                w.booleans("test_mask", test.0, test.1).unwrap();
            })
        };
        let last = (&[3][..], &[false, false, true][..]);
        let columns = (&[3, 2][..], &[true, false, false, true, false, false][..]);
        let rows = (&[2, 3][..], &[true, false, false, false, true, false][..]);
        for train in [columns, rows] {
            let splits = masks(train, last).unwrap().splits;
            let parts: Vec<_> = splits.iter().map(|s| (s.train.clone(), s.test.clone())).collect();
            assert_eq!(parts, [(vec![0], vec![2]), (vec![1], vec![2])]);
        }
        let three = (&[3, 3][..], &[true; 9][..]);
        assert!(masks(rows, three).unwrap_err().contains("test_mask has 3 splits, train_mask has 2"));
    }

    #[test]
    fn a_mask_without_the_others_is_refused_with_the_remedy() {
        for name in MASKS {
            let error = archive(&|w| {
                w.integers("y", &[3], &[0, 1, 0]).unwrap();
                w.booleans(name, &[3], &[true, false, true]).unwrap();
            })
            .unwrap_err();
            assert!(error.contains(&format!("{name} stands without ")), "{error}");
            assert!(error.contains("or none and draw splits with `graph --split random`"), "{error}");
        }
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
