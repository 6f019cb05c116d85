//! Arrays in archives, and archives.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{DATA, Table};

fn header(text: &str) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [header(&text), data.to_vec()].concat()
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A sound archive of two nodes but for one array, which is left out if there are no bytes.
fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
    let ones: Vec<u8> = [1_f32; 2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let sound = [
        ("y", npy("<i4", "2,", &words(&[0, 1]))),
        ("edge_index", npy("<i4", "2, 2", &words(&[0, 1, 1, 0]))),
        ("x", npy("<f4", "2, 1", &ones)),
        ("train_mask", npy("|b1", "1, 2", &[1, 0])),
        ("val_mask", npy("|b1", "1, 2", &[0, 1])),
        ("test_mask", npy("|b1", "1, 2", &[0, 1])),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let others = sound.iter().map(|(n, b)| (*n, &b[..])).filter(|(n, _)| *n != name);
    for (name, bytes) in others.chain([(name, bytes)]).filter(|(_, bytes)| !bytes.is_empty()) {
        zip.start_file(format!("{name}.npy"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn arrays() {
    let mut t = Table::new();
    let float = |v: f32| npy("<f4", "2, 1", &[v.to_le_bytes(), 1_f32.to_le_bytes()].concat());
    let held = "edge_index, test_mask, train_mask, val_mask";
    for (name, bytes, line) in [
        ("y", b"not numpy's".to_vec(), "is not an npy array".to_string()),
        ("y", b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(), "is truncated in its header".into()),
        ("y", header("{'descr': '<i4', 'fortran_order': False}"), "lacks 'shape' in its header".into()),
        ("y", header("{'fortran_order': False, 'shape': (2,)}"), "lacks 'descr' in its header".into()),
        ("y", header("{'descr': '<i4', 'shape': (2,)}"), "lacks 'fortran_order' in its header".into()),
        ("y", npy("<i4", "two,", &[]), "has a malformed shape".into()),
        ("y", npy("<i4", "-1,", &[]), "has a malformed shape".into()),
        (
            "y",
            npy("<f2", "2,", &[0; 4]),
            "has entries of type <f2; booleans, integers, float32 or float64 are wanted (x.astype(\"float32\"))".into(),
        ),
        (
            "y",
            npy("|O", "2,", &[0; 16]),
            "has entries of type |O; booleans, integers, float32 or float64 are wanted (x.astype(\"float32\"))".into(),
        ),
        ("y", npy("<i4", "4294967296, 4294967296", &[]), "has too large a shape".into()),
        ("y", npy("<i4", "4611686018427387904,", &[]), "has too large a shape".into()),
        (
            "y",
            npy("<i4", "1000000000000,", &[0; 8]),
            "with shape [1000000000000] and type <i4 has 8 bytes of data; 4000000000000 are wanted".into(),
        ),
        (
            "y",
            npy("<i4", "2,", &[0; 7]),
            "with shape [2] and type <i4 has 7 bytes of data; 8 are wanted".into(),
        ),
        ("y", npy("<f4", "2,", &[0; 8]), "holds floating-point numbers; integers are wanted (x.astype(\"int32\"))".into()),
        ("y", npy("<i4", "2, 2", &[0; 16]), "of shape [2, 2] is no list of classes".into()),
        ("y", npy("<i4", "0,", &[]), "of shape [0] is no list of classes".into()),
        (
            "y",
            npy("<i4", "2,", &words(&[0, -2])),
            "holds -2 at position 1; classes are whole numbers from 0, and -1 is no label".into(),
        ),
        ("edge_index", npy("<i4", "4,", &[0; 16]), "has the shape [4]; [2, edges] is wanted".into()),
        ("edge_index", npy("<i4", "3, 1", &[0; 12]), "has the shape [3, 1]; [2, edges] is wanted".into()),
        (
            "edge_index",
            npy("<i4", "2, 1", &words(&[0, 2])),
            "holds 2 at position 1; numbers from 0 to below 2 are wanted".into(),
        ),
        ("x", float(f32::NAN), "holds NaN in row 0, column 0; finite numbers are wanted".into()),
        ("x", float(f32::NEG_INFINITY), "holds -inf in row 0, column 0; finite numbers are wanted".into()),
        (
            "x",
            npy("<f8", "2, 1", &[1e300_f64.to_le_bytes(), 1_f64.to_le_bytes()].concat()),
            "holds 1e300 in row 0, column 0, beyond single precision; scale it".into(),
        ),
        ("x", npy("<f4", "2,", &[0; 8]), "has the shape [2]; [nodes, features] is wanted".into()),
        ("x", npy("<f4", "3, 1", &[0; 12]), "has 3 rows for 2 nodes".into()),
        (
            "val_mask",
            npy("|b1", "2, 2", &[1; 4]),
            "has 2 splits, train_mask has 1".into(),
        ),
        ("val_mask", npy("|b1", "1, 3", &[1; 3]), "has the shape [1, 3]; [splits, 2] is wanted".into()),
        ("val_mask", npy("<f4", "1, 2", &[0; 8]), "holds floating-point numbers; integers are wanted (x.astype(\"int32\"))".into()),
        (
            "unlabelled",
            npy("<i4", "1,", &words(&[2])),
            "holds 2 at position 0; numbers from 0 to below 2 are wanted".into(),
        ),
    ] {
        t.write("b.npz", archive(name, &bytes));
        // Another array than the one that was changed may be the one that is named.
        let line = line.strip_prefix('\0').map_or(format!("{name} {line}"), String::from);
        t.row(DATA, &["info", "DIR/b.npz"], &format!("DIR/b.npz: array {line}"));
    }
    for (name, bytes, line) in [
        ("y", vec![], format!("DIR/b.npz: has no array y; it holds {held}, x")),
        ("x", vec![], format!("DIR/b.npz: has no array x_shape; it holds {held}, y")),
        (
            "test_mask",
            vec![],
            "DIR/b.npz: array train_mask stands without test_mask; give all three masks of a split, or none and draw splits with `graph --split random`".into(),
        ),
        (
            "edge_index",
            npy("<i4", "2, 1", &words(&[0, 1])),
            "data set DIR/b.npz: edge (0, 1) is stored in one direction only; `data import npz` puts that right".into(),
        ),
        ("edge_index", npy("<i4", "2, 1", &words(&[1, 1])), "data set DIR/b.npz: node 1 has a loop".into()),
        (
            "edge_index",
            npy("<i4", "2, 4", &words(&[0, 0, 1, 1, 1, 1, 0, 0])),
            "data set DIR/b.npz: edge (0, 1) is stored twice; `data import npz` puts that right".into(),
        ),
        (
            "val_mask",
            npy("|b1", "1, 2", &[0, 0]),
            "data set DIR/b.npz: split 0: the validation part is empty".into(),
        ),
        (
            "val_mask",
            npy("|b1", "1, 2", &[1, 0]),
            "data set DIR/b.npz: split 0: node 0 is in the training part and in the validation part".into(),
        ),
    ] {
        t.write("b.npz", archive(name, &bytes));
        t.row(DATA, &["check", "DIR/b.npz"], &line);
    }
    // No node at all, in another layout.
    t.write("b.npz", archive("node_labels", &npy("<i4", "0,", &[])));
    t.row(
        DATA,
        &["import", "heterophilous", "--from", "DIR/b.npz", "--out", "DIR/never.npz"],
        "DIR/b.npz: array node_labels of shape [0] is no list of classes",
    );
    t.write("b.npz", "no archive");
    t.row(DATA, &["info", "DIR/b.npz"], "DIR/b.npz: not a whole npz archive (invalid Zip archive: Could not find EOCD); fetch or export it again");
    // A file with a hole.
    std::fs::File::create(t.path("b.npz")).unwrap().set_len(5 << 30).unwrap();
    t.row(DATA, &["info", "DIR/b.npz"], "DIR/b.npz: has 5368709120 bytes; at most 4294967296 are read");
    t.finish(39);
}
