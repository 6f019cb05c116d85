//! GraphML files.
#![no_main]

use experiments::datasets::Format;
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::{file, import, put};

fuzz_target!(|bytes: &[u8]| {
    let (from, out) = (put("g.graphml", bytes), file("out.npz"));
    let (label, features, unlabelled) = (None, Vec::new(), Vec::new());
    import(&Format::Graphml { from, label, features, unlabelled, out: out.clone() }, &out);
});
