//! What to run: networks with all their settings, data, depths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use engine::Params;
use models::gnn::data::synthetic::grid;
use models::gnn::{Dataset, Network};
use models::range::{self, Range};
use serde::{Deserialize, Serialize};

use crate::classify::sources::{inputs, load_again};
use crate::classify::{DataChoice, Edges, GraphConfig, SplitKind, preset, splits};
use crate::config::{layers, leaves, resolve_without, to_table};
use crate::datasets::{Sourced, load_sourced};
use crate::run::error::CliError;
use crate::run::{Inputs, RunFolder};

/// The name of the data that need no training.
pub const GRID: &str = "grid";

/// Networks on the grid unless others are named.
const ON_GRID: &[&str] = &["grade", "grand", "gcn", "gat", "gread-bs", "acmp", "kuramoto"];
/// Trained networks unless others are named.
const TRAINED: &[&str] = &["grade", "grand", "gcn", "gcnii"];
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
    /// Names of the networks, in the order in which they run.
    pub networks: Vec<String>,
    /// The settings of each.
    pub settings: BTreeMap<String, GraphConfig>,
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
    /// Networks; none means a choice of them.
    pub networks: &'a [String],
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
        let networks = match &named[..] {
            [] if on_grid => ON_GRID,
            [] => TRAINED,
            named => named,
        };
        let mut sets = r.sets.to_vec();
        sets.extend(r.seed.map(|s| format!("seed={s}")));
        let bases: Vec<GraphConfig> =
            networks.iter().map(|name| preset(data, name, None)).collect::<Result<_, _>>()?;
        if let Some(base) = bases.iter().find(|base| on_grid && !evolves(&base.model)) {
            let all = Network::NAMES.iter().filter(|name| Network::named(name).is_some_and(|n| evolves(&n)));
            let (name, all) = (base.model.name(), all.copied().collect::<Vec<_>>().join(", "));
            return Err(CliError::usage(format!("--models {name}: on the grid there are {all}")));
        }
        if let Some(other) = layers(r.file, &sets)?.get("model").and_then(|model| model.get("name"))
            && networks.iter().any(|name| other.as_str() != Some(name))
        {
            return Err(no_effect("model.name", other, "name the networks with --models"));
        }
        // A setting is for the networks that have it.
        let keys = |config: &GraphConfig| -> Result<BTreeSet<String>, CliError> {
            Ok(leaves(to_table(config)?, "").into_iter().map(|(key, _)| key).collect())
        };
        let own: Vec<BTreeSet<String>> = bases.iter().map(keys).collect::<Result<_, _>>()?;
        let mut settings = BTreeMap::new();
        for ((name, base), own_keys) in networks.iter().zip(&bases).zip(&own) {
            let others = |key: &str| !own_keys.contains(key) && own.iter().any(|keys| keys.contains(key));
            let config = resolve_without(base, r.file, &sets, others)?;
            check_effect(&config, base, on_grid)?;
            settings.insert(name.to_string(), config);
        }
        let networks = networks.iter().map(|name| name.to_string()).collect();
        let seed = settings.values().next().map_or(0, |c| c.seed);
        let depths = r.depths.to_vec();
        Ok(Self { seed, data: data.into(), layers: r.layers, depths, networks, settings })
    }

    /// The data to train on, none for the grid, and the files that they are read from.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<(Option<Dataset>, Inputs), CliError> {
        if self.data == GRID {
            return Ok((None, Inputs::new()));
        }
        let Sourced { data, input } = load_sourced(&self.data, data_dir)?;
        Ok((Some(self.used(data)?), inputs(input)))
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
        if data.splits.is_empty() {
            let name = &data.name;
            return Err(CliError::usage(format!("data set {name} has no fixed split; see `graph --split`")));
        }
        // What `graph` checks is checked here too, of the first split; whatever a preset says, edges are
        // undirected here.
        let (edges, split) = (Edges::Undirected, SplitKind::Fixed);
        let checked = |data, config: &GraphConfig| {
            let choice = DataChoice { edges, split, splits: 1, ..config.data.clone() };
            splits(data, &choice).map(|(data, _)| data)
        };
        self.settings.values().try_fold(data, checked)
    }

    /// Every network at every depth; none on the grid.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (&str, usize)> {
        let depths: &[usize] = if self.data == GRID { &[] } else { &self.depths };
        self.networks.iter().flat_map(move |name| depths.iter().map(move |d| (name.as_str(), *d)))
    }

    /// A network of that depth.
    pub(super) fn model(&self, name: &str, depth: usize) -> Network {
        let mut network = self.settings[name].model.clone();
        network.settings_mut().set_depth(depth);
        network
    }

    /// An error if the plan does not hold together, or a network does not go to one of its depths.
    pub fn check(&self) -> Result<(), CliError> {
        let own = |name: &String| self.settings.get(name).is_some_and(|c| c.model.name() == name);
        if let Some(name) = self.networks.iter().find(|n| !own(n)) {
            return Err(CliError::usage(format!(
                "config.toml has no [settings.{name}] with the model {name}; start a new run"
            )));
        }
        self.settings.values().try_for_each(GraphConfig::check)?;
        self.jobs().try_for_each(|(name, depth)| {
            range::check(&[("depth", depth as f64, Range::Between(1.0, DEEPEST))])
                .and_then(|()| self.model(name, depth).settings().check())
                .map_err(|problem| CliError::usage(format!("{name} at depth {depth}: {problem}")))
        })
    }
}

/// Whether a network is a dynamical system.
fn evolves(network: &Network) -> bool {
    matches!(network.evolution::<f32>(&grid(2), &mut Params::new(), 1, 0), Ok(Some(_)))
}

fn no_effect(key: &str, value: &toml::Value, instead: &str) -> CliError {
    CliError::usage(format!("{key} = {value} has no effect here: {instead}"))
}

/// An error if a setting was changed that has no effect.
fn check_effect(config: &GraphConfig, base: &GraphConfig, on_grid: bool) -> Result<(), CliError> {
    let before = leaves(to_table(base)?, "");
    let after = leaves(to_table(config)?, "");
    let changed = after.iter().zip(&before).filter(|(a, b)| a != b).map(|(a, _)| a);
    let mut useless = changed.filter_map(|(key, value)| Some((key, value, instead(key, on_grid)?)));
    useless.next().map_or(Ok(()), |(key, value, instead)| Err(no_effect(key, value, instead)))
}

/// Settings of networks that make no difference on the grid.
const UNREAD: [&str; 13] = [
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
    "backward",
    "last_step",
    "time_by_validation",
];

/// For a setting without effect: what has one, or why it has none.
fn instead(key: &str, on_grid: bool) -> Option<&'static str> {
    match key.split_once('.')? {
        ("data", "name") => Some("name the data with --data"),
        ("data", "metric") if !on_grid => None,
        ("data", _) if !on_grid => Some("the first fixed split is trained on once, with undirected edges"),
        ("model", "layers" | "time" | "step") if !on_grid => Some("a depth of --depths sets it"),
        _ if !on_grid => None,
        ("model", "layers" | "time") => Some("give --layers"),
        ("model", key) => UNREAD.contains(&key).then_some("networks on the grid are without it"),
        _ => Some("networks on the grid are not trained; give --data"),
    }
}
