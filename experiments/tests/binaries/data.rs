//! The binary `data` as a user runs it: importers, round trip, every kind of bad file.

use std::path::Path;
use std::process::{Command, Output};

use crate::binary::{self, stderr, stdout};
use experiments::datasets::npz::Writer;
use experiments::datasets::{decode, encode};
use models::gnn::data::synthetic::karate;

fn data(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_data"), args)
}

fn refused(args: &[&str], what: &str) {
    binary::refused(&mut data(args), what);
}

fn import(dir: &Path, args: &[&str]) -> models::gnn::Dataset {
    let out = dir.join("out.npz");
    let mut all = vec!["import"];
    all.extend(args);
    all.extend(["--out", out.to_str().unwrap()]);
    binary::succeed(&mut data(&all));
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
    let out = binary::succeed(&mut data(&["check", path.to_str().unwrap()]));
    assert!(stdout(&out).contains("sound"));
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
    // Zeros are not stored.
    assert_eq!((d.features.shape(), d.features.set()), ((3, 2), 4));
    // Classes are in the order of their names.
    assert_eq!((d.labels, d.class_names), (vec![1, 0, 1], vec!["blue".to_string(), "red".into()]));

    write("out1_node_feature_label.txt", "node_id\tfeature\tlabel\n1\t0,1\t2\n0\t1,1\t0\n");
    write("out1_graph_edges.txt", "node_id\tnode_id\n0\t1\n");
    let d = import(dir.path(), &["geom-gcn", "--from", dir.path().to_str().unwrap()]);
    assert_eq!((d.labels, d.features.set(), d.edges.len()), (vec![0, 1], 3, 2));
    assert_eq!(d.class_names, ["0", "2"]);

    let content = write("a.content", "p1\t1\t0\tML\np2\t0\t1\tDB\n");
    let cites = write("a.cites", "p1\tp2\nmissing\tp1\n");
    let d = import(dir.path(), &["linqs", "--content", &content, "--cites", &cites]);
    assert_eq!((d.edges, d.labels, d.classes), (vec![(0, 1), (1, 0)], vec![1, 0], 2));
    assert_eq!(
        (d.class_names, d.node_names),
        (vec!["DB".to_string(), "ML".into()], vec!["p1".to_string(), "p2".into()])
    );

    let mut club = karate();
    club.edges.retain(|(u, v)| u < v);
    club.edges.reverse();
    let own = dir.path().join("own.npz");
    std::fs::write(&own, encode(&club).unwrap()).unwrap();
    refused(&["check", own.to_str().unwrap()], "is stored in one direction only");
    let d = import(dir.path(), &["npz", "--from", own.to_str().unwrap()]);
    assert_eq!((&d.edges, &d.raw_edges), (&karate().edges, &Some(club.edges)));
    assert_eq!((&d.splits, &d.labels), (&club.splits, &club.labels));

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
        refused(&["info", &broken(d, name, replace)], what);
    };
    case("edge_index", "holds 7 at position 1", &|w| {
        w.integers("edge_index", &[2, 2], &[0, 7, 1, 0]).unwrap()
    });
    case("edge_index", "has no array edge_index", &|_| ());
    case("edge_index", "floating-point", &|w| w.floats("edge_index", &[2, 2], &[0.0; 4]).unwrap());
    case("edge_index", "one direction only", &|w| w.integers("edge_index", &[2, 1], &[0, 1]).unwrap());
    case("y", "holds -2", &|w| w.integers("y", &[2], &[0, -2]).unwrap());
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
    refused(&["info", "nothing.npz"], "no such file");
    refused(&["info", "coar", "--data-dir", d.to_str().unwrap()], "no coar.npz");
    refused(&["info", "cora"], "METASTABLE_DATA");
    refused(&["fetch", "unheard-of"], "is not known");
    let files = csv_files(d, "0,9\n", "1\n2\n", "0\n1\n");
    refused_import(d, &as_args(&files), "e.csv:1: edge (0, 9) leads to a node that does not exist");
}

/// The arguments of `import csv` with files of these texts.
fn csv_files(dir: &Path, edges: &str, features: &str, labels: &str) -> Vec<String> {
    let texts =
        [("--edges", "e.csv", edges), ("--features", "x.csv", features), ("--labels", "y.csv", labels)];
    let files = texts.iter().flat_map(|(flag, name, text)| {
        std::fs::write(dir.join(name), text).unwrap();
        [flag.to_string(), at(dir, name)]
    });
    ["csv".to_string()].into_iter().chain(files).collect()
}

fn at(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_string()
}

fn as_args(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// An import that is refused with one line that holds `what`, and writes nothing.
fn refused_import(dir: &Path, args: &[&str], what: &str) {
    let out = at(dir, "never.npz");
    let all = [&["import"], args, &["--out", &out]].concat();
    refused(&all, what);
    assert!(!Path::new(&out).exists(), "{args:?}");
}

#[test]
fn a_byte_order_mark_and_blank_lines_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let (edges, features, labels) = ("0,1\n1,2\n", "0.5,1\n0,2\n3,0\n", "1\n0\n1\n");
    let whole = import(d, &as_args(&csv_files(d, edges, features, labels)));
    assert_eq!((&whole.labels, whole.classes, whole.edges.len()), (&vec![1, 0, 1], 2, 4));
    let with = |before: [&str; 3]| {
        let [e, x, y] = before;
        let args = csv_files(d, &format!("{e}{edges}"), &format!("{x}{features}"), &format!("{y}{labels}"));
        let d = import(d, &as_args(&args));
        assert_eq!(
            (&d.edges, &d.labels, &d.features),
            (&whole.edges, &whole.labels, &whole.features),
            "{before:?}"
        );
    };
    with(["\u{feff}"; 3]);
    with(["from,to\n", "a,b\n", "label\n"]);
    with(["\u{feff}from,to\n", "\u{feff}a,b\n", "\u{feff}label\n"]);
    with(["\n\nfrom,to\n", "\na,b\n\n", "\nlabel\n"]);

    let (content, cites) = (at(d, "a.content"), at(d, "a.cites"));
    std::fs::write(&content, "\u{feff}p1\t1\t0\tA B\np2\t0\t1\tC B\np3\t0\t1\tA B\n").unwrap();
    std::fs::write(&cites, "\u{feff}p1\tp2\n").unwrap();
    let linked = import(d, &["linqs", "--content", &content, "--cites", &cites]);
    assert_eq!((linked.edges, linked.labels), (vec![(0, 1), (1, 0)], vec![0, 1, 0]));
}

#[test]
fn what_nothing_could_read_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let csv = |edges: &str, features: &str, labels: &str, what: &str| {
        refused_import(d, &as_args(&csv_files(d, edges, features, labels)), what);
    };
    csv("0,1\n", "1,,3\n4,5, \n", "0\n1\n", "x.csv:1: column 2: is empty; write what it holds");
    csv("0,1\n", "1,3\n4,5\n", "0.5\n1\n", "y.csv:1: `0.5` is no class");
    csv("0,1\n", "1,3\n4,inf\n", "0\n1\n", "x.csv:2: column 2: `inf` is no finite number");
    csv("", "", "", "x.csv: holds no nodes");

    let nodes = d.join("out1_node_feature_label.txt");
    std::fs::write(d.join("out1_graph_edges.txt"), "\nnode\tnode\n0\t1\n").unwrap();
    let from = d.to_str().unwrap();
    let geom = |lines: &str, what: &str, more: &[&str]| {
        std::fs::write(&nodes, format!("node\tfeatures\tlabel\n{lines}")).unwrap();
        refused_import(d, &[&["geom-gcn", "--from", from], more].concat(), what);
    };
    geom("0\t1,0\t0\n0\t0,1\t1\n", ":3: node 0 is given twice", &[]);
    geom("0\t1,0\t0\n2\t0,1\t1\n", ":3: node 2 is given, but no node 1", &[]);
    geom("0\t1,,0\t0\n1\t0,1\t1\n", ":2: field 2 is empty", &[]);
    geom("0\t1,nan\t0\n1\t0,1\t1\n", ":2: feature nan is not finite", &[]);
    geom("0\t1,0\t-1\n1\t0,1\t1\n", ":2: `-1` is no class", &[]);
    geom("0\t1\t0\n1\t0\t1\n", "--listed 5000000000: at most", &["--listed", "5000000000"]);
    let split = at(d, "split.npz");
    let mut w = Writer::default();
    for mask in ["train", "val", "test"] {
        w.booleans(&format!("{mask}_mask"), &[2], &[true, false]).unwrap();
    }
    std::fs::write(&split, w.finish().unwrap()).unwrap();
    geom("0\t1,0\t0\n1\t0,1\t1\n", "split.npz: node 0 is in the training part", &["--splits", &split]);

    let archive = at(d, "shchur.npz");
    let shchur = |starts: [i32; 3], cols: i32, what: &str| {
        let mut w = Writer::default();
        for (prefix, starts, cols) in [("adj", starts, 2), ("attr", [0, 1, 2], cols)] {
            w.floats(&format!("{prefix}_data"), &[2], &[1.0, 1.0]).unwrap();
            w.integers(&format!("{prefix}_indices"), &[2], &[1, 0]).unwrap();
            w.integers(&format!("{prefix}_indptr"), &[3], &starts).unwrap();
            w.integers(&format!("{prefix}_shape"), &[2], &[2, cols]).unwrap();
        }
        w.integers("labels", &[2], &[1, 0]).unwrap();
        std::fs::write(&archive, w.finish().unwrap()).unwrap();
        refused_import(d, &["shchur", "--from", &archive], what);
    };
    shchur([0, 2, 1], 3, "adj_indptr and its companions are no CSR matrix");
    shchur([2, 0, 2], 3, "adj_indptr and its companions are no CSR matrix");
    shchur([0, 1, 2], i32::MAX, "attr_shape is [2, 2147483647]; at most 1000000 columns");
}

#[test]
fn an_import_never_writes_over_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let files = csv_files(d, "0,1\n", "1\n2\n", "0\n1\n");
    for name in ["e.csv", "x.csv", "y.csv", "./y.csv"] {
        let before = std::fs::read(d.join(name)).unwrap();
        let out = at(d, name);
        let args = [&["import"], &as_args(&files)[..], &["--out", &out]].concat();
        refused(&args, "is one of the files to import");
        assert_eq!(std::fs::read(d.join(name)).unwrap(), before);
    }
    let out = at(d, "folder.npz");
    std::fs::create_dir(&out).unwrap();
    let args = [&["import"], &as_args(&files)[..], &["--out", &out]].concat();
    refused(&args, "folder.npz: a folder is in the way");
}

#[test]
fn an_archive_of_many_small_bombs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = Writer::default();
    // 288 MiB of zeros pack into 290 KiB: a ratio that honest data of this size do not have. Each array is far below
    // what is refused alone.
    let zeros = vec![0; 8 << 20];
    for k in 0..9 {
        w.integers(&format!("x{k}"), &[8 << 20], &zeros).unwrap();
    }
    let path = at(dir.path(), "many.npz");
    std::fs::write(&path, w.finish().unwrap()).unwrap();
    refused(&["check", &path], "refused as a zip bomb");
    // What nobody asks for is not unpacked, whatever it holds.
    let path = broken(dir.path(), "masks", &|w| w.floats("other", &[1], &[f32::NAN]).unwrap());
    binary::succeed(&mut data(&["check", &path]));
    let path = broken(dir.path(), "x", &|w| {
        w.floats("x_data", &[1], &[1.0]).unwrap();
        w.integers("x_indices", &[1], &[0]).unwrap();
        w.integers("x_indptr", &[3], &[0, 1, 1]).unwrap();
        w.integers("x_shape", &[2], &[2, 100_000_000]).unwrap();
    });
    refused(&["check", &path], "x_shape is [2, 100000000]; at most 1000000 columns are possible");
}

#[test]
fn a_check_of_nothing_does_not_pass() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    refused(&["check", "all"], "METASTABLE_DATA");
    refused(&["check", "all", "--data-dir", "/nonexistent"], "/nonexistent: no such data folder");
    refused(&["check", "all", "--data-dir", folder], "holds no data set");
    std::fs::create_dir(dir.path().join("sub.npz")).unwrap();
    refused(&["check", "all", "--data-dir", folder], "holds no data set");
    refused(&["check", &at(dir.path(), "sub.npz")], "is a folder; a file is wanted");
    let file = broken(dir.path(), "y", &|_| ());
    refused(&["list", "--data-dir", &file], "is no folder; a data folder is wanted");
    // A file that is wrong is named once: alone as an error, among others in the list.
    let alone = data(&["check", &file]).output().unwrap();
    assert_eq!((alone.status.code(), alone.stdout.len()), (Some(2), 0));
    std::fs::write(dir.path().join("club.npz"), encode(&karate()).unwrap()).unwrap();
    let all = data(&["check", "all", "--data-dir", folder]).output().unwrap();
    let (printed, error) = (stdout(&all), stderr(&all));
    assert_eq!(all.status.code(), Some(1), "{error}");
    assert!(printed.contains("broken: WRONG") && printed.contains("club: sound"), "{printed}");
    assert!(error.contains("1 data sets are not sound"), "{error}");
}

fn fetch(name: &str, dir: &Path) -> Output {
    // Without curl there is no network.
    data(&["fetch", name, "--out", dir.to_str().unwrap()]).env("PATH", "").output().unwrap()
}

#[test]
fn what_cannot_be_downloaded_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    // What a user keeps there is neither written to nor removed.
    let source = dir.path().join("sources/texas");
    std::fs::create_dir_all(&source).unwrap();
    let own = source.join("out1_node_feature_label.part");
    std::fs::write(&own, "mine").unwrap();
    for (name, files) in [("texas", 12), ("pubmed", 17), ("squirrel_filtered", 2), ("coauthor_cs", 1)] {
        let out = fetch(name, dir.path());
        let error = stderr(&out);
        assert_eq!((out.status.code(), error.trim().lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("https://") && error.contains(&format!("sources/{name} by hand")), "{error}");
        assert!(files == 1 || error.contains(&format!(" and {} more", files - 1)), "{error}");
    }
    let out = fetch("all", dir.path());
    let (printed, error) = (stdout(&out), stderr(&out));
    assert!(printed.lines().count() == 15 && printed.contains("film: NOT THERE: cannot"), "{printed}");
    assert!(out.status.code() == Some(1) && error.contains("15 of 15 data sets"), "{error}");
    assert_eq!(std::fs::read(&own).unwrap(), b"mine");
    assert_eq!(source.read_dir().unwrap().count(), 1);
}

#[test]
fn files_that_are_there_already_are_imported_and_held_against_what_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("sources").join("minesweeper");
    std::fs::create_dir_all(&source).unwrap();
    let mut w = Writer::default();
    w.floats("node_features", &[3, 2], &[1.0, 0.0, 0.0, 0.0, 2.0, 3.0]).unwrap();
    w.integers("node_labels", &[3], &[1, 0, 1]).unwrap();
    w.integers("edges", &[2, 2], &[0, 1, 1, 2]).unwrap();
    for (k, part) in ["train", "val", "test"].iter().enumerate() {
        w.booleans(&format!("{part}_masks"), &[1, 3], &[k == 0, k == 1, k == 2]).unwrap();
    }
    std::fs::write(source.join("minesweeper.npz"), w.finish().unwrap()).unwrap();
    let out = fetch("minesweeper", dir.path());
    let printed = stdout(&out);
    assert!(out.status.code() == Some(1) && printed.contains("WRONG: 3 nodes, 10000 are known"), "{printed}");
    let d = decode(&dir.path().join("minesweeper.npz")).unwrap();
    assert_eq!((d.edges, d.raw_edges), (vec![(0, 1), (1, 0), (1, 2), (2, 1)], None));
    assert_eq!((d.labels, d.features.set(), d.splits.len()), (vec![1, 0, 1], 3, 1));

    // The directed list of the filtered sets.
    let from = source.join("minesweeper.npz");
    let mut w = Writer::default();
    w.integers("edges", &[1, 2], &[2, 1]).unwrap();
    let directed = at(dir.path(), "directed.npz");
    std::fs::write(&directed, w.finish().unwrap()).unwrap();
    let d = import(dir.path(), &["heterophilous", "--from", from.to_str().unwrap(), "--directed", &directed]);
    assert_eq!((d.edges.len(), d.raw_edges), (4, Some(vec![(2, 1)])));
}
