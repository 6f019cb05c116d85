//! What to run: networks with all their settings, data, depths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use engine::Params;
use models::gnn::data::synthetic::grid;
use models::gnn::{Dataset, Network};
use models::range::{self, Range};
use serde::{Deserialize, Serialize};

use super::arms::Arm;
use crate::classify::sources::{inputs, load_again};
use crate::classify::{DataChoice, Edges, GraphConfig, SplitKind, preset, splits};
use crate::config::{layers, leaves, resolve, resolve_without, to_table};
use crate::datasets::{Sourced, load_sourced};
use crate::run::error::CliError;
use crate::run::{Inputs, RunFolder};

/// The name of the data that need no training.
pub const GRID: &str = "grid";
/// Nodes on a side of it.
pub(super) const GRID_SIDE: usize = 10;

/// Networks on the grid unless others are named.
const ON_GRID: &[&str] = &["grade", "grand", "gcn", "gat", "gread-bs", "acmp", "kuramoto"];
/// Trained networks unless others are named.
const TRAINED: &[&str] = &["grade", "grand", "gcn", "gcnii"];
/// Settings of the data that have an effect here.
const SHARED: [&str; 3] = ["metric", "weights", "scale"];
/// Depths go up to here.
const DEEPEST: f64 = 4096.0;

/// Everything that a run depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OversmoothingConfig {
    /// Seed of every random number.
    pub seed: u64,
    /// A data set, or [`GRID`]: untrained networks on a 10 x 10 grid.
    pub data: String,
    /// Layers on the grid.
    pub layers: usize,
    /// Depths of trained networks: layers, or the integration time in steps of one.
    pub depths: Vec<usize>,
    /// Fixed splits to train on, from the first one on.
    pub splits: usize,
    /// Seeds of each training, from `seed` on.
    pub seeds: usize,
    /// Names of the arms, in the order in which they run: a network's own, or one given to it.
    pub networks: Vec<String>,
    /// The settings of each.
    pub settings: BTreeMap<String, GraphConfig>,
    /// The depths of arms that have their own.
    pub own_depths: BTreeMap<String, Vec<usize>>,
    /// Whether the states of trained networks on their way are measured too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub along: bool,
}

/// A training: an arm at a depth, on a split, from a seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Job<'a> {
    pub arm: &'a str,
    pub depth: usize,
    pub split: usize,
    pub seed: u64,
}

/// What a user asks for; what is left out is chosen.
#[derive(Clone, Copy)]
pub struct OversmoothingRequest<'a> {
    /// Seed; wins over the file and the settings.
    pub seed: Option<u64>,
    /// Data set.
    pub data: Option<&'a str>,
    /// Layers on the grid.
    pub layers: usize,
    /// Depths.
    pub depths: &'a [usize],
    /// Fixed splits.
    pub splits: usize,
    /// Seeds.
    pub seeds: usize,
    /// Networks under their own names; none means a choice of them, if there are no other arms.
    pub networks: &'a [String],
    /// Arms with settings of their own.
    pub arms: &'a [Arm],
    /// Whether states on the way are measured.
    pub along: bool,
    /// File of settings for all of them.
    pub file: Option<&'a Path>,
    /// Settings that win over the file.
    pub sets: &'a [String],
}

impl OversmoothingConfig {
    /// The plan of a request; an error if a network or a setting is unknown, or has no effect.
    pub fn new(r: &OversmoothingRequest<'_>) -> Result<Self, CliError> {
        let data = r.data.unwrap_or(GRID);
        let on_grid = data == GRID;
        let named: Vec<&str> = r.networks.iter().map(String::as_str).collect();
        let plain = match &named[..] {
            [] if !r.arms.is_empty() => &[],
            [] if on_grid => ON_GRID,
            [] => TRAINED,
            named => named,
        };
        let arms: Vec<Arm> =
            plain.iter().map(|name| Arm::plain(name)).chain(r.arms.iter().cloned()).collect();
        if let Some((_, twice)) =
            arms.iter().enumerate().find(|(k, arm)| arms[..*k].iter().any(|other| other.name == arm.name))
        {
            return Err(CliError::usage(format!("there are two arms of the name {}", twice.name)));
        }
        let mut sets = r.sets.to_vec();
        sets.extend(r.seed.map(|s| format!("seed={s}")));
        let bases: Vec<GraphConfig> =
            arms.iter().map(|arm| preset(data, &arm.model, None)).collect::<Result<_, _>>()?;
        if let Some(base) = bases.iter().find(|base| on_grid && !evolves(&base.model)) {
            let all = Network::NAMES.iter().filter(|name| Network::named(name).is_some_and(|n| evolves(&n)));
            let (name, all) = (base.model.name(), all.copied().collect::<Vec<_>>().join(", "));
            return Err(CliError::usage(format!("--models {name}: on the grid there are {all}")));
        }
        if let Some(other) = layers(r.file, &sets)?.get("model").and_then(|model| model.get("name"))
            && arms.iter().any(|arm| other.as_str() != Some(&arm.model))
        {
            return Err(no_effect("model.name", other, "name the networks with --models"));
        }
        // A setting is for the networks that have it.
        let keys = |config: &GraphConfig| -> Result<BTreeSet<String>, CliError> {
            Ok(leaves(to_table(config)?, "").into_iter().map(|(key, _)| key).collect())
        };
        let own: Vec<BTreeSet<String>> = bases.iter().map(keys).collect::<Result<_, _>>()?;
        let mut settings = BTreeMap::new();
        for ((arm, base), own_keys) in arms.iter().zip(&bases).zip(&own) {
            let others = |key: &str| !own_keys.contains(key) && own.iter().any(|keys| keys.contains(key));
            let config = resolve_without(base, r.file, &sets, others)?;
            let config = resolve(&config, None, &arm.sets).map_err(|e| of_arm(&arm.name, e))?;
            check_effect(&config, base, on_grid)?;
            settings.insert(arm.name.clone(), config);
        }
        let seed = settings.values().next().map_or(0, |c| c.seed);
        if let Some((name, config)) = settings.iter().find(|(_, config)| config.seed != seed) {
            return Err(of_arm(
                name,
                no_effect("seed", &toml::Value::Integer(config.seed as i64), "give --seed"),
            ));
        }
        let own = |arm: &Arm| (!arm.depths.is_empty()).then(|| (arm.name.clone(), arm.depths.clone()));
        Ok(Self {
            seed,
            data: data.into(),
            layers: r.layers,
            depths: r.depths.to_vec(),
            splits: r.splits,
            seeds: r.seeds,
            along: r.along,
            own_depths: arms.iter().filter_map(own).collect(),
            networks: arms.into_iter().map(|arm| arm.name).collect(),
            settings,
        })
    }

    /// The data to train on, none for the grid, and the files that they are read from.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<(Option<Dataset>, Inputs), CliError> {
        if self.data == GRID {
            return Ok((None, Inputs::new()));
        }
        let Sourced { data, input } = load_sourced(&self.data, data_dir)?;
        Ok((Some(self.ready(data)?), inputs(input)))
    }

    /// The same for a run that is resumed.
    pub fn load_again(
        &self,
        folder: &RunFolder,
        data_dir: Option<&Path>,
    ) -> Result<Option<Dataset>, CliError> {
        match self.data == GRID {
            true => Ok(None),
            false => self.used(load_again(&self.data, folder, data_dir)?).map(Some),
        }
    }

    /// The data as they are trained on.
    fn used(&self, data: Dataset) -> Result<Dataset, CliError> {
        let (name, there) = (&data.name, data.splits.len());
        if there == 0 {
            return Err(CliError::usage(format!(
                "data set {name} has no fixed split, which is wanted here; give the file masks, or its csv files a column split (docs/data.md)"
            )));
        }
        if self.splits > there {
            return Err(CliError::usage(format!("data set {name} has {there} splits; lower --splits")));
        }
        // What `graph` checks is checked here too; whatever a preset says, edges are undirected here.
        let (edges, split) = (Edges::Undirected, SplitKind::Fixed);
        let Some(shared) = self.shared() else { return Ok(data) };
        let choice = DataChoice { edges, split, splits: self.splits, ..shared.clone() };
        splits(data, &choice).map(|(data, _)| data)
    }

    /// The same, if every arm can be trained on them at each of its depths.
    pub(super) fn ready(&self, data: Dataset) -> Result<Dataset, CliError> {
        let data = self.used(data)?;
        self.depths().try_for_each(|(name, depth)| {
            let problem = self.model(name, depth).check_data(&data, self.settings[name].train.share());
            problem.map_err(|problem| CliError::usage(format!("{name} at depth {depth}: {problem}")))
        })?;
        Ok(data)
    }

    /// What is said of the data, where it has an effect here: the same by every arm.
    pub(super) fn shared(&self) -> Option<&DataChoice> {
        self.settings.values().next().map(|config| &config.data)
    }

    /// An error if arms differ in what becomes of the data, or in the figure: nothing could be compared then.
    fn check_shared(&self) -> Result<(), CliError> {
        let choices: Vec<(&String, toml::Table)> = self
            .settings
            .iter()
            .map(|(name, config)| Ok((name, to_table(&config.data)?)))
            .collect::<Result<_, CliError>>()?;
        for key in SHARED {
            let differs = choices.iter().find(|(_, choice)| choice.get(key) != choices[0].1.get(key));
            if let (Some((name, choice)), (first, other)) = (differs, &choices[0]) {
                let [own, other] =
                    [choice, other].map(|c| c.get(key).map_or(String::new(), toml::Value::to_string));
                return Err(CliError::usage(format!(
                    "data.{key} is {other} for {first} and {own} for {name}, but all arms share the data; give --set data.{key}=VALUE, and no arm one of its own"
                )));
            }
        }
        Ok(())
    }

    /// Every arm at every depth of its own; none on the grid.
    pub(super) fn depths(&self) -> impl Iterator<Item = (&str, usize)> {
        let of = move |name: &String| match self.data == GRID {
            true => &[][..],
            false => self.own_depths.get(name).unwrap_or(&self.depths),
        };
        self.networks.iter().flat_map(move |name| of(name).iter().map(move |d| (name.as_str(), *d)))
    }

    /// Every training.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        self.depths().flat_map(move |(arm, depth)| {
            let seeds = move |split| (0..self.seeds as u64).map(move |k| (split, self.seed + k));
            (0..self.splits).flat_map(seeds).map(move |(split, seed)| Job { arm, depth, split, seed })
        })
    }

    /// A network of that depth.
    pub(super) fn model(&self, name: &str, depth: usize) -> Network {
        let mut network = self.settings[name].model.clone();
        network.settings_mut().set_depth(depth);
        network
    }

    /// An error if the plan does not hold together, or a network does not go to one of its depths.
    pub fn check(&self) -> Result<(), CliError> {
        if let Some(name) = self.networks.iter().find(|name| !self.settings.contains_key(*name)) {
            return Err(CliError::usage(format!("config.toml has no [settings.{name}]; start a new run")));
        }
        let count = |key, v: usize| (key, v as f64, Range::Between(1.0, 1000.0));
        range::check(&[count("--splits", self.splits), count("--seeds", self.seeds)])
            .map_err(CliError::usage)?;
        self.settings.iter().try_for_each(|(name, config)| config.check().map_err(|e| of_arm(name, e)))?;
        self.check_shared()?;
        if self.along {
            self.settings
                .iter()
                .try_for_each(|(name, config)| check_way(config).map_err(|e| of_arm(name, e)))?;
        }
        if self.data == GRID {
            let evolution = |config: &GraphConfig| {
                config
                    .model
                    .evolution::<f32>(&grid(GRID_SIDE), &mut Params::new(), 1, 0)
                    .map_err(CliError::usage)
            };
            self.settings
                .iter()
                .try_for_each(|(name, config)| evolution(config).map(drop).map_err(|e| of_arm(name, e)))?;
        }
        self.depths().try_for_each(|(name, depth)| {
            range::check(&[("depth", depth as f64, Range::Between(1.0, DEEPEST))])
                .and_then(|()| self.model(name, depth).settings().check())
                .map_err(|problem| CliError::usage(format!("{name} at depth {depth}: {problem}")))
        })
    }
}

/// An error if a network chooses its time anew in evaluation: the states on its way have none then.
fn check_way(config: &GraphConfig) -> Result<(), CliError> {
    let model = to_table(&config.model)?;
    match model.get("time_by_validation").and_then(toml::Value::as_float) {
        Some(times) if times > 0.0 => {
            Err(CliError::usage("--along does not go with model.time_by_validation; set it to 0".to_string()))
        }
        _ => Ok(()),
    }
}

/// Whether a network is a dynamical system.
fn evolves(network: &Network) -> bool {
    matches!(network.evolution::<f32>(&grid(2), &mut Params::new(), 1, 0), Ok(Some(_)))
}

/// The same failure, of an arm.
fn of_arm(name: &str, failure: CliError) -> CliError {
    match failure {
        CliError::Usage(what) => CliError::Usage(format!("{name}: {what}")),
        other => other,
    }
}

fn no_effect(key: &str, value: &toml::Value, instead: &str) -> CliError {
    CliError::usage(format!("{key} = {value} has no effect here: {instead}"))
}

/// An error if a setting was changed that has no effect.
fn check_effect(config: &GraphConfig, base: &GraphConfig, on_grid: bool) -> Result<(), CliError> {
    let before = leaves(to_table(base)?, "");
    let after = leaves(to_table(config)?, "");
    // Implicit steps keep their length at every depth, and on the grid an equation has them or has not.
    let mut deep = config.clone();
    deep.model.settings_mut().set_depth(2);
    let step_kept = to_table(&deep)?.get("model").and_then(|m| m.get("step")).cloned();
    let kept = |key: &str, value: &toml::Value| match on_grid {
        true => key == "model.solver" && value.as_str() == Some("implicit"),
        false => key == "model.step" && step_kept.as_ref() == Some(value),
    };
    let changed = after.iter().zip(&before).filter(|(a, b)| a != b).map(|(a, _)| a);
    let changed = changed.filter(|(key, value)| !kept(key, value));
    let mut useless = changed.filter_map(|(key, value)| Some((key, value, instead(key, on_grid)?)));
    useless.next().map_or(Ok(()), |(key, value, instead)| Err(no_effect(key, value, instead)))
}

/// Settings of networks that make no difference on the grid.
const UNREAD: [&str; 14] = [
    "hidden",
    "input_dropout",
    "dropout",
    "deep_encoder",
    "deep_decoder",
    "relu",
    "skip",
    "ends",
    "solver",
    "tolerance",
    "growth",
    "backward",
    "last_step",
    "time_by_validation",
];

/// For a setting without effect: what has one, or why it has none.
fn instead(key: &str, on_grid: bool) -> Option<&'static str> {
    match key.split_once('.')? {
        ("data", "name") => Some("name the data with --data"),
        ("data", key) if !on_grid && SHARED.contains(&key) => None,
        ("data", _) if !on_grid => {
            Some("fixed splits are trained on (--splits), from --seeds, with undirected edges")
        }
        ("model", "layers" | "time" | "step") if !on_grid => Some("a depth of --depths sets it"),
        _ if !on_grid => None,
        ("model", "layers" | "time") => Some("give --layers"),
        ("model", key) => UNREAD.contains(&key).then_some("networks on the grid are without it"),
        _ => Some("networks on the grid are not trained; give --data"),
    }
}
