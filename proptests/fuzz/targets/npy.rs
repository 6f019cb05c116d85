//! Arrays of NumPy, as reference samples are read.
#![no_main]

use experiments::npy::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok((rows, cols, entries)) = decode(bytes) else { return };
    assert_eq!(rows * cols, entries.len());
    if cols > 0 {
        let (n, d, again) = decode(&encode(cols, &entries)).expect("what is written reads back");
        assert_eq!((n, d), (rows, cols));
        assert!(again.iter().zip(&entries).all(|(a, b)| a.to_bits() == b.to_bits() || b.is_nan()));
    }
});
