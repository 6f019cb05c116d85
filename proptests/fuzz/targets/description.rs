//! Descriptions of targets, formulas within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metastable_fuzz::put;
use models::target::registry::Parameter;
use models::target::{TargetConfig, own};

fuzz_target!(|bytes: &[u8]| {
    let path = put("target.toml", bytes);
    let mut config = TargetConfig::of("own").expect("the target is registered");
    let name = path.to_str().expect("the folder's name is text").to_string();
    config.parameters.insert("file".into(), Parameter::Text(name));
    match config.build() {
        Ok(target) => assert!(target.single().dim() > 0 && own::files(&path).is_ok()),
        Err(e) => assert!(!e.to_string().contains('\n'), "{e}"),
    }
});
