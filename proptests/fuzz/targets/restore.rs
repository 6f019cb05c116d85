//! Checkpoints that samplers of every method are restored from.
#![no_main]

use std::cell::RefCell;

use engine::checkpoint::Checkpoint;
use experiments::config::exact;
use experiments::sample::SampleConfig;
use libfuzzer_sys::fuzz_target;
use models::sampler::Sampler;

/// The settings that the seeds were made with.
const CONFIGS: [&str; 3] = [
    include_str!("../seeds/config/iwsm"),
    include_str!("../seeds/config/hmc"),
    include_str!("../seeds/config/pt"),
];

fn sampler(text: &str) -> Box<dyn Sampler> {
    // The first byte says whose settings they are, to the target `config`.
    let config: SampleConfig = exact(&text[1..], "seed").expect("the seeds are sound");
    let target = Box::leak(Box::new(config.target().expect("the seeds are sound")));
    config.method.config().build(&**target, 4, 0).expect("the seeds are sound")
}

thread_local! {
    static SAMPLERS: RefCell<[Box<dyn Sampler>; 3]> = RefCell::new(CONFIGS.map(sampler));
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::decode(bytes) else { return };
    SAMPLERS.with_borrow_mut(|samplers| {
        // What could be restored is a state, which can be saved.
        for sampler in samplers.iter_mut().filter_map(|s| s.restore(&checkpoint).is_ok().then_some(s)) {
            drop(sampler.checkpoint().encode().expect("a state can be saved"));
        }
    });
});
