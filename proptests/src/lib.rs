//! Property tests of the workspace live in `tests/`; this library is empty.
//!
//! Inputs have a fixed seed (`tests/properties/cases.rs`), so `cargo test` gives the same result each time. Other
//! inputs, more of them, and a long random run:
//!
//! ```sh
//! PROPTEST_RNG_SEED=7 cargo test -p metastable-proptests --test properties
//! PROPTEST_CASES=1000 cargo test -p metastable-proptests --test properties pair
//! for seed in $(seq 60); do PROPTEST_RNG_SEED=$seed cargo test -p metastable-proptests --test properties || break; done
//! ```
