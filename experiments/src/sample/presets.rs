//! Settings to begin with: for each method its defaults, then the files of presets/sample that go with the target.

use std::path::{Path, PathBuf};

use models::mcmc::parallel_tempering;
use models::sampler::{Method, iwsm};
use models::target::TargetConfig;

use super::{Evaluation, SampleConfig};
use crate::config::overlay;
use crate::failure::Failure;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Files of presets/sample by name.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../presets/sample/", $name, ".toml")))),*];
    };
}

files! {
    "dw4", "dw4-pt", "dw4-quick",
    "lj13", "lj13-pt", "lj13-quick",
    "lj55", "lj55-pt", "lj55-quick",
    "pt", "pt-quick", "quick",
}

fn file(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The settings made for a target and a method (none: the one that suits the target best).
pub(super) fn preset(
    target: &TargetConfig,
    method: Option<&str>,
    quick: bool,
) -> Result<SampleConfig, Failure> {
    let name = target.name.as_str();
    let own = if name == "gmm40" { None } else { file(name) };
    // Particles move on the energy, and their presets have weights of one.
    let method = method.unwrap_or(if own.is_some() { "idem" } else { "iwsm" });
    let mut config = SampleConfig {
        seed: 0,
        target: target.clone(),
        evaluation: Evaluation::default(),
        method: defaults(method, target)?,
    };
    let learns = method != "pt";
    let mut layers: Vec<String> = Vec::new();
    match learns {
        true => layers.push(name.into()),
        false => layers.extend(["pt".into(), format!("{name}-pt")]),
    }
    if quick {
        let special = format!("{name}-quick");
        layers.push(match learns {
            true if file(&special).is_some() => special,
            true => "quick".into(),
            false => "pt-quick".into(),
        });
    }
    for layer in layers {
        if let Some(text) = file(&layer) {
            config = overlay(&config, text, &format!("presets/sample/{layer}.toml"))?;
        }
    }
    Ok(config)
}

/// A method before any preset.
fn defaults(method: &str, target: &TargetConfig) -> Result<Method, Failure> {
    let (mut learning, mut tempering) = (iwsm::Config::default(), parallel_tempering::Config::default());
    if let Some([data, mode]) = target.scales().map_err(Failure::usage)? {
        tempering.scale = data;
        let network = &mut learning.network;
        (network.sigma_data, network.sigma_max, network.mode_scale) = (data, 3.0 * data, mode);
    }
    match method {
        "iwsm" => Ok(Method::Iwsm(iwsm::Iwsm(learning))),
        "idem" => Ok(Method::Idem(iwsm::Idem(learning))),
        "pt" => Ok(Method::Pt(parallel_tempering::Settings { sampler: tempering })),
        other => {
            let names: Vec<&str> = Method::NAMES.iter().map(|(name, _)| *name).collect();
            Err(Failure::usage(format!("unknown method `{other}` (methods: {})", names.join(", "))))
        }
    }
}

/// experiments/assets/pretrained/NAME.safetensors, in this folder or the program's, or in one above.
pub fn shipped(target: &str) -> Result<PathBuf, Failure> {
    let place = Path::new("experiments/assets/pretrained").join(format!("{target}.safetensors"));
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    here.ancestors().chain(program.ancestors()).map(|r| r.join(&place)).find(|p| p.is_file()).ok_or_else(
        || {
            let place = place.display();
            Failure::usage(format!(
                "no trained network for {target} ({place} is not there); train one without --pretrained"
            ))
        },
    )
}
