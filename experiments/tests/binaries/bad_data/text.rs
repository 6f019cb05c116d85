//! Text files.

use super::{DATA, Table};

const IMPORT: [&str; 8] =
    ["import", "csv", "--edges", "DIR/e.csv", "--features", "DIR/x.csv", "--labels", "DIR/y.csv"];

#[test]
fn text_files() {
    let mut t = Table::new();
    let csv: [(&str, &[u8], &str, &str); 25] = [
        (
            "0,9\n",
            b"1\n2\n",
            "0\n1\n",
            "DIR/e.csv:1: edge (0, 9) leads to a node that does not exist; there are 2",
        ),
        ("0\n", b"1\n2\n", "0\n1\n", "DIR/e.csv:1: wants two nodes"),
        ("0,x\n", b"1\n2\n", "0\n1\n", "DIR/e.csv:1: `x` is not a number as it is wanted here"),
        ("0,-1\n", b"1\n2\n", "0\n1\n", "DIR/e.csv:1: `-1` is not a number as it is wanted here"),
        ("\n0,1.5\n", b"1\n2\n", "0\n1\n", "DIR/e.csv:2: `1.5` is not a number as it is wanted here"),
        (
            "0,99999999999\n",
            b"1\n2\n",
            "0\n1\n",
            "DIR/e.csv:1: `99999999999` is not a number as it is wanted here",
        ),
        ("0,,1\n", b"1\n2\n", "0\n1\n", "DIR/e.csv:1: field 2 is empty; write what it holds"),
        ("0,1\n", b"1,,3\n4,5,6\n", "0\n1\n", "DIR/x.csv:1: field 2 is empty; write what it holds"),
        ("0,1\n", b"1,3\n4\n", "0\n1\n", "DIR/x.csv:2: has 1 features, others have 2"),
        ("0,1\n", b"1\nnan\n", "0\n1\n", "DIR/x.csv:2: feature nan is not finite"),
        ("0,1\n", b"1\n-inf\n", "0\n1\n", "DIR/x.csv:2: feature -inf is not finite"),
        ("0,1\n", b"1\n1e99\n", "0\n1\n", "DIR/x.csv:2: feature 1e99 is not finite"),
        ("0,1\n", b"1\nabc\n", "0\n1\n", "DIR/x.csv:2: `abc` is not a number as it is wanted here"),
        ("0,1\n", b"1\n2\xff\n", "0\n1\n", "DIR/x.csv:2: is no UTF-8 text; save it as UTF-8"),
        ("0,1\n", b"1\n2\n3\n", "0\n1\n", "DIR/x.csv has features of 3 nodes, DIR/y.csv labels of 2"),
        ("0,1\n", b"", "0\n1\n", "DIR/x.csv has features of 0 nodes, DIR/y.csv labels of 2"),
        ("", b"", "", "DIR/x.csv: holds no nodes"),
        (
            "0,1\n",
            b"1\n2\n",
            "0\n-1\n",
            "DIR/y.csv:2: `-1` is no class; whole numbers from 0 to 100000 are wanted here",
        ),
        (
            "0,1\n",
            b"1\n2\n",
            "200000\n1\n",
            "DIR/y.csv:1: `200000` is no class; whole numbers from 0 to 100000 are wanted here",
        ),
        (
            "0,1\n",
            b"1\n2\n",
            "0\n0.5\n",
            "DIR/y.csv:2: `0.5` is no class; whole numbers from 0 to 100000 are wanted here",
        ),
        (
            "0,1\n",
            b"1\n2\n",
            "0\nred\n",
            "DIR/y.csv:2: `red` is no class; whole numbers from 0 to 100000 are wanted here",
        ),
        ("0,1\n", b"1\n2\n3\n", "red\nblue\n1\n", "DIR/y.csv:3: `1` is a number where others are names"),
        (
            "0,1\n",
            b"1\n2\n",
            "1,a\n0,b\n",
            "DIR/y.csv:1: wants one class, or node 0 and its class in this place",
        ),
        ("0,1\n", b"1\n2\n", "0,a\n1,,b\n", "DIR/y.csv:2: field 2 is empty; write what it holds"),
        ("0,1\n", b"1\n2\n", "0,\n1,b\n", "DIR/y.csv:1: field 2 is empty; write what it holds"),
    ];
    for (edges, features, labels, line) in csv {
        t.write("e.csv", edges);
        t.write("x.csv", features);
        t.write("y.csv", labels);
        t.row(DATA, &[&IMPORT[..], &["--out", "DIR/never.npz"]].concat(), line);
    }
    let geom = |t: &mut Table, nodes: &str, edges: &str, more: &[&str], line: &str| {
        t.write("out1_node_feature_label.txt", format!("node\tfeatures\tlabel\n{nodes}"));
        t.write("out1_graph_edges.txt", format!("node\tnode\n{edges}"));
        t.row(
            DATA,
            &[&["import", "geom-gcn", "--from", "DIR", "--out", "DIR/never.npz"], more].concat(),
            line,
        );
    };
    let file = "DIR/out1_node_feature_label.txt";
    for (nodes, edges, more, line) in [
        ("0\t1,0\t0\n0\t0,1\t1\n", "0\t0\n", &[][..], format!("{file}:3: node 0 is given twice")),
        ("0\t1,0\t0\n2\t0,1\t1\n", "0\t0\n", &[], format!("{file}:3: node 2 is given, but no node 1")),
        (
            "0\t1,0\n",
            "0\t0\n",
            &[],
            format!("{file}:2: wants three fields between tabs: node, features, label"),
        ),
        ("0\t1,nan\t0\n", "0\t0\n", &[], format!("{file}:2: feature nan is not finite")),
        ("-1\t1\t0\n", "0\t0\n", &[], format!("{file}:2: `-1` is not a number as it is wanted here")),
        ("0\t1\t0\n1\t1,2\t0\n", "0\t0\n", &[], format!("{file}:3: has 2 features, others have 1")),
        ("0\t9\t0\n", "0\t0\n", &["--listed", "9"], format!("{file}:2: feature 9 is beyond 9")),
        ("", "", &[], format!("{file}: holds no nodes")),
        ("0\t1\t0\n", "0\n", &[], "DIR/out1_graph_edges.txt:2: wants two nodes".into()),
        (
            "0\t1\t0\n",
            "",
            &["--listed", "1000001"],
            "--listed 1000001: at most 1000000 features are possible".into(),
        ),
        ("0\t1\t0\n", "", &["--splits", "DIR/no.npz"], "DIR/no.npz: no such file or directory".into()),
    ] {
        geom(&mut t, nodes, edges, more, &line);
    }
    let linqs = ["import", "linqs", "--content", "DIR/c", "--cites", "DIR/l", "--out", "DIR/never.npz"];
    for (content, cites, line) in [
        ("p1\n", "", "DIR/c:1: wants node, features, label"),
        ("p1 1 a\np1 0 b\n", "", "DIR/c:2: node p1 is given twice"),
        ("p1 1 a\np2 0 0 b\n", "", "DIR/c:2: has 2 features, others have 1"),
        ("p1 1 a\np2 inf b\n", "", "DIR/c:2: feature inf is not finite"),
        ("p1 1 a\np2 0 b\n", "p1 p2 p1\n", "DIR/l:1: wants two nodes"),
        ("", "", "DIR/c: holds no nodes"),
    ] {
        t.write("c", content);
        t.write("l", cites);
        t.row(DATA, &linqs, line);
    }
    t.finish(42);
}
