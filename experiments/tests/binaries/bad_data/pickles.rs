//! Planetoid's files.

use std::path::Path;

use super::{DATA, Table};

#[test]
fn pickles() {
    let mut t = Table::new();
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planetoid");
    let args = ["import", "planetoid", "--from", "DIR", "--name", "small", "--out", "DIR/never.npz"];
    let deep = [&b"]".repeat(100_000)[..], &b"a".repeat(99_999), b"."].concat();
    // 420 kB: 20 000 nodes, each with the one list of 20 000 neighbours.
    let numbers = |i: u32| [&b"J"[..], &i.to_le_bytes()].concat();
    let list: Vec<u8> = (0..20_000).flat_map(numbers).collect();
    let nodes: Vec<u8> = (1..20_000).flat_map(|i| [numbers(i), b"h\x00".to_vec()].concat()).collect();
    let shared = [b"\x80\x02}(K\x00](", &list[..], b"eq\x00", &nodes, b"u."].concat();
    let length = shared.len();
    for (end, bytes, line) in [
        ("graph", vec![], "is truncated".to_string()),
        ("graph", b"\x80\x02.".to_vec(), "takes more values than there are".into()),
        (
            "graph",
            b"\x80\x05\x96".to_vec(),
            "has an instruction 0x96; plain data of protocols 2 to 4 have none".into(),
        ),
        ("graph", b"\x80\x02K\x01.".to_vec(), "holds something else where a dictionary is wanted".into()),
        ("graph", deep, "holds something else where a dictionary is wanted".into()),
        (
            "graph",
            b"\x80\x02}q\x00(K\x00h\x00u.".to_vec(),
            "holds something else where a list is wanted".into(),
        ),
        (
            "graph",
            b"\x80\x02}(K\x00]q\x00h\x00au.".to_vec(),
            "holds something else where a whole number is wanted".into(),
        ),
        ("graph", b"\x80\x02h\x07.".to_vec(), "recalls what it has not kept".into()),
        ("graph", b"\x80\x02}(K\x00]K\x09au.".to_vec(), "names node 9; it has lists of 1 nodes".into()),
        ("graph", b"\x80\x02}(K\x00]K\x00]u.".to_vec(), "lists the neighbours of node 0 twice".into()),
        ("graph", b"\x80\x02U\xff.".to_vec(), "is truncated".into()),
        ("graph", b"\x80\x02T\xff\xff\xff\xff.".to_vec(), "is truncated".into()),
        (
            "graph",
            shared,
            format!(
                "lists 400000000 neighbours in {length} bytes: its nodes share lists, as those of no graph do"
            ),
        ),
        (
            "allx",
            b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(),
            "holds something else where an object with shape is wanted".into(),
        ),
        (
            "ally",
            b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(),
            "holds something else where an array of NumPy is wanted".into(),
        ),
        ("test.index", b"5\n5\n".to_vec(), "\x002: node 5 is given twice".into()),
        (
            "test.index",
            b"5\n6\n".to_vec(),
            "\x002: node 6 is none between the 3 of allx and the 6 of graph".into(),
        ),
        ("test.index", b"5\nsix\n".to_vec(), "\x002: `six` is not a number as it is wanted here".into()),
    ] {
        for entry in sound.read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = format!("ind.small.{}", entry.file_name().to_str().unwrap());
            std::fs::copy(entry.path(), t.path(&name)).unwrap();
        }
        t.write(&format!("ind.small.{end}"), bytes);
        let line = line.strip_prefix('\0').map_or(format!(" {line}"), String::from);
        t.row(DATA, &args, &format!("DIR/ind.small.{end}:{line}"));
    }
    t.finish(18);
}
