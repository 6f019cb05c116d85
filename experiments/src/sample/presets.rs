//! Settings to begin with: for each method its defaults, then the files of presets/sample that go with the target.

use std::path::{Path, PathBuf};

use models::sampler::Method;
use models::target::TargetConfig;

use super::{Evaluation, SampleConfig};
use crate::config::overlay;
use crate::run::error::CliError;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Files of presets/sample by name.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../presets/sample/", $name, ".toml")))),*];
    };
}

files! {
    "dw4", "dw4-pt", "dw4-quick", "funnel",
    "lj13", "lj13-pt", "lj13-quick",
    "lj55", "lj55-pt", "lj55-quick",
    "chains", "pt-quick", "quick",
}

fn file(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The settings made for a target and a method (none: the one that suits the target best).
pub(super) fn preset(
    target: &TargetConfig,
    method: Option<&str>,
    quick: bool,
) -> Result<SampleConfig, CliError> {
    let name = target.name.as_str();
    let scales = target.scales().map_err(CliError::usage)?;
    // Particles, whose scales stand in their presets, move on the energy with weights of one.
    let method = method.unwrap_or(if scales.is_none() { "idem" } else { "iwsm" });
    let method = Method::named(method, scales).ok_or_else(|| {
        let names: Vec<&str> = Method::NAMES.iter().map(|(name, _)| *name).collect();
        CliError::usage(format!("unknown method `{method}` (methods: {})", names.join(", ")))
    })?;
    let (learns, own) = (method.config().learns(), method.name());
    let mut config =
        SampleConfig { seed: 0, target: target.clone(), evaluation: Evaluation::default(), method };
    let mut layers = match learns {
        true => vec![name.to_string()],
        false => vec!["chains".into(), format!("{name}-{own}")],
    };
    if quick {
        let special = [format!("{name}-quick"), format!("{own}-quick"), "quick".into()];
        layers.extend(special.into_iter().skip(usize::from(!learns)).find(|layer| file(layer).is_some()));
    }
    for layer in layers {
        if let Some(text) = file(&layer) {
            config = overlay(&config, text, &format!("presets/sample/{layer}.toml"))?;
        }
    }
    Ok(config)
}

/// experiments/assets/pretrained/NAME.safetensors, in this folder or the program's, or in one above.
pub fn shipped(target: &str) -> Result<PathBuf, CliError> {
    let place = Path::new("experiments/assets/pretrained").join(format!("{target}.safetensors"));
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    here.ancestors().chain(program.ancestors()).map(|r| r.join(&place)).find(|p| p.is_file()).ok_or_else(
        || {
            let place = place.display();
            CliError::usage(format!(
                "no trained network for {target} ({place} is not there); train one without --pretrained"
            ))
        },
    )
}
