//! Files of settings, whole and in part; the first byte says of which program.
#![no_main]

use experiments::classify::GraphConfig;
use experiments::config::{exact, overlay, to_plain_toml};
use experiments::oversmoothing::OversmoothingConfig;
use experiments::sample::{Request, SampleConfig, configure};
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::{put, refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a whole file, which then reads back.
fn whole<C: Serialize + DeserializeOwned + PartialEq>(text: &str) -> Option<C> {
    match exact::<C>(text, "config.toml") {
        Ok(config) => {
            let text = to_plain_toml(&config).expect("a configuration can be written");
            assert!(
                exact::<C>(&text, "again.toml").expect("what was written reads back") == config,
                "{text}"
            );
            Some(config)
        }
        Err(e) => {
            refusal(&e);
            None
        }
    }
}

fuzz_target!(|text: &str| {
    let Some(kind) = text.bytes().next().filter(u8::is_ascii) else { return };
    let text = &text[1..];
    match kind.wrapping_sub(b'0') % 5 {
        0 => drop(whole::<GraphConfig>(text).map(|c| c.check())),
        1 => drop(whole::<SampleConfig>(text).map(|c| c.target().and_then(|t| c.check(&*t)))),
        2 => drop(whole::<OversmoothingConfig>(text).map(|c| c.check())),
        3 => drop(overlay(&GraphConfig::default(), text, "part.toml").map(|c| c.check())),
        _ => {
            let file = put("part.toml", text.as_bytes());
            let request = Request { file: Some(&file), ..Request::default() };
            drop(configure(&request).and_then(|c| c.target().and_then(|t| c.check(&*t))));
        }
    }
});
