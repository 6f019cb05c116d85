//! Planetoid's files: one of them from the fuzzer, the others sound.
#![no_main]

use experiments::datasets::Format;
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::{file, import, put};

const FILES: [(&str, &[u8]); 7] = [
    ("graph", include_bytes!("../../../experiments/tests/planetoid/graph")),
    ("allx", include_bytes!("../../../experiments/tests/planetoid/allx")),
    ("ally", include_bytes!("../../../experiments/tests/planetoid/ally")),
    ("tx", include_bytes!("../../../experiments/tests/planetoid/tx")),
    ("ty", include_bytes!("../../../experiments/tests/planetoid/ty")),
    ("y", include_bytes!("../../../experiments/tests/planetoid/y")),
    ("test.index", include_bytes!("../../../experiments/tests/planetoid/test.index")),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    let which = usize::from(*which) % FILES.len();
    for (k, (end, sound)) in FILES.iter().enumerate() {
        let name = format!("ind.small.{end}");
        if k == which {
            put(&name, rest);
        } else if !file(&name).exists() {
            put(&name, sound);
        }
    }
    let out = file("out.npz");
    let from = out.parent().expect("a file in a folder").to_path_buf();
    let name = "small".to_string();
    import(&Format::Planetoid { from, name, splits: Vec::new(), out: out.clone() }, &out);
    put(&format!("ind.small.{}", FILES[which].0), FILES[which].1);
});
