//! New settings near good ones: most from a good trial, some drawn afresh, as in a step of differential
//! evolution (Storn and Price 1997) over settings that are not all numbers.

use std::collections::BTreeSet;

use engine::rng::Stream;
use toml::{Table, Value};

use crate::classify::GraphConfig;
use crate::run::error::CliError;

/// The share of settings that are drawn afresh.
const FRESH: f64 = 0.25;
/// The settings of all networks in the order of their names, as they were when searches were first recorded: each
/// takes a number, so that a resumed search has the trials that it had. The settings of later networks follow.
#[rustfmt::skip]
const MODEL: &[&str] = &[
    "aggregation", "alpha", "attention", "backward", "beta", "deep_decoder", "deep_encoder", "diffusion", "dropout",
    "form", "heads", "hidden", "input_dropout", "kernel", "lambda", "layers", "log_eps", "loops", "mobility", "name",
    "normalisation", "order", "relu", "sigma", "skip", "solver", "source", "step", "teleport", "time", "tolerance",
    "width",
];
/// Settings that came later and that no search draws: they take no number, so that searches that began before go on
/// with the trials that they had.
const LATER: &[&str] = &[
    "ablation",
    "attention_bias",
    "attention_dropout",
    "attention_over",
    "attention_size",
    "attention_weights",
    "beta_diag",
    "ends",
    "first",
    "gamma",
    "gamma_decay",
    "growth",
    "keep",
    "last_step",
    "learned_repulsion",
    "nonlinear",
    "nonlinearity",
    "optimiser",
    "parts",
    "parts_per_step",
    "propagation_dropout",
    "repulsion",
    "residual_branch",
    "scale",
    "select",
    "time_by_validation",
    "weights",
    "well",
];
/// Mixtures that are tried until one is sound.
const TRIES: u64 = 100;

/// `parent` with a quarter of its settings from `fresh`, chosen by the trial's own stream; `parent` itself if
/// no mixture is sound.
pub(super) fn cross(parent: &GraphConfig, fresh: &GraphConfig, trial: u64) -> Result<GraphConfig, CliError> {
    let table = |c: &GraphConfig| Table::try_from(c).map_err(|e| CliError::Failed(e.to_string()));
    let (own, other) = (table(parent)?, table(fresh)?);
    for k in 0..TRIES {
        let mut stream = Stream::new(parent.seed, "refine", trial, k);
        let mixed: GraphConfig = Value::Table(mixture(&own, &other, &[], &mut stream))
            .try_into()
            .map_err(|e: toml::de::Error| CliError::Failed(e.to_string()))?;
        if mixed.check().is_ok() {
            return Ok(mixed);
        }
    }
    Ok(parent.clone())
}

fn mixture(own: &Table, other: &Table, always: &[&str], stream: &mut Stream) -> Table {
    let keys: BTreeSet<&str> = own.keys().map(String::as_str).chain(always.iter().copied()).collect();
    let mut mixed = Table::new();
    for key in keys {
        let (own, other) = (own.get(key), other.get(key));
        if let (Some(Value::Table(own)), Some(Value::Table(other))) = (own, other) {
            let always = if key == "model" { MODEL } else { &[] };
            mixed.insert(key.into(), mixture(own, other, always, stream).into());
            continue;
        }
        let fresh = !LATER.contains(&key) && (other.is_some() || own.is_none()) && stream.uniform() < FRESH;
        if let Some(value) = own {
            mixed.insert(key.into(), other.filter(|_| fresh).unwrap_or(value).clone());
        }
    }
    mixed
}

#[cfg(test)]
mod tests {
    use models::gnn::Network;
    use models::gnn::equations::GradeSettings;
    use models::gnn::networks::Continuous;

    use super::*;

    fn grade(config: &mut GraphConfig) -> &mut Continuous<GradeSettings> {
        match &mut config.model {
            Network::Grade(settings) => settings,
            other => panic!("{other:?}"),
        }
    }

    /// GRADE, and settings that differ from it.
    fn two() -> (GraphConfig, GraphConfig) {
        let parent = GraphConfig::default();
        let mut fresh = parent.clone();
        let settings = grade(&mut fresh);
        (settings.ends.width.hidden, settings.integration.time) = (65, 9.0);
        fresh.train.decay = 0.5;
        (parent, fresh)
    }

    #[test]
    fn a_quarter_of_the_settings_is_fresh() {
        let (parent, fresh) = two();
        let (mut changed, trials) = (0, 1000);
        for trial in 0..trials {
            let mut mixed = cross(&parent, &fresh, trial).unwrap();
            assert_eq!(mixed, cross(&parent, &fresh, trial).unwrap());
            changed += usize::from(grade(&mut mixed).ends.width.hidden == 65);
            assert!([2.0, 9.0].contains(&grade(&mut mixed).integration.time));
        }
        assert!((changed as f64 / trials as f64 - FRESH).abs() < 0.06, "{changed}");
    }

    #[test]
    fn no_setting_takes_a_number_that_it_did_not_take() {
        // GRADE was refined when searches were first recorded: a new setting of its belongs to LATER.
        let table = Table::try_from(GraphConfig::default()).unwrap();
        let unknown = |key: &&String| !MODEL.contains(&key.as_str()) && !LATER.contains(&key.as_str());
        assert_eq!(table["model"].as_table().unwrap().keys().find(unknown), None);
    }

    #[test]
    fn settings_of_other_networks_and_the_ablation_draw_as_they_did() {
        let (parent, mut fresh) = two();
        fresh.data.ablation = false;
        // As it was when every network had all settings, and there was no such key.
        let old = |c: &GraphConfig| {
            let mut table = Table::try_from(c).unwrap();
            let later = ["ablation", "keep", "scale", "weights"];
            later.iter().for_each(|key| _ = table["data"].as_table_mut().unwrap().remove(*key).unwrap());
            let model = table["model"].as_table_mut().unwrap();
            for key in MODEL {
                model.entry(*key).or_insert(Value::Integer(0));
            }
            table
        };
        for trial in 0..20 {
            let mut stream = Stream::new(parent.seed, "refine", trial, 0);
            let mixed = cross(&parent, &fresh, trial).unwrap();
            assert_eq!(old(&mixed), mixture(&old(&parent), &old(&fresh), &[], &mut stream));
            assert!(mixed.data.ablation);
        }
    }
}
