//! Settings to begin with: a default for each network, and those that were found for a data set.

use models::gnn::Network;
use models::gnn::training::classification::Metric;
use models::words::hint;

use super::GraphConfig;
use crate::config::overlay;
use crate::run::error::CliError;

macro_rules! presets {
    ($($data:literal: $($model:literal),*;)*) => {
        /// Files of presets/graph by name (data-model): chosen by validation figures, most of them in searches.
        const PRESETS: &[(&str, &str)] = &[$($((
            concat!($data, "-", $model),
            include_str!(concat!("../../presets/graph/", $data, "-", $model, ".toml")),
        ),)*)*];
    };
}

presets! {
    "amazon_photo_random": "grade";
    "chameleon": "gcnii", "grade";
    "chameleon_filtered": "grade";
    "citeseer": "gprgnn", "grade";
    "citeseer_random": "grade";
    "coauthor_cs_random": "grade";
    "cora": "grade";
    "cora_random": "grade";
    "cornell": "acmp", "frond", "gat", "gcn", "gcnii", "gprgnn", "grade", "grand", "graphcon",
        "gread-allen-cahn", "gread-bs", "gread-fisher", "h2gcn", "kuramoto", "mlp", "sage";
    "cornell_fixed": "grade";
    "film": "grade", "mlp";
    "grid": "acmp", "grade", "grand", "gread-bs", "kuramoto";
    "minesweeper": "grade";
    "pubmed": "gcn", "grade", "grand", "h2gcn", "mlp", "sage";
    "pubmed_random": "grade";
    "squirrel": "gcn", "grade", "grand";
    "squirrel_filtered": "grade";
    "texas": "acmp", "frond", "gat", "gcn", "gcnii", "gprgnn", "grade", "grand", "graphcon",
        "gread-allen-cahn", "gread-bs", "gread-fisher", "h2gcn", "kuramoto", "mlp", "sage";
    "wisconsin": "acmp", "frond", "gat", "gcn", "gcnii", "gprgnn", "grade", "grand", "graphcon",
        "gread-allen-cahn", "gread-bs", "gread-fisher", "h2gcn", "kuramoto", "mlp", "sage";
}

/// The settings that were found for a network on a data set, or the network's defaults. Those for another kind of
/// split than the fixed ones (`random`) stand under a name of their own: few labels are another task.
pub fn preset(data: &str, model: &str, split: Option<&str>) -> Result<GraphConfig, CliError> {
    let config = defaults(data, model)?;
    let key = match split {
        Some(split) => format!("{data}_{split}-{model}"),
        None => format!("{data}-{model}"),
    };
    match PRESETS.iter().find(|(name, _)| *name == key) {
        Some((name, text)) => overlay(&config, text, name),
        None => Ok(config),
    }
}

/// A network's settings before any search; a search begins with them, so that none starts from the outcome
/// of another.
pub fn defaults(data: &str, model: &str) -> Result<GraphConfig, CliError> {
    let Some(mut network) = Network::named(model) else {
        let hint = hint(model, Network::NAMES);
        let all = Network::NAMES.join(", ");
        return Err(CliError::usage(format!("unknown model `{model}`{hint} (models: {all})")));
    };
    if (data == "karate" || data.starts_with("csbm"))
        && let Some(width) = network.settings_mut().width()
    {
        width.hidden = 16;
    }
    let train = network.settings().training();
    let mut config = GraphConfig { train, model: network, ..Default::default() };
    config.data.name = data.into();
    config.data.metric = if data == "minesweeper" { Metric::RocAuc } else { Metric::Accuracy };
    config.data.development = if data == "coauthor_cs" { 5000 } else { 1500 };
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings that authors published stand in files to name with --config, and owe nothing to those that we found.
    #[test]
    fn settings_of_authors_are_sound_and_whole() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets/graph/authors");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 9);
        for file in files {
            let name = file.file_stem().unwrap().to_str().unwrap().to_string();
            let (data, model) = name.split_once('-').unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let over = |base: &GraphConfig| overlay(base, &text, &name).unwrap();
            let whole = over(&defaults(data, model).unwrap());
            whole.check().unwrap();
            assert_eq!((whole.data.name.as_str(), whole.model.name()), (data, model));
            assert_eq!(over(&preset(data, model, None).unwrap()).train, whole.train, "{name}");
            let model_of = |config: &GraphConfig| toml::Table::try_from(&config.model).unwrap();
            let found = over(&preset(data, model, None).unwrap());
            for (key, value) in model_of(&whole) {
                // What the other settings leave unread may differ.
                let unread = ["tolerance", "beta"].contains(&key.as_str());
                assert!(unread || model_of(&found)[&key] == value, "{name}: model.{key} is not said");
            }
            assert_eq!(found.data.edges, whole.data.edges, "{name}");
        }
    }

    #[test]
    fn every_preset_is_sound() {
        for model in Network::NAMES {
            for data in ["karate", "cora", "texas", "minesweeper"] {
                preset(data, model, None).unwrap().check().unwrap();
            }
        }
        for (name, _) in PRESETS {
            let (data, model) = name.split_once('-').unwrap();
            let (data, split) = match data.strip_suffix("_random") {
                Some(data) => (data, Some("random")),
                None => (data, None),
            };
            preset(data, model, split).unwrap().check().unwrap();
        }
        assert_ne!(
            preset("cora", "grade", Some("random")).unwrap().model,
            preset("cora", "grade", None).unwrap().model
        );
        let few = preset("pubmed", "mlp", Some("random")).unwrap();
        assert_eq!(few.model, defaults("pubmed", "mlp").unwrap().model);
        assert!(preset("cora", "grda", None).unwrap_err().to_string().contains("grade"));
    }
}
