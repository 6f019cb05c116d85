//! New settings near good ones: most from a good trial, some drawn afresh, as in a step of differential
//! evolution (Storn and Price 1997) over settings that are not all numbers.

use engine::rng::Stream;
use toml::{Table, Value};

use crate::classify::GraphConfig;
use crate::failure::Failure;

/// The share of settings that are drawn afresh.
const FRESH: f64 = 0.25;
/// Mixtures that are tried until one is sound.
const TRIES: u64 = 100;

/// `parent` with a quarter of its settings from `fresh`, chosen by the trial's own stream; `parent` itself if
/// no mixture is sound.
pub(super) fn cross(parent: &GraphConfig, fresh: &GraphConfig, trial: u64) -> Result<GraphConfig, Failure> {
    let table = |c: &GraphConfig| Table::try_from(c).map_err(|e| Failure::Failed(e.to_string()));
    let (own, mut other) = (table(parent)?, table(fresh)?);
    // It is no part of the space, and draws no number: searches that began before the key was there go on with
    // the trials that they had.
    other.get_mut("data").and_then(Value::as_table_mut).and_then(|data| data.remove("ablation"));
    for k in 0..TRIES {
        let mut stream = Stream::new(parent.seed, "refine", trial, k);
        let mixed: GraphConfig = Value::Table(mixture(&own, &other, &mut stream))
            .try_into()
            .map_err(|e: toml::de::Error| Failure::Failed(e.to_string()))?;
        if mixed.check().is_ok() {
            return Ok(mixed);
        }
    }
    Ok(parent.clone())
}

fn mixture(own: &Table, other: &Table, stream: &mut Stream) -> Table {
    let choose = |(key, value): (&String, &Value)| {
        let value = match (value, other.get(key)) {
            (Value::Table(own), Some(Value::Table(other))) => Value::Table(mixture(own, other, stream)),
            (_, Some(other)) if stream.uniform() < FRESH => other.clone(),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    own.iter().map(choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_settings_is_fresh() {
        let parent = GraphConfig::default();
        let mut fresh = parent.clone();
        (fresh.model.hidden, fresh.model.time, fresh.train.decay) = (parent.model.hidden + 1, 9.0, 0.5);
        let (mut changed, trials) = (0, 1000);
        for trial in 0..trials {
            let mixed = cross(&parent, &fresh, trial).unwrap();
            assert_eq!(mixed, cross(&parent, &fresh, trial).unwrap());
            changed += usize::from(mixed.model.hidden == fresh.model.hidden);
            assert!(mixed.model.time == parent.model.time || mixed.model.time == 9.0);
        }
        assert!((changed as f64 / trials as f64 - FRESH).abs() < 0.06, "{changed}");
    }

    #[test]
    fn the_ablation_draws_no_number() {
        let parent = GraphConfig::default();
        let mut fresh = parent.clone();
        (fresh.data.ablation, fresh.model.time, fresh.train.decay) = (false, 9.0, 0.5);
        // As it was before there was such a key.
        let old = |c: &GraphConfig| {
            let mut table = Table::try_from(c).unwrap();
            table["data"].as_table_mut().unwrap().remove("ablation").unwrap();
            table
        };
        for trial in 0..20 {
            let mut stream = Stream::new(parent.seed, "refine", trial, 0);
            let mixed = cross(&parent, &fresh, trial).unwrap();
            assert_eq!(old(&mixed), mixture(&old(&parent), &old(&fresh), &mut stream));
            assert!(mixed.data.ablation);
        }
    }
}
