//! Checkpoints: read, written again, read again.
#![no_main]

use engine::checkpoint::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::decode(bytes) else { return };
    let again = checkpoint.encode().expect("what was read can be written");
    assert_eq!(Checkpoint::decode(&again).expect("what was written reads back"), checkpoint);
});
