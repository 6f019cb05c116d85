//! Archives of arrays: as they are, and built of arrays, because hardly a change to an archive survives its
//! checksums.
#![no_main]

use std::io::{Cursor, Write};
use std::path::Path;

use experiments::datasets::{Format, decode_bytes};
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::{file, import, put, refusal};
use models::gnn::data::check::check;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Arrays of all layouts.
const NAMES: [&str; 32] = [
    "y",
    "edge_index",
    "x",
    "train_mask",
    "val_mask",
    "test_mask",
    "edge_index_raw",
    "unlabelled",
    "x_indptr",
    "x_indices",
    "x_data",
    "x_shape",
    "public_train_mask",
    "public_val_mask",
    "public_test_mask",
    "node_labels",
    "node_features",
    "edges",
    "train_masks",
    "val_masks",
    "test_masks",
    "labels",
    "adj_data",
    "adj_indices",
    "adj_indptr",
    "adj_shape",
    "attr_data",
    "attr_indices",
    "attr_indptr",
    "attr_shape",
    "other",
    "",
];
const TYPES: [&str; 8] = ["<i4", "<i8", "|b1", "<f4", "<f8", "|u1", "<i2", "<u4"];

/// An array of (name, type, number of axes, their lengths, entries) from the front of `bytes`.
fn array<'a>(bytes: &mut &'a [u8]) -> Option<(&'static str, String, &'a [u8])> {
    let mut byte = || bytes.split_off_first().map(|b| usize::from(*b));
    let (name, kind, axes) = (byte()?, byte()?, byte()? % 4);
    let shape: Vec<usize> = (0..axes).map(|_| byte()).collect::<Option<_>>()?;
    let length = byte()?;
    let data = bytes.split_off(..length.min(bytes.len()))?;
    let order = if kind >= 128 { "True" } else { "False" };
    let axes: String = shape.iter().map(|s| format!("{s}, ")).collect();
    let kind = TYPES[kind % TYPES.len()];
    let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({axes}), }}\n");
    Some((NAMES[name % NAMES.len()], header, data))
}

fn archive(mut bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    while let Some((name, header, data)) = array(&mut bytes) {
        // A name that is there already.
        if zip.start_file(format!("{name}.npy"), stored).is_err() {
            continue;
        }
        let length = (header.len() as u16).to_le_bytes();
        let parts = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data];
        parts.iter().for_each(|part| zip.write_all(part).expect("memory can be written to"));
    }
    zip.finish().expect("memory can be written to").into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let bytes = if kind & 1 == 0 { rest.to_vec() } else { archive(rest) };
    let out = file("out.npz");
    match kind >> 1 & 3 {
        0 => match decode_bytes(Path::new("fuzz.npz"), bytes) {
            Ok(data) => drop(check(&data)),
            Err(e) => refusal(&e),
        },
        1 => import(&Format::Npz { from: put("in.npz", &bytes), out: out.clone() }, &out),
        2 => import(&Format::Shchur { from: put("in.npz", &bytes), out: out.clone() }, &out),
        _ => {
            let from = put("in.npz", &bytes);
            let directed = (kind & 8 != 0).then(|| from.clone());
            import(&Format::Heterophilous { from, directed, out: out.clone() }, &out);
        }
    }
});
