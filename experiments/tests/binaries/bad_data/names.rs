//! Names of data sets, models and settings, and what an import may write to.

use std::path::Path;

use experiments::datasets::encode;
use models::gnn::Network;
use models::gnn::data::synthetic::karate;

use super::{DATA, GRAPH, SAMPLE, Table};
use crate::binary;

#[test]
fn names() {
    let mut t = Table::new();
    let unset = "no data folder is set; give --data-dir DIR or set METASTABLE_DATA (without data there are karate and csbm)";
    t.write("own.npz", encode(&karate()).unwrap());
    for (name, line) in [
        ("krate", format!("did you mean karate? {unset}")),
        ("cra", format!("did you mean cora? {unset}")),
        ("unheard-of", unset.into()),
        ("cora", unset.into()),
        ("csbm-8", "write csbm-NODES-DEGREE with at least 8 nodes, for example csbm-1000000-20".into()),
        ("csbm-8-0", "write csbm-NODES-DEGREE with at least 8 nodes, for example csbm-1000000-20".into()),
        ("csbm-mine", "write csbm-NODES-DEGREE with at least 8 nodes, for example csbm-1000000-20".into()),
        (
            "csbm-16-4611686018427387904",
            "is too large; at most 100000000 nodes are possible, and NODES * DEGREE below 2147483648".into(),
        ),
    ] {
        // Where DIR is part of the line it is no folder.
        let line = format!("data set {name}: {line}");
        t.row(DATA, &["info", name], &line);
        t.row(GRAPH, &["--data", name], &line);
    }
    let there = "(there are own, karate, csbm)";
    for (args, line) in [
        (&["info", "cra", "--data-dir", "DIR"][..], format!("data set cra: no cra.npz in DIR; did you mean cora? {there}")),
        (&["check", "onw", "--data-dir", "DIR"], format!("data set onw: no onw.npz in DIR; did you mean own? {there}")),
        (&["check", "cora", "--data-dir", "DIR"], format!("data set cora: no cora.npz in DIR; get it by `data fetch cora` {there}")),
        (&["info", "nothing.npz"], "nothing.npz: no such file or directory".into()),
        (&["info", "csbm-none.npz"], "csbm-none.npz: no such file or directory".into()),
        (&["info", "own.npz/x.npz"], "own.npz/x.npz: a part of this path is a file, not a directory".into()),
        (&["info", "."], "data set .: no data folder is set; give --data-dir DIR or set METASTABLE_DATA (without data there are karate and csbm)".into()),
        (&["list", "--data-dir", "DIR/own.npz"], "DIR/own.npz: is no folder; a data folder is wanted".into()),
        (&["list", "--data-dir", "DIR/none"], "DIR/none: no such data folder".into()),
        (&["check", "all"], "check all: give --data-dir DIR or set METASTABLE_DATA".into()),
        (&["check", "all", "--data-dir", "DIR/none"], "DIR/none: no such data folder".into()),
        (&["fetch", "al"], "data set al is not known; did you mean all?".into()),
        (&["fetch", "texs"], "data set texs is not known; did you mean texas?".into()),
        (&["fetch", "karate"], "data set karate is built in".into()),
    ] {
        t.row(DATA, args, &line);
    }
    let models = Network::NAMES.join(", ");
    // The system takes no longer argument.
    let deep = format!("{}=1", ["a"; 60_000].join("."));
    let quoted = format!("\"{}\" = 1\n", ["a"; 100_000].join("."));
    t.write("quoted.toml", quoted);
    t.write("deep.toml", format!("{} = 1\n", ["a"; 1000].join(".")));
    t.write("wide.toml", format!("a = {}{}\n", "[".repeat(100_000), "]".repeat(100_000)));
    t.write("latin.toml", b"[model]\nname = \"gc\xfc\"\n");
    for (args, line) in [
        (&["--data", "all", "--data-dir", "DIR/none"][..], "DIR/none: no such data folder".to_string()),
        (&["--data", "all", "--data-dir", "DIR"], "DIR: holds no known data set".into()),
        (&["--data", "all"], "--data all: give --data-dir DIR or set METASTABLE_DATA".into()),
        (&["--model", "grat"], format!("unknown model `grat`, did you mean gat? (models: {models})")),
        (&["--model", "xxxxxxxx"], format!("unknown model `xxxxxxxx` (models: {models})")),
        (&["--kernel", "lgo"], "--set: model.kernel = \"lgo\": unknown variant `lgo`, expected one of `gat`, `log`, `gauss`, `sin`, `none`; did you mean `log`?".into()),
        (&["--split", "fixd"], "--set: data.split = \"fixd\": unknown variant `fixd`, expected one of `fixed`, `public`, `random`; did you mean `fixed`?".into()),
        (&["--set", "model.hiden=3"], "--set: unknown key `model.hiden`; did you mean `model.hidden`?".into()),
        (&["--set", "model.hidden=1.5"], "--set: `model.hidden` wants integer, got float 1.5".into()),
        (&["--set", "train.epochs=-1"], "--set: `train.epochs` = -1 must not be negative".into()),
        (&["--set", "train"], "--set train: write it as key=value, for example train.batch=256".into()),
        (&["--set", &deep], "--set: the key a.a.a.a.a.a.a.a.a.a.... has 60000 parts; at most 16 are possible".into()),
        (&["--config", "DIR/quoted.toml"], "DIR/quoted.toml: the key a.a.a.a.a.a.a.a.a.a.... has 100000 parts; at most 16 are possible".into()),
        (&["--config", "DIR/deep.toml"], "DIR/deep.toml: recursion limit".into()),
        (&["--config", "DIR/wide.toml"], "DIR/wide.toml:1:85: cannot recurse further; max recursion depth met".into()),
        (&["--config", "DIR/latin.toml"], "DIR/latin.toml:2: is no UTF-8 text; save it as UTF-8".into()),
        (&["--config", "DIR"], "DIR: is a folder; a file is wanted".into()),
        (&["--config", "DIR/none.toml"], "DIR/none.toml: no such file or directory".into()),
        (&["--config", "/dev/zero"], "/dev/zero: is no regular file".into()),
        (
            &["--data", "karate", "--model", "gcn", "--set", "model.hidden=16384", "--set", "model.layers=4096"],
            "model.name = gcn and model.hidden = 16384 with 1099042439170 parameters: about 20 TiB of memory are needed, N are available".into(),
        ),
    ] {
        t.row(GRAPH, &[args, &["--out", "DIR/run"]].concat(), &line);
    }
    assert!(!Path::new(&t.path("run")).exists(), "what is refused leaves no folder");
    t.finish(50);
}

/// Settings that lie in their ranges, and whose product no machine holds.
#[test]
fn more_memory_than_any_machine_has() {
    let mut t = Table::new();
    let needed =
        |line: &str, size: &str| format!("{line}: about {size} of memory are needed, N are available");
    let gmm_d = ["--target", "gmm-d", "--dim", "1000"];
    let pt = ["--target", "lj55", "--method", "pt"];
    for (args, line, size) in [
        (
            &["--threads", "2", "--set", "network.hidden=16384", "--set", "network.layers=1024"][..],
            "train.batch = 512, network.hidden = 16384, network.layers = 1024",
            "15 TiB",
        ),
        (
            &[
                &gmm_d[..],
                &["--threads", "2", "--set", "train.batch=1000000", "--set", "network.hidden=16384"],
                &["--set", "network.layers=1024"],
            ]
            .concat(),
            "train.batch = 1000000, network.hidden = 16384, network.layers = 1024",
            "70 TiB",
        ),
        (
            &[&pt[..], &["--set", "sampler.walkers=100000", "--set", "sampler.rungs=10000"]].concat(),
            "sampler.walkers = 100000, sampler.rungs = 10000 in 165 dimensions",
            "4.8 TiB",
        ),
        (
            &[&pt[..], &["--set", "sampler.thin=1000000", "--samples", "10000000"]].concat(),
            "sampler.thin = 1000000 for 10000000 samples: their energies",
            "146 TiB",
        ),
    ] {
        t.row(SAMPLE, &[args, &["--out", "DIR/run"]].concat(), &needed(line, size));
    }
    assert!(!Path::new(&t.path("run")).exists(), "what is refused leaves no folder");
    t.finish(4);
}

/// What is at `--out` is the user's own unless it is a data set.
#[test]
fn an_import_replaces_nothing_but_a_data_set() {
    let mut t = Table::new();
    t.write("e.csv", "0,1\n");
    t.write("x.csv", "1\n2\n");
    t.write("y.csv", "0\n1\n");
    let csv = [
        "import",
        "csv",
        "--edges",
        "DIR/e.csv",
        "--features",
        "DIR/x.csv",
        "--labels",
        "DIR/y.csv",
        "--out",
    ];
    let ends = "a data set is written to a file whose name ends in .npz";
    t.write("notes.txt", "mine");
    t.write("notes.npz", "mine");
    t.write("victim.npz", encode(&karate()).unwrap());
    let before = std::fs::read(t.path("victim.npz")).unwrap();
    std::fs::create_dir(t.path("folder.npz")).unwrap();
    let link = "is a link, through which nothing is written; name a file";
    for (out, line) in [
        ("DIR/notes.txt", format!("DIR/notes.txt: {ends}")),
        ("DIR/new", format!("DIR/new: {ends}")),
        ("DIR/.npz", format!("DIR/.npz: {ends}")),
        (
            "DIR/notes.npz",
            "DIR/notes.npz: holds no data set of this program, and stays; choose another name, or remove it"
                .into(),
        ),
        ("DIR/folder.npz", "DIR/folder.npz: a folder is in the way; choose another name".into()),
        ("DIR/none/x.npz", "DIR/none/x.npz: no such file or directory".into()),
        ("DIR/e.csv", "--out DIR/e.csv: is one of the files to import".into()),
    ] {
        t.row(DATA, &[&csv[..], &[out]].concat(), &line);
    }
    #[cfg(unix)]
    for (name, to) in
        [("link.npz", "victim.npz"), ("dangling.npz", "nowhere.npz"), ("round.npz", "round.npz")]
    {
        std::os::unix::fs::symlink(to, t.path(name)).unwrap();
        let out = format!("DIR/{name}");
        t.row(DATA, &[&csv[..], &[&out]].concat(), &format!("{out}: {link}"));
        // A fetched set is written in the same way.
        std::fs::rename(t.path(name), t.path("minesweeper.npz")).unwrap();
        let sources = t.path("sources/minesweeper");
        std::fs::create_dir_all(&sources).unwrap();
        std::fs::write(format!("{sources}/minesweeper.npz"), &before).unwrap();
        t.row(DATA, &["fetch", "minesweeper", "--out", "DIR"], &format!("DIR/minesweeper.npz: {link}"));
    }
    assert_eq!(std::fs::read(t.path("victim.npz")).unwrap(), before);
    assert!(!Path::new(&t.path("nowhere.npz")).exists());
    for notes in ["notes.txt", "notes.npz"] {
        assert_eq!(std::fs::read(t.path(notes)).unwrap(), b"mine");
    }
    // A data set is replaced.
    let args: Vec<String> = csv.iter().map(|a| a.replace("DIR", t.dir.path().to_str().unwrap())).collect();
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let victim = t.path("victim.npz");
    args.push(&victim);
    binary::succeed(&mut binary::command(DATA, &args));
    assert_ne!(std::fs::read(&victim).unwrap(), before);
    t.finish(13);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_text_open() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
    let folder = at(b"f\xff");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in
        [(&b"f\xff/e\xff.csv"[..], "0,1\n"), (b"f\xff/x\xff.csv", "1\n2\n"), (b"f\xff/y\xff.csv", "0\n1\n")]
    {
        std::fs::write(at(name), text).unwrap();
    }
    let mut import = binary::command(DATA, &["import", "csv"]);
    for (flag, name) in [
        ("--edges", &b"e\xff.csv"[..]),
        ("--features", b"x\xff.csv"),
        ("--labels", b"y\xff.csv"),
        ("--out", b"own\xff.npz"),
    ] {
        import.arg(flag).arg(folder.join(OsStr::from_bytes(name)));
    }
    binary::succeed(&mut import);
    let own = folder.join(OsStr::from_bytes(b"own\xff.npz"));
    binary::succeed(binary::command(DATA, &["info"]).arg(&own));
    binary::succeed(binary::command(DATA, &["check"]).arg(&own));
    std::fs::rename(&own, folder.join("own.npz")).unwrap();
    binary::succeed(binary::command(DATA, &["info", "own", "--data-dir"]).arg(&folder));
    binary::succeed(binary::command(DATA, &["info", "own"]).env("METASTABLE_DATA", &folder));
    binary::refused(binary::command(DATA, &["info"]).arg(&own), "own\u{fffd}.npz: no such file");
}
