//! Text files of graphs: the first byte says which format, bytes of zero lie between files.
#![no_main]

use experiments::datasets::{Csv, Format};
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::{file, import, put};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let mut parts = rest.splitn(3, |b| *b == 0);
    let mut next = || parts.next().unwrap_or_default();
    let out = file("out.npz");
    let format = match kind % 4 {
        0 => {
            let (edges, features) = (put("e.csv", next()), put("x.csv", next()));
            let labels = Some(put("y.csv", next()));
            Format::Csv(Csv { edges, features, labels, out: out.clone(), ..Csv::default() })
        }
        1 => {
            let content = put("a.content", next());
            Format::Linqs { content, cites: put("a.cites", next()), out: out.clone() }
        }
        listed => {
            put("out1_node_feature_label.txt", next());
            put("out1_graph_edges.txt", next());
            let from = out.parent().expect("a file in a folder").to_path_buf();
            let listed = (listed == 3).then_some(9);
            Format::GeomGcn { from, splits: Vec::new(), listed, out: out.clone() }
        }
    };
    import(&format, &out);
});
