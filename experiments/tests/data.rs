//! The binary `data` as a user runs it: importers, round trip, every kind of bad file.

use std::path::Path;
use std::process::{Command, Output};

use experiments::graph_data::npz::Writer;
use experiments::graph_data::{decode, encode};
use models::graph::synthetic::karate;

fn data(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_data")).args(args).env_remove("METASTABLE_DATA").output().unwrap()
}

/// Fails with exit code 2 and one line that holds `what`.
fn refused(args: &[&str], what: &str) {
    let out = data(args);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {error}");
    assert!(error.trim().lines().count() == 1 && error.contains(what), "{args:?}: {error}");
}

fn import(dir: &Path, args: &[&str]) -> models::graph::Dataset {
    let out = dir.join("out.npz");
    let mut all = vec!["import"];
    all.extend(args);
    all.extend(["--out", out.to_str().unwrap()]);
    let result = data(&all);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    decode(&out).unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("club.npz");
    let mut club = karate();
    club.public = Some(club.splits[3].clone());
    club.raw_edges = Some(vec![(0, 1), (5, 5)]);
    club.unlabelled = vec![7];
    std::fs::write(&path, encode(&club).unwrap()).unwrap();
    let back = decode(&path).unwrap();
    assert_eq!((&back.edges, &back.raw_edges, &back.labels), (&club.edges, &club.raw_edges, &club.labels));
    assert_eq!(
        (&back.splits, &back.public, &back.unlabelled),
        (&club.splits, &club.public, &club.unlabelled)
    );
    assert_eq!((&back.features, back.classes), (&club.features, 2));
    let out = data(&["check", path.to_str().unwrap()]);
    assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).contains("sound"));
}

#[test]
fn every_format_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let edges = write("e.csv", "from,to\n0,1\n1,2\n2,2\n");
    let features = write("x.csv", "0.5,1\n0,2\n3,0\n");
    let labels = write("y.csv", "red\nblue\nred\n");
    let d = import(dir.path(), &["csv", "--edges", &edges, "--features", &features, "--labels", &labels]);
    assert_eq!(d.edges, [(0, 1), (1, 0), (1, 2), (2, 1)]);
    assert_eq!((d.labels, d.classes, d.features.shape()), (vec![0, 1, 0], 2, (3, 2)));

    write("out1_node_feature_label.txt", "node_id\tfeature\tlabel\n1\t0,1\t2\n0\t1,1\t0\n");
    write("out1_graph_edges.txt", "node_id\tnode_id\n0\t1\n");
    let d = import(dir.path(), &["geom-gcn", "--from", dir.path().to_str().unwrap()]);
    assert_eq!((d.labels, d.features.nnz(), d.edges.len()), (vec![0, 2], 3, 2));

    let content = write("a.content", "p1\t1\t0\tML\np2\t0\t1\tDB\n");
    let cites = write("a.cites", "p1\tp2\nmissing\tp1\n");
    let d = import(dir.path(), &["linqs", "--content", &content, "--cites", &cites]);
    assert_eq!((d.edges, d.labels, d.classes), (vec![(0, 1), (1, 0)], vec![0, 1], 2));

    let mut w = Writer::default();
    for (prefix, cols) in [("adj", 2), ("attr", 3)] {
        w.floats(&format!("{prefix}_data"), &[2], &[1.0, 1.0]).unwrap();
        w.integers(&format!("{prefix}_indices"), &[2], &[1, 0]).unwrap();
        w.integers(&format!("{prefix}_indptr"), &[3], &[0, 1, 2]).unwrap();
        w.integers(&format!("{prefix}_shape"), &[2], &[2, cols]).unwrap();
    }
    w.integers("labels", &[2], &[1, 0]).unwrap();
    let path = dir.path().join("shchur.npz");
    std::fs::write(&path, w.finish().unwrap()).unwrap();
    let d = import(dir.path(), &["shchur", "--from", path.to_str().unwrap()]);
    assert_eq!((d.edges, d.labels, d.features.shape()), (vec![(0, 1), (1, 0)], vec![1, 0], (2, 3)));
}

/// A small archive, with one array replaced.
fn broken(dir: &Path, name: &str, replace: &dyn Fn(&mut Writer)) -> String {
    let mut w = Writer::default();
    let keep = |n: &str| n != name;
    if keep("edge_index") {
        w.integers("edge_index", &[2, 2], &[0, 1, 1, 0]).unwrap();
    }
    if keep("y") {
        w.integers("y", &[2], &[0, 1]).unwrap();
    }
    if keep("x") {
        w.floats("x", &[2, 1], &[0.5, 1.0]).unwrap();
    }
    if keep("masks") {
        for (k, mask) in ["train", "val", "test"].iter().enumerate() {
            w.booleans(&format!("{mask}_mask"), &[1, 2], &[k == 0, k == 1]).unwrap();
        }
    }
    replace(&mut w);
    let path = dir.join("broken.npz");
    std::fs::write(&path, w.finish().unwrap()).unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn every_bad_file_gets_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let case = |name: &str, what: &str, replace: &dyn Fn(&mut Writer)| {
        let path = broken(d, name, replace);
        refused(&["info", &path], what);
    };
    case("edge_index", "holds 7 at position 1", &|w| {
        w.integers("edge_index", &[2, 2], &[0, 7, 1, 0]).unwrap()
    });
    case("edge_index", "has no array edge_index", &|_| ());
    case("edge_index", "floating-point", &|w| w.floats("edge_index", &[2, 2], &[0.0; 4]).unwrap());
    case("edge_index", "one direction only", &|w| w.integers("edge_index", &[2, 1], &[0, 1]).unwrap());
    case("y", "holds -1", &|w| w.integers("y", &[2], &[0, -1]).unwrap());
    case("x", "finite numbers are wanted", &|w| w.floats("x", &[2, 1], &[f32::NAN, 1.0]).unwrap());
    case("x", "has 3 rows for 2 nodes", &|w| w.floats("x", &[3, 1], &[0.0; 3]).unwrap());
    case("masks", "the test part is empty", &|w| {
        for (k, mask) in ["train", "val", "test"].iter().enumerate() {
            w.booleans(&format!("{mask}_mask"), &[1, 2], &[k == 0, k == 1]).unwrap();
        }
    });
    case("masks", "is in the training part and in the validation part", &|w| {
        for mask in ["train", "val", "test"] {
            w.booleans(&format!("{mask}_mask"), &[1, 2], &[true, false]).unwrap();
        }
    });
    // Cut anywhere, an archive is refused.
    let whole = encode(&karate()).unwrap();
    let cut = d.join("cut.npz");
    for part in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&cut, &whole[..part]).unwrap();
        refused(&["info", cut.to_str().unwrap()], "not a whole npz archive");
    }
    // 80 MiB of zeros pack into 80 KiB: a ratio that honest data do not have.
    case("y", "zip bomb", &|w| w.integers("y", &[20 << 20], &vec![0; 20 << 20]).unwrap());
    refused(&["info", "nothing.npz"], "no such file");
    refused(&["info", "coar", "--data-dir", d.to_str().unwrap()], "no coar.npz");
    refused(&["info", "cora"], "METASTABLE_DATA");
    refused(&["fetch", "unheard-of"], "is not known");
    let edges = d.join("e.csv");
    std::fs::write(&edges, "0,9\n").unwrap();
    std::fs::write(d.join("x.csv"), "1\n2\n").unwrap();
    std::fs::write(d.join("y.csv"), "0\n1\n").unwrap();
    let at = |name: &str| d.join(name).to_str().unwrap().to_string();
    let out = at("never.npz");
    refused(
        &[
            "import",
            "csv",
            "--edges",
            &at("e.csv"),
            "--features",
            &at("x.csv"),
            "--labels",
            &at("y.csv"),
            "--out",
            &out,
        ],
        "node that does not exist",
    );
    assert!(!Path::new(&out).exists());
}
