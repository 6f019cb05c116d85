//! Text files.

use super::{DATA, Table};

const IMPORT: [&str; 8] =
    ["import", "csv", "--edges", "DIR/e.csv", "--features", "DIR/x.csv", "--labels", "DIR/y.csv"];

#[test]
fn text_files() {
    let mut t = Table::new();
    let two = b"1\n2\n";
    let none = "there are 2, counted from 0";
    let csv: Vec<(&str, &[u8], &str, String)> = [
        ("0,9\n", &two[..], "0\n1\n", format!("DIR/e.csv:1: edge (0, 9) leads to a node that does not exist; {none}")),
        (
            "1,2\n",
            two,
            "0\n1\n",
            format!(
                "DIR/e.csv:1: edge (1, 2) leads to a node that does not exist; {none}; where yours are counted from 1, give the files a column id"
            ),
        ),
        ("0\n", two, "0\n1\n", "DIR/e.csv:1: wants two nodes".into()),
        ("0,-1\n", two, "0\n1\n", "DIR/e.csv:1: `-1` is no node; whole numbers from 0, or names, are wanted".into()),
        (
            "0,x\n",
            two,
            "0\n1\n",
            "DIR/e.csv:1: `x` is no node: they are counted from 0 to 1, unless a file has a column id".into(),
        ),
        (
            "\n0,1.5\n",
            two,
            "0\n1\n",
            "DIR/e.csv:2: `1.5` is no node; whole numbers from 0, or names, are wanted".into(),
        ),
        (
            "0,99999999999\n",
            two,
            "0\n1\n",
            format!("DIR/e.csv:1: edge (0, 99999999999) leads to a node that does not exist; {none}"),
        ),
        (
            "0,,1\n",
            two,
            "0\n1\n",
            "DIR/e.csv:1: which columns are the ends of an edge is not clear (columns: column 1, column 2, column 3); say it by --columns source=1,target=2,weight=3".into(),
        ),
        (
            "O,1\n1,0\n",
            two,
            "0\n1\n",
            "DIR/e.csv:1: `O` is no number, as all below it are: a slip, or a header? Say it by --header edges=no or --header edges=yes".into(),
        ),
        ("[[0,1]]\n", two, "0\n1\n", "DIR/e.csv: is JSON; write a line for each edge or node, fields separated by commas".into()),
        (
            "0,1,2\n1\n",
            two,
            "0\n1\n",
            "DIR/e.csv:2: has no comma between fields, as other lines have; lists of neighbours are read by --edges-format adjacency-list".into(),
        ),
        (
            "0 1 0\n1 0\n",
            two,
            "0\n1\n",
            "DIR/e.csv:2: has 2 fields, line 1 has 3 (separator: blank); lists of neighbours are read by --edges-format adjacency-list".into(),
        ),
        (
            "source,target,weight\n0,1,-1\n",
            two,
            "0\n1\n",
            "DIR/e.csv:2: the weight `-1` is negative, and no network here has a place for it; --ignore-weights takes every edge for 1".into(),
        ),
        ("0,1\n", b"1,,3\n4,5,6\n", "0\n1\n", "DIR/x.csv:1: column 2: is empty; write what it holds".into()),
        ("0,1\n", b"1,3\n4,2,7\n", "0\n1\n", "DIR/x.csv:2: has 3 fields, line 1 has 2 (separator: comma)".into()),
        (
            "0,1\n",
            b"1\nnan\n",
            "0\n1\n",
            "DIR/x.csv:2: column 1: `nan` is no finite number; write one, or leave the node out".into(),
        ),
        ("0,1\n", b"1\n1e99\n", "0\n1\n", "DIR/x.csv:2: column 1: 1e99 is beyond single precision; scale it".into()),
        (
            "0,1\n",
            b"1\nabc\n",
            "0\n1\n",
            "DIR/x.csv:2: column 1: `abc` is no number; leave the column out, or write numbers for it".into(),
        ),
        ("0,1\n", b"1;2\n1,5;2\n", "0\n1\n", "DIR/x.csv:2: column 1: `1,5` has a decimal comma; write a point".into()),
        ("0,1\n", b"1\n2\xff\n", "0\n1\n", "DIR/x.csv:2: is no UTF-8 text; save it as UTF-8".into()),
        ("0,1\n", b"1\r2\r", "0\n1\n", "DIR/x.csv: has lines that end with CR alone; save it with the line ends LF".into()),
        ("0,1\n", b"\xff\xfe1\x00", "0\n1\n", "DIR/x.csv: is UTF-16 text; save it as UTF-8".into()),
        ("0,1\n", b"1\n2\n3\n", "0\n1\n", "DIR/x.csv has features of 3 nodes, DIR/y.csv labels of 2".into()),
        ("0,1\n", b"", "0\n1\n", "DIR/x.csv has features of 0 nodes, DIR/y.csv labels of 2".into()),
        ("", b"", "", "DIR/x.csv: holds no nodes".into()),
        ("0,1\n", two, "0\n-2\n", "DIR/y.csv:2: `-2` is no class; whole numbers from 0, or names, are wanted".into()),
        ("0,1\n", two, "0\n0.5\n", "DIR/y.csv:2: `0.5` is no class; whole numbers from 0, or names, are wanted".into()),
        (
            "0,1\n",
            b"1\n2\n3\n",
            "0\n1\nunknown\n",
            "DIR/y.csv:3: `unknown` is a name where others are numbers; where it says that there is no label, give --unlabelled unknown".into(),
        ),
        ("0,1\n", b"1\n2\n3\n", "red\nblue\n1\n", "DIR/y.csv:3: `1` is a number where others are names".into()),
        ("0,1\n", two, "0,a\n0,b\n", "DIR/y.csv:2: node 0 is given twice".into()),
        (
            "0,1\n",
            two,
            "7,a\n0,b\n",
            "DIR/x.csv:1: does not say which node a line is about, and the other file lists them in another order than 0, 1, 2, ...; give it a column id".into(),
        ),
        ("0,1\n", two, "id,label,split\n0,a,train\n1,b,later\n", "DIR/y.csv:3: `later` is no part; train, val, test or none is wanted".into()),
        (
            "0,1\n",
            b"paper_id,a\n5,1\n6,2\n",
            "0\n1\n",
            "DIR/x.csv:1: whether `paper_id` says which node a line is about is not clear (columns: paper_id, a); say it by --columns features.id=paper_id or features.id=none".into(),
        ),
        (
            "0,1\n",
            two,
            "id,first,second\n0,a,b\n1,b,b\n",
            "DIR/y.csv:1: which column is the class is not clear (columns: id, first, second); say it by --columns labels.label=NAME".into(),
        ),
    ]
    .to_vec();
    for (edges, features, labels, line) in csv {
        t.write("e.csv", edges);
        t.write("x.csv", features);
        t.write("y.csv", labels);
        t.row(DATA, &[&IMPORT[..], &["--out", "DIR/never.npz"]].concat(), &line);
    }
    for (more, line) in [
        (["--header", "maybe"], "--header maybe: auto, yes, no are possible, for one file labels=yes"),
        (
            ["--columns", "ends=1"],
            "--columns ends=1: write ROLE=COLUMN, a name or a place from 1; roles are source, target, weight, id, label, split, of one file features.id",
        ),
        (
            ["--columns", "source=7,target=1"],
            "DIR/e.csv:1: has no column 7 for --columns source; it has column 1, column 2",
        ),
    ] {
        t.write("e.csv", "0,1\n");
        t.write("x.csv", "1\n2\n");
        t.write("y.csv", "0\n1\n");
        t.row(DATA, &[&IMPORT[..], &more, &["--out", "DIR/never.npz"]].concat(), line);
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
