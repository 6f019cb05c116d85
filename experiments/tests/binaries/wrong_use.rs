//! What is refused, with what words: every command of wrong_use.txt ends with exit code 2 and exactly the line below
//! it, and leaves nothing behind.
//!
//! After a change of words, `METASTABLE_WRONG_USE=write cargo test --test binaries wrong_use` writes them anew, to be
//! read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::binary;

fn program(binary: &str) -> &'static str {
    match binary {
        "compare" => env!("CARGO_BIN_EXE_compare"),
        "data" => env!("CARGO_BIN_EXE_data"),
        "graph" => env!("CARGO_BIN_EXE_graph"),
        "dimension" => env!("CARGO_BIN_EXE_dimension"),
        "metastable" => env!("CARGO_BIN_EXE_metastable"),
        "oversmoothing" => env!("CARGO_BIN_EXE_oversmoothing"),
        "sample" => env!("CARGO_BIN_EXE_sample"),
        "speed" => env!("CARGO_BIN_EXE_speed"),
        other => panic!("there is no binary {other}"),
    }
}

/// Files that commands name.
fn prepare(dir: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    std::fs::create_dir(dir.join("full")).unwrap();
    write("full/notes.txt", b"mine");
    write("broken.toml", b"[train]\nbatch = = 3\n");
    write("other.toml", b"[model]\nname = \"gcn\"\n");
    write("binary.toml", b"\xff\xfe\0");
    std::fs::create_dir(dir.join("folder.toml")).unwrap();
    let formula = |name: &str, energy: &str, more: &str| {
        let text = format!("kind = \"formula\"\ndim = 2\nenergy = \"{energy}\"\n{more}\n");
        write(name, text.as_bytes());
    };
    formula("wells.toml", "(x[0]^2 - 1)^2 + x[1]^2", "");
    formula("key.toml", "x[0]^2", "temprature = 2.0");
    formula("value.toml", "x[0]^2", "temperature = -1.0");
    formula("name.toml", "x[0]^2 + a*y[1]", "[constants]\na = 1.0");
    formula("index.toml", "sum(i, 0:3, x[i]^2)", "");
    formula("bracket.toml", "(x[0]^2 + 1", "");
    formula("matrix.toml", "x[0]^2", "[constants]\nm = [[1.0, 2.0], [3.0]]");
    formula("support.toml", "x[0]^2", "[support]\nlow = [0.0, 1.0, 2.0]");
    formula("length.toml", "x[0]^2", "length = 2.0");
    formula("hole.toml", "log(x[0]) + x[1]^2", "");
    let npy = |name: &str, dim: usize, x: &[f32]| write(name, &experiments::npy::encode(dim, x));
    npy("short.npy", 2, &[0.5; 20]);
    npy("wide.npy", 3, &vec![0.5; 60_000]);
    let mut x = vec![0.5; 40_000];
    x[11] = f32::NAN;
    npy("nan.npy", 2, &x);
}

fn names(dir: &Path) -> BTreeSet<String> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn each_wrong_use_has_its_line() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let before = names(dir.path());
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/binaries/wrong_use.txt");
    let text = std::fs::read_to_string(&place).unwrap();
    let mut found = String::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
        let binary = words.next().unwrap();
        let args: Vec<&str> = words.collect();
        let said = binary::refusal(binary::command(program(binary), &args).current_dir(dir.path()));
        let said =
            said.strip_prefix("error: ").expect("an error").replace(dir.path().to_str().unwrap(), "{dir}");
        found += &format!("$ {line}\n{said}");
    }
    if std::env::var("METASTABLE_WRONG_USE").is_ok_and(|v| v == "write") {
        return std::fs::write(&place, found).unwrap();
    }
    for (was, is) in text.lines().zip(found.lines()) {
        assert_eq!(was, is);
    }
    assert_eq!(text.lines().count(), found.lines().count());
    assert_eq!(names(dir.path()), before, "nothing is left behind");
    assert_eq!(std::fs::read_to_string(dir.path().join("full/notes.txt")).unwrap(), "mine");
}
