//! Settings to begin with: for each method its defaults, then the files of presets/sample that go with the target.

use models::sampler::Method;
use models::target::{Geometry, TargetConfig, own};
use models::words::hint;

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
    "adjoint", "adjoint-quick",
    "chains", "chains-quick",
    "dds", "dds-quick",
    "dw4", "dw4-pt", "dw4-quick",
    "funnel", "funnel-iwsm",
    "lj13", "lj13-iwsm", "lj13-pt", "lj13-quick",
    "lj55", "lj55-iwsm", "lj55-pt", "lj55-quick",
    "own-elsewhere",
    "particles-iwsm", "pt-quick", "quick", "smc-quick",
    "wide-iwsm", "wide-quick",
}

/// The largest dimension of R^d for which the defaults of a learned method are made.
const PLAIN: usize = 3;

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
    let geometry = target.build().map_err(CliError::usage)?.single().geometry();
    // Particles move on the energy with weights of one.
    let method = method.unwrap_or(if geometry.particles().is_some() { "idem" } else { "iwsm" });
    let method = Method::named(method, scales).ok_or_else(|| {
        let names: Vec<&str> = Method::NAMES.iter().map(|(name, _)| *name).collect();
        let hint = hint(method, &names);
        CliError::usage(format!("unknown method `{method}`{hint} (methods: {})", names.join(", ")))
    })?;
    let (learns, own) = (method.config().learns(), method.name());
    let matches_scores = method.config().matches_scores();
    let mut config = SampleConfig {
        seed: 0,
        target: target.clone(),
        evaluation: Evaluation::default(),
        observe: Default::default(),
        method,
    };
    let family = match geometry {
        Geometry::Particles(_) => "particles",
        Geometry::Euclidean(d) if d > PLAIN => "wide",
        Geometry::Euclidean(_) => "plain",
    };
    // Each is taken if it exists.
    let of_family = format!("{family}-{own}");
    let mut layers = match learns {
        true if matches_scores => vec![name.to_string(), of_family.clone(), format!("{name}-{own}")],
        true => vec![own.to_string(), of_family.clone(), format!("{name}-{own}")],
        false => vec!["chains".into(), format!("{name}-{own}")],
    };
    if quick {
        let quick = match learns {
            true if of_family == "wide-iwsm" => [format!("{name}-quick"), "wide-quick".into()],
            true if matches_scores => [format!("{name}-quick"), "quick".into()],
            _ => [format!("{own}-quick"), "chains-quick".into()],
        };
        layers.extend(quick.into_iter().find(|layer| file(layer).is_some()));
    }
    if name == "own" && own::is_elsewhere(target.text("file")) {
        layers.push("own-elsewhere".into());
    }
    for layer in layers {
        if let Some(text) = file(&layer) {
            config = overlay(&config, text, &format!("presets/sample/{layer}.toml"))?;
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use models::target::registry;

    #[test]
    fn every_preset_of_every_target_and_method_is_sound() {
        for target in registry::names() {
            let target = TargetConfig::of(target).unwrap();
            let methods = Method::NAMES.iter().map(|(name, _)| Some(*name));
            for method in methods.chain([None]) {
                for quick in [false, true] {
                    let config = preset(&target, method, quick).unwrap();
                    config.check(&*config.target().unwrap()).unwrap();
                }
            }
        }
    }

    #[test]
    fn every_file_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets/sample");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string())
            .collect();
        found.sort();
        let mut listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }

    #[test]
    fn an_unknown_method_is_named_with_the_nearest_one() {
        let error = preset(&TargetConfig::of("gmm40").unwrap(), Some("iswm"), false).unwrap_err();
        assert!(error.to_string().contains("did you mean iwsm"), "{error}");
    }
}
