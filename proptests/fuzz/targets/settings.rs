//! Settings of the command line, one in each line.
#![no_main]

use experiments::classify::GraphConfig;
use experiments::config::resolve;
use experiments::sample::{Request, configure};
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::refusal;

fuzz_target!(|text: &str| {
    let sets: Vec<String> = text.lines().map(String::from).collect();
    match resolve(&GraphConfig::default(), None, &sets) {
        Ok(config) => drop(config.check()),
        Err(e) => refusal(&e),
    }
    match configure(&Request { sets, ..Request::default() }) {
        Ok(config) => drop(config.target().and_then(|target| config.check(&*target))),
        Err(e) => refusal(&e),
    }
});
