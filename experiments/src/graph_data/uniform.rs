//! Our own layout of a data set in an npz: edge_index [2, E], y [N], features in CSR (x_indptr, x_indices,
//! x_data, x_shape) or dense (x [N, F]), train_mask, val_mask, test_mask [S, N], and where they exist
//! edge_index_raw [2, E'], public_*_mask [N], unlabelled.

use std::path::Path;

use models::graph::synthetic::dense;
use models::graph::{Dataset, Split};
use sprs::CsMat;

use super::npz::{Npz, Writer};
use crate::failure::Failure;

/// Reads a file; sizes, types and ranges are checked, splits and edges are left to `check`.
pub fn decode(path: &Path) -> Result<Dataset, Failure> {
    let npz = Npz::read(path)?;
    let (shape, y) = npz.integers("y")?;
    let (nodes, top) = (y.len(), y.iter().copied().max().unwrap_or(-1));
    if shape.len() != 1 || nodes == 0 || top > 100_000 {
        return Err(
            npz.wrong("y", format!("of shape {shape:?} with labels up to {top} is no list of classes"))
        );
    }
    let labels = npz.indices("y", (top + 1).max(1) as usize)?;
    let raw_edges = npz.has("edge_index_raw").then(|| pairs(&npz, "edge_index_raw", nodes)).transpose()?;
    let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let unlabelled = if npz.has("unlabelled") { npz.indices("unlabelled", nodes)? } else { Vec::new() };
    let public = npz.has("public_train_mask").then(|| splits(&npz, "public_", nodes)).transpose()?;
    Ok(Dataset {
        name,
        edges: pairs(&npz, "edge_index", nodes)?,
        raw_edges,
        features: features(&npz, nodes)?,
        labels,
        classes: (top + 1) as usize,
        unlabelled,
        splits: if npz.has("train_mask") { splits(&npz, "", nodes)? } else { Vec::new() },
        public: public.and_then(|s| s.into_iter().next()),
    })
}

fn pairs(npz: &Npz, name: &str, nodes: usize) -> Result<Vec<(u32, u32)>, Failure> {
    let (shape, _) = npz.integers(name)?;
    let [2, count] = *shape else {
        return Err(npz.wrong(name, format!("has the shape {shape:?}; [2, edges] is wanted")));
    };
    let ends = npz.indices(name, nodes)?;
    let (from, to) = ends.split_at(count);
    Ok(from.iter().copied().zip(to.iter().copied()).collect())
}

fn features(npz: &Npz, nodes: usize) -> Result<CsMat<f32>, Failure> {
    if npz.has("x") {
        let (shape, x) = npz.floats("x")?;
        let [rows, cols] = *shape else {
            return Err(npz.wrong("x", format!("has the shape {shape:?}; [nodes, features] is wanted")));
        };
        if rows != nodes {
            return Err(npz.wrong("x", format!("has {rows} rows for {nodes} nodes")));
        }
        return Ok(dense(rows, cols, &x));
    }
    let (_, shape) = npz.integers("x_shape")?;
    let [rows, cols] = *shape else {
        return Err(npz.wrong("x_shape", "should hold two numbers"));
    };
    if rows != nodes as i64 || !(0..=100_000_000).contains(&cols) {
        return Err(npz.wrong("x_shape", format!("is [{rows}, {cols}] for {nodes} nodes")));
    }
    let (_, values) = npz.floats("x_data")?;
    let starts = npz.indices("x_indptr", values.len() + 1)?;
    let indices = npz.indices("x_indices", cols as usize)?;
    let wide = |v: Vec<u32>| v.into_iter().map(|i| i as usize).collect::<Vec<usize>>();
    CsMat::try_new((nodes, cols as usize), wide(starts), wide(indices), values)
        .map_err(|(.., e)| npz.wrong("x_indptr", format!("and its companions are no CSR matrix: {e}")))
}

fn splits(npz: &Npz, prefix: &str, nodes: usize) -> Result<Vec<Split>, Failure> {
    let part = |name: &str| -> Result<Vec<Vec<u32>>, Failure> {
        let name = format!("{prefix}{name}_mask");
        let (shape, mask) = npz.integers(&name)?;
        if shape.last() != Some(&nodes) || shape.len() > 2 {
            return Err(npz.wrong(&name, format!("has the shape {shape:?}; [splits, {nodes}] is wanted")));
        }
        let list = |m: &[i64]| (0..nodes as u32).filter(|i| m[*i as usize] != 0).collect();
        Ok(mask.chunks_exact(nodes).map(list).collect())
    };
    let (train, validation, test) = (part("train")?, part("val")?, part("test")?);
    if train.len() != validation.len() || train.len() != test.len() {
        return Err(npz.wrong(
            &format!("{prefix}train_mask"),
            "has another number of splits than val_mask or test_mask",
        ));
    }
    let parts = train.into_iter().zip(validation).zip(test);
    Ok(parts.map(|((train, validation), test)| Split { train, validation, test }).collect())
}

/// The bytes of a file that `decode` reads back.
pub fn encode(data: &Dataset) -> Result<Vec<u8>, Failure> {
    let mut w = Writer::default();
    let ends = |pairs: &[(u32, u32)]| -> Vec<i32> {
        pairs.iter().map(|p| p.0 as i32).chain(pairs.iter().map(|p| p.1 as i32)).collect()
    };
    w.integers("edge_index", &[2, data.edges.len()], &ends(&data.edges))?;
    if let Some(raw) = &data.raw_edges {
        w.integers("edge_index_raw", &[2, raw.len()], &ends(raw))?;
    }
    let n = data.nodes();
    w.integers("y", &[n], &data.labels.iter().map(|y| *y as i32).collect::<Vec<_>>())?;
    let narrow = |v: &[usize]| v.iter().map(|i| *i as i32).collect::<Vec<i32>>();
    let x = &data.features;
    w.integers("x_indptr", &[n + 1], &narrow(x.indptr().raw_storage()))?;
    w.integers("x_indices", &[x.nnz()], &narrow(x.indices()))?;
    w.floats("x_data", &[x.nnz()], x.data())?;
    w.integers("x_shape", &[2], &[n as i32, x.cols() as i32])?;
    if !data.unlabelled.is_empty() {
        let list: Vec<i32> = data.unlabelled.iter().map(|i| *i as i32).collect();
        w.integers("unlabelled", &[list.len()], &list)?;
    }
    let mut masks = |prefix: &str, splits: &[Split], shape: &[usize]| -> Result<(), Failure> {
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
