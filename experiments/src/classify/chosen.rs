//! Settings to begin with: a default for each network, and those that were chosen for a data set.

use models::gnn::networks::settings::{MODELS, Model, Solver, Training};
use models::gnn::training::classification::Metric;

use super::GraphConfig;
use crate::config::{nearest, overlay};
use crate::failure::Failure;

macro_rules! chosen {
    ($($name:literal),* $(,)?) => {
        /// Files of presets/graph by name (data-model): chosen by validation figures, most of them in searches.
        const CHOSEN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../presets/graph/", $name, ".toml")))),*];
    };
}

chosen! {
    "amazon_photo_random-grade",
    "chameleon-gcnii",
    "chameleon-grade",
    "chameleon_filtered-grade",
    "citeseer-gprgnn",
    "citeseer-grade",
    "citeseer_random-grade",
    "coauthor_cs_random-grade",
    "cora-grade",
    "cora_random-grade",
    "cornell-acmp",
    "cornell-frond",
    "cornell-gat",
    "cornell-gcn",
    "cornell-gcnii",
    "cornell-gprgnn",
    "cornell-grade",
    "cornell-grand",
    "cornell-graphcon",
    "cornell-gread-allen-cahn",
    "cornell-gread-bs",
    "cornell-gread-fisher",
    "cornell-h2gcn",
    "cornell-kuramoto",
    "cornell-mlp",
    "cornell-sage",
    "cornell_fixed-grade",
    "film-grade",
    "film-mlp",
    "minesweeper-grade",
    "pubmed-gcn",
    "pubmed-grade",
    "pubmed-grand",
    "pubmed-h2gcn",
    "pubmed-mlp",
    "pubmed-sage",
    "pubmed_random-grade",
    "squirrel-gcn",
    "squirrel-grade",
    "squirrel-grand",
    "squirrel_filtered-grade",
    "texas-acmp",
    "texas-frond",
    "texas-gat",
    "texas-gcn",
    "texas-gcnii",
    "texas-gprgnn",
    "texas-grade",
    "texas-grand",
    "texas-graphcon",
    "texas-gread-allen-cahn",
    "texas-gread-bs",
    "texas-gread-fisher",
    "texas-h2gcn",
    "texas-kuramoto",
    "texas-mlp",
    "texas-sage",
    "wisconsin-acmp",
    "wisconsin-frond",
    "wisconsin-gat",
    "wisconsin-gcn",
    "wisconsin-gcnii",
    "wisconsin-gprgnn",
    "wisconsin-grade",
    "wisconsin-grand",
    "wisconsin-graphcon",
    "wisconsin-gread-allen-cahn",
    "wisconsin-gread-bs",
    "wisconsin-gread-fisher",
    "wisconsin-h2gcn",
    "wisconsin-kuramoto",
    "wisconsin-mlp",
    "wisconsin-sage",
}

/// The settings that were chosen for a network on a data set, or the network's defaults. Those for another kind of
/// split than the fixed ones (`random`) stand under a name of their own: few labels are another task.
pub fn preset(data: &str, model: &str, split: Option<&str>) -> Result<GraphConfig, Failure> {
    let config = defaults(data, model)?;
    let key = match split {
        Some(split) => format!("{data}_{split}-{model}"),
        None => format!("{data}-{model}"),
    };
    match CHOSEN.iter().find(|(name, _)| *name == key) {
        Some((name, text)) => overlay(&config, text, name),
        None => Ok(config),
    }
}

/// A network's settings before any search; a search begins with them, so that none starts from the outcome
/// of another.
pub fn defaults(data: &str, model: &str) -> Result<GraphConfig, Failure> {
    if !MODELS.contains(&model) {
        let hint = nearest(model, &MODELS).map_or(String::new(), |n| format!(", did you mean {n}?"));
        return Err(Failure::usage(format!("unknown model `{model}`{hint} (models: {})", MODELS.join(", "))));
    }
    let mut config = GraphConfig { seed: 0, ..Default::default() };
    config.data.name = data.into();
    config.data.metric = if data == "minesweeper" { Metric::RocAuc } else { Metric::Accuracy };
    config.data.development = if data == "coauthor_cs" { 5000 } else { 1500 };
    config.model.name = model.into();
    let m = &mut config.model;
    match model {
        "grade" | "grand" | "acmp" | "kuramoto" | "gread-bs" | "gread-fisher" | "gread-allen-cahn" => {}
        "frond" => (m.time, m.step) = (8.0, 1.0),
        _ => {
            (m.input_dropout, m.dropout) = (0.5, 0.5);
            config.train = Training { decay: 5e-4, ..Training::default() };
        }
    }
    match model {
        // The well is stiff where states are large.
        "acmp" => (m.time, m.step, m.solver) = (1.0, 0.1, Solver::Rk4),
        // Their reactions grow without bound on one side: a longer time blows up.
        "gread-allen-cahn" | "gread-fisher" => (m.time, m.step, m.solver) = (0.25, 0.25, Solver::Rk4),
        "gcnii" => m.layers = 16,
        "h2gcn" => m.layers = 1,
        "graphcon" => (m.layers, m.step, m.teleport) = (3, 1.0, 1.0),
        _ => {}
    }
    if data == "karate" || data.starts_with("csbm") {
        config.model = Model { hidden: 16, ..config.model };
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_sound() {
        for model in MODELS {
            for data in ["karate", "cora", "texas", "minesweeper"] {
                preset(data, model, None).unwrap().check().unwrap();
            }
        }
        for (name, _) in CHOSEN {
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
