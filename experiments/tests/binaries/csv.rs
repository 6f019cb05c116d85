//! `data import csv` as a user runs it: what becomes of files in the forms that people have them in.

use std::path::Path;

use crate::binary::{self, stdout};
use experiments::datasets::decode;
use models::gnn::Dataset;

/// A folder with files, of which `more` arguments may state something.
struct Files(tempfile::TempDir);

impl Files {
    fn new(edges: &str, features: &str, labels: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for (name, text) in [("e.csv", edges), ("x.csv", features), ("y.csv", labels)] {
            std::fs::write(files.at(name), text).unwrap();
        }
        files
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_string()
    }

    /// The data set, and what was said of it.
    fn import(&self, more: &[&str]) -> (Dataset, String) {
        let (edges, features, labels) = (self.at("e.csv"), self.at("x.csv"), self.at("y.csv"));
        let out = self.at("out.npz");
        let mut args = vec!["import", "csv", "--edges", &edges, "--out", &out];
        if !more.contains(&"--features") {
            args.extend(["--features", &features]);
        }
        if Path::new(&labels).metadata().unwrap().len() > 0 {
            args.extend(["--labels", &labels]);
        }
        args.extend(more);
        let said = stdout(&binary::succeed(&mut binary::command(env!("CARGO_BIN_EXE_data"), &args)));
        (decode(Path::new(&out)).unwrap(), said)
    }

    fn refused(&self, more: &[&str], what: &str) {
        let (edges, features, labels) = (self.at("e.csv"), self.at("x.csv"), self.at("y.csv"));
        let out = self.at("never.npz");
        let args =
            ["import", "csv", "--edges", &edges, "--features", &features, "--labels", &labels, "--out", &out];
        let args = [&args[..], more].concat();
        binary::refused(&mut binary::command(env!("CARGO_BIN_EXE_data"), &args), what);
    }
}

fn import(edges: &str, features: &str, labels: &str) -> Dataset {
    Files::new(edges, features, labels).import(&[]).0
}

/// Edges in one direction.
fn pairs(data: &Dataset) -> Vec<(u32, u32)> {
    data.edges.iter().copied().filter(|(u, v)| u < v).collect()
}

fn column(data: &Dataset, j: usize) -> Vec<f32> {
    (0..data.nodes()).map(|i| data.features.get(i, j)).collect()
}

const X: &str = "1\n2\n3\n4\n";
const Y: &str = "0\n1\n0\n1\n";

#[test]
fn edges_are_found_by_the_names_of_columns() {
    for (text, wanted) in [
        ("edge_id,source,target\n0,2,3\n1,0,3\n2,1,2\n", [(0, 3), (1, 2), (2, 3)]),
        (",source,target\n0,2,3\n1,0,3\n2,1,2\n", [(0, 3), (1, 2), (2, 3)]),
        ("Target;Label;Source\n2;;3\n0;;3\n1;;2\n", [(0, 3), (1, 2), (2, 3)]),
        ("# FromNodeId\tToNodeId\n2\t3\n0\t3\n1\t2\n", [(0, 3), (1, 2), (2, 3)]),
        ("page_a,page_b\n2,3\n0,3\n1,2\n", [(0, 3), (1, 2), (2, 3)]),
    ] {
        assert_eq!(pairs(&import(text, X, Y)), wanted, "{text:?}");
    }
    let files = Files::new("7,2,3\n8,0,3\n9,1,2\n", X, Y);
    files.refused(&[], "say it by --columns source=1,target=2,weight=3");
    let (stated, _) = files.import(&["--columns", "source=2,target=3"]);
    assert_eq!(pairs(&stated), [(0, 3), (1, 2), (2, 3)]);
}

#[test]
fn weights_are_kept_and_an_edge_of_weight_0_is_none() {
    let files = Files::new("0,1,0.5\n1,2,0.0\n1,0,1.5\n2,3,4\n2,3,1\n", X, Y);
    files.refused(&[], "which columns are the ends of an edge is not clear");
    let (data, said) = files.import(&["--columns", "weight=3"]);
    assert_eq!(pairs(&data), [(0, 1), (2, 3)]);
    assert_eq!(data.edge_weights, [1.0, 1.0, 5.0, 5.0]);
    assert_eq!(data.raw_edges.unwrap(), [(0, 1), (1, 0), (2, 3), (2, 3)]);
    assert_eq!(data.raw_weights, [0.5, 1.5, 4.0, 1.0]);
    assert!(said.contains("left out: 1 listed again, 1 of weight 0"), "{said}");
    let (data, _) = files.import(&["--columns", "weight=3", "--ignore-weights"]);
    assert_eq!((pairs(&data), data.edge_weights.len()), (vec![(0, 1), (2, 3)], 0));
    // Negative weights are then no error, in a list and in a matrix.
    let files = Files::new("source,target,w\n0,1,-2\n1,2,0\n", X, Y);
    files.refused(&[], "e.csv:2: the weight `-2` is negative");
    let (data, said) = files.import(&["--ignore-weights"]);
    assert_eq!((pairs(&data), data.edge_weights.len()), (vec![(0, 1)], 0));
    assert!(said.contains("1 of weight 0"), "{said}");
    let files = Files::new("0,-2,0,0\n-2,0,1,0\n0,1,0,0.5\n0,0,0.5,0\n", X, Y);
    let matrix = ["--edges-format", "adjacency-matrix", "--ignore-weights"];
    files.refused(&matrix[..2], "e.csv:1: the weight `-2` is negative");
    let (data, _) = files.import(&matrix);
    assert_eq!((pairs(&data), data.edge_weights.len()), (vec![(0, 1), (1, 2), (2, 3)], 0));
}

#[test]
fn weights_of_an_edge_that_is_listed_again_are_added_up() {
    let (data, _) = Files::new("source,target,w\n0,1,1\n0,1,1\n0,1,1\n1,2,1\n", X, Y).import(&[]);
    assert_eq!((pairs(&data), data.edge_weights), (vec![(0, 1), (1, 2)], vec![3.0, 3.0, 1.0, 1.0]));
}

#[test]
fn rows_stand_in_the_order_of_their_ids() {
    let x = "id,f0,f1\n3,0.1,0.2\n1,0.3,0.4\n0,0.5,0.6\n2,0.7,0.8\n";
    let data = import("src,dst\n0,1\n1,2\n2,3\n", x, "id,label\n1,b\n0,a\n3,b\n2,a\n");
    assert_eq!((column(&data, 0), column(&data, 1)), (vec![0.5, 0.3, 0.7, 0.1], vec![0.6, 0.4, 0.8, 0.2]));
    assert_eq!((data.labels, data.node_names.len()), (vec![0, 1, 0, 1], 0));

    // Numbers with gaps are in their order, names in that of the file; both are kept.
    let data = import("30,7\n7,100\n", "id,f\n100,1\n7,2\n30,3\n", "id,label\n7,0\n30,1\n100,0\n");
    assert_eq!(
        (pairs(&data), data.node_names),
        (vec![(0, 1), (0, 2)], ["7", "30", "100"].map(String::from).to_vec())
    );
    assert_eq!(data.labels, [0, 1, 0]);
    let data =
        import("anna,carl\ncarl,bert\n", "node,f\ncarl,1\nanna,2\nbert,3\n", "node,label\nanna,0\nbert,1\n");
    assert_eq!(
        (pairs(&data), &data.node_names[..]),
        (vec![(0, 1), (0, 2)], &["carl", "anna", "bert"].map(String::from)[..])
    );
    // A node that the labels lack has none.
    assert_eq!((data.labels, data.unlabelled), (vec![0, 0, 1], vec![0]));

    let files =
        Files::new("anna,dora\nanna,bert\n", "node,f\nanna,1\nbert,2\n", "node,label\nanna,0\nbert,1\n");
    files.refused(&[], "e.csv:1: edge (anna, dora): no line has the id dora; --drop-unknown");
    let (data, said) = files.import(&["--drop-unknown"]);
    assert!(pairs(&data) == [(0, 1)] && said.contains("1 with an end that is no node"), "{said}");
}

#[test]
fn headers_are_told_from_data() {
    let features = |x: &str, y: &str| import("0,1\n1,2\n2,3\n", x, y);
    // What pandas writes above columns without names.
    let data = features("0,1\n1,2\n2,3\n3,4\n4,5\n", "subject\nBio\nChem\nBio\nChem\n");
    assert_eq!((data.nodes(), column(&data, 0)), (4, vec![1.0, 2.0, 3.0, 4.0]));
    let data = features("0,1\n0.5,2\n2,3\n3,4\n4,5\n", "0\n0\n1\n0\n1\n");
    assert_eq!((data.nodes(), data.labels), (4, vec![0, 1, 0, 1]));
    let data = features(X, "y\nn\nn\ny\n");
    assert_eq!((data.labels, data.class_names), (vec![1, 0, 0, 1], vec!["n".to_string(), "y".into()]));
    let data = features(",f0\n0,1.5\n1,2.5\n2,3.5\n3,4.5\n", ",label\n3,d\n0,a\n1,b\n2,a\n");
    assert_eq!((data.features.cols(), data.labels), (1, vec![0, 1, 0, 2]));

    let files = Files::new("0,1\n", "0,1\n1,0\n0,1\n", "0\n1\n0\n");
    files.refused(
        &[],
        "may be the first node, or a header as pandas writes it; say it by --header features=no",
    );
    assert_eq!(files.import(&["--header", "no"]).0.nodes(), 3);
    assert_eq!(files.import(&["--header", "features=yes,labels=yes"]).0.nodes(), 2);
    let (_, said) = Files::new("a,b\n0,1\n", X, Y).import(&[]);
    assert!(said.contains("e.csv:1: `a, b` is taken for a header; --header edges=no"), "{said}");
}

#[test]
fn classes_keep_their_names_and_codes() {
    let classes = |y: &str, more: &[&str]| {
        let data = Files::new("0,1\n1,2\n2,3\n", X, y).import(more).0;
        (data.labels, data.unlabelled, data.class_names.join(" | "))
    };
    assert_eq!(
        classes("90210\n10001\n90210\n90210\n", &[]),
        (vec![1, 0, 1, 1], vec![], "10001 | 90210".into())
    );
    assert_eq!(classes("1\n2\n1\n2\n", &[]), (vec![0, 1, 0, 1], vec![], "1 | 2".into()));
    assert_eq!(classes("cs; AI\nbio\ncs; AI\nbio\n", &[]), (vec![1, 0, 1, 0], vec![], "bio | cs; AI".into()));
    let blanks = "0 red\n1 dark\n2 red\n3 dark\n";
    assert_eq!(classes(blanks, &[]), (vec![1, 0, 1, 0], vec![], "dark | red".into()));
    let quoted = "id,label\n0,\"Arts, Music\"\n1,Sport\n2,\"Arts, Music\"\n3,Sport\n";
    assert_eq!(classes(quoted, &[]), (vec![0, 1, 0, 1], vec![], "Arts, Music | Sport".into()));
    // No label.
    for (y, more) in [
        ("0\n-1\n1\n0\n", &[][..]),
        ("0\n\n1\n0\n", &[]),
        ("0.0\nnan\n1.0\n0.0\n", &[]),
        ("node,label\n0,0\n1,unknown\n2,1\n3,0\n", &["--unlabelled", "unknown"]),
        ("node,label\n0,0\n1,\n2,1\n3,0\n", &[]),
    ] {
        assert_eq!(classes(y, more), (vec![0, 0, 1, 0], vec![1], String::new()), "{y:?}");
    }
    // Beside one other class -1 is a class.
    assert_eq!(classes("-1\n1\n1\n-1\n", &[]), (vec![0, 1, 1, 0], vec![], "-1 | 1".into()));
}

#[test]
fn a_column_of_parts_is_a_split() {
    let y = "id,label,split0,split1\n0,a,train,test\n1,b,val,train\n2,a,test,val\n3,b,none,train\n";
    let data = import("0,1\n1,2\n2,3\n", X, y);
    let parts: Vec<_> = data.splits.iter().map(|s| (&s.train[..], &s.validation[..], &s.test[..])).collect();
    assert_eq!(parts, [(&[0][..], &[1][..], &[2][..]), (&[1, 3], &[2], &[0])]);
    // All in one file.
    let nodes = "node,label,f,split\np,a,1,train\nq,b,2,val\nr,a,3,test\n";
    let data = import("p,q\nq,r\n", nodes, "");
    assert_eq!((pairs(&data), data.labels, data.features.cols()), (vec![(0, 1), (1, 2)], vec![0, 1, 0], 1));
    assert_eq!(data.splits[0].test, [2]);
}

#[test]
fn graphs_may_have_no_features() {
    let files = Files::new("0,1\n1,2\n", "", "0\n1\n0\n3\n");
    // Nothing tells whether the first 0 is a class.
    let x = |word: &str| files.import(&["--features", word, "--header", "no"]).0;
    assert_eq!(column(&x("none"), 0), [1.0; 4]);
    let log = [1_f32, 2.0, 1.0, 0.0].map(|d| (1.0 + d).ln());
    assert_eq!(column(&x("degree"), 0), log);
    let identity = x("identity");
    assert_eq!((identity.features.shape(), column(&identity, 2)), ((4, 4), vec![0.0, 0.0, 1.0, 0.0]));
}

#[test]
fn neighbours_may_be_listed_or_stand_in_a_matrix() {
    let files = Files::new("0 1 2 3\n1 2 3\n2 3\n", X, Y);
    files.refused(&[], "e.csv:2: has 3 fields, line 1 has 4 (separator: blank); lists of neighbours");
    let (data, _) = files.import(&["--edges-format", "adjacency-list"]);
    assert_eq!(data.edges.len(), 12);
    let files = Files::new("0,2,0,0\n2,0,1,0\n0,1,0,0.5\n0,0,0.5,0\n", X, Y);
    let (data, _) = files.import(&["--edges-format", "adjacency-matrix"]);
    assert_eq!(
        (pairs(&data), data.edge_weights),
        (vec![(0, 1), (1, 2), (2, 3)], vec![2.0, 2.0, 1.0, 1.0, 0.5, 0.5])
    );
    // Under the names of nodes, in any order.
    let files = Files::new(
        ",c,a,b\nb,1,0,0\nc,0,3,1\na,3,0,0\n",
        "id,f\na,1\nb,2\nc,3\n",
        "id,label\na,0\nb,1\nc,0\n",
    );
    let (data, _) = files.import(&["--edges-format", "adjacency-matrix"]);
    assert_eq!((pairs(&data), data.edge_weights), (vec![(0, 2), (1, 2)], vec![3.0, 1.0, 3.0, 1.0]));
}

#[test]
fn an_import_says_what_it_understood() {
    let y = "id,label\n0,red\n1,red\n2,red\n3,blue\n";
    let (_, said) = Files::new("source,target\n0,1\n1,2\n2,2\n", X, y).import(&[]);
    for line in [
        "3 lines, header, separator comma; source = `source`, target = `target`",
        "4 lines, header, separator comma; id = `id`, label = `label`",
        "3, each in one direction; left out: 1 loops",
        "2 (blue: 1, red: 3)",
        "75.0 %",
        "1, 1 to 4",
        "note: class red has 75.0 % of the nodes, which is the accuracy of a constant answer: `graph --set data.metric=roc-auc`",
        "--split random --set data.development=3 --set data.per_class=1` draws some",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let (_, said) = Files::new("1 2\n1 3\n", X, "1\n2\n1\n2\n").import(&[]);
    assert!(said.contains("note: node 0 has no edge, the last node has"), "{said}");
    assert!(said.contains("note: there is no class 0"), "{said}");
    let (_, said) = Files::new("", X, Y).import(&[]);
    assert!(said.contains("note: there is no edge"), "{said}");
    let (_, said) = Files::new("0,1\n", "1\n2\n3\n4e6\n", Y).import(&[]);
    assert!(said.contains("note: features are not scaled: feature 0 of node 3 is 4e6"), "{said}");
}

#[test]
fn features_without_scale_are_named_and_can_be_scaled() {
    let line = |u: u32| format!("{u},{}\n{u},{}\n", (u + 1) % 12, (u + 2) % 12);
    let edges: String = (0..12).map(line).collect();
    let features: String = (0..12).map(|i| format!("{0}e38,{0}e38,{0}e38,{1}\n", 1 + i % 3, i % 2)).collect();
    let part = |i: u32| ["train", "train", "val", "test"][(i / 3) as usize];
    let labels: String = (0..12).map(|i| format!("{i},{},{}\n", i % 2, part(i))).collect();
    let files = Files::new(&edges, &features, &format!("id,label,split\n{labels}"));
    files.import(&[]);
    let (data, out) = (files.at("out.npz"), files.at("run"));
    let train = |more: &[&str]| {
        let args = [
            "--data",
            &data,
            "--model",
            "mlp",
            "--set",
            "train.epochs=2",
            "--out",
            &out,
            "--force",
            "--quiet",
        ];
        binary::command(env!("CARGO_BIN_EXE_graph"), &[&args[..], more].concat()).output().unwrap()
    };
    let raw = train(&[]);
    let error = binary::stderr(&raw);
    assert!(raw.status.code() == Some(3) && error.contains("is 3e38: set data.scale = standard"), "{error}");
    for scale in ["standard", "row"] {
        let scaled = train(&["--set", &format!("data.scale={scale}")]);
        assert!(scaled.status.success(), "{}", binary::stderr(&scaled));
    }
}

#[test]
fn edges_may_be_a_matrix_market_file() {
    let market = "%%MatrixMarket matrix coordinate real symmetric\n% c\n4 4 3\n2 1 0.5\n3 2 1\n4 3 2\n";
    let (data, said) = Files::new(market, X, Y).import(&[]);
    assert_eq!(
        (pairs(&data), data.edge_weights),
        (vec![(0, 1), (1, 2), (2, 3)], vec![0.5, 0.5, 1.0, 1.0, 2.0, 2.0])
    );
    assert!(
        data.raw_edges.is_none() && said.contains("Matrix Market, real symmetric, 3 entries of 4 nodes"),
        "{said}"
    );
    let three = Files::new(market, "1\n2\n3\n", "0\n1\n0\n");
    three.refused(&[], "e.csv: is a matrix of 4 nodes; the other files have 3");
    Files::new("0,1\n", market, Y).refused(&[], "x.csv: is a Matrix Market file, which only --edges may be");
}

#[test]
fn nodes_may_have_no_label_at_all() {
    let files = Files::new("0,1\n1,2\n", "id,f0,f1\n0,1,2\n1,2,3\n2,3,4\n", "");
    let (data, said) = files.import(&[]);
    assert_eq!((data.classes, data.unlabelled, data.features.cols()), (1, vec![0, 1, 2], 2));
    for line in ["none: no node has a label", "no column is the class", "graph --predict RUN --data"] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let (data, _) = Files::new("0,1\n", "1\n2\n", "nan\nnan\n").import(&[]);
    assert_eq!((data.classes, data.unlabelled), (1, vec![0, 1]));
    // A column of words, or of a split, says that there are classes.
    for features in ["id,f,kind\n0,1,red\n1,2,blue\n", "id,f,split\n0,1,train\n1,2,test\n"] {
        let files = Files::new("0,1\n", features, "");
        let (edges, features, out) = (files.at("e.csv"), files.at("x.csv"), files.at("never.npz"));
        let args = ["import", "csv", "--edges", &edges, "--features", &features, "--out", &out];
        let what = "say it by --columns features.label=NAME or features.label=none";
        binary::refused(&mut binary::command(env!("CARGO_BIN_EXE_data"), &args), what);
    }
    let files = Files::new("0,1\n", "id,f,split\n0,1,train\n1,2,val\n2,3,test\n", "");
    let (data, said) = files.import(&["--columns", "label=none"]);
    assert_eq!((data.unlabelled, said.contains("no column is the class")), (vec![0, 1, 2], false), "{said}");
}

#[test]
fn a_graphml_file_is_imported() {
    let files = Files::new("", "", "");
    let keys = "<key id=\"l\" for=\"node\" attr.name=\"kind\" attr.type=\"string\"/>";
    let node = |id: &str, kind: &str| format!("<node id=\"{id}\"><data key=\"l\">{kind}</data></node>");
    let edge = "<edge source=\"a\" target=\"b\"/>";
    let body =
        format!("{keys}<graph edgedefault=\"undirected\">{}{}{edge}</graph>", node("a", "x"), node("b", "y"));
    let (from, out) = (files.at("g.graphml"), files.at("g.npz"));
    std::fs::write(&from, format!("<graphml>{body}</graphml>")).unwrap();
    let import = |more: &[&str]| {
        let args = [&["import", "graphml", "--from", &from, "--out", &out][..], more].concat();
        binary::command(env!("CARGO_BIN_EXE_data"), &args)
    };
    binary::refused(
        &mut import(&[]),
        "name the class by --label, or give --label none where no node has one (there are kind)",
    );
    binary::succeed(&mut import(&["--label", "kind", "--features", "identity"]));
    let data = decode(Path::new(&out)).unwrap();
    assert_eq!((pairs(&data), data.features.cols()), (vec![(0, 1)], 2));
    assert_eq!((data.node_names.join(" "), data.class_names.join(" ")), ("a b".into(), "x y".into()));
    let graph = ["--data", &from, "--out", &out];
    binary::refused(
        &mut binary::command(env!("CARGO_BIN_EXE_graph"), &graph),
        "g.graphml: is no npz, from which data sets are read; import it by `data import graphml`",
    );
}

/// Writes a file as gzip packs it.
fn put_packed(path: &Path, text: &str) {
    use std::io::Write;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    std::fs::write(path, packer.finish().unwrap()).unwrap();
}

#[test]
fn packed_files_and_folders_of_the_open_graph_benchmark() {
    let files = Files::new("", X, Y);
    put_packed(Path::new(&files.at("e.csv")), "source,target\n0,1\n");
    assert_eq!(pairs(&files.import(&[]).0), [(0, 1)]);

    let folder = files.0.path().join("arxiv");
    let put = |name: &str, text: &str| put_packed(&folder.join(name), text);
    put("raw/edge.csv.gz", "2,0\n0,1\n1,0\n");
    put("raw/node-feat.csv.gz", "0.5,0\n-1,2\n0,3e-1\n");
    put("raw/node-label.csv.gz", "4\n1\nnan\n");
    for (part, nodes) in [("train", "1\n"), ("valid", "2\n"), ("test", "0\n")] {
        put(&format!("split/time/{part}.csv.gz"), nodes);
    }
    let import = |more: &[&str]| {
        let (from, out) = (folder.to_str().unwrap(), files.at("ogb.npz"));
        let args = [&["import", "ogb", "--from", from, "--out", &out][..], more].concat();
        binary::command(env!("CARGO_BIN_EXE_data"), &args)
    };
    binary::succeed(&mut import(&[]));
    let data = decode(Path::new(&files.at("ogb.npz"))).unwrap();
    assert_eq!((pairs(&data), data.raw_edges), (vec![(0, 1), (0, 2)], Some(vec![(2, 0), (0, 1), (1, 0)])));
    assert_eq!((&data.labels[..], &data.unlabelled[..]), (&[1, 0, 0][..], &[2][..]));
    assert_eq!(data.class_names, ["1", "4"]);
    let entries: Vec<f32> = data.features.stored().to_vec();
    assert_eq!((entries, data.splits[0].validation[0]), (vec![0.5, -1.0, 2.0, 0.3], 2));
    put("split/random/train.csv.gz", "");
    binary::refused(&mut import(&[]), "holds the splits random, time; choose one by --split NAME");
    binary::succeed(&mut import(&["--split", "time"]));
    put("raw/edge.csv.gz", "2,3\n");
    binary::refused(&mut import(&["--split", "time"]), "edge.csv.gz:1: edge (2, 3) leads to a node");
}
