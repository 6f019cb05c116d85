//! Property tests of the workspace live in `tests/`; this library only has the documentation tests of README.md.
//!
//! Inputs have a fixed seed (`tests/properties/cases.rs`), so `cargo test` gives the same result each time. Other
//! inputs, more of them, and a long random run:
//!
//! ```sh
//! PROPTEST_RNG_SEED=7 cargo test -p metastable-proptests --test properties
//! PROPTEST_CASES=1000 cargo test -p metastable-proptests --test properties pair
//! for seed in $(seq 60); do PROPTEST_RNG_SEED=$seed cargo test -p metastable-proptests --test properties || break; done
//! ```

/// The example of README.md, compiled with the documentation tests; tests/properties/own_energy.rs runs the like
/// (documentation tests are built without optimisation, which takes minutes here).
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
